import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';

/** A primary that has the extension itself: the setting dblink.calls says who answers. */

describe('a primary that has the extension', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  const proxies: TestProxy[] = [];

  before(async () => {
    primary = await extensionServer(18);
    remote = await primaryServer(18);
    const url = await createDatabase(primary, 'extension_primary');
    await execute(
      url,
      `CREATE EXTENSION dblink;
       CREATE FUNCTION inside() RETURNS text[] LANGUAGE sql AS 'SELECT dblink_get_connections()'`,
    );
  });
  after(() => Promise.all(proxies.map((proxy) => proxy.stop())));

  async function connect(calls: string | undefined): Promise<Client> {
    const proxy = await startTestProxy(primary, {
      env: calls === undefined ? {} : { DBLINK_PROXY_DBLINK_CALLS: calls },
    });
    proxies.push(proxy);
    const client = new Client({
      host: proxy.host,
      port: proxy.port,
      user: 'postgres',
      database: 'extension_primary',
    });
    await client.connect();
    return client;
  }

  /** Connections that a call of the client's own sees, and one inside a function of the primary. */
  async function connections(client: Client): Promise<{ readonly own: unknown; readonly inside: unknown }> {
    await client.query('SELECT dblink_connect($1, $2)', ['c', remote.url()]);
    const { rows: own } = await client.query('SELECT dblink_get_connections() AS names');
    const { rows: inside } = await client.query('SELECT inside() AS names');
    return { own: own[0].names, inside: inside[0].names };
  }

  it('leaves calls of the client to the proxy, unless told otherwise', async () => {
    for (const calls of [undefined, 'proxy']) {
      const client = await connect(calls);
      assert.deepEqual(await connections(client), { own: ['c'], inside: null });
      const { rows } = await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)");
      assert.deepEqual(rows, [{ a: 1 }]);
      await client.end();
    }
  });

  it('leaves them to the extension with calls: primary', async () => {
    const client = await connect('primary');
    assert.deepEqual(await connections(client), { own: ['c'], inside: ['c'] });
    const { rows } = await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)");
    assert.deepEqual(rows, [{ a: 1 }]);
    await client.end();
  });

  it('carries them out with calls: primary where the database has no extension', async () => {
    const proxy = await startTestProxy(primary, { env: { DBLINK_PROXY_DBLINK_CALLS: 'primary' } });
    proxies.push(proxy);
    const client = new Client({ host: proxy.host, port: proxy.port, user: 'postgres', database: 'postgres' });
    await client.connect();
    await client.query('DROP EXTENSION IF EXISTS dblink');
    await client.query('SELECT dblink_connect($1, $2)', ['c', remote.url()]);
    const { rows } = await client.query('SELECT dblink_get_connections() AS names');
    assert.deepEqual(rows, [{ names: ['c'] }]);
    await client.end();
  });
});
