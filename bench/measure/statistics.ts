import type { Metric } from './benchmark.js';

/** The middle value, or the mean of the two middle ones. @throws RangeError for no values */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new RangeError('no values to take a median of');
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/** How fast something is in relation to the baseline: 1 the same, 2 twice as fast, 0.5 half as fast. */
export interface Ratio {
  /** Of the medians. */
  readonly ratio: number;
  /** The lowest and highest ratio within one round: how far the figure can be trusted. */
  readonly low: number;
  readonly high: number;
}

/** @param values and @param baseline one for each round, in the same order */
export function compare(
  values: readonly number[],
  baseline: readonly number[],
  better: Metric['better'],
): Ratio {
  const relate = (value: number, base: number): number => (better === 'higher' ? value / base : base / value);
  const rounds = values.slice(0, baseline.length).map((value, i) => relate(value, baseline[i]!));
  return {
    ratio: relate(median(values), median(baseline)),
    low: Math.min(...rounds),
    high: Math.max(...rounds),
  };
}
