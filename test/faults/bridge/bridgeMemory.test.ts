import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/eventually.js';
import { frontend } from '../../support/wire.js';
import { assertNothingLeft, type BridgeWorld, makeBridgeWorld } from '../world/bridgeWorld.js';
import { FaultClient, firstValue } from '../world/client.js';
import { FULL, growthWithGarbage, heldBack, MIB, ROOM } from '../world/memoryGrowth.js';
import type { ProxyState } from '../world/proxyProcess.js';

/** The continuous tests' share of what a full run moves. */
const RESULT_BYTES = FULL ? 2048 * MIB : 200 * MIB;
const ROW_BYTES = 16 * 1024;
const ROWS = RESULT_BYTES / ROW_BYTES;

describe('memory and the bridge', () => {
  let world: BridgeWorld;
  before(async () => {
    world = await makeBridgeWorld();
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`CREATE VIEW far_large AS SELECT * FROM dblink('${world.conninfo('bridge-memory')}',
      'SELECT i, repeat(md5(i::text), ${ROW_BYTES / 32}) FROM generate_series(1, ${ROWS}) i') AS t(n int, line text)`);
    await client.rows(`CREATE FUNCTION far_one() RETURNS int LANGUAGE plpgsql AS
      $$ BEGIN RETURN (SELECT t.a FROM dblink('${world.conninfo('bridge-other')}', 'SELECT 1') AS t(a int)); END $$`);
    await client.end();
  });
  after(async () => {
    await world.assertIdle();
    await world.close();
  });

  /** The memory of a process that has done a little of everything. */
  async function idle(): Promise<ProxyState> {
    const client = await FaultClient.open(world.proxy.port);
    await client.rows('SELECT count(*) FROM (SELECT far_one() FROM generate_series(1, 20)) s');
    await client.rows(`SELECT count(*) FROM dblink('${world.conninfo('warm')}',
      'SELECT repeat(''x'', 1000) FROM generate_series(1, 10000)') AS t(a text), generate_series(1, 1)`);
    await client.end();
    return world.proxy.state(true);
  }

  it(`a view of ${RESULT_BYTES / MIB} MiB to a client that is slow at first: flat, and others are answered`, async () => {
    const before = await idle();
    const other = await FaultClient.open(world.proxy.port);
    let most = 0;
    const othersAreServed = async (): Promise<void> => {
      assert.equal(firstValue(await other.query('SELECT far_one()')), '1');
      const state = await world.proxy.state(true);
      most = Math.max(most, growthWithGarbage(before, state));
      assert.ok(most < ROOM, `${most / MIB} MiB more than idle: ${JSON.stringify(state)}`);
    };

    const socket = connect({ port: world.proxy.port, host: '127.0.0.1', noDelay: true });
    let received = 0;
    let tail = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      tail = Buffer.concat([tail.subarray(-64), chunk]).subarray(-64);
    });
    const ended = (): boolean => tail.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]));
    socket.write(
      frontend.startup({ user: 'postgres', database: 'postgres', application_name: 'slow reader' }),
    );
    await eventually('the session begins', () => assert.ok(ended()));
    received = 0;
    tail = Buffer.alloc(0);
    socket.write(frontend.query('SELECT n, line FROM far_large'));

    // The remote's rows go to the primary first, through the proxy.
    while (received === 0) {
      assert.ok(!socket.destroyed, 'the session ended');
      await othersAreServed();
      await delay(50);
    }
    // Then a little is read now and then, once the primary can send no more.
    for (let i = 0; i < 5; i++) {
      socket.pause();
      await heldBack(world.onPrimary, 'slow reader');
      await othersAreServed();
      socket.resume();
      await delay(1);
    }
    assert.ok(received < RESULT_BYTES, 'the client was slow, yet everything has come');
    socket.resume();
    while (!ended()) {
      assert.ok(!socket.destroyed, 'the session ended');
      await othersAreServed();
      await delay(50);
    }
    assert.ok(received > RESULT_BYTES, `${received} bytes`);
    assert.match(tail.toString('latin1'), new RegExp(`SELECT ${ROWS}\0`));
    await othersAreServed();
    const { memory } = await world.proxy.state(true);
    assert.ok(growthWithGarbage(before, { memory } as ProxyState) < ROOM);
    socket.destroy();
    await other.end();
    await assertNothingLeft(world, []);
  });

  it('clients that go away while the rows pass, one after another, leave nothing', async () => {
    const before = await idle();
    for (let i = 0; i < 6; i++) {
      const client = await FaultClient.open(world.proxy.port);
      client.start('SELECT n, line FROM far_large', i % 2 === 0 ? 'simple' : 'extended');
      await eventually('the remote works', async () => {
        const [active] = await world.onRemote(
          "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'bridge-memory' AND state = 'active'",
        );
        assert.deepEqual(active, [1]);
      });
      if (i % 3 === 0) await client.cancel();
      await client.end();
      await assertNothingLeft(world, [], eventually);
    }
    await eventually('memory is given back', async () => {
      const state = await world.proxy.state(true);
      assert.ok(growthWithGarbage(before, state) < ROOM, JSON.stringify([before, state]));
    });
  });
});
