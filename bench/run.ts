import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { bridgeBenchmarks } from './benchmarks/bridge.js';
import { dblinkBenchmarks } from './benchmarks/dblink.js';
import { type Driver, findDriver } from './benchmarks/pgbench.js';
import { relayBenchmarks } from './benchmarks/relay.js';
import type { Benchmark } from './measure/benchmark.js';
import { type Outcome, runSchedule, type SchedulePlan } from './measure/schedule.js';
import { median } from './measure/statistics.js';
import { type BenchOptions, parseOptions } from './options.js';
import { renderProfile, summarizeProfile } from './report/profile.js';
import { makeReport, renderReport } from './report/report.js';
import { type Rig, startRig } from './rig/rig.js';

/** For starting to measure only what can still be finished. */
const RESERVE_MS = 5_000;

const progress = (text: string): void => console.error(text);

/** @returns the exit code */
async function main(options: BenchOptions): Promise<number> {
  const begin = performance.now();
  const driver = await findDriver(options.builtIn || options.short);
  const all = [...relayBenchmarks(driver), ...dblinkBenchmarks, ...bridgeBenchmarks];
  const chosen = choose(all, options);
  if (options.list) {
    for (const { id, title } of all) console.log(`${id.padEnd(26)}${title}`);
    return 0;
  }
  if (chosen.length === 0) {
    console.error(`no benchmark matches ${options.only.join(' or ')}; --list names them`);
    return 2;
  }
  progress('starting the servers and filling their tables');
  const groups = new Set(chosen.map(({ group }) => group));
  const rig = await startRig({ major: options.major, bulkRows: options.rows, groups });
  try {
    const plan: SchedulePlan = {
      rounds: options.rounds,
      seconds: options.seconds,
      bulkRows: options.rows,
      remote: rig.remote,
      deadline: begin + options.minutes * 60_000 - RESERVE_MS,
      progress,
    };
    return options.profile === undefined
      ? await compareContenders(rig, driver, chosen, plan, options)
      : await profileProxy(rig, chosen, plan, options.profile);
  } finally {
    await rig.stop();
  }
}

/** By the whole id where there is one, else by any part of it. */
function choose(all: readonly Benchmark[], { only, short }: BenchOptions): readonly Benchmark[] {
  if (only.length === 0) return all.filter((benchmark) => benchmark.short || !short);
  const isWhole = (word: string): boolean => all.some(({ id }) => id === word);
  return all.filter(({ id }) => only.some((word) => (isWhole(word) ? id === word : id.includes(word))));
}

async function compareContenders(
  rig: Rig,
  driver: Driver,
  chosen: readonly Benchmark[],
  plan: SchedulePlan,
  options: BenchOptions,
): Promise<number> {
  const relay = chosen.some(({ group }) => group === 'relay');
  if (relay && rig.pgbouncer === undefined) {
    progress(
      '\n*** SKIPPED: PgBouncer is not installed (Debian: apt-get install pgbouncer); nothing is compared with it ***\n',
    );
  }
  const outcomes = await runSchedule(
    chosen.map((benchmark) => ({ benchmark, contenders: rig.contenders[benchmark.group] })),
    plan,
  );
  const report = makeReport(
    {
      postgres: rig.postgresVersion,
      pgbouncer: rig.pgbouncer?.version ?? null,
      driver: driver.name,
      seconds: plan.seconds,
      bulkRows: plan.bulkRows,
    },
    outcomes,
    options.samples,
  );
  console.log(`\n${renderReport(report)}\n`);
  console.log(JSON.stringify(report));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  return exitCode(outcomes);
}

/** Each benchmark on a proxy process of its own, whose profile is left in the directory and summed up. */
async function profileProxy(
  rig: Rig,
  chosen: readonly Benchmark[],
  plan: SchedulePlan,
  directory: string,
): Promise<number> {
  const outcomes: Outcome[] = [];
  for (const [i, benchmark] of chosen.entries()) {
    const name = `${benchmark.id}.cpuprofile`;
    const proxy = await rig.startProxy({ directory, name });
    const share = (plan.deadline - performance.now()) / (chosen.length - i);
    const deadline = performance.now() + share;
    const begin = process.hrtime.bigint();
    const measured = await runSchedule([{ benchmark, contenders: [proxy.contender] }], { ...plan, deadline });
    const end = process.hrtime.bigint();
    outcomes.push(...measured);
    await proxy.stop();
    const file = join(directory, name);
    const costs = measured.flatMap(({ series }) => series.flatMap(({ processor }) => processor));
    const cost =
      costs.length === 0 ? '' : `, ${(median(costs) * 1e6).toFixed(1)} µs of processor time per unit`;
    console.log(
      `\n${benchmark.id} (${file})${cost}\n${renderProfile(summarizeProfile(file, { begin, end }))}`,
    );
  }
  return exitCode(outcomes);
}

const exitCode = (outcomes: readonly Outcome[]): number =>
  outcomes.some(({ series }) => series.some(({ failure }) => failure !== undefined)) ? 1 : 0;

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else throw error;
}
