import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { workspace } from '../../src/embedded/workspace.js';

/** A program that the benchmarks run beside themselves. */
export interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  /** What it has written to standard error so far. */
  log(): string;
  /** Resolves when it has ended; a program that does not end by itself within the limit is killed. */
  stop(signal: NodeJS.Signals): Promise<void>;
}

const STOP_TIMEOUT_MS = 10_000;
const LOG_CHARACTERS = 20_000;

/** The environment without what would lead libpq, or the proxy, elsewhere. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|DBLINK_PROXY_|NODE_OPTIONS)/.test(name));
  return { ...Object.fromEntries(kept), ...extra };
}

/**
 * Starts a program that ends with this process at the latest, however this process ends.
 * @throws Error when it cannot be started
 */
export async function startChild(
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Child> {
  const child = spawn(program, args, {
    env: cleanEnvironment(),
    ...options,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-LOG_CHARACTERS);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const pid = child.pid!;
  workspace().guard(pid);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      workspace().release(pid);
      resolve();
    });
  });
  return {
    process: child,
    pid,
    log: () => log,
    async stop(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(killer);
    },
  };
}

/** Tries until it succeeds, the child has ended or ten seconds are over. @throws Error with the child's log */
export async function waitFor<T>(child: Child, what: string, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (child.process.exitCode !== null || child.process.signalCode !== null || Date.now() > deadline) {
        throw new Error(`${what} did not start: ${child.log().trim() || (error as Error).message}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
