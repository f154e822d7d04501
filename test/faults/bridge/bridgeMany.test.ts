import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../support/eventually.js';
import { BRIDGE_FIXTURES } from '../world/bridgeStatements.js';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
} from '../world/bridgeWorld.js';

const SESSIONS = 200;

describe(`${SESSIONS} sessions on a primary with 250 connections`, () => {
  let world: BridgeWorld;
  let sessions: BridgeSession[] = [];
  before(async () => {
    world = await makeBridgeWorld({
      settings: { max_connections: '250' },
      remoteSettings: { max_connections: '250' },
    });
    await world.onPrimary(BRIDGE_FIXTURES);
    // Not all at once: what is tested is not how fast the servers can fork.
    for (let i = 0; i < SESSIONS; i += 20) {
      const opened = Array.from({ length: 20 }, (_, j) => world.session(`many${i + j}`));
      sessions.push(...(await Promise.all(opened)));
    }
  });
  after(() => world.close());

  it('all bridge at once, and get what is theirs', async () => {
    await Promise.all(
      sessions.map(({ client, tag }) => client.rows(`SELECT dblink_connect('c', '${world.conninfo(tag)}')`)),
    );
    for (let round = 0; round < 3; round++) {
      const level = ['READ COMMITTED', 'REPEATABLE READ', 'READ COMMITTED READ ONLY'][round]!;
      await Promise.all(
        sessions.map(async ({ client, tag }, i) => {
          const n = i * 1000 + round;
          const rows = await client.rows(
            `BEGIN ISOLATION LEVEL ${level}; SELECT triple(${n}), n FROM dblink('c', 'SELECT current_setting(''application_name'')') AS t(n text); COMMIT`,
          );
          assert.deepEqual(rows, [[String(n * 3), tag]]);
        }),
      );
    }
    // Side tables as well.
    await Promise.all(
      sessions.slice(0, 40).map(async ({ client }) => {
        assert.deepEqual(await client.rows('SELECT count(*), sum(a) FROM large'), [['4000', '8002000']]);
      }),
    );
    // Counts the service connections: a handful for all of them.
    await assertNothingLeft(world, sessions, eventually);
  });

  it('that end at once leave nothing', async () => {
    for (const [i, session] of sessions.entries()) {
      if (i % 3 === 0) session.reset();
      else if (i % 3 === 1) session.client.wire.destroy();
      else void session.client.end();
    }
    sessions = [];
    // Hundreds of processes of two servers end, which takes what it takes.
    await assertNothingLeft(world, [], eventually);
    await world.assertIdle();
  });
});
