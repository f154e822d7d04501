import { type Benchmark, type Contender, expect, type MeasureContext, TIME } from '../measure/benchmark.js';
import { repeat } from '../measure/repeat.js';
import { LOCAL_ROWS } from '../measure/tables.js';
import { connected } from './session.js';

/** The same work by foreign tables of postgres_fdw, in a server that has them, and by dblink through the proxy. */

const WHOLE = "dblink('c', 'SELECT id, filler FROM bulk') AS t(id int, filler text)";

/** A session, for the proxy with the connections c and c1 to c4. */
async function opened(contender: Contender, context: MeasureContext) {
  const connection = await context.connect(contender);
  if (contender.name === 'fdw') return { connection, proxy: false };
  await connected(connection, context);
  for (const n of [1, 2, 3, 4]) {
    await connection.query(`SELECT dblink_connect('c${n}', '${context.remotes.plain}')`);
  }
  return { connection, proxy: true };
}

export const fdwBenchmarks: readonly Benchmark[] = [
  {
    id: 'fdw.scan',
    title: 'all rows of a large remote table',
    group: 'fdw',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const { connection, proxy } = await opened(contender, context);
      const { rows, totalMs } = await connection.query(`SELECT * FROM ${proxy ? WHOLE : 'far_bulk t'}`);
      expect(rows, context.bulkRows);
      return { values: [totalMs], units: rows };
    },
  },
  {
    id: 'fdw.join',
    title: 'JOIN of a local table with all rows of a large remote one',
    group: 'fdw',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const { connection, proxy } = await opened(contender, context);
      // A column that is needed, so that neither may leave it out.
      const { value, totalMs } = await connection.query(
        `SELECT count(l.v) FROM local l JOIN ${proxy ? WHOLE : 'far_bulk t'} ON l.id = t.id AND t.filler <> ''`,
      );
      expect(value, String(Math.min(LOCAL_ROWS, context.bulkRows)));
      return { values: [totalMs], units: context.bulkRows };
    },
  },
  {
    id: 'fdw.lookup',
    title: 'one row of a large remote table by its key, keys that differ',
    group: 'fdw',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const { connection, proxy } = await opened(contender, context);
      const { medianMs, count } = await repeat(context, async (n) => {
        const key = 1 + ((n * 7919) % context.bulkRows);
        const { value } = await connection.query(
          proxy
            ? `SELECT * FROM dblink('c', 'SELECT id, filler FROM bulk WHERE id = ${key}') AS t(id int, filler text)`
            : `SELECT id, filler FROM far_bulk WHERE id = ${key}`,
        );
        expect(value, String(key));
      });
      return { values: [medianMs], units: count };
    },
  },
  {
    id: 'fdw.four-servers',
    title: 'four servers in one statement, 50 ms each; postgres_fdw with async_capable',
    group: 'fdw',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const { connection, proxy } = await opened(contender, context);
      const sources = [1, 2, 3, 4].map((n) =>
        proxy
          ? `SELECT n FROM dblink('c${n}', 'SELECT n FROM slow') AS t${n}(n int)`
          : `SELECT n FROM far_slow${n}`,
      );
      const { medianMs, count } = await repeat({ ...context, warmup: 2 }, async () => {
        const { value } = await connection.query(`SELECT sum(n) FROM (${sources.join(' UNION ALL ')}) s`);
        expect(value, '4');
      });
      return { values: [medianMs], units: count };
    },
  },
];
