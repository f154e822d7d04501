import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedError } from './errors.js';

/** The account under which PostgreSQL's programs run. Undefined members mean that of this process. */
export interface RunAs {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * This process's temporary directory for embedded servers, with the account they run under and a reaper.
 *
 * PostgreSQL refuses to run as root. The account that it runs under instead must be able to read its programs. So the
 * directory lies where that account can reach it.
 */
export interface Workspace {
  readonly directory: string;
  readonly runAs: RunAs;
  /** Makes a directory inside the workspace that belongs to the servers' account. */
  makeDirectory(name: string, mode: number): string;
  /** Has `pid` killed when this process ends, however it ends. */
  guard(pid: number): void;
  /** Called when `pid` has ended: it is not killed any more. */
  release(pid: number): void;
}

let current: Workspace | undefined;

/** The workspace of this process, made at the first call and removed when the process ends. @throws EmbeddedError */
export function workspace(): Workspace {
  current ??= createWorkspace();
  return current;
}

function createWorkspace(): Workspace {
  const { directory, runAs } = findPlace();
  const reaper = startReaper(directory);
  const guarded = new Set<number>();
  process.once('exit', () => {
    for (const pid of guarded) kill(pid, 'SIGQUIT');
    // Servers that are still going down write into the directory. The reaper waits for them and then removes it.
    if (guarded.size === 0) rmSync(directory, { recursive: true, force: true });
  });
  return {
    directory,
    runAs,
    makeDirectory(name, mode) {
      const path = join(directory, name);
      mkdirSync(path);
      chmodSync(path, mode);
      if (runAs.uid !== undefined && runAs.gid !== undefined) chownSync(path, runAs.uid, runAs.gid);
      return path;
    },
    guard(pid) {
      guarded.add(pid);
      reaper.stdin?.write(`+ ${pid}\n`);
    },
    release(pid) {
      guarded.delete(pid);
      reaper.stdin?.write(`- ${pid}\n`);
    },
  };
}

/** Sends a signal to a process that may be gone already. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * A shell script that reads the pids to guard from its standard input. The input ends when the parent has ended for whatever
 * reason, SIGKILL included. Then the script shuts down those that are left and removes the directory.
 */
const REAPER = `
trap '' INT TERM HUP PIPE
pids=
while read -r op pid; do
  rest=
  for p in $pids; do [ "$p" = "$pid" ] || rest="$rest $p"; done
  pids=$rest
  [ "$op" = + ] && pids="$pids $pid"
done
for p in $pids; do kill -QUIT "$p" 2>/dev/null; done
tries=0
for p in $pids; do
  while kill -0 "$p" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
  kill -KILL "$p" 2>/dev/null
done
rm -rf -- "$0"
`;

function startReaper(directory: string): ChildProcess {
  const reaper = spawn('/bin/sh', ['-c', REAPER, directory], {
    cwd: '/',
    // A group of its own, so that Ctrl-C in the terminal does not reach it before its work has begun.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  reaper.on('error', () => {}); // The exit handler above still cleans up after an orderly end.
  reaper.stdin.on('error', () => {});
  reaper.unref();
  // The pipe is a socket at run time; it must not keep the process alive either.
  (reaper.stdin as unknown as { unref(): void }).unref();
  return reaper;
}

/**
 * Finds a temporary directory, and an account that may execute programs in it. This is tried, not guessed. The system's
 * temporary directory may lie under a home directory of mode 0700 or on a volume mounted noexec, and the account may not exist
 * in this container's user namespace.
 */
function findPlace(): { directory: string; runAs: RunAs } {
  const failures: string[] = [];
  for (const base of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    if (!isDirectory(base) || base.length > MAX_BASE_LENGTH) continue;
    let directory: string;
    try {
      directory = mkdtempSync(join(base, 'dblink-proxy-'));
      chmodSync(directory, 0o755);
    } catch (error) {
      failures.push((error as Error).message);
      continue;
    }
    for (const runAs of accounts()) {
      const failure = tryToExecute(directory, runAs);
      if (failure === undefined) return { directory, runAs };
      failures.push(`${base}${runAs.uid === undefined ? '' : ` as user ${runAs.uid}`}: ${failure}`);
    }
    rmSync(directory, { recursive: true, force: true });
  }
  throw new EmbeddedError(
    `no temporary directory was found in which PostgreSQL can run (${failures.slice(0, 3).join('; ')}); ` +
      'set TMPDIR to a directory that every user can reach and that is not mounted noexec',
  );
}

/** The longest base directory: the path of a Unix socket below it has to stay within the kernel's limit of some hundred bytes. */
const MAX_BASE_LENGTH = 60;

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function tryToExecute(directory: string, runAs: RunAs): string | undefined {
  const probe = join(directory, 'probe');
  writeFileSync(probe, '#!/bin/sh\nexit 0\n');
  chmodSync(probe, 0o755);
  const { error, status } = spawnSync(probe, { ...runAs, cwd: '/', stdio: 'ignore' });
  rmSync(probe);
  if (error !== undefined) return error.message;
  return status === 0 ? undefined : `exit code ${status}`;
}

/**
 * Accounts to try, best first. Unless this process runs as root, that is its own. For root, `nobody` comes before `postgres`,
 * which may own a real cluster on this machine. The account must be in the password database: initdb looks it up.
 */
function accounts(): readonly RunAs[] {
  if (process.getuid?.() !== 0) return [{}];
  const users = passwordDatabase();
  const named = ['nobody', 'daemon', 'postgres'].flatMap((name) =>
    users.filter((user) => user.name === name),
  );
  return named.length > 0 ? named.map(({ uid, gid }) => ({ uid, gid })) : [{ uid: 65534, gid: 65534 }];
}

function passwordDatabase(): readonly { name: string; uid: number; gid: number }[] {
  let text: string;
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    // macOS writes the ids of nobody as -2.
    const ids = [Number(uid) >>> 0, Number(gid) >>> 0] as const;
    return name !== undefined && uid !== undefined && ids[0] !== 0
      ? [{ name, uid: ids[0], gid: ids[1] }]
      : [];
  });
}
