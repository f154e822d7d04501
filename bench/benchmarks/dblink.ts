import { type Benchmark, expect, type MeasureContext, TIME } from '../measure/benchmark.js';
import { type Connection, extendedQuery } from '../measure/connection.js';
import { repeat } from '../measure/repeat.js';
import { LOCAL_ROWS } from '../measure/tables.js';

const ROW = 'AS t(id int, filler text)';

/** So many rows of the remote's large table, the first `skip` left out. */
const rowsFrom = (rows: number, skip: number): string =>
  `SELECT id, filler FROM bulk WHERE id BETWEEN ${skip + 1} AND ${skip + rows}`;

type Call = (connection: Connection, n: number, context: MeasureContext) => Promise<unknown>;

/** Repeats a short statement on one session with a connection named c and takes the median of its times. */
function small(name: string, title: string, short: boolean, call: Call): Benchmark {
  return {
    id: `dblink.${name}`,
    title,
    group: 'dblink',
    metrics: TIME,
    short,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { medianMs, count } = await repeat(context, (n) => call(connection, n, context));
      return { values: [medianMs], units: count };
    },
  };
}

/** Runs a large statement once, in a session with a connection named c. */
function large(
  name: string,
  title: string,
  run: (connection: Connection, context: MeasureContext) => Promise<{ totalMs: number; rows: number }>,
): Benchmark {
  return {
    id: `dblink.${name}`,
    title,
    group: 'dblink',
    metrics: TIME,
    short: true,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { totalMs, rows } = await run(connection, context);
      return { values: [totalMs], units: rows };
    },
  };
}

/** Opens the dblink connection c. */
export async function connected(connection: Connection, { remote }: MeasureContext): Promise<Connection> {
  const { value } = await connection.query(`SELECT dblink_connect('c', '${remote}')`);
  expect(value, 'OK');
  return connection;
}

// Numbers in the texts differ from call to call, as those of an application do: nothing may live on having seen just this text.
export const dblinkBenchmarks: readonly Benchmark[] = [
  small('exec', "SELECT dblink_exec('c', 'INSERT …')", true, async (connection, n) => {
    const { value } = await connection.query(`SELECT dblink_exec('c', 'INSERT INTO sink VALUES (${n})')`);
    expect(value, 'INSERT 0 1');
  }),
  small('one-row', "SELECT * FROM dblink('c', …) AS t(…), 1 row", true, async (connection, n) => {
    const { value } = await connection.query(`SELECT * FROM dblink('c', 'SELECT ${n}') AS t(n int)`);
    expect(value, String(n));
  }),
  small('one-row-extended', 'the same by the extended protocol', false, async (connection, n) => {
    const { value } = await connection.request(
      extendedQuery(`SELECT * FROM dblink('c', 'SELECT ${n}') AS t(n int)`),
    );
    expect(value, String(n));
  }),
  small('one-shot', 'the same with a connection string', true, async (connection, n, { remote }) => {
    const { value } = await connection.query(`SELECT * FROM dblink('${remote}', 'SELECT ${n}') AS t(n int)`);
    expect(value, String(n));
  }),
  small('thousand-rows', "SELECT * FROM dblink('c', …) AS t(…), 1,000 rows", false, async (connection, n) => {
    const remote = rowsFrom(1000, n % 1000);
    const { rows } = await connection.query(`SELECT * FROM dblink('c', '${remote}') ${ROW}`);
    expect(rows, 1000);
  }),
  {
    id: 'dblink.stream',
    title: "SELECT * FROM dblink('c', …) AS t(…) of a large table",
    group: 'dblink',
    metrics: [
      { name: 'time', better: 'lower' },
      { name: 'to first row', better: 'lower' },
    ],
    short: true,
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { rows, totalMs, firstRowMs } = await connection.query(
        `SELECT * FROM dblink('c', 'SELECT id, filler FROM bulk') ${ROW}`,
      );
      expect(rows, context.bulkRows);
      return { values: [totalMs, firstRowMs!], units: rows };
    },
  },
  small('join-1k', 'JOIN of a local table with 1,000 remote rows', true, async (connection, n) => {
    const remote = rowsFrom(1000, n % 1000);
    const { value } = await connection.query(
      `SELECT count(l.v) FROM local l JOIN dblink('c', '${remote}') ${ROW} ON l.id = t.id`,
    );
    expect(value, '1000');
  }),
  small(
    'four-remotes',
    'four connection strings in one statement, each 50 ms',
    false,
    async (connection, _, { remote }) => {
      const sources = [1, 2, 3, 4].map(
        (n) => `SELECT n FROM dblink('${remote}', 'SELECT ${n} FROM pg_sleep(0.05)') AS t${n}(n int)`,
      );
      const { value } = await connection.query(`SELECT sum(n) FROM (${sources.join(' UNION ALL ')}) s`);
      expect(value, '10');
    },
  ),
  large('join-100k', 'JOIN of a local table with 100,000 remote rows', async (connection) => {
    const { value, totalMs } = await connection.query(
      `SELECT count(l.v) FROM local l JOIN dblink('c', '${rowsFrom(LOCAL_ROWS, 0)}') ${ROW} ON l.id = t.id`,
    );
    expect(value, String(LOCAL_ROWS));
    return { totalMs, rows: LOCAL_ROWS };
  }),
  large('insert-100k', 'INSERT … SELECT of 100,000 remote rows', async (connection) => {
    await connection.query('TRUNCATE target');
    const { totalMs } = await connection.query(
      `INSERT INTO target SELECT * FROM dblink('c', '${rowsFrom(LOCAL_ROWS, 0)}') ${ROW}`,
    );
    const { value } = await connection.query('SELECT count(*) FROM target');
    expect(value, String(LOCAL_ROWS));
    return { totalMs, rows: LOCAL_ROWS };
  }),
];
