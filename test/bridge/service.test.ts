import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, type ClientConfig, type DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { execute, primaryServer } from '../support/postgres.js';
import { type RelayProxy, startRelay } from '../support/relay.js';
import { PROXY_TLS } from '../support/tlsFiles.js';

/** Who the proxy is when it answers a function of the primary: docs/bridge.md, "What is needed". */

const PASSWORD = 'pä$$ wörd';

describe('the service connections of the bridge', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  const proxies: RelayProxy[] = [];

  before(async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    primary = await startPostgres({
      installation,
      hba: [
        'local all all trust',
        'host all postgres all trust',
        'host all trusted all trust',
        'host all all all scram-sha-256',
      ],
    });
    remote = await primaryServer(18);
    await execute(
      primary.url(),
      `CREATE ROLE trusted LOGIN; CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE service LOGIN PASSWORD '${PASSWORD}'`,
    );
  });
  after(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await primary?.stop('immediate');
  });

  /** A database of its own, of the named role, which may make the schema dblink_proxy and the functions of the bridge there. */
  async function database(name: string, owner: string): Promise<void> {
    await execute(primary.url(), `CREATE DATABASE ${name} OWNER ${owner}`);
    await execute(primary.url(name), 'GRANT CREATE ON SCHEMA public TO app, trusted');
  }

  async function proxyWith(account: string, flags: Record<string, unknown> = {}): Promise<RelayProxy> {
    const proxy = await startRelay(primary, {
      flags: { primary: `postgres://${account}127.0.0.1:${primary.port}/?sslmode=disable`, ...flags },
    });
    proxies.push(proxy);
    return proxy;
  }

  /** A function that calls dblink, called through the proxy. @returns what it returned */
  async function call(proxy: RelayProxy, config: ClientConfig): Promise<string> {
    const client = new Client({ host: '127.0.0.1', port: proxy.port, ...config });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query('CREATE EXTENSION IF NOT EXISTS dblink');
      await client.query(
        `CREATE OR REPLACE FUNCTION remote_user() RETURNS text LANGUAGE plpgsql AS $$
           DECLARE found text;
           BEGIN
             SELECT u INTO found FROM dblink('host=127.0.0.1 port=${remote.port} dbname=postgres user=postgres password=x', 'SELECT current_user || 1') AS t(u text);
             RETURN found;
           EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
           END $$`,
      );
      const { rows } = await client.query<{ found: string }>('SELECT remote_user() AS found');
      return rows[0]!.found;
    } finally {
      await client.end();
    }
  }

  const serviceUsers = async (name: string): Promise<unknown[]> =>
    (
      await execute(
        primary.url(),
        `SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = '${name}' AND application_name = 'dblink-proxy'`,
      )
    ).map(([user]) => user);

  /** The remote trusts everybody, which is not good enough for a non-superuser (behaviour reference, section 9). */
  const REFUSED = '2F003';

  it('use the account of the setting, which needs no more than to make a schema', async () => {
    await database('account', 'service');
    const proxy = await proxyWith(`service:${encodeURIComponent(PASSWORD)}@`);
    assert.equal(await call(proxy, { user: 'postgres', database: 'account' }), 'postgres1');
    assert.deepEqual(await serviceUsers('account'), ['service']);
    await execute(primary.url('account'), 'DROP FUNCTION remote_user()');
    assert.equal(await call(proxy, { user: 'app', password: PASSWORD, database: 'account' }), REFUSED);
    assert.deepEqual(await serviceUsers('account'), ['service']);
  });

  it("use the session's own user where the primary trusts it", async () => {
    await database('own', 'trusted');
    const proxy = await proxyWith('');
    assert.equal(await call(proxy, { user: 'trusted', database: 'own' }), REFUSED);
    assert.deepEqual(await serviceUsers('own'), ['trusted']);
  });

  it('use the password that auth: password knows', async () => {
    await database('known', 'app');
    const proxy = await proxyWith('', { auth: 'password', ...PROXY_TLS });
    const config = { user: 'app', password: PASSWORD, database: 'known', ssl: { rejectUnauthorized: false } };
    assert.equal(await call(proxy, config), REFUSED);
    assert.deepEqual(await serviceUsers('known'), ['app']);
  });

  it('say what to configure when there are none', async () => {
    await database('none', 'service');
    const installer = await proxyWith(`service:${encodeURIComponent(PASSWORD)}@`);
    await call(installer, { user: 'postgres', database: 'none' });
    const proxy = await proxyWith('');
    const client = new Client({
      host: '127.0.0.1',
      port: proxy.port,
      user: 'app',
      password: PASSWORD,
      database: 'none',
    });
    client.on('error', () => undefined);
    await client.connect();
    try {
      for (const sql of [
        "DO $$ BEGIN PERFORM dblink_connect('x'); END $$",
        "SELECT dblink_exec('c', 'x' || n) FROM generate_series(1, 2) n",
      ]) {
        await assert.rejects(client.query(sql), (error: DatabaseError) => {
          assert.equal(error.code, '08001', error.message);
          assert.match(error.message, /no connection of its own/);
          assert.match(error.hint ?? '', /--primary postgres:\/\/user/);
          return true;
        });
        assert.equal((await client.query("SELECT 'usable' AS u")).rows[0].u, 'usable');
      }
    } finally {
      await client.end();
    }
  });

  it('say which privilege is missing', async () => {
    await execute(primary.url(), 'CREATE DATABASE forbidden');
    const proxy = await proxyWith(`service:${encodeURIComponent(PASSWORD)}@`);
    await assert.rejects(call(proxy, { user: 'postgres', database: 'forbidden' }), (error: DatabaseError) => {
      assert.equal(error.code, '42501');
      assert.match(error.message, /schema dblink_proxy cannot be made in database "forbidden"/);
      assert.match(error.detail ?? '', /permission denied for database forbidden/);
      return true;
    });
  });

  it('refuse a schema that somebody else has made in the place of theirs', async () => {
    await database('planted', 'service');
    await execute(primary.url(), 'GRANT CREATE ON DATABASE planted TO app');
    const app = `postgres://app:${encodeURIComponent(PASSWORD)}@127.0.0.1:${primary.port}/planted`;
    await execute(
      app,
      `CREATE SCHEMA dblink_proxy; COMMENT ON SCHEMA dblink_proxy IS 'dblink-proxy bridge 1';
       CREATE FUNCTION dblink_proxy.hold(key bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'`,
    );
    const proxy = await proxyWith(`service:${encodeURIComponent(PASSWORD)}@`);
    await assert.rejects(call(proxy, { user: 'postgres', database: 'planted' }), (error: DatabaseError) => {
      assert.equal(error.code, '0A000');
      assert.match(error.message, /schema dblink_proxy of database "planted" belongs to "app"/);
      return true;
    });
  });

  it('find their schema again when it was uninstalled meanwhile', async () => {
    await database('again', 'service');
    const proxy = await proxyWith(`service:${encodeURIComponent(PASSWORD)}@`);
    const client = new Client({
      host: '127.0.0.1',
      port: proxy.port,
      user: 'postgres',
      database: 'again',
    });
    await client.connect();
    try {
      const remoteCall = `DO $$ BEGIN PERFORM dblink_connect('c', 'host=127.0.0.1 port=${remote.port} dbname=postgres user=postgres'); PERFORM dblink_disconnect('c'); END $$`;
      await client.query('CREATE EXTENSION dblink');
      await client.query(remoteCall);
      await client.query('DROP EXTENSION dblink');
      await execute(primary.url('again'), 'DROP SCHEMA dblink_proxy CASCADE');
      await client.query('CREATE EXTENSION dblink');
      await client.query(remoteCall);
      await client.query(`BEGIN ISOLATION LEVEL SERIALIZABLE; ${remoteCall}; COMMIT`);
    } finally {
      await client.end();
    }
  });

  it('finds answers by the index, though the table was empty and known to be when the session began', async () => {
    const CALLS = 300;
    await execute(primary.url(), 'CREATE DATABASE scans');
    const proxy = await proxyWith('postgres@');
    const client = new Client({ host: '127.0.0.1', port: proxy.port, user: 'postgres', database: 'scans' });
    await client.connect();
    const scans = async (): Promise<{ all: number; one: number }> => {
      const [row] = await execute(
        primary.url('scans'),
        "SELECT seq_scan::int, idx_scan::int FROM pg_stat_all_tables WHERE relid = 'dblink_proxy.answer'::regclass",
      );
      const [all, one] = row as [number, number];
      return { all, one };
    };
    await client.query('CREATE EXTENSION dblink');
    await execute(primary.url('scans'), 'VACUUM ANALYZE dblink_proxy.answer');
    const before = await scans();
    try {
      await client.query(
        `DO $$ BEGIN
           PERFORM dblink_connect('c', 'host=127.0.0.1 port=${remote.port} dbname=postgres user=postgres');
           FOR i IN 1 .. ${CALLS} LOOP PERFORM dblink_exec('c', 'SET work_mem = 1000'); END LOOP;
         END $$`,
      );
    } finally {
      await client.end();
    }
    // Each call's answer is looked for once at least. What a process has counted is seen when it is over.
    await eventually('the scans are counted', async () => (await scans()).one - before.one >= CALLS);
    const { all } = await scans();
    assert.ok(all - before.all < CALLS / 10, `${all - before.all} scans of the whole table`);
  });
});
