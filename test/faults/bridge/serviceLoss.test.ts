import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../support/eventually.js';
import { BRIDGE_FIXTURES } from '../world/bridgeStatements.js';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
  OBSERVER,
} from '../world/bridgeWorld.js';
import { brief, errorOf, FaultClient, firstValue } from '../world/client.js';

const KILL =
  "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'dblink-proxy'";
/** How long the remote takes for it. */
const SLOW = `SELECT r FROM generate_series(1, 1) n, LATERAL dblink('c', 'SELECT ' || n * 7 || ', pg_sleep(1)::text') AS t(r int, x text)`;
const LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE READ ONLY'] as const;

describe('a service connection that is lost while calls wait for their answers', () => {
  let world: BridgeWorld;
  let session: BridgeSession;
  /** Is there already when nobody can log in. */
  let admin: FaultClient;
  before(async () => {
    world = await makeBridgeWorld();
    await world.onPrimary(BRIDGE_FIXTURES);
    session = await world.session('lost');
    await session.client.rows(`SELECT dblink_connect('c', '${world.conninfo('lost')}')`);
    admin = await FaultClient.open(world.primary.port, { application_name: OBSERVER });
  });
  after(async () => {
    await Promise.all([session.client.end(), admin.end()]);
    await assertNothingLeft(world, []);
    await world.assertIdle();
    await world.close();
  });

  const remoteRuns = () =>
    eventually('the remote runs', async () =>
      assert.deepEqual(
        await world.onRemote("SELECT state FROM pg_stat_activity WHERE application_name = 'lost'"),
        [['active']],
      ),
    );

  for (const level of LEVELS) {
    it(`is replaced, and the answer comes, ${level}`, async () => {
      const { client } = session;
      await client.rows(`BEGIN ISOLATION LEVEL ${level}`);
      assert.deepEqual(await client.rows('SELECT triple(1)'), [['3']]);
      client.start(SLOW, 'simple');
      const answer = client.answer();
      await remoteRuns();
      await admin.rows(KILL);
      const frames = await answer;
      assert.equal(firstValue(frames), '7', brief(frames));
      assert.deepEqual(await client.rows('SELECT triple(2)'), [['6']]);
      await client.rows('COMMIT');
      await assertNothingLeft(world, [session]);
    });
  }

  it('again and again, is replaced each time', async () => {
    // The proxy tries some more times than this to replace one while a call waits.
    const KILLS_OF_A_CALL = 3;
    let killed = 0;
    for (let n = 0; n < 60; n++) {
      let answered = false;
      session.client.start(`SELECT triple(${n}), triple(${n + 1})`, 'simple');
      const answer = session.client.answer().finally(() => {
        answered = true;
      });
      // Whichever connection there is: the present one, or one that has just logged in in its place.
      for (let kills = 0; kills < KILLS_OF_A_CALL && !answered; ) {
        const found = (await admin.rows(KILL)).length;
        if (found > 0) kills++;
        killed += found;
      }
      const frames = await answer;
      assert.equal(firstValue(frames), String(n * 3), `${n}: ${brief(frames)}`);
    }
    assert.ok(killed >= 60, `${killed} were killed`);
    // Behind the last one.
    assert.deepEqual(await session.client.rows('SELECT triple(1)'), [['3']]);
    await assertNothingLeft(world, [session]);
  });

  it('and cannot be replaced, gives the calls an error, and the next ones work when it can be', async () => {
    const { client } = session;
    client.start(SLOW, 'simple');
    const answer = client.answer();
    await remoteRuns();
    await admin.rows('ALTER ROLE postgres NOLOGIN');
    await admin.rows(KILL);
    const frames = await answer;
    await admin.rows('ALTER ROLE postgres LOGIN');
    const { C: sqlstate = '', M: message } = errorOf(frames);
    assert.match(sqlstate, /^0800[16]$/, message);
    assert.deepEqual(await client.rows('SELECT triple(5)'), [['15']]);
    await assertNothingLeft(world, [session]);
  });
});
