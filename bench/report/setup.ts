import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** What was measured, and on what. */
export interface Setup {
  /** ISO 8601, of the run's end. */
  readonly date: string;
  /** null outside of a repository; with a + behind it, files differ from the commit. */
  readonly commit: string | null;
  readonly cpus: number;
  readonly model: string;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly postgres: string;
  /** null when it is not installed, or none of the benchmarks compares with it. */
  readonly pgbouncer: string | null;
  readonly driver: string;
  readonly seconds: number;
  readonly bulkRows: number;
}

export type Measured = Pick<Setup, 'postgres' | 'pgbouncer' | 'driver' | 'seconds' | 'bulkRows'>;

/** Adds what can be told of this machine and of this program. */
export const setupOf = (measured: Measured): Setup => ({
  date: new Date().toISOString(),
  commit: commitOf(),
  cpus: cpus().length,
  model: cpus()[0]?.model.trim() ?? 'unknown',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  platform: `${process.platform} ${process.arch}`,
  node: process.version,
  ...measured,
});

function commitOf(): string | null {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: fileURLToPath(new URL('.', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', 'HEAD') + (changed ? '+' : '');
  } catch {
    return null;
  }
}
