import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { backend, type FakePrimary, fakePrimary, GREETING } from '../support/fakePrimary.js';
import { LIVENESS_MS } from '../support/pace.js';
import { execute, primaryServer } from '../support/postgres.js';
import { canMeasure, type ProxyProcess, startProxyProcess } from '../support/proxyProcess.js';
import { RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query } from '../support/relay.js';
import { frontend } from '../support/wire.js';

/** The full form: `npm run test:memory`. */
const FULL = process.env['DBLINK_PROXY_TEST_MEMORY'] === 'full';
const MIB = 1024 * 1024;
const LIMIT = 64 * MIB;

const RESULT_BYTES = FULL ? 10e9 : 1.1e9;
const COPY_BYTES = FULL ? 3e9 : 300e6;
/** What a slow peer takes at a time, and how often: it goes on until no more can come, and this often in any case. */
const PORTION_BYTES = FULL ? 250 : 1_000;
const PORTIONS = FULL ? 240 : 12;
const PORTION_MS = FULL ? 250 : 25;
/** So often nothing more comes, looked at after each portion: all buffers are full. */
const CALM_LOOKS = 8;
const PATIENCE = { timeout: PORTIONS * PORTION_MS + 2 * LIVENESS_MS };
/** Read at full speed after the slow part, to see that everything goes on. */
const FAST_BYTES = FULL ? 1e9 : 50e6;
/** Of requests that are carried out one after another; each takes a connection to the remote. */
const PIPELINED_BYTES = FULL ? 200e6 : 15e6;

if (!canMeasure) console.warn('SKIPPED: the memory of another process cannot be measured on this system');

