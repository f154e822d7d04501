import type { ContenderName } from '../measure/benchmark.js';
import type { Spread } from '../measure/statistics.js';
import type { BenchmarkReport } from './benchmarkReport.js';

/**
 * How a figure is told. `speed`: how fast the proxy is in relation to the other, 2 is twice as fast. `time`: how long it takes in
 * relation to the other, 2 is twice as long. `MiB`: so many.
 */
export type Sense = 'speed' | 'time' | 'MiB';

/** Something that the proxy is held to. */
export interface Figure {
  readonly title: string;
  readonly benchmark: string;
  readonly metric: string;
  /** Whose figure the proxy's is divided by; null for a figure that counts by itself. */
  readonly against: ContenderName | null;
  readonly sense: Sense;
  /** What must be reached; null: nothing. At least so much of a speed, at most so much of everything else. */
  readonly bar: number | null;
  readonly goal: number;
}

/** The metric of processor time that the program in the middle takes per unit of work. */
export const PROCESSOR = 'CPU in between';
/** The metric of the benchmarks of memory. */
const GROWTH = 'growth';

const of = (
  title: string,
  [benchmark, metric]: readonly [string, string],
  [against, sense]: readonly [Figure['against'], Sense],
  [bar, goal]: readonly [number | null, number],
): Figure => ({ title, benchmark, metric, against, sense, bar, goal });

/** A time in relation to the extension's. */
const time = (
  title: string,
  benchmark: string,
  limits: readonly [number | null, number],
  against: ContenderName = 'native',
): Figure => of(title, [benchmark, 'time'], [against, 'time'], limits);

const forwarding: readonly Figure[] = (['simple', 'prepared'] as const).flatMap((mode) =>
  ([1, 16] as const).flatMap((clients) => {
    const what = `forwarding one row, ${mode}, ${clients} client${clients === 1 ? '' : 's'}`;
    const benchmark = `relay.${mode}-${clients}`;
    return [
      of(what, [benchmark, 'queries/s'], ['pgbouncer', 'speed'], [clients === 1 ? 0.85 : 0.6, 1]),
      of(`… processor time in between`, [benchmark, PROCESSOR], ['bare', 'time'], [1.15, 0.7]),
    ];
  }),
);

const memory: readonly Figure[] = [
  ['relay', 'a table of the primary'],
  ['stream', 'a call alone'],
  ['join', 'joined rows'],
  ['view', 'a view'],
  ['result', 'dblink_get_result()'],
  ['fetch', 'dblink_fetch()'],
  ['count', 'count(*)'],
  ['insert', 'INSERT … SELECT'],
  ['create', 'CREATE TABLE AS'],
].flatMap(([plan, title]) =>
  (['', '-slow'] as const)
    .filter((reader) => reader === '' || !['count', 'insert', 'create'].includes(plan!))
    .map((reader) =>
      of(
        `memory meanwhile: ${title}${reader && ', slow reader'}`,
        [`memory.${plan}${reader}`, GROWTH],
        [null, 'MiB'],
        [64, 32],
      ),
    ),
);

/** All of them, in the order in which they are told. */
export const FIGURES: readonly Figure[] = [
  ...forwarding,
  time('one row, named connection, texts that repeat', 'dblink.one-row-same', [1, 0.8]),
  time('… extended protocol', 'dblink.one-row-same-extended', [1, 0.8]),
  time('one row, named connection, texts that differ', 'dblink.one-row', [1.2, 0.8]),
  time('… extended protocol', 'dblink.one-row-extended', [1.2, 0.8]),
  time('dblink_exec, texts that repeat', 'dblink.exec-same', [1, 0.8]),
  time('… extended protocol', 'dblink.exec-same-extended', [1, 0.8]),
  time('dblink_exec, texts that differ', 'dblink.exec', [1.1, 0.8]),
  time('… extended protocol', 'dblink.exec-extended', [1.1, 0.8]),
  time('one-shot connection string, SCRAM', 'dblink.one-shot-scram', [0.1, 0.03]),
  time('small join with a local table', 'dblink.join-small', [1.2, 0.9]),
  time('all rows of a large table, joined locally', 'dblink.join-all', [1, 0.6]),
  time('… count(*)', 'dblink.count-all', [1, 0.6]),
  time('… INSERT … SELECT', 'dblink.insert-all', [1, 0.6]),
  time('… CREATE TABLE AS', 'dblink.create-all', [1, 0.6]),
  ...memory,
  time('four remotes of 50 ms, pg_sleep()', 'dblink.four-remotes', [0.35, 0.28]),
  time('four remotes of 50 ms, a scan', 'dblink.four-remotes-scan', [0.35, 0.28]),
  time('100 lateral calls, one remote', 'dblink.lateral', [0.8, 0.4]),
  time('20 servers by a lateral call', 'dblink.servers', [0.15, 0.08]),
  time('500 calls in a PL/pgSQL loop', 'bridge.loop', [5, 2.5]),
  time('a trigger with dblink_exec for each row', 'bridge.trigger', [5, 2.5]),
  time('first dblink_connect of a session, SCRAM', 'dblink.connect-scram', [1.1, 1]),
  of('100 busy beside 1,000 idle sessions: p99', ['relay.crowd', 'p99'], ['pgbouncer', 'time'], [1.3, 1]),
  time('postgres_fdw: scan', 'fdw.scan', [1, 1], 'fdw'),
  time('postgres_fdw: four servers at once', 'fdw.four-servers', [1, 1], 'fdw'),
  time('postgres_fdw: join', 'fdw.join', [null, 1], 'fdw'),
  time('postgres_fdw: look-up by key', 'fdw.lookup', [null, 1], 'fdw'),
];

/** A figure as it was measured. */
export interface Verdict extends Figure {
  /** In the figure's sense. */
  readonly value: Spread | null;
  readonly rounds: number;
  readonly verdict: 'goal' | 'bar' | 'missed' | 'not measured';
  /** Why it was not measured. */
  readonly why?: string;
}

/** @returns the figures that the benchmarks which ran are for */
export const judge = (benchmarks: readonly BenchmarkReport[]): readonly Verdict[] =>
  FIGURES.flatMap((figure) => {
    const report = benchmarks.find(({ id }) => id === figure.benchmark);
    return report === undefined ? [] : [judgeOne(figure, report)];
  });

function judgeOne(figure: Figure, report: BenchmarkReport): Verdict {
  const { rounds, failures, skipped } = report;
  const found = report.metrics.find(
    ({ name, baseline }) => name === figure.metric && baseline === figure.against,
  )?.figures['proxy'];
  if (found === undefined) {
    const failed = Object.entries(failures).map(([name, failure]) => `${name}: ${failure}`);
    const why = skipped ?? (failed.join('; ') || `${figure.against} did not take part`);
    return { ...figure, value: null, rounds, verdict: 'not measured', why };
  }
  const value = figure.sense === 'time' ? inverted(found) : found;
  return { ...figure, value, rounds, verdict: verdictOf(figure, value.median) };
}

const inverted = ({ median, low, high }: Spread): Spread => ({
  median: 1 / median,
  low: 1 / high,
  high: 1 / low,
});

function verdictOf({ sense, bar, goal }: Figure, value: number): 'goal' | 'bar' | 'missed' {
  const reaches = (limit: number): boolean => (sense === 'speed' ? value >= limit : value <= limit);
  if (reaches(goal)) return 'goal';
  return bar === null || reaches(bar) ? 'bar' : 'missed';
}
