import {
  BASELINES,
  type Benchmark,
  CONTENDERS,
  type ContenderName,
  type Group,
} from '../measure/benchmark.js';
import type { MemoryUse } from '../measure/processMeter.js';
import type { Outcome, Series } from '../measure/schedule.js';
import { compare, median, type Spread, spread } from '../measure/statistics.js';
import type { BenchmarkReport, MetricReport } from './benchmarkReport.js';
import { judge, PROCESSOR, type Verdict } from './figures.js';
import { type Measured, type Setup, setupOf } from './setup.js';
import { brief, table } from './table.js';

/** The results as they are written in JSON. Ratios say how fast something is: 2 is twice as fast as the baseline. */
export interface Report {
  readonly note: string;
  readonly setup: Setup;
  readonly benchmarks: readonly BenchmarkReport[];
  /** What the proxy is held to, as far as it was measured. */
  readonly figures: readonly Verdict[];
}

const NOTE =
  'Medians over interleaved rounds of the ratios within each, on a machine whose processors client, proxy and servers share: ' +
  'quote ratios only, and mind the range over the rounds.';

export function makeReport(measured: Measured, outcomes: readonly Outcome[]): Report {
  const benchmarks = outcomes.map(reportOf);
  return { note: NOTE, setup: setupOf(measured), benchmarks, figures: judge(benchmarks) };
}

function reportOf({ benchmark, rounds, series, skipped }: Outcome): BenchmarkReport {
  const { id, title, group } = benchmark;
  const whole = series.filter(({ failure }) => failure === undefined);
  const named = <T>(value: (of: Series) => T | undefined, of = series): Record<string, T> =>
    Object.fromEntries(
      of.flatMap((one) => {
        const found = value(one);
        return found === undefined ? [] : [[one.contender, found]];
      }),
    );
  const metrics = [
    ...benchmark.metrics.flatMap(({ name, better, unit }, i): readonly MetricReport[] => {
      const values = (one: Series): readonly number[] => one.samples.map((sample) => sample.values[i]!);
      return unit === undefined
        ? comparisons(name, group, { series: whole, values, better })
        : [{ name, baseline: null, figures: named((one) => spread(values(one)), whole) }];
    }),
    // A direct connection has nobody in the middle whose time could be compared.
    ...comparisons(PROCESSOR, group, { series: whole, values: (one) => one.processor, better: 'lower' }),
  ];
  return {
    id,
    title,
    group,
    rounds,
    metrics: metrics.filter(({ figures }) => Object.keys(figures).length > 0),
    memory: named(({ memory }) => memory && inMiB(memory)),
    failures: named(({ failure }) => failure),
    ...(skipped === undefined ? {} : { skipped }),
    ...costOf(benchmark, whole),
    samples: named(({ samples }) => samples.map(({ values }) => values), whole),
  };
}

function costOf(
  { costLimitMs }: Benchmark,
  series: readonly Series[],
): Pick<BenchmarkReport, 'cost'> | undefined {
  const medianMs = (name: ContenderName): number | undefined => {
    const samples = series.find(({ contender }) => contender === name)?.samples ?? [];
    return samples.length === 0 ? undefined : median(samples.map(({ values }) => values[0]!));
  };
  const [proxyMs, nativeMs] = [medianMs('proxy'), medianMs('native')];
  if (costLimitMs === undefined || proxyMs === undefined || nativeMs === undefined) return undefined;
  return { cost: { proxyMs, nativeMs, limitMs: costLimitMs } };
}

/** Each baseline with those that come behind it in the order of contenders. */
function comparisons(
  name: string,
  group: Group,
  measured: {
    readonly series: readonly Series[];
    readonly values: (of: Series) => readonly number[];
    readonly better: 'higher' | 'lower';
  },
): readonly MetricReport[] {
  const { series, values, better } = measured;
  const place = (contender: ContenderName): number => CONTENDERS[group].indexOf(contender);
  return BASELINES[group].map((baseline) => {
    const base = series.find(({ contender }) => contender === baseline);
    const others = series.filter((one) => place(one.contender) > place(baseline) && values(one).length > 0);
    const compared =
      base === undefined || values(base).length === 0
        ? []
        : others.map((one) => [one.contender, compare(values(one), values(base), better)] as const);
    return { name, baseline, figures: Object.fromEntries(compared) };
  });
}

