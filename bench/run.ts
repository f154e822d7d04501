import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { bridgeBenchmarks } from './benchmarks/bridge.js';
import { crowdBenchmarks } from './benchmarks/crowd.js';
import { bulkBenchmarks, dblinkBenchmarks } from './benchmarks/dblink.js';
import { fanOutBenchmarks } from './benchmarks/fanOut.js';
import { fdwBenchmarks } from './benchmarks/fdw.js';
import { growthBenchmarks } from './benchmarks/growth.js';
import { memoryBenchmarks } from './benchmarks/memory.js';
import { namedBenchmarks } from './benchmarks/named.js';
import { type Driver, findDriver } from './benchmarks/pgbench.js';
import { relayBenchmarks } from './benchmarks/relay.js';
import type { Benchmark, Contender } from './measure/benchmark.js';
import { type Outcome, runSchedule, type SchedulePlan } from './measure/schedule.js';
import { median } from './measure/statistics.js';
import { type BenchOptions, parseOptions } from './options.js';
import { passes, renderCheck } from './report/check.js';
import { FIGURES } from './report/figures.js';
import { growthsOf, renderGrowth } from './report/growth.js';
import { writePictures } from './report/pictures.js';
import { renderProfile, summarizeProfile } from './report/profile.js';
import { makeReport, renderReport } from './report/report.js';
import { type Rig, startRig } from './rig/rig.js';

/** For starting to measure only what can still be finished. */
const RESERVE_MS = 5_000;
const ROUNDS_WITHOUT_BAR = 3;
/** What fits beside the sessions of benchmarks that are about many. */
const SPARE_SESSIONS = 100;

const progress = (text: string): void => console.error(text);

/** @returns the exit code */
async function main(options: BenchOptions): Promise<number> {
  const begin = performance.now();
  const driver = await findDriver(options.builtIn || options.short);
  const all = [
    ...relayBenchmarks(driver),
    ...crowdBenchmarks(driver),
    ...namedBenchmarks,
    ...dblinkBenchmarks,
    ...fanOutBenchmarks,
    ...bridgeBenchmarks,
    ...fdwBenchmarks,
    // What takes longest comes last, so that a slow machine has measured the rest.
    ...bulkBenchmarks,
    ...memoryBenchmarks,
    ...growthBenchmarks(driver),
  ];
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
  const sessions = Math.max(...chosen.map((one) => one.sessions ?? 0)) + SPARE_SESSIONS;
  const rig = await startRig({ major: options.major, bulkRows: options.rows, groups, sessions });
  try {
    const plan: SchedulePlan = {
      rounds: options.rounds,
      seconds: options.seconds,
      bulkRows: options.rows,
      remotes: rig.remotes,
      startProxy: () => rig.startProxy(),
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
  if (only.length === 0) return all.filter(({ runs }) => runs === 'short' || (runs === 'full' && !short));
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
  const everything = options.only.length === 0;
  const outcomes = await runSchedule(
    chosen.map((benchmark) => ({
      benchmark: everything ? withFewRounds(benchmark) : benchmark,
      contenders: contendersOf(benchmark, rig),
    })),
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
  );
  const growths = growthsOf(report);
  const texts = [renderReport(report)];
  if (growths.size > 0) texts.push(renderGrowth(growths));
  if (report.figures.length > 0) texts.push(renderCheck(report.figures));
  console.log(`\n${texts.join('\n\n')}`);
  if (options.svg !== undefined) writePictures(report, options.svg);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 1)}\n`);
  return options.check && !passes(report.figures) ? 1 : exitCode(outcomes);
}

/** In a run of everything, what has no bar leaves time to what has one. */
function withFewRounds(benchmark: Benchmark): Benchmark {
  if (FIGURES.some((figure) => figure.benchmark === benchmark.id)) return benchmark;
  return {
    ...benchmark,
    mostRounds: Math.min(benchmark.mostRounds ?? ROUNDS_WITHOUT_BAR, ROUNDS_WITHOUT_BAR),
  };
}

function contendersOf({ group, contenders }: Benchmark, rig: Rig): readonly Contender[] {
  return rig.contenders[group].filter(({ name }) => contenders?.includes(name) ?? true);
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
