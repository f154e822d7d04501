import { type Benchmark, expect, TIME } from '../measure/benchmark.js';
import { repeat } from '../measure/repeat.js';
import { connected, small } from './session.js';

/** Statements with several calls. Where they wait for remotes, they can do so for all at once. */

const LATERAL_CALLS = 100;
const SERVERS = 20;

/** 50 ms are waited for, not computed: remotes that compute would share this machine's processors. */
export const fanOutBenchmarks: readonly Benchmark[] = [
  small(
    {
      id: 'dblink.four-remotes',
      title: 'four connection strings in one statement, 50 ms of pg_sleep() each',
      runs: 'full',
    },
    async (connection, _, { remotes }) => {
      const sources = [1, 2, 3, 4].map(
        (n) => `SELECT n FROM dblink('${remotes.plain}', 'SELECT ${n} FROM pg_sleep(0.05)') AS t${n}(n int)`,
      );
      const { value } = await connection.query(`SELECT sum(n) FROM (${sources.join(' UNION ALL ')}) s`);
      expect(value, '10');
    },
  ),
  {
    id: 'dblink.four-remotes-scan',
    title: 'four named connections in one statement, a scan of a remote that is 50 ms away each',
    group: 'dblink',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const connection = await context.connect(contender);
      for (const n of [1, 2, 3, 4]) {
        const { value } = await connection.query(
          `SELECT dblink_connect('c${n}', '${context.remotes.distant}')`,
        );
        expect(value, 'OK');
      }
      const { medianMs, count } = await repeat({ ...context, warmup: 2 }, async (n) => {
        const sources = [1, 2, 3, 4].map(
          (c) =>
            `SELECT v FROM dblink('c${c}', 'SELECT id, v FROM items WHERE v > ${n}') AS t${c}(id int, v int)`,
        );
        const { value } = await connection.query(`SELECT count(*) FROM (${sources.join(' UNION ALL ')}) s`);
        expect(value, String(4 * (1000 - Math.floor(n / 2))));
      });
      return { values: [medianMs], units: count };
    },
  },
  {
    id: 'dblink.lateral',
    title: `a lateral call on a named connection for each of ${LATERAL_CALLS} rows of a local table`,
    group: 'dblink',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const { medianMs, count } = await repeat({ ...context, warmup: 2 }, async (n) => {
        const first = n % 800;
        const { value } = await connection.query(
          `SELECT sum(t.v - 2 * l.id) + count(*) FROM local l, LATERAL dblink('c', 'SELECT v FROM items WHERE id = ' || l.id) AS t(v int)
            WHERE l.id BETWEEN ${first + 1} AND ${first + LATERAL_CALLS}`,
        );
        expect(value, String(LATERAL_CALLS));
      });
      return { values: [medianMs], units: count * LATERAL_CALLS };
    },
  },
  {
    id: 'dblink.servers',
    title: `FROM servers s, LATERAL dblink(s.conn, …) of ${SERVERS} servers, 50 ms of pg_sleep() each`,
    group: 'dblink',
    metrics: TIME,
    runs: 'full',
    async measure(contender, context) {
      const connection = await context.connect(contender);
      await connection.query(
        `TRUNCATE servers; INSERT INTO servers SELECT n, '${context.remotes.plain} application_name=server' || n
           FROM generate_series(1, ${SERVERS}) n; ANALYZE servers`,
      );
      const { medianMs, count } = await repeat({ ...context, warmup: 1 }, async () => {
        const { value } = await connection.query(
          `SELECT sum(t.n) FROM servers s, LATERAL dblink(s.conn, 'SELECT 1 FROM pg_sleep(0.05)') AS t(n int)`,
        );
        expect(value, String(SERVERS));
      });
      return { values: [medianMs], units: count };
    },
  },
];
