import { cpus } from 'node:os';
import { BASELINE, type Benchmark, type Contender } from '../measure/benchmark.js';
import type { MemoryUse } from '../measure/processMeter.js';
import type { Outcome, Series } from '../measure/schedule.js';
import { compare, median, type Ratio } from '../measure/statistics.js';

/** The results as they are written in JSON. Ratios say how fast something is: 2 is twice as fast as the baseline. */
export interface Report {
  readonly note: string;
  readonly setup: {
    readonly cpus: number;
    readonly platform: string;
    readonly node: string;
    readonly postgres: string;
    /** null when it is not installed, or none of the benchmarks compares with it. */
    readonly pgbouncer: string | null;
    readonly driver: string;
    readonly seconds: number;
    readonly bulkRows: number;
  };
  readonly benchmarks: readonly BenchmarkReport[];
}

export interface BenchmarkReport {
  readonly id: string;
  readonly title: string;
  readonly group: 'relay' | 'dblink';
  readonly rounds: number;
  readonly metrics: readonly MetricReport[];
  /** Of the programs in the middle, in MiB. */
  readonly memory: Readonly<
    Record<string, { readonly before: number; readonly peak: number; readonly after: number }>
  >;
  readonly failures: Readonly<Record<string, string>>;
  readonly skipped?: string;
  /** Of one call, where a limit is set: medians in ms. */
  readonly cost?: { readonly proxyMs: number; readonly nativeMs: number; readonly limitMs: number };
  /** The figures behind the ratios, if they were asked for; never to be quoted by themselves. */
  readonly samples?: Readonly<Record<string, readonly (readonly number[])[]>>;
}

export interface MetricReport {
  readonly name: string;
  readonly baseline: string;
  readonly ratios: Readonly<Record<string, Ratio>>;
}

const NOTE =
  `Ratios of medians of interleaved rounds on this machine (${cpus().length} CPUs, shared with the servers and the ` +
  'client), which is noisy: quote ratios only, and mind the range over the rounds.';

export function makeReport(
  setup: Omit<Report['setup'], 'cpus' | 'platform' | 'node'>,
  outcomes: readonly Outcome[],
  withSamples: boolean,
): Report {
  return {
    note: NOTE,
    setup: {
      cpus: cpus().length,
      platform: `${process.platform} ${process.arch}`,
      node: process.version,
      ...setup,
    },
    benchmarks: outcomes.map((outcome) => reportOf(outcome, withSamples)),
  };
}

function reportOf({ benchmark, rounds, series, skipped }: Outcome, withSamples: boolean): BenchmarkReport {
  const { id, title, group } = benchmark;
  const whole = series.filter(({ failure }) => failure === undefined);
  const named = <T>(value: (of: Series) => T | undefined, of = series): Record<string, T> =>
    Object.fromEntries(
      of.flatMap((one) => {
        const found = value(one);
        return found === undefined ? [] : [[one.contender, found]];
      }),
    );
  const timed = benchmark.metrics.map(({ name, better }, i) =>
    metricOf(name, BASELINE[group], whole, (one) => one.samples.map(({ values }) => values[i]!), better),
  );
  // A direct connection has nobody in the middle whose time could be compared.
  const processor = metricOf('CPU in between', 'pgbouncer', whole, (one) => one.processor, 'lower');
  return {
    id,
    title,
    group,
    rounds,
    metrics: [...timed, processor].filter(({ ratios }) => Object.keys(ratios).length > 0),
    memory: named(({ memory }) => memory && inMiB(memory)),
    failures: named(({ failure }) => failure),
    ...(skipped === undefined ? {} : { skipped }),
    ...costOf(benchmark, whole),
    ...(withSamples ? { samples: named(({ samples }) => samples.map(({ values }) => values), whole) } : {}),
  };
}

function costOf(
  { costLimitMs }: Benchmark,
  series: readonly Series[],
): Pick<BenchmarkReport, 'cost'> | undefined {
  const medianMs = (name: Contender['name']): number | undefined => {
    const samples = series.find(({ contender }) => contender === name)?.samples ?? [];
    return samples.length === 0 ? undefined : median(samples.map(({ values }) => values[0]!));
  };
  const [proxyMs, nativeMs] = [medianMs('proxy'), medianMs('native')];
  if (costLimitMs === undefined || proxyMs === undefined || nativeMs === undefined) return undefined;
  return { cost: { proxyMs, nativeMs, limitMs: costLimitMs } };
}

