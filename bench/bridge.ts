import type { Benchmark } from './benchmark.js';
import { connected, TIME } from './dblink.js';
import { expect } from './relay.js';
import { repeat } from './repeat.js';

/** Local functions and views with dblink calls in them, which only the primary's executor sees. */
export const BRIDGE_OBJECTS = `
  CREATE FUNCTION bridged_call(n int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE found int;
    BEGIN
      SELECT t.n INTO found FROM dblink('c', 'SELECT ' || n) AS t(n int);
      RETURN found;
    END $$;
  CREATE FUNCTION bridged_exec(n int) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN dblink_exec('c', 'INSERT INTO sink VALUES (' || n || ')'); END $$;
  CREATE VIEW bridged_bulk AS SELECT * FROM dblink('c', 'SELECT id, filler FROM bulk') AS t(id int, filler text)`;

/** One call in a function, over and over in one transaction of this level. */
const inFunction = (name: string, level: string, short: boolean): Benchmark => ({
  id: `bridge.${name}`,
  title: `a function that calls dblink(), ${level}`,
  group: 'dblink',
  metrics: TIME,
  short,
  async measure(contender, context) {
    const connection = await connected(await context.connect(contender), context);
    await connection.query(`BEGIN ISOLATION LEVEL ${level}`);
    const { medianMs, count } = await repeat(context, async (n) => {
      const { value } = await connection.query(`SELECT bridged_call(${n})`);
      expect(value, String(n));
    });
    await connection.query('COMMIT');
    return { values: [medianMs], units: count };
  },
});

export const bridgeBenchmarks: readonly Benchmark[] = [
  inFunction('call', 'READ COMMITTED', true),
  inFunction('call-repeatable-read', 'REPEATABLE READ', false),
  inFunction('call-serializable', 'SERIALIZABLE', true),
  inFunction('call-read-only', 'REPEATABLE READ READ ONLY', false),
  {
    id: 'bridge.exec',
    title: 'a function that calls dblink_exec()',
    group: 'dblink',
    metrics: TIME,
    short: false,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { medianMs, count } = await repeat(context, async (n) => {
        const { value } = await connection.query(`SELECT bridged_exec(${n})`);
        expect(value, 'INSERT 0 1');
      });
      return { values: [medianMs], units: count };
    },
  },
  {
    id: 'bridge.per-row',
    title: 'a lateral call for each of 200 rows',
    group: 'dblink',
    metrics: TIME,
    short: false,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { medianMs, count } = await repeat(context, async () => {
        const { value } = await connection.query(
          "SELECT count(*) FROM generate_series(1, 200) g, LATERAL dblink('c', 'SELECT ' || g) AS t(n int) WHERE t.n = g",
        );
        expect(value, '200');
      });
      return { values: [medianMs], units: count * 200 };
    },
  },
  {
    id: 'bridge.view',
    title: 'all rows of a view of a large remote table',
    group: 'dblink',
    metrics: TIME,
    short: true,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { rows, totalMs } = await connection.query('SELECT * FROM bridged_bulk');
      expect(rows, context.bulkRows);
      return { values: [totalMs], units: rows };
    },
  },
];
