import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually, soon } from '../../support/eventually.js';
import { BRIDGE_FIXTURES } from '../world/bridgeStatements.js';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
} from '../world/bridgeWorld.js';
import { brief, errorOf, firstValue, PROTOCOLS } from '../world/client.js';
import { seededRandom } from '../world/random.js';
import { FOREVER } from '../world/statements.js';

const SLEEP = `SELECT a FROM dblink('c', 'SELECT pg_sleep(${FOREVER})::text') AS t(a text)`;

/** Statements whose remote call never ends. */
const CASES: readonly { readonly name: string; readonly sql: string }[] = [
  { name: 'a DO block', sql: `DO $$ BEGIN PERFORM a FROM (${SLEEP}) AS s; END $$` },
  { name: 'a view', sql: 'SELECT count(*) FROM sleeping' },
  { name: 'a function that is called per row', sql: 'SELECT nap() FROM generate_series(1, 3)' },
  { name: 'a trigger', sql: 'INSERT INTO slow VALUES (1)' },
  { name: 'a large result that comes slowly', sql: 'SELECT count(*) FROM trickling' },
];

const LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE READ ONLY'] as const;

describe('cancel and time limits of bridged calls', () => {
  let world: BridgeWorld;
  let session: BridgeSession;
  before(async () => {
    world = await makeBridgeWorld();
    await world.onPrimary(`${BRIDGE_FIXTURES}
      CREATE VIEW sleeping AS ${SLEEP};
      CREATE FUNCTION nap() RETURNS text LANGUAGE sql AS $$ SELECT dblink_exec('c', 'DO $x$ BEGIN PERFORM pg_sleep(${FOREVER}); END $x$') $$;
      CREATE VIEW trickling AS SELECT * FROM dblink('c',
        'SELECT repeat(''x'', 1000), pg_sleep(0.01)::text FROM generate_series(1, 100000)') AS t(a text, b text);
      CREATE TABLE slow (a int);
      CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nap(); RETURN NEW; END $$;
      CREATE TRIGGER doze BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION doze()`);
    session = await world.session('cancelled');
    await session.client.rows(`SELECT dblink_connect('c', '${world.conninfo('cancelled')}')`);
  });
  after(async () => {
    await session.client.end();
    await assertNothingLeft(world, []);
    await world.assertIdle();
    await world.close();
  });

  const remoteState = async (): Promise<unknown> =>
    (await world.onRemote("SELECT state FROM pg_stat_activity WHERE application_name = 'cancelled'"))[0]?.[0];
  const runs = () => eventually('the remote runs', async () => assert.equal(await remoteState(), 'active'));
  const stopped = () => soon('the remote has stopped', async () => assert.equal(await remoteState(), 'idle'));
  const works = async (): Promise<void> => {
    for (const n of [3, 4])
      assert.deepEqual(await session.client.rows(`SELECT triple(${n})`), [[String(n * 3)]]);
    await assertNothingLeft(world, [session]);
  };

  for (const { name, sql } of CASES) {
    for (const protocol of PROTOCOLS) {
      it(`a cancel request during ${name}, ${protocol}, stops the remote's work at once`, async () => {
        const { client } = session;
        client.start(sql, protocol);
        await runs();
        await client.cancel();
        const frames = await client.answer();
        assert.match(brief(frames), /E:57014 Z:I$/);
        assert.equal(errorOf(frames)['M'], 'canceling statement due to user request');
        await stopped();
        await works();
      });
    }

    it(`statement_timeout during ${name} stops the remote's work at once`, async () => {
      const { client } = session;
      await client.rows('SET statement_timeout = 150');
      const frames = await client.query(sql);
      assert.match(brief(frames), /E:57014 Z:I$/);
      assert.equal(errorOf(frames)['M'], 'canceling statement due to statement timeout');
      await stopped();
      await client.rows('RESET statement_timeout');
      await works();
    });
  }

  for (const level of LEVELS) {
    it(`in a transaction, ${level}: the savepoint is there, and what follows works`, async () => {
      const { client } = session;
      await client.rows(`BEGIN ISOLATION LEVEL ${level}`);
      await client.rows('SAVEPOINT s');
      client.start('SELECT count(*) FROM sleeping', 'simple');
      await runs();
      await client.cancel();
      assert.match(brief(await client.answer()), /E:57014 Z:E$/);
      await stopped();
      assert.equal(brief(await client.query('ROLLBACK TO s')), 'C:ROLLBACK Z:T');
      assert.deepEqual(await client.rows('SELECT triple(5)'), [['15']]);
      await client.rows('COMMIT');
      await works();
    });

    for (const how of ['a cancel request', 'statement_timeout'] as const) {
      it(`user code that catches ${how} goes on with other calls, ${level}`, async () => {
        const { client } = session;
        if (how === 'statement_timeout') await client.rows('SET statement_timeout = 150');
        client.start(
          `BEGIN ISOLATION LEVEL ${level}; DO $$
          BEGIN
            BEGIN
              PERFORM a FROM (${SLEEP}) AS s;
              RAISE EXCEPTION 'no cancel';
            EXCEPTION WHEN query_canceled THEN NULL;
            END;
            IF triple(8) IS DISTINCT FROM 24 THEN RAISE EXCEPTION 'wrong'; END IF;
            PERFORM set_config('test.sum', (SELECT sum(a)::text FROM large), false);
          END $$; COMMIT`,
          'simple',
        );
        await runs();
        if (how === 'a cancel request') await client.cancel();
        assert.equal(brief(await client.answer()), 'C:BEGIN C:DO C:COMMIT Z:I');
        assert.equal(firstValue(await client.query("SELECT current_setting('test.sum')")), '8002000');
        await client.rows('RESET statement_timeout');
        await works();
      });
    }
  }

  it('300 calls under random time limits leave no lock in the session, and the next call always works', async (t) => {
    const random = seededRandom(7);
    const { client } = session;
    let timeouts = 0;
    for (let call = 0; call < 300; call++) {
      const level = random.pick(LEVELS);
      // About as long as a call takes, so that every moment of it is hit.
      await client.rows(
        `BEGIN ISOLATION LEVEL ${level}; SET LOCAL statement_timeout = ${1 + random.integer(16)}`,
      );
      const frames = await client.query(`SELECT triple(${call})`);
      if (frames.some(({ type }) => type === 'E')) {
        assert.equal(errorOf(frames)['C'], '57014', errorOf(frames)['M']);
        timeouts++;
      } else assert.equal(firstValue(frames), String(call * 3), brief(frames));
      // The limit is for every statement of the transaction, ROLLBACK included.
      while ((await client.query('ROLLBACK')).at(-1)?.body.toString() !== 'I');
      const after = await client.query(`SELECT triple(${call})`);
      assert.equal(firstValue(after), String(call * 3), brief(after));
    }
    t.diagnostic(`${timeouts} timeouts`);
    assert.ok(timeouts > 10 && timeouts < 290, `${timeouts} timeouts`);
    await works();
  });

  it('what an interrupted call leaves in the session is given back, whichever of its locks it is', async () => {
    const { client } = session;
    // What is left when the lock is granted at the very moment of the cancel.
    for (const keys of [[2], [3], [2, 3]]) {
      for (const lost of [false, true]) {
        await works();
        if (lost) {
          await world.onPrimary(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'dblink-proxy'",
          );
          await eventually('the proxy knows', () =>
            assert.match(world.proxy.log().slice(-300), /service connection of the bridge lost/),
          );
        }
        for (const key of keys) {
          // The one that the proxy holds cannot be taken.
          await client.rows(
            `SELECT pg_try_advisory_lock((string_to_array(current_setting('dblink_proxy.session'), ':'))[${key}]::bigint)`,
          );
        }
        await works();
      }
    }
  });
});
