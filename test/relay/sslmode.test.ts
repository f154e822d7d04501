import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client, type DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { execute } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { logIn, query, type RelayOptions, type RelayProxy, startRelay } from '../support/relay.js';
import { tlsFile, tlsText } from '../support/tlsFiles.js';
import { frontend } from '../support/wire.js';
import { type AuthenticatingServers, login, refusedWith, startAuthenticatingServers } from './logins.js';

let servers: AuthenticatingServers;
const proxies: RelayProxy[] = [];

before(async () => {
  servers = await startAuthenticatingServers();
});
after(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await servers?.stop();
});

async function relay(primary: PostgresServer, options: RelayOptions = {}): Promise<RelayProxy> {
  const proxy = await startRelay(primary, options);
  proxies.push(proxy);
  return proxy;
}

describe('sslmode to the primary', () => {
  const root = encodeURIComponent(tlsFile('ca.crt'));
  const otherRoot = encodeURIComponent(tlsFile('other-ca.crt'));
  const cases: readonly (readonly [string, () => PostgresServer, string, string | boolean, string?])[] = [
    ['disable', () => servers.secure, 'trust', false],
    ['disable', () => servers.secure, 'tls_only', '28000'],
    ['allow', () => servers.secure, 'trust', false],
    ['allow', () => servers.secure, 'tls_only', true],
    ['allow', () => servers.plain, 'tls_only', '28000|08'],
    ['prefer', () => servers.secure, 'trust', true],
    ['prefer', () => servers.plain, 'trust', false],
    ['prefer', () => servers.secure, 'plain_only', false],
    ['require', () => servers.secure, 'trust', true],
    ['require', () => servers.plain, 'trust', '08001'],
    ['require', () => servers.secure, 'plain_only', '28000'],
    [`require&sslrootcert=${otherRoot}`, () => servers.secure, 'trust', '08001'],
    [`verify-ca&sslrootcert=${root}`, () => servers.secure, 'trust', true],
    [`verify-ca&sslrootcert=${otherRoot}`, () => servers.secure, 'trust', '08001'],
    [`verify-full&sslrootcert=${root}`, () => servers.secure, 'trust', true],
    [`verify-full&sslrootcert=${root}`, () => servers.secure, 'trust', true, 'localhost'],
    [`verify-full&sslrootcert=${root}`, () => servers.plain, 'trust', '08001'],
  ];
  for (const [mode, server, user, expected, host] of cases) {
    const shown = mode.replace(/%.*%2F/, '');
    it(`${shown}, user ${user}${host === undefined ? '' : `, host ${host}`}: ${expected}`, async () => {
      const name = server() === servers.secure ? 'with TLS' : 'without TLS';
      const proxy = await relay(server(), { query: `sslmode=${mode}`, ...(host !== undefined && { host }) });
      if (typeof expected === 'boolean') {
        assert.equal((await login(proxy, user)).ssl, expected, name);
      } else {
        await assert.rejects(login(proxy, user), (error: DatabaseError) => {
          assert.match(error.code ?? '', new RegExp(`^(${expected})`), `${name}: ${error.message}`);
          return true;
        });
      }
    });
  }

  it('verify-full refuses a certificate for other names', async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    const other = await startPostgres({
      installation,
      tls: { cert: tlsText('names.crt'), key: tlsText('names.key') },
    });
    const full = await relay(other, { query: `sslmode=verify-full&sslrootcert=${root}` });
    await assert.rejects(login(full, 'postgres'), refusedWith('08001', /does not match host name/));
    const ca = await relay(other, { query: `sslmode=verify-ca&sslrootcert=${root}` });
    assert.equal((await login(ca, 'postgres')).ssl, true);
    await other.stop('immediate');
  });

  it('has no meaning for Unix sockets, which work on both hops', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'dblink-proxy-'));
    const { socketDir, port } = servers.secure;
    const primary = `postgres:///?host=${encodeURIComponent(socketDir)}&port=${port}&sslmode=require`;
    const proxy = await startRelay(servers.secure, { flags: { listen: [directory], primary } });
    const client = new Client({ host: directory, port: 6432, user: 'postgres', database: 'postgres' });
    await client.connect();
    const { rows } = await client.query(
      'SELECT client_addr FROM pg_stat_activity WHERE pid = pg_backend_pid()',
    );
    assert.deepEqual(rows, [{ client_addr: null }]);
    await client.end();
    await proxy.stop();
    assert.deepEqual(readdirSync(directory), [], 'the socket file is removed');
    rmSync(directory, { recursive: true });
  });

  it('cancel requests take the same way', async () => {
    const proxy = await relay(servers.secure, { query: 'sslmode=require' });
    const { client, startup } = await logIn(proxy.port);
    const key = startup.find(({ type }) => type === 'K')!.body;
    const answer = query(client, 'SELECT pg_sleep(30)');
    const sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while ((await execute(servers.secure.url(), sleeping)).length === 0);
    const other = await RawClient.connect(proxy.port);
    other.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
    await other.toEnd();
    assert.equal((await answer).find(({ type }) => type === 'E')?.fields['C'], '57014');
    client.destroy();
  });
});
