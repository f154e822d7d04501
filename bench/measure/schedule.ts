import {
  BASELINES,
  type Benchmark,
  type Contender,
  type MeasureContext,
  type Remotes,
  type Sample,
} from './benchmark.js';
import { Connection } from './connection.js';
import type { MemoryUse, ProcessMeter } from './processMeter.js';

/** Everything that was measured of one contender in one benchmark. */
export interface Series {
  readonly contender: Contender['name'];
  /** One for each round. */
  readonly samples: readonly Sample[];
  /** Processor time of the program in the middle per unit of work, in each round. */
  readonly processor: readonly number[];
  readonly memory: MemoryUse | undefined;
  /** Why it was given up; what was measured before does not count then. */
  readonly failure: string | undefined;
}

export interface Outcome {
  readonly benchmark: Benchmark;
  readonly rounds: number;
  readonly series: readonly Series[];
  /** Why it was not run at all. */
  readonly skipped: string | undefined;
}

export interface SchedulePlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly bulkRows: number;
  readonly remotes: Remotes;
  /** Starts another proxy in front of the same primary. */
  readonly startProxy: () => Promise<{
    readonly contender: Contender & { readonly meter: ProcessMeter };
    stop(): Promise<void>;
  }>;
  /** When everything must be over, as of performance.now(). */
  readonly deadline: number;
  readonly progress: (text: string) => void;
}

/** No measurement takes that long unless something hangs. */
const MEASUREMENT_TIMEOUT_MS = 120_000;
const WARM_UP_SECONDS = 0.3;

/** Series while they grow. */
interface Recording {
  readonly contender: Contender;
  readonly samples: Sample[];
  readonly processor: number[];
  failure: string | undefined;
}

/**
 * Runs the benchmarks one after the other, each with its contenders in turn, round by round (A B C A B C …), so that
 * what else the machine does hits all of them alike. A benchmark that is slow gets fewer rounds, so that there is time
 * for the others, but at least one.
 */
export async function runSchedule(
  benchmarks: readonly { readonly benchmark: Benchmark; readonly contenders: readonly Contender[] }[],
  plan: SchedulePlan,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [index, { benchmark, contenders }] of benchmarks.entries()) {
    const share = (plan.deadline - performance.now()) / (benchmarks.length - index);
    if (share <= 0) {
      outcomes.push({ benchmark, rounds: 0, series: [], skipped: 'no time was left' });
      continue;
    }
    plan.progress(`[${index + 1}/${benchmarks.length}] ${benchmark.id}`);
    outcomes.push(await runBenchmark(benchmark, contenders, plan, performance.now() + share));
  }
  return outcomes;
}

async function runBenchmark(
  benchmark: Benchmark,
  contenders: readonly Contender[],
  plan: SchedulePlan,
  until: number,
): Promise<Outcome> {
  const recordings = contenders.map(
    (contender): Recording => ({ contender, samples: [], processor: [], failure: undefined }),
  );
  const watches = contenders.map(({ meter }) => meter?.watch());
  const ends: (() => Promise<void>)[] = [];
  for (const recording of recordings) {
    await attempt(recording, plan, async (context) => {
      const end = await benchmark.prepare?.(recording.contender, context);
      if (end !== undefined) ends.push(end);
    });
  }
  const turn = async (of: SchedulePlan): Promise<void> => {
    for (const recording of recordings) {
      if (recording.failure === undefined) await record(benchmark, recording, of);
    }
  };
  if (benchmark.cold !== true) {
    // A first turn that does not count: code that has never run is slow, and so are caches that have not been filled.
    await turn({ ...plan, seconds: Math.min(plan.seconds, WARM_UP_SECONDS) });
    for (const { samples, processor } of recordings) samples.length = processor.length = 0;
  }
  const wanted = Math.min(plan.rounds, benchmark.mostRounds ?? plan.rounds);
  let rounds = 0;
  let longest = 0;
  const [first] = BASELINES[benchmark.group];
  while (rounds < wanted && (rounds === 0 || performance.now() + longest < until)) {
    const begin = performance.now();
    await turn(plan);
    longest = Math.max(longest, performance.now() - begin);
    rounds++;
    // Nothing to compare with any more.
    if (recordings.some(({ contender, failure }) => failure && contender.name === first)) break;
  }
  for (const end of ends) await end();
  const series = recordings.map(({ contender, ...recorded }, i) => ({
    ...recorded,
    contender: contender.name,
    memory: watches[i]?.(),
  }));
  for (const { contender, failure } of series) {
    if (failure !== undefined) plan.progress(`  ${contender} FAILED: ${failure}`);
  }
  return { benchmark, rounds, series, skipped: undefined };
}

function record(benchmark: Benchmark, recording: Recording, plan: SchedulePlan): Promise<void> {
  const { contender, samples, processor } = recording;
  return attempt(recording, plan, async (context) => {
    const before = contender.meter?.processorSeconds();
    const sample = await benchmark.measure(contender, context);
    const after = contender.meter?.processorSeconds();
    samples.push(sample);
    if (sample.processorSeconds !== undefined) processor.push(sample.processorSeconds);
    else if (before !== undefined && after !== undefined) processor.push((after - before) / sample.units);
  });
}

/** What fails or takes too long is the contender's failure. */
async function attempt(
  recording: Recording,
  plan: SchedulePlan,
  action: (context: MeasureContext) => Promise<void>,
): Promise<void> {
  const open: Connection[] = [];
  const proxies: { stop(): Promise<void> }[] = [];
  const timeLeft = Math.max(1, plan.deadline - performance.now());
  const limit = Math.round(Math.min(MEASUREMENT_TIMEOUT_MS, timeLeft + 5_000));
  const signal = AbortSignal.timeout(limit);
  const abort = (): void => {
    for (const connection of open) connection.destroy();
  };
  signal.addEventListener('abort', abort);
  const context: MeasureContext = {
    seconds: plan.seconds,
    bulkRows: plan.bulkRows,
    remotes: plan.remotes,
    signal,
    async connect({ host, port }) {
      const connection = await Connection.open(host, port);
      open.push(connection);
      return connection;
    },
    async freshProxy() {
      const proxy = await plan.startProxy();
      proxies.push(proxy);
      return proxy.contender;
    },
  };
  try {
    await action(context);
    await Promise.all(open.map((connection) => connection.end()));
  } catch (error) {
    recording.failure = signal.aborted ? `not done after ${limit} ms` : (error as Error).message;
  } finally {
    signal.removeEventListener('abort', abort);
    abort();
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}
