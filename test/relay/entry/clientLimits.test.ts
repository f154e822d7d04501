import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { primaryServer } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';

/** How many clients there may be, of whom, and who gets in nonetheless. */

describe('limits of clients', () => {
  let primary: PostgresServer;
  const proxies: RelayProxy[] = [];
  before(async () => {
    primary = await primaryServer(18);
    const admin = await enter(await startAt({}), 'postgres');
    for (const user of ['limits_a', 'limits_b', 'limits_operator']) {
      admin.write(frontend.query(`CREATE ROLE ${user} LOGIN`));
      await admin.until('Z');
    }
    admin.destroy();
  });
  after(() => Promise.all(proxies.map((proxy) => proxy.stop())));

  async function startAt(
    limits: Readonly<Record<string, string>>,
    more: Readonly<Record<string, string>> = {},
  ): Promise<RelayProxy> {
    const env = Object.fromEntries(
      Object.entries(limits).map(([name, value]) => [`DBLINK_PROXY_LIMITS_${name.toUpperCase()}`, value]),
    );
    const proxy = await startRelay(primary, { env: { ...env, ...more } });
    proxies.push(proxy);
    return proxy;
  }

  async function enter(proxy: RelayProxy, user: string, database = 'postgres'): Promise<RawClient> {
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user, database }));
    assert.equal((await client.until('Z')).at(-1)?.type, 'Z', `${user} was let in`);
    return client;
  }

  /** What somebody is told who does not get in. */
  async function refused(proxy: RelayProxy, user: string, database = 'postgres'): Promise<string> {
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user, database }));
    const [message] = await client.messagesToEnd();
    assert.equal(message?.type, 'E');
    return message.whole.toString('utf8', 5).replaceAll('\0', ' ').trim();
  }

  const tooMany = (setting: string, limit: number): string =>
    `SFATAL VFATAL C53300 Msorry, too many clients already: the setting "limits.${setting}" of the proxy is ${limit}`;

  it('of one user, and a place is free again when its client has gone', async () => {
    const proxy = await startAt({ clients_per_user: '2' });
    const [first, second] = [await enter(proxy, 'limits_a'), await enter(proxy, 'limits_a')];
    assert.equal(await refused(proxy, 'limits_a'), tooMany('clients_per_user', 2));
    const other = await enter(proxy, 'limits_b');
    first.destroy();
    let again: RawClient | undefined;
    await eventually('there is a place again', async () => {
      again = await enter(proxy, 'limits_a');
    });
    for (const client of [second, other, again]) client?.destroy();
  });

  it('of one database, whoever they are, named or not', async () => {
    const proxy = await startAt({ clients_per_database: '1' });
    const first = await enter(proxy, 'limits_a');
    assert.equal(await refused(proxy, 'limits_b'), tooMany('clients_per_database', 1));
    assert.equal(await refused(proxy, 'postgres', ''), tooMany('clients_per_database', 1));
    (await enter(proxy, 'limits_b', 'template1')).destroy();
    first.destroy();
  });

  it('of one address, also for those who say that they operate', async () => {
    const proxy = await startAt({ clients_per_address: '1', reserved_users: 'limits_operator' });
    const first = await enter(proxy, 'limits_a');
    for (const user of ['limits_b', 'limits_operator'])
      assert.equal(await refused(proxy, user, 'template1'), tooMany('clients_per_address', 1));
    first.destroy();
  });

  it('are waited for by those who may, the first of whom there is room for is the next one', async () => {
    const proxy = await startAt({ clients: '2', clients_per_user: '1', waiting_clients: '2' });
    const clients = [await enter(proxy, 'limits_a'), await enter(proxy, 'limits_b')];
    const wait = async (user: string): Promise<RawClient> => {
      const client = await RawClient.connect(proxy.port);
      client.write(frontend.startup({ user, database: 'postgres' }));
      return client;
    };
    const [own, other] = [await wait('limits_a'), await wait('limits_operator')];
    // Who comes when as many wait as may is told at once.
    assert.equal(await refused(proxy, 'limits_b'), tooMany('clients', 2));
    clients[1]!.destroy();
    assert.equal((await other.until('Z')).at(-1)?.type, 'Z');
    assert.equal(own.buffered.length, 0);
    clients[0]!.destroy();
    assert.equal((await own.until('Z')).at(-1)?.type, 'Z');
    for (const client of [own, other]) client.destroy();
  });

  it('are waited for until the time for a login is up, and the words are those of the limit', async () => {
    const proxy = await startAt(
      { clients: '1', waiting_clients: '1' },
      { DBLINK_PROXY_TIMEOUTS_LOGIN: '500ms' },
    );
    const first = await enter(proxy, 'limits_a');
    assert.equal(await refused(proxy, 'limits_b'), tooMany('clients', 1));
    first.destroy();
  });

  it('of all, with places for those who operate', async () => {
    const proxy = await startAt({
      clients: '3',
      reserved_clients: '1',
      reserved_users: 'limits_operator',
      clients_per_user: '2',
    });
    const clients = [await enter(proxy, 'limits_a'), await enter(proxy, 'limits_a')];
    assert.match(
      await refused(proxy, 'limits_b'),
      /C53300 Mremaining clients are reserved: the setting "limits.reserved_clients" of the proxy is 1 H/,
    );
    clients.push(await enter(proxy, 'limits_operator'));
    for (const user of ['limits_operator', 'limits_b'])
      assert.equal(await refused(proxy, user), tooMany('clients', 3));
    for (const client of clients) client.destroy();
  });
});
