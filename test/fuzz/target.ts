import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A time in which the process computed without looking at its sockets. */
export interface Pause {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
}

export interface TargetState {
  readonly rss: number;
  /** Bytes of heap and buffers that are in use. */
  readonly held: number;
  readonly heap: number;
  readonly external: number;
  readonly resources: Readonly<Record<string, number>>;
  /** Open file descriptors; 0 where the system does not tell. */
  readonly descriptors: number;
  /** For how long its main thread could run and had no processor so far, in ms; 0 where the system does not tell. */
  readonly waitedMs: number;
  /** By how much its event loop was late since the question before, in ms. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const NOTHING: TargetState = {
  rss: 0,
  held: 0,
  heap: 0,
  external: 0,
  resources: {},
  descriptors: 0,
  waitedMs: 0,
  loopDelayMs: { p50: 0, p99: 0, max: 0 },
};

export type FromTarget =
  | ({ readonly kind: 'pause' } & Pause)
  | { readonly kind: 'answer'; readonly id: number; readonly state: TargetState };
export interface ToTarget {
  readonly id: number;
  /** Collect garbage first. */
  readonly collect: boolean;
}

/** The proxy as its operator starts it, in a process of its own that tells about itself. */
export interface Target {
  readonly port: number;
  readonly pid: number;
  readonly pauses: readonly Pause[];
  /** Lines of the log that no input may cause. */
  readonly complaints: readonly string[];
  /** Why the process is gone, if it is. */
  readonly death: () => string | undefined;
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  state(collect?: boolean): Promise<TargetState>;
  /** Says something to what is preloaded beside. */
  tell(message: object): void;
  stop(): Promise<void>;
}

const COMPLAINT = /internal error|unhandled|uncaught|"level":(50|60|"error"|"fatal")/i;
/** What is no fault of the proxy's: a primary that is made to go away. */
const EXPECTED = /primary cannot be reached|cancel request to the primary failed|ECONN/;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * @param primary URL, as for --primary
 * @param preloads further files for the process to load before the proxy
 */
export async function startTarget(
  primary: string,
  args: readonly string[] = [],
  preloads: readonly string[] = [],
): Promise<Target> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      ...[here('./loopWatch.js'), ...preloads].flatMap((file) => ['--import', file]),
      here('../../../bin/dblink-proxy'),
      'start',
      ...['--listen', '127.0.0.1:0', '--primary', primary, '--log-level', 'info', ...args],
    ],
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: { PATH: process.env['PATH'] } },
  );
  const pauses: Pause[] = [];
  const complaints: string[] = [];
  const said: string[] = [];
  const waiting = new Map<number, (state: TargetState) => void>();
  let asked = 0;
  let death: string | undefined;
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.once('exit', (code, signal) => {
    death = `the proxy ended with ${code ?? signal}: ${said.slice(-30).join('\n')}`;
    for (const resolve of waiting.values()) resolve(NOTHING);
  });
  child.on('message', (message: FromTarget) => {
    if (message.kind === 'pause') pauses.push(message);
    else waiting.get(message.id)?.(message.state);
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(death)));
    createInterface({ input: child.stderr! }).on('line', (line) => {
      said.push(line.slice(0, 2000));
      if (said.length > 200) said.shift();
      if (COMPLAINT.test(line) && !EXPECTED.test(line)) complaints.push(line.slice(0, 2000));
      const address = /"addresses":\[\{[^}]*"port":(\d+)/.exec(line);
      if (address !== null) resolve(Number(address[1]));
    });
  });
  return {
    port,
    pid: child.pid!,
    pauses,
    complaints,
    death: () => death,
    ended,
    state(collect = false) {
      const id = ++asked;
      return new Promise((resolve) => {
        waiting.set(id, (state) => {
          waiting.delete(id);
          resolve(state);
        });
        if (death === undefined) child.send({ id, collect } satisfies ToTarget);
        else resolve(NOTHING);
      });
    },
    tell: (message) => void child.send(message),
    async stop() {
      if (death !== undefined) return;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    },
  };
}
