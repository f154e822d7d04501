import { type Benchmark, expect, TIME } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import { repeat } from '../measure/repeat.js';
import { median } from '../measure/statistics.js';
import { LOCAL_ROWS } from '../measure/tables.js';
import { connected, large, small } from './session.js';

const ROW = 'AS t(id int, filler text)';
const WHOLE = `dblink('c', 'SELECT id, filler FROM bulk') ${ROW}`;
const FEW = 10;

/** So many rows of the remote's large table, the first `skip` left out. */
const rowsFrom = (rows: number, skip: number): string =>
  `SELECT id, filler FROM bulk WHERE id BETWEEN ${skip + 1} AND ${skip + rows}`;

/** A call with a connection string in each statement. */
const oneShot = (id: string, title: string, remote: 'plain' | 'scram'): Benchmark =>
  small({ id, title, runs: 'short' }, async (connection, n, { remotes }) => {
    const { value } = await connection.query(
      `SELECT * FROM dblink('${remotes[remote]}', 'SELECT ${n}') AS t(n int)`,
    );
    expect(value, String(n));
  });

const connecting: Benchmark = {
  id: 'dblink.connect-scram',
  title: 'the first dblink_connect() of a session, to a remote that asks for a password by SCRAM',
  group: 'dblink',
  metrics: TIME,
  runs: 'full',
  async measure({ host, port }, { seconds, signal, remotes }) {
    const times: number[] = [];
    await repeat({ seconds, signal }, async () => {
      const connection = await Connection.open(host, port);
      const { value, totalMs } = await connection.query(`SELECT dblink_connect('c', '${remotes.scram}')`);
      expect(value, 'OK');
      times.push(totalMs);
      await connection.end();
    });
    return { values: [median(times)], units: times.length };
  },
};

const stream: Benchmark = {
  id: 'dblink.stream',
  title: "SELECT * FROM dblink('c', …) AS t(…) of a large table",
  group: 'dblink',
  metrics: [
    { name: 'time', better: 'lower' },
    { name: 'to first row', better: 'lower' },
  ],
  runs: 'short',
  async measure(contender, context) {
    const connection = await connected(await context.connect(contender), context);
    const { rows, totalMs, firstRowMs } = await connection.query(`SELECT * FROM ${WHOLE}`);
    expect(rows, context.bulkRows);
    return { values: [totalMs, firstRowMs!], units: rows };
  },
};

/** What is remembered of a statement must not depend on its numbers: they differ from call to call. */
const joins: readonly Benchmark[] = [
  small(
    {
      id: 'dblink.join-small',
      title: `JOIN of a local table with ${FEW} remote rows, by its key`,
      runs: 'short',
    },
    async (connection, n) => {
      const first = (n * FEW) % 900;
      const remote = `SELECT id, v FROM items WHERE id BETWEEN ${first + 1} AND ${first + FEW}`;
      const { rows } = await connection.query(
        `SELECT l.id, l.v, t.v FROM local l JOIN dblink('c', '${remote}') AS t(id int, v int) ON l.id = t.id`,
      );
      expect(rows, FEW);
    },
  ),
  small(
    { id: 'dblink.join-1k', title: 'JOIN of a local table with 1,000 remote rows', runs: 'full' },
    async (connection, n) => {
      const remote = rowsFrom(1000, n % 1000);
      const { value } = await connection.query(
        `SELECT count(l.v) FROM local l JOIN dblink('c', '${remote}') ${ROW} ON l.id = t.id`,
      );
      expect(value, '1000');
    },
  ),
];

const BULK_ROUNDS = 5;

/** Large tables of the remote, which the primary finishes the statement with. */
export const bulkBenchmarks: readonly Benchmark[] = [
  large(
    {
      id: 'dblink.join-all',
      title: 'JOIN of a local table with all rows of a large remote one',
      runs: 'full',
      cold: true,
    },
    async (connection, { bulkRows }) => {
      const { value, totalMs } = await connection.query(
        `SELECT count(l.v) FROM local l JOIN ${WHOLE} ON l.id = t.id`,
      );
      expect(value, String(Math.min(LOCAL_ROWS, bulkRows)));
      return { totalMs, rows: bulkRows };
    },
  ),
  large(
    { id: 'dblink.count-all', title: 'count(*) of a large remote table’s rows', runs: 'full', cold: true },
    async (connection, { bulkRows }) => {
      const { value, totalMs } = await connection.query(`SELECT count(*) FROM ${WHOLE}`);
      expect(value, String(bulkRows));
      return { totalMs, rows: bulkRows };
    },
  ),
  large(
    {
      id: 'dblink.insert-all',
      title: 'INSERT … SELECT of a large remote table’s rows',
      runs: 'full',
      cold: true,
    },
    async (connection, { bulkRows }) => {
      await connection.query('TRUNCATE target');
      const { totalMs } = await connection.query(`INSERT INTO target SELECT * FROM ${WHOLE}`);
      const { value } = await connection.query('SELECT count(*) FROM target');
      expect(value, String(bulkRows));
      return { totalMs, rows: bulkRows };
    },
  ),
  large(
    {
      id: 'dblink.create-all',
      title: 'CREATE TABLE … AS SELECT of a large remote table’s rows',
      runs: 'full',
      cold: true,
    },
    async (connection, { bulkRows }) => {
      await connection.query('DROP TABLE IF EXISTS made');
      const { totalMs } = await connection.query(`CREATE UNLOGGED TABLE made AS SELECT * FROM ${WHOLE}`);
      const { value } = await connection.query('SELECT count(*) FROM made');
      expect(value, String(bulkRows));
      return { totalMs, rows: bulkRows };
    },
  ),
  large(
    {
      id: 'dblink.join-100k',
      title: 'JOIN of a local table with 100,000 remote rows',
      runs: 'short',
      mostRounds: BULK_ROUNDS,
    },
    async (connection) => {
      const { value, totalMs } = await connection.query(
        `SELECT count(l.v) FROM local l JOIN dblink('c', '${rowsFrom(LOCAL_ROWS, 0)}') ${ROW} ON l.id = t.id`,
      );
      expect(value, String(LOCAL_ROWS));
      return { totalMs, rows: LOCAL_ROWS };
    },
  ),
  large(
    {
      id: 'dblink.insert-100k',
      title: 'INSERT … SELECT of 100,000 remote rows',
      runs: 'short',
      mostRounds: BULK_ROUNDS,
    },
    async (connection) => {
      await connection.query('TRUNCATE target');
      const { totalMs } = await connection.query(
        `INSERT INTO target SELECT * FROM dblink('c', '${rowsFrom(LOCAL_ROWS, 0)}') ${ROW}`,
      );
      const { value } = await connection.query('SELECT count(*) FROM target');
      expect(value, String(LOCAL_ROWS));
      return { totalMs, rows: LOCAL_ROWS };
    },
  ),
];

export const dblinkBenchmarks: readonly Benchmark[] = [
  oneShot('dblink.one-shot', 'a call with a connection string, no password', 'plain'),
  oneShot('dblink.one-shot-scram', 'a call with a connection string, SCRAM', 'scram'),
  connecting,
  small(
    {
      id: 'dblink.thousand-rows',
      title: "SELECT * FROM dblink('c', …) AS t(…), 1,000 rows",
      runs: 'full',
    },
    async (connection, n) => {
      const { rows } = await connection.query(
        `SELECT * FROM dblink('c', '${rowsFrom(1000, n % 1000)}') ${ROW}`,
      );
      expect(rows, 1000);
    },
  ),
  stream,
  ...joins,
];
