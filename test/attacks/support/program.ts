import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A line of the program's log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** `bin/dblink-proxy` as its operator starts it, with what it logs. */
export interface Program {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  /** Everything that it has written to its standard error. */
  readonly lines: readonly string[];
  /** Resolves with the first line of the log, from the beginning, for which this holds. */
  logged(found: (line: LogLine) => boolean): Promise<LogLine>;
  /** Resolves with its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  kill(): Promise<void>;
}

export interface ProgramOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Options of Node's own. */
  readonly node?: readonly string[];
  /** Another program of this project in its place, a path in dist. */
  readonly program?: string;
  /** What it listens on, where that is no free port of 127.0.0.1; then `port` is 0. Undefined: what its configuration says. */
  readonly listen?: string | undefined;
  /** A command that is run with the program as its arguments: `sh -c … exec "$@"`. */
  readonly wrapper?: readonly string[];
}

/** Starts it and waits until it listens. @throws when it ends before, with what it said */
export async function startProgram(
  primary: string | undefined,
  options: ProgramOptions = {},
): Promise<Program> {
  const { args = [], env = {}, node = [], program, wrapper = [] } = options;
  const listen = 'listen' in options ? options.listen : '127.0.0.1:0';
  // This file runs in dist/test/attacks/support.
  const path = fileURLToPath(
    program === undefined
      ? new URL('../../../../bin/dblink-proxy', import.meta.url)
      : new URL(`../../../${program}`, import.meta.url),
  );
  const given = [
    'start',
    ...(listen === undefined ? [] : ['--listen', listen]),
    ...(primary === undefined ? [] : ['--primary', primary]),
    ...args,
  ];
  const [command = '', ...rest] = [...wrapper, process.execPath, ...node, path, ...given];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'ignore', 'pipe', ...(program === undefined ? [] : (['ipc'] as const))],
    env: { PATH: process.env['PATH'], ...env },
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stderr! }).on('line', (line) => {
    lines.push(line);
    for (const look of [...waiting]) look();
  });
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  const logged = (found: (line: LogLine) => boolean): Promise<LogLine> =>
    new Promise((resolve, reject) => {
      let seen = 0;
      const look = (): void => {
        for (; seen < lines.length; seen++) {
          const line = parsed(lines[seen]!);
          if (line === undefined || !found(line)) continue;
          waiting.delete(look);
          resolve(line);
          return;
        }
      };
      waiting.add(look);
      setTimeout(
        () => reject(new Error(`not logged within a minute; so far: ${lines.join('\n')}`)),
        60_000,
      ).unref();
      void ended.then((how) => {
        look();
        reject(new Error(`the program ended with ${how}: ${lines.join('\n')}`));
      });
      look();
    });
  const { addresses } = await logged(({ msg }) => msg === 'listening');
  return {
    child,
    pid: child.pid!,
    port: (addresses as readonly { port?: number }[])[0]?.port ?? 0,
    lines,
    logged,
    ended,
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    },
  };
}

function parsed(line: string): LogLine | undefined {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
}
