import type { ContenderName, Group } from '../measure/benchmark.js';
import type { Spread } from '../measure/statistics.js';

/** What a benchmark gave, as it is written in JSON. Ratios say how fast something is: 2 is twice as fast as the baseline. */
export interface BenchmarkReport {
  readonly id: string;
  readonly title: string;
  readonly group: Group;
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
  /** The figures behind the ratios, of each round in the order of the metrics; never to be quoted by themselves. */
  readonly samples: Readonly<Record<string, readonly (readonly number[])[]>>;
}

export interface MetricReport {
  readonly name: string;
  /** Who is 1.00; null where the figures count by themselves. */
  readonly baseline: ContenderName | null;
  readonly figures: Readonly<Record<string, Spread>>;
}
