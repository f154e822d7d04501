import assert from 'node:assert/strict';
import { bridgedStatement } from '../../faults/world/bridgeStatements.js';
import { errorOf, PROTOCOLS } from '../../faults/world/client.js';
import { gives, rowsOf } from '../../faults/world/expectations.js';
import { frontend } from '../../support/wire.js';
import { ask, ended, isError, type Job, LOST, noError, succeed, type Visit } from './job.js';

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** What calls of dblink answer, by every plan. */
export const REMOTE: readonly Job[] = [
  {
    name: 'a stream',
    weight: 6,
    async run(visit) {
      const n = visit.random.integer(1e6);
      const sql = `SELECT * FROM dblink('c', 'SELECT i, i + ${n} FROM generate_series(1, 3) i') AS t(a int, b int)`;
      gives(
        `1|${n + 1}`,
        `2|${n + 2}`,
        `3|${n + 3}`,
      )(await succeed(visit, sql, visit.random.pick(PROTOCOLS)));
    },
  },
  {
    name: 'a large stream',
    weight: 3,
    async run(visit) {
      const sql = `SELECT * FROM dblink('c', 'SELECT i, repeat(''x'', 80) FROM generate_series(1, 8000) i') AS t(a int, b text)`;
      const rows = rowsOf(await succeed(visit, sql, visit.random.pick(PROTOCOLS)));
      assert.equal(rows.length, 8000);
      assert.equal(rows[7999], `8000|${'x'.repeat(80)}`);
    },
  },
  {
    name: 'a stream that fails behind rows',
    weight: 2,
    async run(visit) {
      const sql = `SELECT * FROM dblink('c', 'SELECT 1 / (3000 - i) FROM generate_series(1, 5000) i') AS t(a int)`;
      isError(await ask(visit, sql, visit.random.pick(PROTOCOLS)), /^22012$/);
    },
  },
  {
    name: 'a connection string',
    weight: 3,
    async run(visit) {
      const { world, remote, tag, random } = visit;
      const n = random.integer(1e6);
      // Of the two remotes: the second connection is of this session, too.
      const conninfo = world.conninfo(random.pick([remote, 1 - remote]), tag);
      const sql = `SELECT * FROM dblink(${literal(conninfo)}, 'SELECT ${n}') AS t(a int)`;
      gives(`${n}`)(await succeed(visit, sql, random.pick(PROTOCOLS)));
    },
  },
  {
    name: 'a second named connection',
    weight: 2,
    async run(visit) {
      const { world, remote, tag, random } = visit;
      const n = random.integer(1e6);
      const sql = `SELECT dblink_connect('d', ${literal(world.conninfo(1 - remote, tag))});
        SELECT a + 0 FROM dblink('d', 'SELECT ${n}') AS t(a int); SELECT dblink_disconnect('d')`;
      gives('OK', `${n}`, 'OK')(await succeed(visit, sql));
    },
  },
  {
    name: 'an answer without the primary',
    weight: 4,
    async run(visit) {
      const tagged = await succeed(
        visit,
        "SELECT dblink_exec('c', 'SET a.b = 1')",
        visit.random.pick(PROTOCOLS),
      );
      gives('SET')(tagged);
    },
  },
  {
    name: 'a join',
    weight: 4,
    async run(visit) {
      const n = 1 + visit.random.integer(400);
      const sql = `SELECT count(*), min(name) FROM dblink('c', 'SELECT i FROM generate_series(${n}, ${n + 50}) i') AS t(a int)
        JOIN names ON id = a WHERE a >= ${n}`;
      const [row = ''] = rowsOf(await succeed(visit, sql, visit.random.pick(PROTOCOLS)));
      assert.equal(row.split('|')[0], '51');
    },
  },
  {
    name: 'rows that go into a table',
    weight: 1,
    async run(visit) {
      const { tag } = visit;
      const frames = await succeed(
        visit,
        `BEGIN; INSERT INTO written SELECT '${tag}', a FROM dblink('c', 'SELECT generate_series(1, 40)') AS t(a int);
          SELECT sum(n) FROM written WHERE tag = '${tag}'; ROLLBACK`,
      );
      gives('820')(frames);
    },
  },
  {
    name: 'a parameter that goes into a call',
    weight: 3,
    async run({ client, random }) {
      const n = random.integer(1e6);
      client.wire.send(
        frontend.parse('', "SELECT a FROM dblink('c', 'SELECT ' || $1) AS t(a int)"),
        frontend.bind({ values: [Buffer.from(String(n))] }),
        frontend.describe('P', ''),
        frontend.execute('', 0),
        frontend.sync(),
      );
      gives(`${n}`)(noError(ended(await client.answer(), 'a parameter'), 'a parameter'));
    },
  },
  {
    name: 'a remote error',
    weight: 3,
    run: async (visit) =>
      isError(
        await ask(
          visit,
          "SELECT * FROM dblink('c', 'SELECT no_such_column') AS t(a int)",
          visit.random.pick(PROTOCOLS),
        ),
        /^42703$/,
      ),
  },
  {
    name: 'a remote notice',
    weight: 2,
    async run(visit) {
      // Who calls does not see it.
      const sql = "SELECT dblink_exec('c', 'DO $x$ BEGIN RAISE NOTICE ''from afar''; END $x$')";
      gives('DO')(await succeed(visit, sql));
    },
  },
  {
    name: 'a bridged statement',
    weight: 14,
    async run(visit) {
      const { name, sql, check } = bridgedStatement(visit.random);
      check(await succeed(visit, sql).catch((error: Error) => Promise.reject(named(name, error))));
    },
  },
  {
    name: 'a cancel of a remote statement',
    weight: 3,
    async run(visit) {
      const { client, random, world, remote, tag } = visit;
      client.start(random.pick(ENDLESS), random.pick(PROTOCOLS));
      await world.runs(remote, tag);
      await client.cancel();
      isError(ended(await client.answer(), 'a remote statement'), /^57014$/);
      await reconnect(visit);
    },
  },
  {
    name: 'a time limit',
    weight: 2,
    async run(visit) {
      const limited = `SET statement_timeout = ${5 + visit.random.integer(60)}`;
      // Set in an earlier Query, since it counts from the beginning of one.
      const set = await ask(visit, limited);
      noError(set, limited);
      const frames = await ask(visit, visit.random.pick(ENDLESS));
      isError(frames, /^57014$/);
      for (;;) {
        const reset = await ask(visit, 'RESET statement_timeout');
        if (reset.every(({ type }) => type !== 'E')) break;
        isError(reset, /^57014$/);
      }
      await reconnect(visit);
    },
  },
  {
    name: 'a connection whose remote session is ended',
    weight: 2,
    async run(visit) {
      const { world, remote, tag, client, random } = visit;
      client.start(random.pick(ENDLESS), random.pick(PROTOCOLS));
      await world.runs(remote, tag);
      await world.terminate(remote, tag);
      isError(ended(await client.answer(), 'a lost remote'), LOST);
      await reconnect(visit);
    },
  },
];

