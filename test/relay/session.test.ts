import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../src/embedded/index.js';
import { untilGone } from '../support/activity.js';
import { eventually } from '../support/eventually.js';
import { backend, fakePrimary, header } from '../support/fakePrimary.js';
import { asQuickAs, lively, timed } from '../support/pace.js';
import { execute, primaryServer } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, type RelayProxy, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';

describe('a session', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;
  before(async () => {
    primary = await primaryServer(18);
    proxy = await startRelay(primary);
    await execute(primary.url(), 'CREATE TABLE kept (n int)');
  });
  after(() => proxy?.stop());

  describe('malformed messages', () => {
    const cases: readonly (readonly [string, Buffer])[] = [
      ...[0, 1, 2, 3, -1, -0x80000000].map((length) => [`length ${length}`, header('Q', length)] as const),
      ['a Query over the limit of a message', header('Q', 0x40000000)],
      ['a Bind over the limit of a message', header('B', 0x7fffffff)],
      ['a Sync of 20,000 bytes', header('S', 20_000)],
      ['a Describe of a gigabyte', header('D', 0x3fffffff)],
      ['an unknown type', header('z', 4)],
      ['type 0', header('\0', 4)],
      ['a type of the backend', header('T', 4)],
      ['a TLS handshake', Buffer.from('1603010200010001fc0303', 'hex')],
      ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
      ['a password that nobody asked for', Buffer.concat([header('p', 8), Buffer.from('abc\0')])],
    ];
    for (const [name, bytes] of cases) {
      it(`${name}: that connection is closed, with the words of the primary`, async () => {
        const told = async (port: number): Promise<string> => {
          const { client } = await logIn(port, { application_name: 'malformed' });
          client.write(frontend.query('SELECT 1'), bytes);
          return (await client.toEnd()).toString('latin1');
        };
        assert.equal(await told(proxy.port), await told(primary.port));
      });
    }

    it('do not touch other sessions and leave nothing in the primary', async () => {
      const { client } = await logIn(proxy.port);
      await query(client, 'BEGIN');
      for (const [, bytes] of cases) {
        const other = await logIn(proxy.port, { application_name: 'malformed' });
        other.client.write(frontend.query('BEGIN; INSERT INTO kept VALUES (1)'), bytes);
        await other.client.toEnd();
        assert.equal(firstValue(await query(client, 'SELECT 1')), '1');
      }
      await untilGone(primary, 'malformed');
      assert.equal(firstValue(await query(client, 'SELECT count(*) FROM kept')), '0');
      client.destroy();
    });

    it('while the session is not authenticated end it, too', async () => {
      const client = await RawClient.connect(proxy.port);
      client.write(frontend.startup({ user: 'postgres' }), header('!', 4));
      const messages = await client.messagesToEnd();
      assert.equal(messages.at(-1)?.fields['C'], '08P01');
    });
  });

  describe('ends', () => {
    it('by Terminate without another word', async () => {
      for (const before of [[], [frontend.parse('', 'SELECT 1')], [frontend.query('SELECT 1')]]) {
        const { client } = await logIn(proxy.port, { application_name: 'goodbye' });
        client.write(...before, frontend.terminate());
        const messages = await client.messagesToEnd();
        assert.ok(!types(messages).includes('E'), types(messages));
      }
      await untilGone(primary, 'goodbye');
    });

    it('with the answers to what was sent before Terminate', async () => {
      const { client } = await logIn(proxy.port);
      client.write(frontend.query('SELECT 1'), frontend.query('SELECT 2'), frontend.terminate());
      assert.equal(types(await client.messagesToEnd()), 'TDCZTDCZ');
    });

    it('with the work that was sent before it, however fast the client leaves', async () => {
      for (const leave of ['close', 'end'] as const) {
        const { client } = await logIn(proxy.port);
        client.write(
          frontend.query(`SELECT pg_sleep(0.1); INSERT INTO kept VALUES (77)`),
          frontend.terminate(),
        );
        if (leave === 'end') client.socket.end();
        else client.socket.destroySoon();
      }
      await eventually('both rows are there', async () => {
        const rows = await execute(primary.url(), 'SELECT 1 FROM kept WHERE n = 77');
        return rows.length === 2;
      });
      await execute(primary.url(), 'DELETE FROM kept');
    });

    it('when the client is lost in a transaction, which is rolled back', async () => {
      for (const lose of ['destroy', 'resetAndDestroy'] as const) {
        const { client } = await logIn(proxy.port, { application_name: 'lost' });
        await query(client, 'BEGIN; INSERT INTO kept VALUES (1)');
        client.socket[lose]();
        await untilGone(primary, 'lost');
      }
      assert.equal((await execute(primary.url(), 'SELECT 1 FROM kept')).length, 0);
    });

    it('when the client is lost, as soon at the primary as on a direct connection', async () => {
      const ended = (port: number) => async (): Promise<number> => {
        const { client } = await logIn(port);
        const pid = firstValue(await query(client, 'SELECT pg_backend_pid()'));
        const watcher = await logIn(primary.port);
        const there = `SELECT 1 FROM pg_stat_activity WHERE pid = ${pid}`;
        assert.equal(types(await query(watcher.client, there)), 'TDCZ');
        const ms = await timed(async () => {
          client.socket.resetAndDestroy();
          while (types(await query(watcher.client, there)) === 'TDCZ');
        });
        watcher.client.destroy();
        return ms;
      };
      await asQuickAs('the end of a session', ended(proxy.port), ended(primary.port));
    });

    it('in the middle of a message without that message being completed by another', async () => {
      // Five bytes are missing, as many as a Terminate has.
      for (const request of [
        frontend.execute('', 0),
        frontend.copyData(Buffer.from('1\n2\n345\n')),
        frontend.bind({ values: [] }),
        Buffer.concat([
          header('Q', 2_000_000),
          Buffer.from('INSERT INTO kept VALUES (1) --'.padEnd(1_999_991)),
        ]),
      ]) {
        const { client } = await logIn(proxy.port, { application_name: 'half' });
        const type = request.toString('latin1', 0, 1);
        if (type === 'd') {
          client.write(frontend.query('COPY kept FROM STDIN'));
          await client.until('G');
        }
        if (type === 'B' || type === 'E') client.write(frontend.parse('', 'INSERT INTO kept VALUES (1)'));
        if (type === 'E') client.write(frontend.bind({}));
        client.write(type === 'Q' ? request : request.subarray(0, -5));
        await delay(20);
        client.socket.end();
        await untilGone(primary, 'half');
      }
      assert.equal((await execute(primary.url(), 'SELECT 1 FROM kept')).length, 0);
      assert.doesNotMatch(
        readFileSync(primary.logFile, 'utf8'),
        /invalid message format|insufficient data left/,
      );
    });
  });

  it('serves requests that come together with the startup packet, large ones without looking into them', async () => {
    const client = await RawClient.connect(proxy.port);
    const padding = (bytes: number): string => `SELECT 1 -- dblink('${'x'.repeat(bytes)}')`;
    client.write(
      frontend.startup({ user: 'postgres' }),
      frontend.query(padding(100)),
      frontend.query(padding(500_000)),
      frontend.query(padding(2_000_000)),
      frontend.terminate(),
    );
    assert.match(types(await client.messagesToEnd()), /^RS+KZ(TDCZ){3}$/);

    // A parser bomb from somebody who is not logged in goes to the primary, whose business it is, as it came.
    const bomb = frontend.query(
      `SELECT dblink('x', 'y') WHERE ${Array.from({ length: 60_000 }, (_, n) => `a=${n}`).join(' AND ')}`,
    );
    let passed = (_message: Buffer): void => {};
    const arrived = new Promise<Buffer>((resolve) => {
      passed = resolve;
    });
    const unwilling = await fakePrimary(async ({ startup, message, socket }) => {
      await startup();
      socket.write(backend('R', '\0\0\0\x03'));
      passed(await message());
    });
    const guarded = await startRelay(unwilling);
    const stranger = await RawClient.connect(guarded.port);
    stranger.write(frontend.startup({ user: 'postgres' }));
    await stranger.message();
    stranger.write(bomb);
    assert.deepEqual(await lively('the bomb', arrived), bomb);
    stranger.destroy();
    await guarded.stop();
    await unwilling.stop();
  });

  it('takes hundreds of requests in one packet, and answers in order', async () => {
    const { client } = await logIn(proxy.port);
    const count = 2000;
    client.write(...Array.from({ length: count }, (_, n) => frontend.query(`SELECT ${n}`)));
    const rows = (await client.until('Z', count)).filter(({ type }) => type === 'D');
    assert.deepEqual(
      rows.map(({ body }) => Number(body.subarray(6).toString())),
      Array.from({ length: count }, (_, n) => n),
    );
    client.destroy();
  });

  it('adds no listeners while its peer is slow', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    const { client } = await logIn(proxy.port);
    client.write(frontend.query('COPY kept FROM STDIN'));
    await client.until('G');
    const row = frontend.copyData(Buffer.from('1\n'.repeat(20_000)));
    for (let count = 0; count < 100; count += 1) client.write(row);
    client.write(frontend.copyFail('enough'));
    await client.until('Z');
    const queries = Buffer.concat(
      Array.from({ length: 5000 }, () => frontend.query(`SELECT repeat('x', 5000) -- ${'y'.repeat(200)}`)),
    );
    client.write(queries);
    await client.until('Z', 5000);
    client.destroy();
    process.off('warning', note);
    assert.deepEqual(
      warnings.map(({ message }) => message),
      [],
    );
  });
});
