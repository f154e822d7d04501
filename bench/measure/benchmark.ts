import type { Connection } from './connection.js';
import type { ProcessMeter } from './processMeter.js';

/** A way to a server that benchmarks compare. */
export interface Contender {
  readonly name: 'direct' | 'pgbouncer' | 'proxy' | 'native';
  readonly host: string;
  readonly port: number;
  /** The program in the middle, where there is one: its memory and processor time are observed. */
  readonly meter?: ProcessMeter | undefined;
}

/** One of the figures that a benchmark takes. */
export interface Metric {
  readonly name: string;
  /** Which direction is good: a rate should be high, a time low. */
  readonly better: 'higher' | 'lower';
}

/** What one measurement of one contender gave. */
export interface Sample {
  /** In the order of the benchmark's metrics. */
  readonly values: readonly number[];
  /** How much work that was (queries, connections, rows), to relate processor time to. */
  readonly units: number;
}

/** What a measurement is given. */
export interface MeasureContext {
  /** How long to repeat an operation that is short. */
  readonly seconds: number;
  /** Rows of the tables named bulk. */
  readonly bulkRows: number;
  /** Where the dblink connections of a measurement lead: a connection string without quotes. */
  readonly remote: string;
  /** Ends the measurement when its time is up. */
  readonly signal: AbortSignal;
  /** Opens a connection that is closed with the measurement, however it ends. */
  connect(to: Contender): Promise<Connection>;
}

/** A benchmark: the same work on each contender. */
export interface Benchmark {
  /** Group and name, `relay.copy-out`; what the command line selects by. */
  readonly id: string;
  readonly title: string;
  readonly group: 'relay' | 'dblink';
  readonly metrics: readonly Metric[];
  /** Part of `--short`. */
  readonly short: boolean;
  /** What the proxy is to take at most, on a machine that has nothing else to do, in ms. */
  readonly costLimitMs?: number;
  measure(contender: Contender, context: MeasureContext): Promise<Sample>;
}

/** Which contender is 1.00 in each group. */
export const BASELINE = { relay: 'direct', dblink: 'native' } as const;

/** The one figure of most of them. */
export const TIME = [{ name: 'time', better: 'lower' }] as const;

/** A wrong answer must not pass for a fast one. */
export function expect(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`expected ${expected}, got ${actual}`);
}
