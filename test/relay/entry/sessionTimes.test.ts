import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { primaryServer } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';

/** How long sessions may be idle, or in a transaction. */

describe('the times of a session', () => {
  let primary: PostgresServer;
  const proxies: RelayProxy[] = [];
  before(async () => {
    primary = await primaryServer(18);
  });
  after(() => Promise.all(proxies.map((proxy) => proxy.stop())));

  async function open(
    times: Readonly<Record<string, string>>,
    more: Readonly<Record<string, string>> = {},
  ): Promise<RawClient> {
    const env = Object.fromEntries(
      Object.entries(times).map(([name, value]) => [`DBLINK_PROXY_TIMEOUTS_${name.toUpperCase()}`, value]),
    );
    const proxy = await startRelay(primary, { env });
    proxies.push(proxy);
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'postgres', application_name: 'session_times', ...more }));
    await client.until('Z');
    return client;
  }

  async function run(client: RawClient, sql: string): Promise<string> {
    client.write(frontend.query(sql));
    return (await client.until('Z')).map(({ type }) => type).join('');
  }

  /** What a session is told at its end. */
  async function lastWords(client: RawClient): Promise<string> {
    const message = (await client.messagesToEnd()).at(-1);
    return message?.whole.toString('utf8', 5).replaceAll('\0', ' ').trim() ?? '';
  }

  const told = (code: string, why: string, setting: string): string =>
    `SFATAL VFATAL C${code} Mterminating connection due to ${why} HThe setting "timeouts.${setting}" of the proxy says so.`;

  it('idle outside of a transaction, and not while it works or is in one', async () => {
    const client = await open({ idle: '4s' });
    assert.equal(await run(client, 'SELECT pg_sleep(5)'), 'TDCZ');
    assert.equal(await run(client, 'BEGIN'), 'CZ');
    await new Promise((resolve) => setTimeout(resolve, 5000));
    assert.equal(await run(client, 'COMMIT'), 'CZ');
    // Each request begins the time anew.
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assert.equal(await run(client, 'SELECT 1'), 'TDCZ');
    }
    assert.equal(await lastWords(client), told('57P05', 'idle-session timeout', 'idle'));
  });

  it('idle in a transaction, failed or not', async () => {
    for (const sql of ['BEGIN', 'BEGIN; SELECT 1/0']) {
      const client = await open({ idle_in_transaction: '1s' });
      await run(client, sql);
      assert.equal(
        await lastWords(client),
        told('25P03', 'idle-in-transaction timeout', 'idle_in_transaction'),
      );
    }
  });

  it('in one transaction, whatever it does, and what it does is cancelled', async () => {
    const client = await open({ transaction: '4s' });
    // Many short ones are none that takes long.
    for (let i = 0; i < 6; i++) {
      assert.equal(await run(client, 'SELECT pg_sleep(0.8)'), 'TDCZ');
    }
    await run(client, 'BEGIN');
    client.write(frontend.query('SELECT pg_sleep(600)'));
    assert.match(
      await lastWords(client),
      /^SFATAL VFATAL C25P04 Mterminating connection due to transaction timeout/,
    );
    const admin = await open({});
    await eventually('nothing runs on the primary', async () => {
      admin.write(
        frontend.query(
          "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(600)' AND state = 'active'",
        ),
      );
      const row = (await admin.until('Z')).find(({ type }) => type === 'D');
      assert.equal(row?.whole.toString('utf8', 11), '0');
    });
    admin.destroy();
  });

  it('a batch whose Sync has not come is a transaction, and not idle', async () => {
    const client = await open({ idle: '1s', idle_in_transaction: '1s', transaction: '8s' });
    client.write(
      Buffer.concat([
        frontend.parse('', 'SELECT 1'),
        frontend.bind({}),
        frontend.execute('', 0),
        frontend.flush(),
      ]),
    );
    await client.until('C');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    client.write(Buffer.concat([frontend.parse('', 'SELECT 2'), frontend.flush()]));
    assert.equal((await client.until('1')).at(-1)?.type, '1');
    assert.match(await lastWords(client), /C25P04/);
  });

  it('are not switched off by a client that says that it does not replicate', async () => {
    const client = await open({ idle: '1s' }, { replication: 'false' });
    assert.match(await lastWords(client), /C57P05/);
  });

  it('are none for who replicates', async () => {
    const client = await open({ transaction: '1s', idle: '1s' }, { replication: 'true' });
    client.write(frontend.query('START_REPLICATION 0/0'));
    await client.until('W');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    client.write(frontend.copyDone());
    assert.equal((await client.until('Z')).at(-1)?.type, 'Z');
    client.destroy();
  });
});