/** Statements that wait for a remote until they are stopped: by a stream, by an answer, by a splice, in a function. */
const ENDLESS: readonly string[] = [
  "SELECT * FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)",
  "SELECT dblink_exec('c', 'DO $x$ BEGIN PERFORM pg_sleep(600); END $x$')",
  "SELECT count(*) FROM dblink('c', 'SELECT i, pg_sleep(0.02)::text FROM generate_series(1, 30000) i') AS t(a int, b text)",
  "SELECT * FROM (VALUES (1)) v(x), LATERAL (SELECT dblink_exec('c', 'DO $x$ BEGIN PERFORM pg_sleep(600); END $x$')) AS t(a)",
  "SELECT n FROM fetch_all('SELECT i, pg_sleep(600)::text FROM generate_series(1, 3) i')",
];

/** Statements that clients are in the midst of when they go. */
export const LONG: readonly string[] = [
  ...ENDLESS,
  // A server does not notice that its client has gone while it sleeps.
  'SELECT pg_sleep(2)',
  "SELECT i, repeat('x', 200) FROM generate_series(1, 3000000) i",
  "SELECT * FROM dblink('c', 'SELECT i, repeat(''x'', 200) FROM generate_series(1, 3000000) i') AS t(a int, b text)",
  'SELECT a, b FROM large, generate_series(1, 100)',
  "SELECT dblink_send_query('c', 'SELECT pg_sleep(600)')",
  'BEGIN; INSERT INTO written VALUES (pg_backend_pid()::text, 1)',
  'COPY written FROM STDIN',
];

/** Has `c` lead to the remote, whatever has become of it. */
export async function reconnect(visit: Visit): Promise<void> {
  const { world, remote, tag } = visit;
  const alive = await ask(visit, "SELECT dblink_exec('c', 'ROLLBACK')");
  if (alive.some(({ type }) => type === 'E')) assert.match(errorOf(alive)['C'] ?? '', LOST);
  // A connection that is lost is closed like any other.
  await ask(visit, "SELECT dblink_disconnect('c')");
  await succeed(visit, `SELECT dblink_connect('c', ${literal(world.conninfo(remote, tag))})`);
}

const named = (name: string, error: Error): Error => new Error(`${name}: ${error.message}`, { cause: error });
