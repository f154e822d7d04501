import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createCluster, uniqueName, writePrivateFile } from './cluster.js';
import { EmbeddedError } from './errors.js';
import { freePort } from './freePort.js';
import type { PostgresInstallation } from './packages.js';
import { programEnvironment } from './run.js';
import { kill, workspace } from './workspace.js';

/** How a server is asked to stop. `fast` breaks off sessions and writes a checkpoint; `immediate` abandons everything at once. */
export type StopMode = 'fast' | 'immediate';

/** What may be chosen about a new server; see {@link startPostgres}. */
export interface PostgresOptions {
  readonly installation: PostgresInstallation;
  /** TCP port on 127.0.0.1; 0 or nothing takes a free one. */
  readonly port?: number;
  /** Settings of postgresql.conf, which ALTER SYSTEM still overrides. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Further arguments of initdb, which win over the defaults `--encoding=UTF8 --locale=C`. */
  readonly initdbArgs?: readonly string[];
  /** Password of the user postgres; TCP connections must then authenticate with SCRAM-SHA-256. */
  readonly password?: string;
  /** Lines that replace the whole of pg_hba.conf. */
  readonly hba?: readonly string[];
  /** Certificate and private key in PEM format, with which the server offers TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Variables added to the server's otherwise minimal environment, which may name its port. */
  readonly env?: Readonly<Record<string, string>> | ((port: number) => Readonly<Record<string, string>>);
}

/** A running server of this process. */
export interface PostgresServer {
  readonly installation: PostgresInstallation;
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Directory of the Unix socket `.s.PGSQL.<port>`. */
  readonly socketDir: string;
  readonly dataDir: string;
  readonly logFile: string;
  /** The process id of the postmaster. It changes with a restart. */
  readonly pid: number;
  readonly user: 'postgres';
  readonly password: string | undefined;
  /** `postgres://` address of a database, with the superuser and, if there is one, its password. */
  url(database?: string): string;
  /** Stops the server and removes its data. Does nothing when it has been stopped before. */
  stop(mode?: StopMode): Promise<void>;
  /** Stops and starts the server on the same data and port. */
  restart(mode?: StopMode): Promise<void>;
  /** Has the server read its configuration files again. */
  reload(): void;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

/**
 * Starts a PostgreSQL server on a new cluster in a temporary directory.
 *
 * It listens on 127.0.0.1 and a Unix socket, is not durable, and ends with this process at the latest.
 *
 * @throws EmbeddedError with the end of the server's log, if it does not start
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { installation, password, tls } = options;
  const directory = workspace().makeDirectory(uniqueName('server'), 0o755);
  const dataDir = join(directory, 'data');
  await createCluster(installation, options.initdbArgs ?? [], password, dataDir);

  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: directory,
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    shared_buffers: '32MB',
    ...(tls === undefined ? {} : { ssl: 'on' }),
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoteSetting(value)}\n`);
  appendFileSync(join(dataDir, 'postgresql.conf'), lines.join(''));
  if (tls !== undefined) {
    writePrivateFile(join(dataDir, 'server.crt'), tls.cert);
    writePrivateFile(join(dataDir, 'server.key'), tls.key);
  }
  if (options.hba !== undefined) {
    writePrivateFile(join(dataDir, 'pg_hba.conf'), `${options.hba.join('\n')}\n`);
  }

  const place: Place = {
    installation,
    directory,
    dataDir,
    logFile: join(directory, 'log'),
    env: envOf(options),
  };
  try {
    return serverOf(place, await launchOnFreePort(place, options.port ?? 0), password);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Where one server lives. */
interface Place {
  readonly installation: PostgresInstallation;
  readonly directory: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly env: (port: number) => Readonly<Record<string, string>>;
}

function envOf({ env }: PostgresOptions): Place['env'] {
  return typeof env === 'function' ? env : () => env ?? {};
}

/** One run of the postmaster. */
interface Postmaster {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  /** Settles when the process has ended. */
  readonly ended: Promise<void>;
}

function serverOf(place: Place, started: Postmaster, password: string | undefined): PostgresServer {
  let postmaster = started;
  let stopped: Promise<void> | undefined;
  const { port } = started;
  return {
    installation: place.installation,
    host: '127.0.0.1',
    port,
    socketDir: place.directory,
    dataDir: place.dataDir,
    logFile: place.logFile,
    user: 'postgres',
    password,
    get pid() {
      return postmaster.pid;
    },
    url(database = 'postgres') {
      const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`;
      return `postgres://postgres${secret}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
    },
    stop(mode = 'fast') {
      stopped ??= halt(postmaster, mode).then(() =>
        rmSync(place.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }),
      );
      return stopped;
    },
    async restart(mode = 'fast') {
      await halt(postmaster, mode);
      postmaster = await launch(place, port);
    },
    reload() {
      kill(postmaster.pid, 'SIGHUP');
    },
  };
}

/** Somebody else may take a free port before the server binds it. Then another one is tried. */
async function launchOnFreePort(place: Place, wanted: number): Promise<Postmaster> {
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted === 0 ? await freePort() : wanted;
    try {
      return await launch(place, port);
    } catch (error) {
      const taken =
        error instanceof EmbeddedError && /could not bind|Address already in use/.test(error.message);
      if (wanted !== 0 || !taken || attempt === 5) throw error;
    }
  }
}

async function launch(place: Place, port: number): Promise<Postmaster> {
  const log = openSync(place.logFile, 'a', 0o644);
  const child = spawn(
    join(place.installation.directory, 'bin', 'postgres'),
    ['-D', place.dataDir, '-p', String(port)],
    {
      ...workspace().runAs,
      cwd: place.directory,
      env: programEnvironment({ HOME: place.directory, ...place.env(port) }),
      // A group of its own: Ctrl-C in the terminal is for this process, which stops its servers in order.
      detached: true,
      stdio: ['ignore', log, log],
    },
  );
  closeSync(log);
  child.unref();
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.pid === undefined) return failed;
  failed.catch(() => {}); // From here on only the end of the process counts.
  const { pid } = child;
  workspace().guard(pid);
  void ended.then(() => workspace().release(pid));
  const postmaster: Postmaster = { child, pid, port, ended };
  await untilReady(place, postmaster);
  return postmaster;
}

/** Waits until the last line of postmaster.pid says `ready`. pg_ctl waits for the same word. @throws EmbeddedError */
async function untilReady(place: Place, { child, pid, ended }: Postmaster): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (child.exitCode === null && child.signalCode === null) {
    const lines = readOptional(join(place.dataDir, 'postmaster.pid')).split('\n');
    if (Number(lines[0]) === pid && lines[7]?.trim() === 'ready') return;
    if (performance.now() > deadline) {
      kill(pid, 'SIGKILL');
      await ended;
    }
    await delay(5);
  }
  const log = readOptional(place.logFile).trim().split('\n').slice(-20).join('\n');
  throw new EmbeddedError(`PostgreSQL ${place.installation.version} did not start:\n${log}`);
}

async function halt({ child, pid, ended }: Postmaster, mode: StopMode): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  kill(pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
  const late = setTimeout(() => kill(pid, 'SIGQUIT'), STOP_TIMEOUT_MS);
  const tooLate = setTimeout(() => kill(pid, 'SIGKILL'), STOP_TIMEOUT_MS + 5_000);
  await ended;
  clearTimeout(late);
  clearTimeout(tooLate);
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** As postgresql.conf wants it: both quotes and backslashes are special in there. */
function quoteSetting(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
