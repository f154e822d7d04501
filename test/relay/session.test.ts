import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../src/embedded/index.js';
import { header } from '../support/fakePrimary.js';
import { execute, primaryServer } from '../support/postgres.js';
import { type Message, RawClient, split } from '../support/rawClient.js';
import { firstValue, logIn, query, type RelayProxy, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';

/** Waits for something to become true, for two seconds at most. */
async function eventually(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 2000;
  while (!(await check())) {
    if (performance.now() > deadline) assert.fail(`${what}: not in two seconds`);
    await delay(20);
  }
}

describe('a session', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;
  before(async () => {
    primary = await primaryServer(18);
    proxy = await startRelay(primary);
    await execute(primary.url(), 'CREATE TABLE kept (n int)');
  });
  after(() => proxy?.stop());

  /** The number of the primary's sessions that have this name. */
  async function backends(name: string): Promise<number> {
    const rows = await execute(
      primary.url(),
      `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = '${name}'`,
    );
    return rows[0]?.[0] as number;
  }

  /** Waits until the session of this name runs a statement, as the primary sees it. */
  const runs = (name: string): Promise<void> =>
    eventually(`${name} runs`, async () => {
      const rows = await execute(
        primary.url(),
        `SELECT 1 FROM pg_stat_activity WHERE application_name = '${name}' AND state = 'active' AND wait_event = 'PgSleep'`,
      );
      return rows.length > 0;
    });

  describe('cancel requests', () => {
    const keyOf = (startup: readonly Message[]): { pid: number; secret: Buffer } => {
      const body = startup.find(({ type }) => type === 'K')!.body;
      return { pid: body.readInt32BE(0), secret: body.subarray(4) };
    };

    /** Sends a CancelRequest and waits until the connection for it is closed; nothing must come back. */
    async function cancel(pid: number, secret: Buffer): Promise<void> {
      const client = await RawClient.connect(proxy.port);
      client.write(frontend.cancelRequest(pid, secret));
      assert.equal((await client.toEnd()).length, 0);
    }

    for (const [version, name] of [
      [0x30000, '3.0'],
      [0x30002, '3.2'],
    ] as const) {
      it(`stop what the session is doing, with the keys of protocol ${name}`, async () => {
        const client = await RawClient.connect(proxy.port);
        client.write(frontend.startup({ user: 'postgres', application_name: `cancel ${name}` }, version));
        const { pid, secret } = keyOf(await client.until('Z'));
        const since = performance.now();
        client.write(frontend.query('SELECT pg_sleep(30)'));
        await runs(`cancel ${name}`);
        await cancel(pid, secret);
        const messages = await client.until('Z');
        assert.equal(messages.find(({ type }) => type === 'E')?.fields['C'], '57014');
        assert.ok(performance.now() - since < 5000);
        assert.equal(firstValue(await query(client, 'SELECT 1')), '1');
        client.destroy();
      });
    }

    it('stop a statement of the extended protocol and a COPY that waits for data', async () => {
      const { client, startup } = await logIn(proxy.port, { application_name: 'cancel others' });
      const { pid, secret } = keyOf(startup);
      client.write(
        frontend.parse('', 'SELECT pg_sleep(30)'),
        frontend.bind({}),
        frontend.execute('', 0),
        frontend.sync(),
      );
      await runs('cancel others');
      await cancel(pid, secret);
      assert.equal(types(await client.until('Z')), '12EZ');

      client.write(frontend.query('COPY kept FROM STDIN'));
      await client.until('G');
      await cancel(pid, secret);
      client.write(frontend.copyData(Buffer.from('1\n')), frontend.copyDone());
      const messages = await client.until('Z');
      assert.equal(messages[0]?.fields['C'], '57014');
      client.destroy();
    });

    it('with a wrong key, another session’s, or the primary’s own do nothing', async () => {
      const { client, startup } = await logIn(proxy.port, { application_name: 'not cancelled' });
      const other = await logIn(proxy.port);
      const { pid, secret } = keyOf(startup);
      const backendPid = Number(firstValue(await query(client, 'SELECT pg_backend_pid()')));
      assert.notEqual(pid, backendPid);
      client.write(frontend.query("SELECT pg_sleep(0.7), 'done'"));
      await runs('not cancelled');
      const flipped = Buffer.from(secret);
      flipped[0]! ^= 1;
      await cancel(pid, flipped);
      await cancel(pid, keyOf(other.startup).secret);
      await cancel(pid + 1, secret);
      await cancel(backendPid, secret);
      await cancel(pid, Buffer.alloc(4));
      await cancel(pid, Buffer.alloc(256));
      for (let tries = 0; tries < 200; tries += 1) await cancel(pid, Buffer.from([1, 2, 3, tries]));
      assert.equal(types(await client.until('Z')), 'TDCZ');
      client.destroy();
      other.client.destroy();
    });

    it('of an absurd length are refused', async () => {
      for (const length of [0, 257, 9000]) {
        const client = await RawClient.connect(proxy.port);
        client.write(frontend.cancelRequest(1, Buffer.alloc(length)));
        const messages = split(await client.toEnd());
        assert.equal(messages[0]?.fields['C'], '08P01');
      }
    });

    it('for a session that does nothing hit nothing afterwards', async () => {
      const { client, startup } = await logIn(proxy.port);
      const { pid, secret } = keyOf(startup);
      await cancel(pid, secret);
      assert.equal(types(await query(client, 'SELECT pg_sleep(0.05)')), 'TDCZ');
      client.write(frontend.parse('', 'SELECT 1'), frontend.flush());
      await client.until('1');
      await cancel(pid, secret);
      client.write(frontend.bind({}), frontend.execute('', 0), frontend.sync());
      assert.equal(types(await client.until('Z')), '2DCZ');
      client.destroy();
    });

    it('that race with the end of a statement never hit the next one', async () => {
      const { client, startup } = await logIn(proxy.port);
      const { pid, secret } = keyOf(startup);
      let hits = 0;
      for (let round = 0; round < 100; round += 1) {
        // About as long as a cancel request takes, so that some come too late.
        client.write(frontend.query(`SELECT pg_sleep(${(round % 10) / 2000})`));
        const cancelled = cancel(pid, secret);
        if (types(await client.until('Z')).includes('E')) hits += 1;
        await cancelled;
        assert.equal(types(await query(client, 'SELECT pg_sleep(0.002)')), 'TDCZ', `round ${round}`);
      }
      assert.ok(hits > 0, 'none of them was in time, so nothing was tested');
      client.destroy();
    });

    it('that race with pipelined requests leave every one answered', async () => {
      const { client, startup } = await logIn(proxy.port);
      const { pid, secret } = keyOf(startup);
      for (let round = 0; round < 20; round += 1) {
        client.write(...Array.from({ length: 10 }, () => frontend.query('SELECT pg_sleep(0.001)')));
        await Promise.all([cancel(pid, secret), cancel(pid, secret)]);
        const answers = (await client.until('Z', 10)).map(({ type }) => type);
        assert.equal(answers.filter((type) => type === 'Z').length, 10);
        assert.equal(answers.filter((type) => type === 'C' || type === 'E').length, 10);
      }
      client.destroy();
    });
  });

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
      it(`${name}: 08P01, and that connection is closed`, async () => {
        const { client } = await logIn(proxy.port, { application_name: 'malformed' });
        client.write(bytes);
        const messages = await client.messagesToEnd();
        assert.equal(types(messages), 'E');
        assert.deepEqual([messages[0]!.fields['C'], messages[0]!.fields['S']], ['08P01', 'FATAL']);
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
      await eventually('the primary’s sessions end', async () => (await backends('malformed')) === 0);
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
      await eventually('the primary’s sessions end', async () => (await backends('goodbye')) === 0);
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
        await eventually('the primary’s session ends', async () => (await backends('lost')) === 0);
      }
      assert.equal((await execute(primary.url(), 'SELECT 1 FROM kept')).length, 0);
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
        await eventually('the primary’s session ends', async () => (await backends('half')) === 0);
      }
      assert.equal((await execute(primary.url(), 'SELECT 1 FROM kept')).length, 0);
      assert.doesNotMatch(
        readFileSync(primary.logFile, 'utf8'),
        /invalid message format|insufficient data left/,
      );
    });
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
    await client.until('Z', 5000, 30_000);
    client.destroy();
    process.off('warning', note);
    assert.deepEqual(
      warnings.map(({ message }) => message),
      [],
    );
  });

  describe('at a shutdown', () => {
    it('is ended with 57P01 when idle; in a transaction it may finish that first', async () => {
      const leaving = await startRelay(primary);
      const idle = await logIn(leaving.port);
      const inBlock = await logIn(leaving.port);
      const running = await logIn(leaving.port);
      await query(inBlock.client, 'BEGIN; INSERT INTO kept VALUES (5)');
      running.client.write(frontend.query("SELECT pg_sleep(0.4), 'done'"));
      await delay(50);
      const since = performance.now();
      const stopped = leaving.stop(10_000);

      const messages = await idle.client.messagesToEnd();
      assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '57P01']);
      await assert.rejects(RawClient.connect(leaving.port), { code: 'ECONNREFUSED' });

      // Not cut short: the statement's own end comes before the session's.
      const answer = await running.client.messagesToEnd();
      assert.deepEqual([types(answer), answer.at(-1)?.fields['C']], ['TDCZE', '57P01']);

      assert.equal(types(await query(inBlock.client, 'INSERT INTO kept VALUES (6)')), 'CZ');
      inBlock.client.write(frontend.query('COMMIT'));
      const last = await inBlock.client.messagesToEnd();
      assert.deepEqual([types(last), last.at(-1)?.fields['C']], ['CZE', '57P01']);
      await stopped;
      assert.ok(performance.now() - since < 5000);
      assert.equal((await execute(primary.url(), 'SELECT 1 FROM kept WHERE n IN (5, 6)')).length, 2);
      await execute(primary.url(), 'DELETE FROM kept');
    });

    it('is ended at the limit, and what it ran is cancelled', async () => {
      const leaving = await startRelay(primary);
      const running = await logIn(leaving.port, { application_name: 'too long' });
      const inBlock = await logIn(leaving.port, { application_name: 'too long' });
      await query(inBlock.client, 'BEGIN');
      running.client.write(frontend.query('SELECT pg_sleep(30)'));
      await runs('too long');
      const since = performance.now();
      await leaving.stop(300);
      const elapsed = performance.now() - since;
      assert.ok(elapsed >= 290 && elapsed < 2000, `${elapsed} ms`);
      for (const { client } of [running, inBlock]) {
        const messages = await client.messagesToEnd();
        assert.equal(messages.at(-1)?.fields['C'], '57P01');
      }
      await eventually('nothing goes on in the primary', async () => (await backends('too long')) === 0);
    });

    it('does not wait for connections that have not logged in', async () => {
      const leaving = await startRelay(primary);
      const silent = await RawClient.connect(leaving.port);
      const since = performance.now();
      await leaving.stop(5000);
      await silent.toEnd();
      assert.ok(performance.now() - since < 2000);
    });
  });
});
