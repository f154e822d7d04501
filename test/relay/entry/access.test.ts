import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { primaryServer } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';
import { PROXY_TLS } from '../../support/tlsFiles.js';
import { frontend } from '../../support/wire.js';

/** Who may ask for a session at all (setting `access`). */

describe('access', () => {
  let primary: PostgresServer;
  const proxies: RelayProxy[] = [];
  before(async () => {
    primary = await primaryServer(18);
  });
  after(() => Promise.all(proxies.map((proxy) => proxy.stop())));

  async function proxyWith(access: readonly object[], flags: object = {}): Promise<RelayProxy> {
    const env = { DBLINK_PROXY_ACCESS: JSON.stringify(access) };
    const proxy = await startRelay(primary, { env, flags: { ...flags } });
    proxies.push(proxy);
    return proxy;
  }

  /** What the client gets last: `Z` if it is let in, else the error's fields. */
  async function tries(
    proxy: RelayProxy,
    parameters: Readonly<Record<string, string>>,
    last: 'Z' | 'E' = 'E',
  ): Promise<string> {
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ ...parameters }));
    const message = (await client.until(last)).at(-1)!;
    client.destroy();
    return last === 'Z' ? 'Z' : message.whole.toString('utf8', 5).replaceAll('\0', ' ').trim();
  }

  it('the first rule that fits decides, and nobody is let in without one', async () => {
    const proxy = await proxyWith([
      { deny: { user: 'x*', client: '127.0.0.1' } },
      { deny: { database: ['template*', 'other'] } },
      { allow: { client: '127.0.0.0/8', user: 'postgres' } },
    ]);
    assert.equal(await tries(proxy, { user: 'postgres' }, 'Z'), 'Z');
    for (const [user, database] of [
      ['postgres', 'template1'],
      ['postgres', 'other'],
      ['postgresql', 'postgres'],
    ] as const)
      assert.equal(
        await tries(proxy, { user, database }),
        `SFATAL VFATAL C28000 Maccess rejected for host "127.0.0.1", user "${user}", database "${database}", no encryption HSee the setting "access" of the proxy.`,
      );
    // A user without a database means the one of its own name.
    assert.match(await tries(proxy, { user: 'other' }), /database "other"/);
  });

  it('is by address, and asks for TLS', async () => {
    const elsewhere = await proxyWith([{ allow: { client: ['10.0.0.0/8', '::1'] } }]);
    assert.match(await tries(elsewhere, { user: 'postgres' }), /C28000/);
    const secure = await proxyWith([{ allow: { tls: true, client: 'loopback' } }], PROXY_TLS);
    assert.match(await tries(secure, { user: 'postgres' }), /C28000 .* no encryption/);
    const encrypted = await RawClient.connect(secure.port);
    await encrypted.startTls();
    encrypted.write(frontend.startup({ user: 'postgres' }));
    await encrypted.until('Z');
    encrypted.destroy();
  });

  it('keeps the primary from hearing of who is kept out', async () => {
    let heard = 0;
    const listener = createServer((socket) => {
      heard++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const { port } = listener.address() as AddressInfo;
    const env = { DBLINK_PROXY_ACCESS: JSON.stringify([{ deny: { user: 'postgres' } }, { allow: {} }]) };
    const proxy = await startRelay({ port }, { env });
    try {
      for (let i = 0; i < 20; i++) assert.match(await tries(proxy, { user: 'postgres' }), /C28000/);
      assert.equal(heard, 0);
      assert.match(await tries(proxy, { user: 'other' }), /C08/);
      assert.ok(heard > 0);
    } finally {
      await proxy.stop();
      listener.close();
    }
  });
});