describe('memory stays bounded however slow a peer is', {
  skip: !canMeasure && 'cannot be measured here',
}, () => {
  let primary: PostgresServer;
  before(async () => {
    primary = await primaryServer(18);
  });

  /**
   * Samples the proxy's memory, and the latency of another session, until it is stopped; the time in which the peer is
   * slow and what follows apart.
   */
  function watch(proxy: ProxyProcess, idle: number, ask: () => Promise<void>) {
    type Phase = 'slow' | 'fast' | 'over';
    let phase: Phase = 'slow';
    const current = (): Phase => phase;
    const worst = { slow: 0, fast: 0 };
    let latencyMs = 0;
    let samples = 0;
    const measuring = (async () => {
      while (current() !== 'over') {
        const now = current() === 'slow' ? 'slow' : 'fast';
        if (now === 'slow') samples += 1;
        worst[now] = Math.max(worst[now], proxy.memory() - idle);
        await delay(FULL ? 200 : 25);
      }
    })();
    const asking = (async () => {
      while (current() !== 'over') {
        const since = performance.now();
        await ask();
        latencyMs = Math.max(latencyMs, performance.now() - since);
        await delay(FULL ? 200 : 25);
      }
    })();
    const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
    return {
      /** Waits until the time in which the peer is slow has been looked at often enough. */
      sampled: (): Promise<void> => eventually('samples are taken', () => samples > 10),
      slowIsOver: (): void => {
        phase = 'fast';
      },
      async stop(what: string): Promise<void> {
        phase = 'over';
        await Promise.all([measuring, asking]);
        console.log(
          `${what}: ${mib(worst.slow)} over idle (${mib(idle)}) while the peer was slow, ${mib(worst.fast)} after it; ` +
            `another session waited at most ${latencyMs.toFixed(0)} ms`,
        );
        assert.ok(worst.slow < LIMIT, `${mib(worst.slow)} over idle while the peer was slow`);
        assert.ok(worst.fast < 2 * LIMIT, `${mib(worst.fast)} over idle at full speed`);
      },
    };
  }

  /** The memory of a proxy that has served a session and has nothing to do. */
  async function idleMemory(proxy: ProxyProcess, use: () => Promise<void>): Promise<number> {
    await use();
    await delay(200);
    return proxy.memory();
  }

  /** Takes a little now and then from a socket, until whoever sends has to wait for it. */
  async function readSlowly(socket: Socket): Promise<void> {
    socket.removeAllListeners('data');
    socket.pause();
    const isHeldBack = `SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'`;
    let calm = 0;
    for (let portion = 0; portion < PORTIONS || calm < CALM_LOOKS; portion += 1) {
      socket.read(PORTION_BYTES);
      await delay(PORTION_MS);
      const [row] = await execute(primary.url(), isHeldBack);
      calm = row?.[0] === true ? calm + 1 : 0;
    }
  }

  describe('a large result and a slow reader', () => {
    const rows = RESULT_BYTES / 1000;
    const remote = (): string => `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`;
    const cases: readonly (readonly [string, () => string])[] = [
      ['relay, many rows', () => `SELECT repeat('x', 1000) FROM generate_series(1, ${rows})`],
      [
        'relay, few rows of 20 MB',
        () => `SELECT repeat('x', 20000000) FROM generate_series(1, ${RESULT_BYTES / 20e6})`,
      ],
      ['relay, COPY', () => `COPY (SELECT repeat('x', 1000) FROM generate_series(1, ${rows})) TO STDOUT`],
      [
        'stream from a remote',
        () =>
          `SELECT * FROM dblink('${remote()}', 'SELECT repeat(''x'', 1000) FROM generate_series(1, ${rows})') AS t(x text)`,
      ],
    ];
    for (const [name, sql] of cases) {
      it(name, PATIENCE, async (test) => {
        const proxy = await startProxyProcess(
          `postgres://postgres@127.0.0.1:${primary.port}?sslmode=disable`,
        );
        test.after(() => proxy.stop());
        const other = await logIn(proxy.port);
        const ask = async (): Promise<void> => {
          assert.equal(firstValue(await query(other.client, "SELECT 'served'")), 'served');
        };
        const { client, startup } = await logIn(proxy.port);
        const key = startup.find(({ type }) => type === 'K')!.body;
        const idle = await idleMemory(proxy, async () => {
          await ask();
          // What the proxy loads once for all statements, its parser for one, is not a session's.
          if (name.startsWith('stream')) await query(other.client, sql().replaceAll(String(rows), '10'));
        });
        const watched = watch(proxy, idle, ask);
        const { socket } = client;
        client.write(frontend.query(sql()));
        await once(socket, 'data');
        await readSlowly(socket);
        await watched.sampled();
        const slow = socket.bytesRead;
        watched.slowIsOver();
        // The rest is still where it was: this much is in buffers between here and the primary.
        assert.ok(slow < 16 * MIB, `${slow} bytes have come`);

        let fast = 0;
        const enough = new Promise<void>((resolve) => {
          socket.on('data', (chunk: Buffer) => {
            fast += chunk.length;
            if (fast >= FAST_BYTES) resolve();
          });
        });
        socket.resume();
        await enough;
        await watched.stop(name);
        // A cancel request gets through in the middle of it.
        client.write(frontend.terminate());
        const ended = once(socket, 'close');
        const canceller = await RawClient.connect(proxy.port);
        canceller.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
        await canceller.toEnd();
        await ended;
        other.client.destroy();
      });
    }
  });

  it('requests behind a statement that waits for a remote', PATIENCE, async (test) => {
    const proxy = await startProxyProcess(`postgres://postgres@127.0.0.1:${primary.port}?sslmode=disable`);
    test.after(() => proxy.stop());
    const other = await logIn(proxy.port);
    const remote = `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`;
    const call = (sql: string): string => `SELECT * FROM dblink('${remote}', '${sql}') AS t(n text)`;
    const padding = `-- ${'padding '.repeat(5000)}`;
    const ask = async (): Promise<void> => {
      assert.equal(firstValue(await query(other.client, "SELECT 'served'")), 'served');
    };
    const { client } = await logIn(proxy.port);
    const idle = await idleMemory(proxy, async () => {
      await ask();
      await query(other.client, call('SELECT 1'));
      // Loads what analyses long texts.
      await query(other.client, `${call('SELECT 2')} ${padding}`);
    });
    const watched = watch(proxy, idle, ask);
    const holder = await logIn(primary.port);
    await query(holder.client, 'SELECT pg_advisory_lock(1)');
    client.write(frontend.query(call('SELECT pg_advisory_lock(1)::text')));
    // Each of these is carried out by the proxy itself, too, while the next ones are already there.
    const next = frontend.query(`${call('SELECT 1')} ${padding}`);
    const { socket } = client;
    let sent = 0;
    const taken = (): number => sent - socket.writableLength;
    let slow = Number.POSITIVE_INFINITY;
    const answered = client.until('Z').then(() => {
      watched.slowIsOver();
      slow = taken();
    });
    let [calm, looks, before] = [0, 0, -1];
    while (taken() < slow + PIPELINED_BYTES) {
      assert.ok(!client.closed, 'the session goes on');
      if (socket.writableNeedDrain) {
        await delay(PORTION_MS);
        looks += 1;
        calm = taken() === before ? calm + 1 : 0;
        before = taken();
        if (calm >= CALM_LOOKS && looks >= PORTIONS && !holder.client.closed) {
          await watched.sampled();
          // The statement gets its lock.
          holder.client.destroy();
        }
      } else {
        socket.write(next);
        sent += next.length;
      }
    }
    await answered;
    await watched.stop('pipelined requests');
    // What waits is in the sockets' buffers: the proxy stops reading.
    assert.ok(slow < 16 * MIB, `${slow} bytes of requests were taken behind the one that waits`);
    client.destroy();
    other.client.destroy();
  });

  describe('a large COPY FROM STDIN and a slow primary', () => {
    let sink: FakePrimary;
    let proxy: ProxyProcess;
    /** Reads at full speed from then on. */
    let released = false;
    /** Of what came on the connection that copies, its startup not included. */
    let received: { bytes: number; hash: ReturnType<typeof createHash>; done: Promise<void> };

    before(async () => {
      sink = await fakePrimary(async ({ startup, message, socket }) => {
        await startup();
        socket.write(GREETING);
        for (;;) {
          const request = await message();
          if (request.toString('latin1', 5, 9) === 'COPY') break;
          socket.write(backend('Z', 'I'));
        }
        socket.write(backend('G', '\0\0\0'));
        const hash = createHash('sha256');
        socket.removeAllListeners('data');
        let finish!: () => void;
        received = { bytes: 0, hash, done: new Promise((resolve) => (finish = resolve)) };
        const take = (chunk: Buffer | null): void => {
          if (chunk === null) return;
          received.bytes += chunk.length;
          hash.update(chunk);
        };
        socket.pause();
        while (!released) {
          take(socket.read(PORTION_BYTES) as Buffer | null);
          await delay(PORTION_MS);
        }
        socket.on('data', (chunk: Buffer) => {
          take(chunk);
          // CopyDone is the last: five bytes.
          if (chunk.subarray(-5).equals(frontend.copyDone())) {
            socket.removeAllListeners('data');
            socket.resume();
            socket.write(Buffer.concat([backend('C', 'COPY 1\0'), backend('Z', 'I')]));
            finish();
          }
        });
        socket.resume();
      });
      proxy = await startProxyProcess(`postgres://postgres@127.0.0.1:${sink.port}?sslmode=disable`);
    });
    after(async () => {
      await proxy?.stop();
      await sink?.stop();
    });

    it('is held back, and arrives whole', PATIENCE, async () => {
      const other = await logIn(proxy.port);
      const ask = async (): Promise<void> => {
        assert.equal((await query(other.client, 'anything')).length, 1);
      };
      const { client } = await logIn(proxy.port);
      const idle = await idleMemory(proxy, ask);
      const watched = watch(proxy, idle, ask);
      client.write(frontend.query('COPY t FROM STDIN'));
      await client.until('G');

      const hash = createHash('sha256');
      const { socket } = client;
      // Messages of odd lengths, so that their ends fall anywhere.
      const block = Buffer.concat(
        [1, 10, 1000, 70_001, 300_007].map((length) => frontend.copyData(Buffer.alloc(length, 'c'))),
      );
      let sent = 0;
      const taken = (): number => sent - socket.writableLength;
      /** Waits until the proxy takes hardly more than the primary, whose portions are small. */
      const isHeldBack = async (): Promise<void> => {
        for (let look = 0, since = taken(); look < Math.max(CALM_LOOKS, PORTIONS); look += 1) {
          await delay(PORTION_MS);
          if (taken() - since > MIB) [look, since] = [0, taken()];
        }
        await watched.sampled();
      };
      let sentSlowly = 0;
      const heldBack = isHeldBack().then(() => {
        sentSlowly = taken();
        watched.slowIsOver();
        released = true;
      });
      while (sent < COPY_BYTES) {
        hash.update(block);
        sent += block.length;
        if (!socket.write(block)) await once(socket, 'drain');
      }
      await heldBack;
      const end = frontend.copyDone();
      hash.update(end);
      client.write(end);
      assert.ok(sentSlowly < 40 * MIB, `${sentSlowly} bytes were taken while nobody read them`);
      const answer = await client.until('Z');
      assert.equal(answer.map(({ type }) => type).join(''), 'CZ');
      await received.done;
      await watched.stop('COPY FROM STDIN');
      assert.equal(received.bytes, sent + end.length);
      assert.equal(received.hash.digest('hex'), hash.digest('hex'));
      client.destroy();
      other.client.destroy();
    });
  });
});
