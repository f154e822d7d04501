import { type Benchmark, expect, type MeasureContext, TIME } from '../measure/benchmark.js';
import type { Connection } from '../measure/connection.js';
import { repeat } from '../measure/repeat.js';

export type Call = (connection: Connection, n: number, context: MeasureContext) => Promise<unknown>;

type Described = Pick<Benchmark, 'id' | 'title' | 'runs'>;

/** Opens the dblink connection c. */
export async function connected(connection: Connection, { remotes }: MeasureContext): Promise<Connection> {
  const { value } = await connection.query(`SELECT dblink_connect('c', '${remotes.plain}')`);
  expect(value, 'OK');
  return connection;
}

/** Repeats a short statement on one session with a connection named c and takes the median of its times. */
export function small(described: Described, call: Call): Benchmark {
  return {
    ...described,
    group: 'dblink',
    metrics: TIME,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { medianMs, count } = await repeat(context, (n) => call(connection, n, context));
      return { values: [medianMs], units: count };
    },
  };
}

/** Runs a large statement once, in a session with a connection named c. */
export function large(
  described: Described & Pick<Benchmark, 'mostRounds' | 'cold'>,
  run: (connection: Connection, context: MeasureContext) => Promise<{ totalMs: number; rows: number }>,
): Benchmark {
  return {
    ...described,
    group: 'dblink',
    metrics: TIME,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { totalMs, rows } = await run(connection, context);
      return { values: [totalMs], units: rows };
    },
  };
}
