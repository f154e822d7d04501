import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Target } from '../environment.js';
import type { Flow } from '../flows/types.js';

/** What a program gets on its standard input, as JSON. Placeholders in the flows are replaced already. */
export interface Input {
  readonly target: Target;
  readonly flows: readonly Flow[];
}

export function readInput(): Input {
  return JSON.parse(readFileSync(0, 'utf8')) as Input;
}

/** Prints a line of the transcript: what happened (`at`) in a session (`flow`), and what came of it. */
export function emit(flow: string, at: string, outcome: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ flow, at, ...outcome })}\n`);
}

/** A value as text that keeps what JSON would lose: its JavaScript type, NaN, bytes, dates. */
export function show(value: unknown): unknown {
  if (value === null || typeof value === 'string') return value;
  if (value instanceof Date) {
    return `Date ${Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString()}`;
  }
  if (Buffer.isBuffer(value)) return `bytes ${value.toString('hex')}`;
  if (Array.isArray(value)) return value.map(show);
  if (typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, show(item)]));
  }
  return `${typeof value} ${String(value)}`;
}

/** Fields of errors and notices that a client can see, except for the place in the server's source. */
const FIELDS = [
  ...['severity', 'code', 'message', 'detail', 'hint', 'where', 'position'],
  ...['internalPosition', 'internalQuery', 'internal_position', 'internal_query'],
  ...['schema', 'table', 'column', 'dataType', 'constraint', 'schema_name', 'table_name', 'constraint_name'],
];

/** An error or notice of node-postgres or postgres.js. */
export function showError(error: unknown): Readonly<Record<string, unknown>> {
  const source = error as Record<string, unknown>;
  return Object.fromEntries(
    FIELDS.filter((name) => source[name] !== undefined && source[name] !== null).map((name) => [
      name,
      source[name],
    ]),
  );
}

/** The condition by which the remote has a session that sleeps. */
export const ASLEEP = "wait_event = 'PgSleep'";

/**
 * Waits until the remote has a session of the target's database for which the condition about pg_stat_activity holds, one that no
 * earlier call was told of.
 */
export async function remoteShows({ watchPort, database }: Target, condition = ASLEEP): Promise<void> {
  const socket = connect(watchPort, '127.0.0.1');
  socket.write(`${database} ${condition}\n`);
  let answer = '';
  for await (const text of socket.setEncoding('utf8')) answer += text;
  if (answer !== 'yes\n') throw new Error(`the remote does not show ${condition}: ${answer}`);
}

/** Runs something and measures it in milliseconds. */
export async function timed<T>(run: () => Promise<T>): Promise<{ result: T; elapsedMs: number }> {
  const started = performance.now();
  const result = await run();
  return { result, elapsedMs: Math.round(performance.now() - started) };
}
