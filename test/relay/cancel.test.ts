import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../src/embedded/index.js';
import { untilSleeping } from '../support/activity.js';
import { eventually } from '../support/eventually.js';
import { asQuickAs, timed } from '../support/pace.js';
import { execute, primaryServer } from '../support/postgres.js';
import { type Message, RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, type RelayProxy, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';

describe('cancel requests', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;
  before(async () => {
    primary = await primaryServer(18);
    proxy = await startRelay(primary);
    await execute(primary.url(), 'CREATE TABLE kept (n int)');
  });
  after(() => proxy?.stop());

  const keyOf = (startup: readonly Message[]): { pid: number; secret: Buffer } => {
    const body = startup.find(({ type }) => type === 'K')!.body;
    return { pid: body.readInt32BE(0), secret: body.subarray(4) };
  };

  /** Sends a CancelRequest and waits until the connection for it is closed; nothing must come back. */
  async function cancel(pid: number, secret: Buffer, port = proxy.port): Promise<void> {
    const client = await RawClient.connect(port);
    client.write(frontend.cancelRequest(pid, secret));
    assert.equal((await client.toEnd()).length, 0);
  }

  for (const [version, name] of [
    [0x30000, '3.0'],
    [0x30002, '3.2'],
  ] as const) {
    it(`stop what the session is doing as soon as on a direct connection, with the keys of protocol ${name}`, async () => {
      /** How long it takes from the request to the end of the statement. */
      const stopped = (port: number) => async (): Promise<number> => {
        const client = await RawClient.connect(port);
        const tag = `cancel ${name} ${port}`;
        client.write(frontend.startup({ user: 'postgres', application_name: tag }, version));
        const { pid, secret } = keyOf(await client.until('Z'));
        client.write(frontend.query('SELECT pg_sleep(600)'));
        await untilSleeping(primary, tag);
        const ms = await timed(async () => {
          await cancel(pid, secret, port);
          const messages = await client.until('Z');
          assert.equal(messages.find(({ type }) => type === 'E')?.fields['C'], '57014');
        });
        assert.equal(firstValue(await query(client, 'SELECT 1')), '1');
        client.destroy();
        return ms;
      };
      await asQuickAs('a cancel', stopped(proxy.port), stopped(primary.port));
    });
  }

  it('stop a statement of the extended protocol and a COPY that waits for data', async () => {
    const { client, startup } = await logIn(proxy.port, { application_name: 'cancel others' });
    const { pid, secret } = keyOf(startup);
    client.write(
      frontend.parse('', 'SELECT pg_sleep(600)'),
      frontend.bind({}),
      frontend.execute('', 0),
      frontend.sync(),
    );
    await untilSleeping(primary, 'cancel others');
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

  it('with a wrong key, or another session’s, do nothing; the process id is the primary’s', async () => {
    const { client, startup } = await logIn(proxy.port, { application_name: 'not cancelled' });
    const other = await logIn(proxy.port);
    const { pid, secret } = keyOf(startup);
    const backendPid = Number(firstValue(await query(client, 'SELECT pg_backend_pid()')));
    assert.equal(pid, backendPid);
    // Ends when the primary is told so, behind all the requests.
    const lock = await logIn(proxy.port);
    await query(lock.client, 'BEGIN; LOCK TABLE kept');
    client.write(frontend.query("SELECT 'done' FROM (SELECT count(*) FROM kept) AS s"));
    await eventually('the statement waits', async () => {
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE pid = ${backendPid} AND wait_event_type = 'Lock'`;
      return (await execute(primary.url(), waiting)).length > 0;
    });
    const flipped = Buffer.from(secret);
    flipped[0]! ^= 1;
    await cancel(pid, flipped);
    await cancel(pid, keyOf(other.startup).secret);
    await cancel(pid + 1, secret);
    await cancel(pid, Buffer.alloc(4));
    await cancel(pid, Buffer.alloc(256));
    for (let tries = 0; tries < 200; tries += 1) await cancel(pid, Buffer.from([1, 2, 3, tries]));
    await query(lock.client, 'COMMIT');
    lock.client.destroy();
    assert.equal(types(await client.until('Z')), 'TDCZ');
    client.destroy();
    other.client.destroy();
  });

  it('of an absurd length are closed without a word', async () => {
    for (const length of [0, 257, 9000]) {
      const client = await RawClient.connect(proxy.port);
      client.write(frontend.cancelRequest(1, Buffer.alloc(length)));
      assert.equal((await client.toEnd()).length, 0);
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
