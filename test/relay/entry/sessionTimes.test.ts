import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { primaryServer } from '../../support/postgres.js';
import type { RawClient } from '../../support/rawClient.js';
import { firstValue, logIn, query, startRelay } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';
import { MovableClock } from './movableClock.js';

/** How long sessions may be idle, or in a transaction, by a clock that the test moves. */

describe('the times of a session', () => {
  let primary: PostgresServer;
  let admin: RawClient;
  const stops: (() => Promise<unknown>)[] = [];
  before(async () => {
    primary = await primaryServer(18);
    ({ client: admin } = await logIn(primary.port));
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
  after(() => admin?.destroy());

  async function open(
    times: Readonly<Record<string, string>>,
    more: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly client: RawClient; readonly clock: MovableClock }> {
    const env = Object.fromEntries(
      Object.entries(times).map(([name, value]) => [`DBLINK_PROXY_TIMEOUTS_${name.toUpperCase()}`, value]),
    );
    const clock = new MovableClock();
    const proxy = await startRelay(primary, { env, clock });
    stops.push(() => proxy.stop());
    const { client } = await logIn(proxy.port, { application_name: 'session_times', ...more });
    stops.push(async () => client.destroy());
    return { client, clock };
  }

  async function run(client: RawClient, sql: string): Promise<string> {
    return (await query(client, sql)).map(({ type }) => type).join('');
  }

  /** Begins a statement that does not end, and waits until the primary carries it out. */
  async function begin(client: RawClient): Promise<void> {
    client.write(frontend.query('SELECT pg_sleep(600)'));
    await eventually('the primary works', async () => assert.equal(await sleepers(), '1'));
  }

  const sleepers = async (act = 'count(*)'): Promise<string | undefined> =>
    firstValue(
      await query(
        admin,
        `SELECT ${act} FROM pg_stat_activity WHERE application_name = 'session_times' AND state = 'active' AND query LIKE '%sleep(600)'`,
      ),
    );

  /** What a session is told at its end. */
  async function lastWords(client: RawClient): Promise<string> {
    const message = (await client.messagesToEnd()).at(-1);
    return message?.whole.toString('utf8', 5).replaceAll('\0', ' ').trim() ?? '';
  }

  const told = (code: string, why: string, setting: string): string =>
    `SFATAL VFATAL C${code} Mterminating connection due to ${why} HThe setting "timeouts.${setting}" of the proxy says so.`;

  it('idle outside of a transaction, and not while it works or is in one', async () => {
    const { client, clock } = await open({ idle: '4s' });
    await begin(client);
    clock.move(60_000);
    await sleepers('pg_cancel_backend(pid)');
    await client.until('Z');
    assert.equal(await run(client, 'BEGIN'), 'CZ');
    clock.move(60_000);
    assert.equal(await run(client, 'COMMIT'), 'CZ');
    // Each request begins the time anew.
    for (let i = 0; i < 5; i++) {
      clock.move(3500);
      assert.equal(await run(client, 'SELECT 1'), 'TDCZ');
    }
    // One look finds it idle, and another one that it has been so for as long.
    clock.move(4500);
    assert.equal(await lastWords(client), told('57P05', 'idle-session timeout', 'idle'));
  });

  it('idle in a transaction, failed or not', async () => {
    for (const sql of ['BEGIN', 'BEGIN; SELECT 1/0']) {
      const { client, clock } = await open({ idle_in_transaction: '4s' });
      await run(client, sql);
      clock.move(3500);
      assert.equal((await run(client, 'SELECT 1')).at(-1), 'Z');
      clock.move(4500);
      assert.equal(
        await lastWords(client),
        told('25P03', 'idle-in-transaction timeout', 'idle_in_transaction'),
      );
    }
  });

  it('in one transaction, whatever it does, and what it does is cancelled', async () => {
    const { client, clock } = await open({ transaction: '4s' });
    // Many short ones are none that takes long.
    for (let i = 0; i < 6; i++) {
      assert.equal(await run(client, 'SELECT 1'), 'TDCZ');
      clock.move(1000);
    }
    await run(client, 'BEGIN');
    clock.move(2000);
    await begin(client);
    clock.move(2500);
    assert.match(
      await lastWords(client),
      /^SFATAL VFATAL C25P04 Mterminating connection due to transaction timeout/,
    );
    await eventually('nothing runs on the primary', async () => assert.equal(await sleepers(), '0'));
  });

  it('a batch whose Sync has not come is a transaction, and not idle', async () => {
    const { client, clock } = await open({ idle: '1s', idle_in_transaction: '1s', transaction: '8s' });
    client.write(
      Buffer.concat([
        frontend.parse('', 'SELECT 1'),
        frontend.bind({}),
        frontend.execute('', 0),
        frontend.flush(),
      ]),
    );
    await client.until('C');
    clock.move(4000);
    client.write(Buffer.concat([frontend.parse('', 'SELECT 2'), frontend.flush()]));
    assert.equal((await client.until('1')).at(-1)?.type, '1');
    clock.move(4500);
    assert.match(await lastWords(client), /C25P04/);
  });

  it('are not switched off by a client that says that it does not replicate', async () => {
    const { client, clock } = await open({ idle: '1s' }, { replication: 'false' });
    clock.move(1500);
    assert.match(await lastWords(client), /C57P05/);
  });

  it('are none for who replicates', async () => {
    const { client, clock } = await open({ transaction: '1s', idle: '1s' }, { replication: 'true' });
    client.write(frontend.query('START_REPLICATION 0/0'));
    await client.until('W');
    clock.move(60_000);
    client.write(frontend.copyDone());
    assert.equal((await client.until('Z')).at(-1)?.type, 'Z');
  });
});
