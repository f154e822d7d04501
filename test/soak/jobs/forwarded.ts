import assert from 'node:assert/strict';
import { brief, PROTOCOLS } from '../../faults/world/client.js';
import { gives, rowsOf } from '../../faults/world/expectations.js';
import { frontend } from '../../support/wire.js';
import { ask, ended, isError, type Job, noError, succeed } from './job.js';

/** What the primary alone answers. */
export const FORWARDED: readonly Job[] = [
  {
    name: 'a statement',
    weight: 6,
    async run(visit) {
      const n = visit.random.integer(1e6);
      const frames = await succeed(visit, `SELECT ${n}, ${n} * 2`, visit.random.pick(PROTOCOLS));
      gives(`${n}|${n * 2}`)(frames);
    },
  },
  {
    name: 'parameters, in a flight of several statements',
    weight: 4,
    async run({ client, random }) {
      const numbers = Array.from({ length: 1 + random.integer(5) }, () => random.integer(1e6));
      const messages = numbers.flatMap((n) => [
        frontend.parse('', 'SELECT $1::int + 1'),
        frontend.bind({ values: [Buffer.from(String(n))] }),
        frontend.execute('', 0),
      ]);
      client.wire.send(...messages, frontend.sync());
      gives(...numbers.map((n) => `${n + 1}`))(
        noError(ended(await client.answer(), 'parameters'), 'parameters'),
      );
    },
  },
  {
    name: 'a named statement',
    weight: 2,
    async run({ client, random }) {
      const n = random.integer(400);
      client.wire.send(frontend.parse('s', 'SELECT name FROM names WHERE id = $1'), frontend.sync());
      noError(ended(await client.answer(), 'Parse'), 'Parse');
      const bind = frontend.bind({ statement: 's', values: [Buffer.from(String(n + 1))] });
      client.wire.send(bind, frontend.describe('P', ''), frontend.execute('', 0), frontend.sync());
      gives(`name ${n + 1}`)(noError(ended(await client.answer(), 'Bind'), 'Bind'));
      client.wire.send(frontend.close('S', 's'), frontend.sync());
      noError(ended(await client.answer(), 'Close'), 'Close');
    },
  },
  {
    name: 'a large result',
    weight: 2,
    async run(visit) {
      const rows = rowsOf(
        await succeed(
          visit,
          "SELECT i, repeat('x', 80) FROM generate_series(1, 8000) i",
          visit.random.pick(PROTOCOLS),
        ),
      );
      assert.equal(rows.length, 8000);
      assert.equal(rows[7999], `8000|${'x'.repeat(80)}`);
    },
  },
  {
    name: 'an error',
    weight: 3,
    run: async (visit) => isError(await ask(visit, 'SELECT 1/0', visit.random.pick(PROTOCOLS)), /^22012$/),
  },
  {
    name: 'a notice',
    weight: 2,
    async run(visit) {
      const frames = await succeed(visit, "DO $$ BEGIN RAISE NOTICE 'here'; END $$");
      assert.match(brief(frames), /N:00000/);
    },
  },
  {
    name: 'a transaction that is rolled back',
    weight: 2,
    async run(visit) {
      const { tag } = visit;
      const frames = await succeed(
        visit,
        `BEGIN; INSERT INTO written VALUES ('${tag}', 1); SELECT count(*) FROM written WHERE tag = '${tag}'; ROLLBACK;
          SELECT count(*) FROM written WHERE tag = '${tag}'`,
      );
      gives('1', '0')(frames);
    },
  },
  {
    name: 'COPY in and out',
    weight: 2,
    async run(visit) {
      const { client } = visit;
      await succeed(visit, 'CREATE TEMP TABLE copied (a int, b text)');
      client.wire.send(frontend.query('COPY copied FROM STDIN'));
      await client.wire.until(({ type }) => type === 'G');
      const lines = Array.from({ length: 2000 }, (_, i) => `${i}\t${'y'.repeat(50)}\n`).join('');
      client.wire.send(frontend.copyData(Buffer.from(lines)), frontend.copyDone());
      noError(ended(await client.answer(), 'COPY in'), 'COPY in');
      const out = await succeed(visit, 'COPY copied TO STDOUT');
      assert.equal(
        Buffer.concat(out.filter(({ type }) => type === 'd').map(({ body }) => body)).toString(),
        lines,
      );
      await succeed(visit, 'DROP TABLE copied');
    },
  },
  {
    name: 'COPY that is broken off',
    weight: 1,
    async run(visit) {
      const { client } = visit;
      client.wire.send(frontend.query('COPY written FROM STDIN'));
      await client.wire.until(({ type }) => type === 'G' || type === 'E');
      client.wire.send(frontend.copyData(Buffer.from('x\t1\n')), frontend.copyFail('no more'));
      isError(ended(await client.answer(), 'COPY'), /^57014$/);
    },
  },
  {
    name: 'a cancel',
    weight: 2,
    async run({ client, random, world, tag }) {
      client.start('SELECT pg_sleep(600)', random.pick(PROTOCOLS));
      await world.runs(-1, tag);
      await client.cancel();
      isError(ended(await client.answer(), 'pg_sleep'), /^57014$/);
    },
  },
];
