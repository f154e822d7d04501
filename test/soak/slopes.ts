/** Figures of a process over time, and whether they grow. */

/** How much a figure changes in an hour, by least squares. */
export function slopePerHour(points: readonly { readonly hours: number; readonly value: number }[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const hours = mean(points.map((point) => point.hours));
  const value = mean(points.map((point) => point.value));
  const spread = points.reduce((sum, point) => sum + (point.hours - hours) ** 2, 0);
  if (points.length < 2 || spread === 0) return 0;
  return points.reduce((sum, point) => sum + (point.hours - hours) * (point.value - value), 0) / spread;
}

/** What a figure may grow by: so much in any time, since it goes up and down, and so much more in each hour. */
export interface Bound {
  readonly noise: number;
  readonly perHour: number;
}

/** Whether a figure that was measured for so long grows more than its bound allows. */
export const grows = (slope: number, hours: number, { noise, perHour }: Bound): boolean =>
  slope * hours > noise + perHour * hours;
