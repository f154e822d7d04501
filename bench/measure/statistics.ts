import type { Metric } from './benchmark.js';

/** The middle value, or the mean of the two middle ones. @throws RangeError for no values */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new RangeError('no values to take a median of');
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/** The value that so large a share of the others does not exceed. @throws RangeError for no values */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (value === undefined) throw new RangeError('no values to take a percentile of');
  return value;
}

/** A figure over the rounds. */
export interface Spread {
  readonly median: number;
  /** The lowest and highest of one round: how far the figure can be trusted. */
  readonly low: number;
  readonly high: number;
}

/** @throws RangeError for no values */
export const spread = (values: readonly number[]): Spread => ({
  median: median(values),
  low: Math.min(...values),
  high: Math.max(...values),
});

/**
 * How fast something is in relation to the baseline: 1 the same, 2 twice as fast, 0.5 half as fast. It is the median of the ratios
 * within the rounds, so that what disturbs a whole round changes nothing.
 * @param values and @param baseline one for each round, in the same order
 */
export function compare(
  values: readonly number[],
  baseline: readonly number[],
  better: Metric['better'],
): Spread {
  const relate = (value: number, base: number): number => (better === 'higher' ? value / base : base / value);
  return spread(values.slice(0, baseline.length).map((value, i) => relate(value, baseline[i]!)));
}
