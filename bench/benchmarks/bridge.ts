import { type Benchmark, expect, TIME } from '../measure/benchmark.js';
import { repeat } from '../measure/repeat.js';
import { connected } from './session.js';

/** Rows, or calls, in one statement of the figures that are held against a bar. */
const MANY = 500;
/** Calls in one statement, so that the client's round trip is no part of a call's cost. */
const CALLS = 100;

/** What a call may cost, in ms. */
const AT_ONCE = 0.6;
const IN_HIGHER_LEVELS = 2;

/** A loop of calls in a function, over and over in one transaction of this level. */
const inFunction = (
  name: string,
  calls: 'bridged_calls' | 'bridged_execs',
  level: string,
  costLimitMs: number,
  runs: Benchmark['runs'] = 'full',
): Benchmark => ({
  id: `bridge.${name}`,
  title: `calls of ${calls === 'bridged_calls' ? 'dblink()' : 'dblink_exec()'} in a function, ${level}`,
  group: 'dblink',
  metrics: TIME,
  runs,
  costLimitMs,
  async measure(contender, context) {
    const connection = await connected(await context.connect(contender), context);
    await connection.query(`BEGIN ISOLATION LEVEL ${level}`);
    const { medianMs, count } = await repeat(context, async () => {
      const { value } = await connection.query(`SELECT ${calls}(${CALLS})`);
      expect(value, String(CALLS));
    });
    await connection.query('COMMIT');
    return { values: [medianMs / CALLS], units: count * CALLS };
  },
});

export const bridgeBenchmarks: readonly Benchmark[] = [
  inFunction('call', 'bridged_calls', 'READ COMMITTED', AT_ONCE, 'short'),
  inFunction('call-repeatable-read', 'bridged_calls', 'REPEATABLE READ', IN_HIGHER_LEVELS),
  inFunction('call-serializable', 'bridged_calls', 'SERIALIZABLE', IN_HIGHER_LEVELS, 'short'),
  inFunction('call-read-only', 'bridged_calls', 'REPEATABLE READ READ ONLY', IN_HIGHER_LEVELS),
  inFunction('exec', 'bridged_execs', 'READ COMMITTED', AT_ONCE),
  {
    id: 'bridge.loop',
    title: `a statement that runs a loop of ${MANY} calls in PL/pgSQL`,
    group: 'dblink',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { medianMs, count } = await repeat(context, async () => {
        const { value } = await connection.query(`SELECT bridged_calls(${MANY})`);
        expect(value, String(MANY));
      });
      return { values: [medianMs], units: count * MANY };
    },
  },
  {
    id: 'bridge.trigger',
    title: `INSERT of ${MANY} rows, with a trigger that calls dblink_exec() for each`,
    group: 'dblink',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      await connection.query("SELECT dblink_exec('c', 'TRUNCATE sink')");
      const { medianMs, count } = await repeat(context, (n) =>
        connection.query(`INSERT INTO audited SELECT ${n}, g FROM generate_series(1, ${MANY}) g`),
      );
      const { value } = await connection.query(
        "SELECT n FROM dblink('c', 'SELECT count(*) FROM sink') AS t(n bigint)",
      );
      expect(value, String(count * MANY));
      return { values: [medianMs], units: count * MANY };
    },
  },
  {
    id: 'bridge.per-row',
    title: 'a lateral call for each of 200 rows',
    group: 'dblink',
    metrics: TIME,
    runs: 'full',
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
    runs: 'short',
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { rows, totalMs } = await connection.query('SELECT * FROM bridged_bulk');
      expect(rows, context.bulkRows);
      return { values: [totalMs], units: rows };
    },
  },
];
