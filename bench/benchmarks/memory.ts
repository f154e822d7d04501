import { setTimeout as delay } from 'node:timers/promises';
import { type Benchmark, expect } from '../measure/benchmark.js';
import type { Connection } from '../measure/connection.js';
import { LOCAL_ROWS } from '../measure/tables.js';
import { connected } from './session.js';

/** How much larger the proxy's process gets while it carries a large result: the peak of its resident set, less what it was idle. */

/** How long a slow reader is slow. */
const SLOW_MS = 3_000;
const SETTLE_MS = 500;
const MIB = 2 ** 20;

interface Plan {
  readonly name: string;
  readonly title: string;
  /** Whether the rows go to the client, which may take its time then. */
  readonly toClient: boolean;
  /** What comes before, and does not count. */
  readonly before?: (rows: number) => string;
  readonly sql: (rows: number) => string;
  readonly check?: (connection: Connection, rows: number) => Promise<void>;
}

const dblink = (rows: number): string =>
  `dblink('c', 'SELECT id, filler FROM bulk WHERE id <= ${rows}') AS t(id int, filler text)`;

const has = (table: string) => async (connection: Connection, rows: number) => {
  const { value } = await connection.query(`SELECT count(*) FROM ${table}`);
  expect(value, String(rows));
};

const PLANS: readonly Plan[] = [
  {
    name: 'relay',
    title: 'SELECT of a large table of the primary',
    toClient: true,
    sql: (rows) => `SELECT id, filler FROM bulk WHERE id <= ${rows}`,
  },
  {
    name: 'stream',
    title: 'SELECT * FROM dblink(…)',
    toClient: true,
    sql: (rows) => `SELECT * FROM ${dblink(rows)}`,
  },
  {
    name: 'join',
    title: 'all rows of dblink(…), joined with a local table',
    toClient: true,
    sql: (rows) => `SELECT l.v, t.* FROM local l RIGHT JOIN ${dblink(rows)} ON l.id = t.id`,
  },
  {
    name: 'view',
    title: 'all rows of a view of dblink(…)',
    toClient: true,
    sql: (rows) => `SELECT * FROM bridged_bulk WHERE id <= ${rows}`,
  },
  {
    name: 'result',
    title: 'dblink_get_result() of dblink_send_query()',
    toClient: true,
    before: (rows) => `SELECT dblink_send_query('c', 'SELECT id, filler FROM bulk WHERE id <= ${rows}')`,
    sql: () => "SELECT * FROM dblink_get_result('c') AS t(id int, filler text)",
    check: async (connection) => {
      const { rows } = await connection.query(
        "SELECT * FROM dblink_get_result('c') AS t(id int, filler text)",
      );
      expect(rows, 0);
    },
  },
  {
    name: 'fetch',
    title: 'dblink_fetch() of all rows of a cursor',
    toClient: true,
    before: (rows) => `SELECT dblink_open('c', 'k', 'SELECT id, filler FROM bulk WHERE id <= ${rows}')`,
    sql: (rows) => `SELECT * FROM dblink_fetch('c', 'k', ${rows}) AS t(id int, filler text)`,
    check: async (connection) => {
      const { value } = await connection.query("SELECT dblink_close('c', 'k')");
      expect(value, 'OK');
    },
  },
  {
    name: 'count',
    title: 'count(*) of dblink(…)',
    toClient: false,
    sql: (rows) => `SELECT count(*) FROM ${dblink(rows)}`,
  },
  {
    name: 'insert',
    title: 'INSERT … SELECT of dblink(…)',
    toClient: false,
    before: () => 'TRUNCATE target',
    sql: (rows) => `INSERT INTO target SELECT * FROM ${dblink(rows)}`,
    check: has('target'),
  },
  {
    name: 'create',
    title: 'CREATE TABLE … AS SELECT of dblink(…)',
    toClient: false,
    before: () => 'DROP TABLE IF EXISTS made',
    sql: (rows) => `CREATE UNLOGGED TABLE made AS SELECT * FROM ${dblink(rows)}`,
    check: has('made'),
  },
];

/** A few rows first, so that the plan's code has been loaded and has run. */
const FEW_ROWS = Math.min(1_000, LOCAL_ROWS);

const memoryOf = (plan: Plan, reader: 'fast' | 'slow'): Benchmark => ({
  id: `memory.${plan.name}${reader === 'fast' ? '' : '-slow'}`,
  title: `${plan.title}${reader === 'fast' ? '' : ', with a client that reads slowly for 3 s'}`,
  group: 'memory',
  metrics: [{ name: 'growth', better: 'lower', unit: 'MiB' }],
  runs: 'full',
  mostRounds: 2,
  cold: true,
  async measure(_, context) {
    const proxy = await context.freshProxy();
    const connection = await connected(await context.connect(proxy), context);
    const run = async (rows: number, counts: boolean): Promise<number> => {
      if (plan.before !== undefined) await connection.query(plan.before(rows));
      if (counts) await delay(SETTLE_MS);
      const end = proxy.meter.watch();
      if (counts && reader === 'slow') connection.readSlowly(SLOW_MS);
      const answer = await connection.query(plan.sql(rows));
      const { before, peak } = end();
      if (plan.toClient) expect(answer.rows, rows);
      await plan.check?.(connection, rows);
      return (peak - before) / MIB;
    };
    await run(FEW_ROWS, false);
    return { values: [await run(context.bulkRows, true)], units: context.bulkRows };
  },
});

export const memoryBenchmarks: readonly Benchmark[] = PLANS.flatMap((plan) => [
  memoryOf(plan, 'fast'),
  ...(plan.toClient ? [memoryOf(plan, 'slow')] : []),
]);
