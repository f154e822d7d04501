import type { Connection } from './connection.js';
import type { ProcessMeter } from './processMeter.js';

/**
 * Who takes part. `bare` is a relay of a few lines that only looks at messages' headers, `native` a server with the dblink
 * extension, `fdw` the same server asked by foreign tables of postgres_fdw.
 */
export type ContenderName = 'direct' | 'pgbouncer' | 'bare' | 'proxy' | 'native' | 'fdw';

/** A way to a server that benchmarks compare. */
export interface Contender {
  readonly name: ContenderName;
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
  /** Where the figure itself counts, in this unit, and not its relation to another contender's. */
  readonly unit?: 'MiB';
}

/** What one measurement of one contender gave. */
export interface Sample {
  /** In the order of the benchmark's metrics. */
  readonly values: readonly number[];
  /** How much work that was (queries, connections, rows), to relate processor time to. */
  readonly units: number;
  /** Of the program in the middle, per unit, in seconds, where the measurement itself has looked at it. */
  readonly processorSeconds?: number | undefined;
}

/** Where the dblink connections of a measurement lead: connection strings without quotes. */
export interface Remotes {
  /** Asks for no password. */
  readonly plain: string;
  /** Asks for a password by SCRAM. */
  readonly scram: string;
  /** The plain one, but so far away that each answer takes 50 ms. */
  readonly distant: string;
}

/** What a measurement is given. */
export interface MeasureContext {
  /** How long to repeat an operation that is short. */
  readonly seconds: number;
  /** Rows of the tables named bulk. */
  readonly bulkRows: number;
  readonly remotes: Remotes;
  /** Ends the measurement when its time is up. */
  readonly signal: AbortSignal;
  /** Opens a connection that is closed with the measurement, however it ends. */
  connect(to: Contender): Promise<Connection>;
  /** A proxy process that has not done anything yet, and ends with the measurement. */
  freshProxy(): Promise<Contender & { readonly meter: ProcessMeter }>;
}

/** Whose contenders take part, see CONTENDERS. */
export type Group = 'relay' | 'dblink' | 'fdw' | 'memory';

/** A benchmark: the same work on each contender. */
export interface Benchmark {
  /** Group and name, `relay.copy-out`; what the command line selects by. */
  readonly id: string;
  readonly title: string;
  readonly group: Group;
  /** Some of the group's contenders; all by default. */
  readonly contenders?: readonly ContenderName[];
  readonly metrics: readonly Metric[];
  /** When it runs without being named: always, not with `--short`, never. */
  readonly runs: 'short' | 'full' | 'named';
  /** How many sessions there are at a time, where they are many. */
  readonly sessions?: number;
  /** More rounds would take too long. */
  readonly mostRounds?: number;
  /** No first turn that does not count: each turn begins with a new process anyway. */
  readonly cold?: boolean;
  /** What the proxy is to take at most, on a machine that has nothing else to do, in ms. */
  readonly costLimitMs?: number;
  /** Makes what stays as it is through all rounds. @returns what to do at the end */
  prepare?(contender: Contender, context: MeasureContext): Promise<() => Promise<void>>;
  measure(contender: Contender, context: MeasureContext): Promise<Sample>;
}

/** Who takes part in the benchmarks of a group, in the order of their turns. */
export const CONTENDERS: Readonly<Record<Group, readonly ContenderName[]>> = {
  relay: ['direct', 'pgbouncer', 'bare', 'proxy'],
  dblink: ['native', 'proxy'],
  fdw: ['fdw', 'proxy'],
  memory: ['proxy'],
};

/** Which contenders the others are compared with; without the first there is nothing to compare. */
export const BASELINES: Readonly<Record<Group, readonly ContenderName[]>> = {
  relay: ['direct', 'pgbouncer', 'bare'],
  dblink: ['native'],
  fdw: ['fdw'],
  memory: [],
};

/** The one figure of most of them. */
export const TIME = [{ name: 'time', better: 'lower' }] as const;

/** A wrong answer must not pass for a fast one. */
export function expect(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`expected ${expected}, got ${actual}`);
}
