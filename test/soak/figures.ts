import { type Bound, grows, slopePerHour } from './slopes.js';

/** What the process was at one moment. */
export interface Sample {
  /** Since the begin. */
  readonly hours: number;
  readonly rss: number;
  /** In use when garbage has been collected; not known where it has not. */
  readonly heap: number | undefined;
  readonly external: number | undefined;
  readonly sockets: number;
  readonly timers: number;
  readonly descriptors: number;
  /** The share of the time since the sample before in which it could run and had no processor. */
  readonly starved: number;
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

export const FIGURES = ['rss', 'heap', 'external', 'sockets', 'timers', 'descriptors'] as const;
export type Figure = (typeof FIGURES)[number];

const MIB = 2 ** 20;

/** What each may grow by. Clients come and go, and what they are in the midst of differs. */
const BOUNDS: Readonly<Record<Figure, Bound>> = {
  rss: { noise: 32 * MIB, perHour: 8 * MIB },
  heap: { noise: 8 * MIB, perHour: MIB },
  external: { noise: 16 * MIB, perHour: MIB },
  sockets: { noise: 100, perHour: 2 },
  timers: { noise: 100, perHour: 2 },
  descriptors: { noise: 100, perHour: 2 },
};

/** How a figure went. Memory is in bytes. */
export interface FigureReport {
  readonly first: number;
  readonly last: number;
  readonly least: number;
  readonly most: number;
  readonly perHour: number;
  /** Whether it grows by more than it may. */
  readonly grows: boolean;
}

export function reportOf(figure: Figure, samples: readonly Sample[]): FigureReport {
  const points = samples.flatMap(({ hours, [figure]: value }) =>
    value === undefined ? [] : [{ hours, value }],
  );
  const values = points.map(({ value }) => value);
  const perHour = slopePerHour(points);
  const hours = (points.at(-1)?.hours ?? 0) - (points[0]?.hours ?? 0);
  return {
    first: values[0] ?? 0,
    last: values.at(-1) ?? 0,
    least: values.length === 0 ? 0 : Math.min(...values),
    most: Math.max(0, ...values),
    perHour,
    grows: grows(perHour, hours, BOUNDS[figure]),
  };
}

/** A figure for people: memory in MiB. */
export const shown = (figure: Figure, value: number): string =>
  figure === 'rss' || figure === 'heap' || figure === 'external'
    ? `${(value / MIB).toFixed(1)} MiB`
    : value.toFixed(Number.isInteger(value) ? 0 : 1);
