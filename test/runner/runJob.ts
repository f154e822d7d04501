import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Job, ROOT } from './jobs.js';
import type { TestLine } from './reporter.js';

/** What came of a file. */
export interface JobResult {
  readonly job: Job;
  readonly seconds: number;
  /** Of tests, not of suites. */
  readonly passed: number;
  readonly skipped: readonly TestLine[];
  readonly failed: readonly TestLine[];
  /** What the file printed; worth reading where something failed. */
  readonly output: string;
}

/** A file that hangs must fail, not stop everything. A run of the longest file takes a tenth of it. */
const HANGS_AFTER_MS = 1_800_000;

/** What node's test runner says of tests that `--name` leaves out. */
const NOT_CHOSEN = 'test name does not match pattern';

const REPORTER = join(import.meta.dirname, 'reporter.js');
const PRELOADED = join(import.meta.dirname, 'overwriteRead.js');

/** Runs one file with node's own test runner in a process of its own. */
export async function runJob(
  job: Job,
  options: { readonly scratch: string; readonly env: NodeJS.ProcessEnv; readonly name: string | undefined },
): Promise<JobResult> {
  const events = join(options.scratch, `${job.file.replaceAll(/[/\\]/g, '-')}.jsonl`);
  const started = performance.now();
  const args = [
    `--import=${pathToFileURL(PRELOADED)}`,
    ...[`--test-reporter=${REPORTER}`, `--test-reporter-destination=${events}`],
    ...(options.name === undefined ? [] : [`--test-name-pattern=${options.name}`]),
    job.compiled,
  ];
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
  const hangs = setTimeout(() => child.kill('SIGKILL'), HANGS_AFTER_MS);
  const ended = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(
        code === 0 ? '' : `the process ${signal === null ? `exited with ${code}` : `was ended by ${signal}`}`,
      ),
    );
  });
  clearTimeout(hangs);
  const lines = (existsSync(events) ? readFileSync(events, 'utf8') : '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TestLine)
    .filter(({ reason }) => reason !== NOT_CHOSEN);
  return {
    ...sort(lines, ended, job),
    job,
    seconds: (performance.now() - started) / 1000,
    output: Buffer.concat(output).toString('utf8'),
  };
}

function sort(
  lines: readonly TestLine[],
  ended: string,
  { file }: Job,
): Pick<JobResult, 'passed' | 'skipped' | 'failed'> {
  // A suite counts by its tests, but for one that fails or is left out as a whole.
  const of = (outcome: TestLine['outcome']): readonly TestLine[] =>
    lines.filter((line) => line.outcome === outcome && (!line.suite || line.reason !== ''));
  const failed = [...of('failed')];
  if (failed.length === 0 && ended !== '') {
    failed.push({
      outcome: 'failed',
      path: [file],
      suite: true,
      ms: 0,
      reason: `${ended}, and no test had failed`,
    });
  }
  return {
    passed: lines.filter(({ outcome, suite }) => outcome === 'passed' && !suite).length,
    skipped: of('skipped'),
    failed,
  };
}