const inMiB = ({ before, peak, after }: MemoryUse) => {
  const rounded = (bytes: number): number => Math.round(bytes / 2 ** 20);
  return { before: rounded(before), peak: rounded(peak), after: rounded(after) };
};

/** The report for people. */
export function renderReport(report: Report): string {
  const { benchmarks } = report;
  const sections = (['relay', 'dblink', 'fdw', 'memory'] as const)
    .map((group) => ({ group, own: benchmarks.filter((benchmark) => benchmark.group === group) }))
    .filter(({ own }) => own.length > 0)
    .map(({ group, own }) => `${HEADINGS[group]}\n\n${renderGroup(group, own)}`);
  const costs = benchmarks.flatMap(({ id, cost }) => (cost === undefined ? [] : [renderCost(id, cost)]));
  if (costs.length > 0) sections.push(`${COSTS}\n\n${costs.join('\n')}`);
  return [renderSetup(report), report.note, ...sections].join('\n\n');
}

/** In one line: what was measured on what. */
export function renderSetup({ setup, benchmarks }: Pick<Report, 'setup' | 'benchmarks'>): string {
  const relay = benchmarks.some(({ group }) => group === 'relay');
  const pgbouncer = setup.pgbouncer === null ? 'NO PgBouncer' : `PgBouncer ${setup.pgbouncer} (session mode)`;
  return [
    `${setup.cpus} × ${setup.model}, ${setup.memoryGiB} GiB`,
    `PostgreSQL ${setup.postgres}`,
    ...(relay ? [pgbouncer, `small queries by ${setup.driver}`] : []),
    `Node ${setup.node}`,
    `${setup.bulkRows.toLocaleString('en')} rows in the large tables`,
    ...(setup.commit === null
      ? []
      : [`commit ${setup.commit.slice(0, 12)}${setup.commit.endsWith('+') ? ' with changes' : ''}`]),
  ].join(', ');
}

const HEADINGS: Readonly<Record<Group, string>> = {
  relay:
    'Relay: speed in relation to a direct connection (1.00; higher is better), or to who is named behind ÷.',
  dblink: 'dblink: speed in relation to the extension on the same remote (1.00; higher is better).',
  fdw: 'Foreign tables: speed in relation to postgres_fdw on the same remote (1.00; higher is better).',
  memory:
    'Memory: MiB by which a proxy that was idle grows while it carries a large result (lower is better).',
};

function renderGroup(group: Group, benchmarks: readonly BenchmarkReport[]): string {
  const shown = CONTENDERS[group].filter((name) =>
    benchmarks.some(({ metrics }) => metrics.some(({ figures }) => figures[name] !== undefined)),
  );
  const lines = [
    [
      'benchmark',
      'metric',
      ...shown.flatMap((name) => [name, '(range)']),
      'rounds',
      'proxy MiB before/peak/after',
    ],
  ];
  const [first = null] = BASELINES[group];
  for (const { id, metrics, rounds, memory, failures, skipped } of benchmarks) {
    if (skipped !== undefined) lines.push([id, `SKIPPED: ${skipped}`]);
    const own = memory['proxy'];
    for (const [i, { name, baseline, figures }] of metrics.entries()) {
      lines.push([
        i === 0 ? id : '',
        baseline === first ? name : `${name} ÷ ${baseline}`,
        ...shown.flatMap((other) => renderSpread(figures[other])),
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

const renderSpread = (figure: Spread | undefined): readonly [string, string] =>
  figure === undefined ? ['', ''] : [brief(figure.median), `(${brief(figure.low)}–${brief(figure.high)})`];
