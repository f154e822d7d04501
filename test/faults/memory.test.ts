import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { frontend } from '../support/wire.js';
import { brief, FaultClient, firstValue } from './world/client.js';
import { FULL, growth, growthWithGarbage, heldBack, MIB, ROOM } from './world/memoryGrowth.js';
import type { ProxyState } from './world/proxyProcess.js';
import { makeWorld, type World } from './world/world.js';

/** The continuous tests' share of what a full run moves. */
const STREAM_BYTES = FULL ? 10 * 1024 * MIB : 1024 * MIB;
const SPLICE_LIMIT = 8 * MIB;

describe('memory', () => {
  let world: World;
  before(async () => {
    world = await makeWorld({ env: { DBLINK_PROXY_LIMITS_SPLICE_BYTES: `${SPLICE_LIMIT}` } });
  });
  after(() => world.close());

  /** The memory of a process that has done a little of everything. */
  async function idle(): Promise<ProxyState> {
    const client = await world.session('warm');
    for (let i = 0; i < 20; i++) {
      await client.rows("SELECT * FROM dblink('c', 'SELECT i FROM generate_series(1, 1000) i') AS t(a int)");
      await client.rows(
        "SELECT count(*) FROM dblink('c', 'SELECT i FROM generate_series(1, 1000) i') AS t(a int)",
      );
    }
    await client.end();
    return world.proxy.state(true);
  }

  /** Logs in and has a connection c; what comes afterwards is only counted. */
  async function counting(tag: string): Promise<{ readonly socket: Socket; readonly count: () => number }> {
    const socket = connect({ port: world.proxy.port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => {});
    let received = 0;
    let tail = Buffer.alloc(0);
    let ready: () => void = () => {};
    let connected = false;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (connected) return;
      tail = Buffer.concat([tail, chunk]);
      if (tail.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]))) ready();
    });
    const answered = (): Promise<void> =>
      new Promise((resolve) => {
        ready = resolve;
      });
    let waiting = answered();
    socket.write(frontend.startup({ user: 'postgres', database: 'postgres' }));
    await waiting;
    waiting = answered();
    socket.write(frontend.query(`SELECT dblink_connect('c', '${world.conninfo(tag)}')`));
    await waiting;
    connected = true;
    received = 0;
    return { socket, count: () => received };
  }

  it(`a stream of ${STREAM_BYTES / MIB} MiB to a client that is slow at first: flat, and others are answered`, async () => {
    const before = await idle();
    const { socket, count } = await counting('memory-stream');
    const other = await world.session('memory-other');
    const rowBytes = 64 * 1024;
    const rows = STREAM_BYTES / rowBytes;
    socket.write(
      frontend.query(
        `SELECT * FROM dblink('c', 'SELECT repeat(''x'', ${rowBytes}), generate_series(1, ${rows})') AS t(a text, b int)`,
      ),
    );
    /** Memory is what is held; what waits for the garbage collector only counts while the client is slow. */
    const othersAreServed = async (collect: boolean): Promise<void> => {
      assert.equal(firstValue(await other.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")), '1');
      assert.equal(
        firstValue(await other.query("SELECT sum(a) FROM dblink('c', 'SELECT 2') AS t(a int)")),
        '2',
      );
      const state = await world.proxy.state(collect);
      const more = collect ? growth(before, state) : growthWithGarbage(before, state);
      assert.ok(more < ROOM, `${more / MIB} MiB more than idle: ${JSON.stringify(state)}`);
    };
    // Now and then a little is read, once no more can come.
    await eventually('rows come', () => assert.ok(count() > 0));
    for (let i = 0; i < 5; i++) {
      socket.pause();
      await heldBack(world.onRemote, 'memory-stream');
      await othersAreServed(false);
      socket.resume();
      await delay(1);
    }
    socket.resume();
    while (count() < STREAM_BYTES) {
      assert.ok(!socket.destroyed, 'the session ended');
      await othersAreServed(true);
      await delay(100);
    }
    await othersAreServed(true);
    socket.destroy();
    await other.end();
    await world.gone('memory-stream');
  });

  it('rows of many kilobytes each, in many sessions at once: flat', async () => {
    const before = await idle();
    const streams = await Promise.all(Array.from({ length: 8 }, () => counting('memory-many')));
    for (const { socket } of streams) {
      socket.write(
        frontend.query(
          `SELECT * FROM dblink('c', 'SELECT repeat(''x'', 100000), generate_series(1, 100000)') AS t(a text, b int)`,
        ),
      );
      socket.pause();
    }
    await eventually('all remotes have to wait', async () => {
      const events = await world.onRemote(
        "SELECT wait_event FROM pg_stat_activity WHERE application_name = 'memory-many'",
      );
      assert.deepEqual(
        events,
        streams.map(() => ['ClientWrite']),
      );
    });
    for (const { socket } of streams) socket.resume();
    // Memory is measured in the midst of it.
    await eventually('all move', () => assert.ok(streams.every(({ count }) => count() > 8 * MIB)));
    const state = await world.proxy.state();
    assert.ok(growthWithGarbage(before, state) < 2 * ROOM, JSON.stringify([before, state]));
    const held = await world.proxy.state(true);
    assert.ok(growth(before, held) < 2 * ROOM, JSON.stringify([before, held]));
    for (const { socket } of streams) socket.destroy();
    await world.gone('memory-many');
  });

  it('a splice over limits.splice_bytes: 54000 at once, memory given back, the connection goes on', async () => {
    const before = await idle();
    const client = await world.session('memory-splice');
    for (let round = 0; round < 2; round++) {
      for (const sql of [
        // So much that nobody would wait for its end.
        `SELECT count(*), max(a) FROM dblink('c', 'SELECT repeat(''x'', 1000), generate_series(1, 2000000000)') AS t(a text, b int)`,
        // One row that is too long.
        `SELECT count(*), max(a) FROM dblink('c', 'SELECT repeat(''x'', ${2 * SPLICE_LIMIT})') AS t(a text)`,
        `SELECT * FROM dblink('c', 'SELECT repeat(''x'', ${2 * SPLICE_LIMIT})') AS t(a text)`,
      ]) {
        const frames = await client.query(sql);
        assert.equal(brief(frames), 'T E:54000 Z:I');
        assert.equal(
          firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")),
          '1',
        );
      }
    }
    await client.rows('BEGIN');
    assert.equal(
      brief(
        await client.query(
          `SELECT max(a) FROM dblink('c', 'SELECT repeat(''x'', ${2 * SPLICE_LIMIT})') AS t(a text)`,
        ),
      ),
      'T E:54000 Z:E',
    );
    await client.rows('ROLLBACK');
    await eventually('memory is given back', async () => {
      const state = await world.proxy.state(true);
      assert.ok(state.memory.external < 140 * MIB + SPLICE_LIMIT, JSON.stringify(state));
      assert.ok(growth(before, state) < ROOM, JSON.stringify([before, state]));
    });
    await client.end();
    await world.gone('memory-splice');
  });

  it('a splice and a row just below the limit pass', async () => {
    const client = await world.session('memory-below');
    const bytes = SPLICE_LIMIT - 10_000;
    for (const sql of [
      `SELECT length(a) + 0 FROM dblink('c', 'SELECT repeat(''x'', ${bytes})') AS t(a text)`,
      `SELECT length(a) + 0 FROM dblink('c', 'SELECT repeat(''x'', ${bytes})') AS t(a text)`,
    ]) {
      assert.equal(firstValue(await client.query(sql)), String(bytes));
    }
    const row = await client.query(
      `SELECT * FROM dblink('c', 'SELECT repeat(''x'', ${bytes})') AS t(a text)`,
    );
    assert.equal(row.find(({ type }) => type === 'D')?.body.length, bytes + 6);
    await client.end();
  });

  it('cancelled streams, one after another, leave nothing', async () => {
    const before = await idle();
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('c', '${world.conninfo('memory-cancel')}')`);
    for (let i = 0; i < 30; i++) {
      client.start(
        "SELECT * FROM dblink('c', 'SELECT repeat(''x'', 100000), generate_series(1, 2000000000)') AS t(a text, b int)",
        i % 2 === 0 ? 'simple' : 'extended',
      );
      await client.wire.until(({ type }) => type === 'D');
      await client.cancel();
      const frames = await client.answer();
      assert.match(brief(frames), /E:57014 Z:I$/);
      for (const { type, body } of frames) if (type === 'D') assert.equal(body.readInt32BE(2), 100_000);
    }
    await client.end();
    await eventually('memory is given back', async () => {
      const state = await world.proxy.state(true);
      assert.ok(growth(before, state) < ROOM, JSON.stringify([before, state]));
    });
  });
});