function metricOf(
  name: string,
  baseline: string,
  series: readonly Series[],
  values: (of: Series) => readonly number[],
  better: 'higher' | 'lower',
): MetricReport {
  const base = series.find(({ contender }) => contender === baseline);
  const compared =
    base === undefined
      ? []
      : series
          .filter((one) => one !== base && values(one).length > 0)
          .map((one) => [one.contender, compare(values(one), values(base), better)] as const);
  return { name, baseline, ratios: Object.fromEntries(compared) };
}

const inMiB = ({ before, peak, after }: MemoryUse) => {
  const rounded = (bytes: number): number => Math.round(bytes / 2 ** 20);
  return { before: rounded(before), peak: rounded(peak), after: rounded(after) };
};

/** The report for people. */
export function renderReport(report: Report): string {
  const { setup, benchmarks } = report;
  const sections = (['relay', 'dblink'] as const)
    .map((group) => ({ group, own: benchmarks.filter((benchmark) => benchmark.group === group) }))
    .filter(({ own }) => own.length > 0)
    .map(({ group, own }) => `${HEADINGS[group]}\n\n${renderGroup(own)}`);
  const costs = benchmarks.flatMap(({ id, cost }) => (cost === undefined ? [] : [renderCost(id, cost)]));
  if (costs.length > 0) sections.push(`${COSTS}\n\n${costs.join('\n')}`);
  const relay = benchmarks.some(({ group }) => group === 'relay');
  const pgbouncer = setup.pgbouncer === null ? 'NO PgBouncer' : `PgBouncer ${setup.pgbouncer} (session mode)`;
  const programs = [
    `PostgreSQL ${setup.postgres}`,
    ...(relay ? [pgbouncer, `small queries by ${setup.driver}`] : []),
    `Node ${setup.node}`,
    `${setup.bulkRows.toLocaleString('en')} rows in the large tables`,
  ];
  return [programs.join(', '), report.note, ...sections].join('\n\n');
}

const HEADINGS = {
  relay:
    'Relay: speed in relation to a direct connection (1.00; higher is better).\n' +
    '"CPU in between" is in relation to PgBouncer instead.',
  dblink: 'dblink: speed in relation to the extension on the same remote (1.00; higher is better).',
} as const;

function renderGroup(benchmarks: readonly BenchmarkReport[]): string {
  const others = [
    ...new Set(benchmarks.flatMap(({ metrics }) => metrics.flatMap(({ ratios }) => Object.keys(ratios)))),
  ];
  const lines = [
    [
      'benchmark',
      'metric',
      ...others.flatMap((name) => [name, '(range)']),
      'rounds',
      'proxy MiB before/peak/after',
    ],
  ];
  for (const { id, metrics, rounds, memory, failures, skipped } of benchmarks) {
    if (skipped !== undefined) lines.push([id, `SKIPPED: ${skipped}`]);
    const own = memory['proxy'];
    for (const [i, { name, ratios }] of metrics.entries()) {
      lines.push([
        i === 0 ? id : '',
        name,
        ...others.flatMap((other) => renderRatio(ratios[other])),
        i === 0 ? String(rounds) : '',
        i === 0 && own !== undefined ? `${own.before} / ${own.peak} / ${own.after}` : '',
      ]);
    }
    for (const [name, failure] of Object.entries(failures)) lines.push([id, `${name} FAILED: ${failure}`]);
  }
  return table(lines);
}

const COSTS = 'What one call of the bridge costs, on this machine and at this moment (medians):';

const renderCost = (
  id: string,
  { proxyMs, nativeMs, limitMs }: NonNullable<BenchmarkReport['cost']>,
): string =>
  `${id.padEnd(28)}${proxyMs.toFixed(2)} ms, to be at most ${limitMs} ms; the extension ${nativeMs.toFixed(2)} ms`;

const renderRatio = (ratio: Ratio | undefined): readonly [string, string] =>
  ratio === undefined
    ? ['', '']
    : [ratio.ratio.toFixed(2), `(${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)})`];

/** Lines of fewer cells than the first are remarks and do not widen the columns. */
function table(lines: readonly (readonly string[])[]): string {
  const full = lines.filter((line) => line.length === lines[0]!.length);
  const widths = lines[0]!.map((_, column) => Math.max(...full.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
