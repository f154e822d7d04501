import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MAJORS_VARIABLE, SUPPORTED_MAJORS } from '../support/majors.js';
import { type Job, jobsOf, knownTimes, TIMES_FILE } from './jobs.js';
import { clock, Progress } from './progress.js';
import { type JobResult, runJob } from './runJob.js';
import { prepareShared } from './shared.js';
import { runsAlone, type Suite } from './suites.js';
import { printSummary } from './summary.js';

/** The tests from the command line; see docs/testing.md. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: 'boolean', default: false },
    container: { type: 'boolean', default: false },
    lanes: { type: 'string' },
    name: { type: 'string' },
    major: { type: 'string', multiple: true },
    matrix: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
  },
});

const suite: Suite = values.container ? 'container' : values.full ? 'full' : 'test';
const command = {
  test: 'npm test',
  full: 'npm run test:full',
  container: 'npm run test:container',
}[suite];

/** What tests that can run on any major run on, where it is not the usual. */
const majors = values.major?.map(Number) ?? (values.matrix ? SUPPORTED_MAJORS : undefined);

/** Files wait for servers as much as they compute: two at a time even where there are only two processors. */
const lanes = values.lanes === undefined ? Math.max(2, availableParallelism() - 1) : Number(values.lanes);

/** What the servers write is thrown away, and in memory they start several times as fast. */
const MEMORY = '/dev/shm';
const ROOM_BYTES = 8 * 1024 ** 3;

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    // A container may have less than the machine; 0 where nothing is known of that.
    const limit = process.constrainedMemory?.() || Number.POSITIVE_INFINITY;
    return Math.min(bavail * bsize, freemem(), limit) >= ROOM_BYTES;
  } catch {
    return false;
  }
}

async function main(): Promise<number> {
  const jobs = jobsOf(suite, positionals);
  if (values.list) {
    for (const { file, expectedSeconds } of jobs)
      console.log(`${expectedSeconds.toFixed(1).padStart(7)} s  ${file}`);
    return 0;
  }
  if (jobs.length === 0) {
    console.error('no test file matches');
    return 2;
  }
  const started = performance.now();
  const { env } = process;
  if (env['TMPDIR'] === undefined && hasRoom(MEMORY)) env['TMPDIR'] = MEMORY;
  const scratch = mkdtempSync(join(tmpdir(), 'dblink-proxy-tests-'));
  try {
    const expected = jobs.reduce((sum, { expectedSeconds }) => sum + expectedSeconds, 0) / lanes;
    console.log(`${jobs.length} files, ${lanes} at a time, about ${clock(expected)}`);
    const shared = await prepareShared(scratch, majors ?? []);
    if (majors !== undefined) env[MAJORS_VARIABLE] = majors.join();
    const results = await runAll(jobs, { scratch, env: { ...env, ...shared }, name: values.name });
    printSummary(results, (performance.now() - started) / 1000, command);
    if (values.record) record(results);
    return verdict(results);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function runAll(
  jobs: readonly Job[],
  options: Parameters<typeof runJob>[1],
): Promise<readonly JobResult[]> {
  const progress = new Progress(jobs, lanes);
  const results: JobResult[] = [];
  const lane = async (waiting: Job[]): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      progress.begin(job);
      let result = await runJob(job, options);
      // Noise only adds to a delay: what is slow is so every time.
      for (let more = 2; more > 0 && result.failed.length > 0 && runsAlone(job.file); more--) {
        result = await runJob(job, options);
      }
      results.push(result);
      progress.end(result);
    }
  };
  const together = jobs.filter(({ file }) => !runsAlone(file));
  await Promise.all(Array.from({ length: lanes }, () => lane(together)));
  await lane(jobs.filter(({ file }) => runsAlone(file)));
  progress.close();
  return results;
}

/** Where CI says that it has installed whatever tests need, a test that is skipped is a failure. */
function verdict(results: readonly JobResult[]): number {
  const skipped = results.reduce((sum, result) => sum + result.skipped.length, 0);
  if (results.some(({ failed }) => failed.length > 0)) return 1;
  if (skipped > 0 && process.env['DBLINK_PROXY_TEST_NO_SKIPS'] === '1') {
    console.error(`${skipped} tests were skipped although their tools were to be there`);
    return 1;
  }
  if (results.every(({ passed }) => passed === 0)) {
    console.error('no test has run');
    return 1;
  }
  return 0;
}

function record(results: readonly JobResult[]): void {
  const times = { ...knownTimes() };
  for (const { job, seconds } of results) times[job.file] = Math.round(seconds * 10) / 10;
  const sorted = Object.fromEntries(Object.entries(times).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(TIMES_FILE, `${JSON.stringify(sorted, null, 2)}\n`);
}

process.exitCode = await main();
