import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { InstallError, installBridge } from '../../src/bridge/extension/install.js';
import { loadConfig } from '../../src/config/index.js';
import type { PostgresServer } from '../../src/embedded/index.js';
import { routerSettings } from '../../src/server/sessionSettings.js';
import { eventually } from '../support/eventually.js';
import { backend, type FakePrimary, fakePrimary, GREETING } from '../support/fakePrimary.js';
import { primaryServer } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { logIn, query, type RelayProxy, startRelay } from '../support/relay.js';
import { PROXY_TLS } from '../support/tlsFiles.js';
import { frontend } from '../support/wire.js';
import { startProgram } from './support/program.js';

const SECRET = 'do not tell';
const ASKS_CLEARTEXT = backend('R', Buffer.from([0, 0, 0, 3]));
const ASKS_MD5 = backend('R', Buffer.from([0, 0, 0, 5, 1, 2, 3, 4]));
const PASSWORD_MESSAGE = 0x70;

const passwordMessage = (...parts: readonly string[]): Buffer => {
  const body = Buffer.from(`${parts.join('\0')}\0`);
  const head = Buffer.alloc(5);
  head.write('p', 0, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};

/** A server that says no to TLS, asks for a password and keeps what it is given. */
interface Impostor extends FakePrimary {
  readonly passwords: readonly Buffer[];
}

async function impostor(asks: Buffer): Promise<Impostor> {
  const passwords: Buffer[] = [];
  const fake = await fakePrimary(async (connection) => {
    await connection.startup();
    connection.socket.write(asks);
    const message = await connection.message();
    if (message[0] === PASSWORD_MESSAGE) passwords.push(Buffer.from(message));
    connection.socket.write(GREETING);
    for (;;) await connection.message();
  });
  return {
    port: fake.port,
    get connections() {
      return fake.connections;
    },
    stop: () => fake.stop(),
    passwords,
  };
}

/** A client that has begun TLS with the proxy and sent its startup packet. */
async function secureClient(port: number): Promise<RawClient> {
  const client = await RawClient.connectTls(port, { ALPNProtocols: ['postgresql'] });
  client.write(frontend.startup({ user: 'alice', database: 'app' }));
  return client;
}

describe('rule: whoever answers in the place of a server is not told a password', () => {
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const fake = async (asks: Buffer): Promise<Impostor> => {
    const server = await impostor(asks);
    stops.push(() => server.stop());
    return server;
  };
  const relay = async (...given: Parameters<typeof startRelay>): Promise<RelayProxy> => {
    const proxy = await startRelay(...given);
    stops.push(() => proxy.stop());
    return proxy;
  };

  for (const mode of ['disable', 'allow', 'prefer']) {
    it(`service account, sslmode=${mode}: neither at the start, nor for the bridge, nor by install`, async () => {
      const server = await fake(ASKS_CLEARTEXT);
      const primary = `postgres://proxy:${encodeURIComponent(SECRET)}@127.0.0.1:${server.port}/app?sslmode=${mode}`;
      const program = await startProgram(primary);
      stops.push(() => program.kill());
      const line = await program.logged(
        ({ msg }) => msg === 'primary cannot be used with the service account',
      );
      assert.match(
        String(line['err']),
        /cleartext password on a connection without TLS, and it was not sent/,
      );
      assert.ok(
        program.lines.some((text) => /"level":"warn"[^\n]*does not prove who the primary is/.test(text)),
        'the start does not warn',
      );
      const { service } = routerSettings(loadConfig({ flags: { primary }, env: {} }));
      await assert.rejects(installBridge(service!, 'app'), (error: Error) => {
        assert.ok(error instanceof InstallError);
        assert.match(error.message, /it was not sent\. .*allow_cleartext=true/);
        return true;
      });
      assert.ok(server.connections >= 2);
      assert.deepEqual(server.passwords, []);
    });

    it(`auth: password, sslmode=${mode}: the client is not even asked`, async () => {
      const server = await fake(ASKS_CLEARTEXT);
      const proxy = await relay(server, {
        query: `sslmode=${mode}`,
        flags: { ...PROXY_TLS, auth: 'password' },
      });
      const client = await secureClient(proxy.port);
      const [answer, ...rest] = await client.messagesToEnd();
      assert.equal(answer?.type, 'E');
      assert.equal(answer?.fields['C'], '28000');
      assert.match(answer?.fields['H'] ?? '', /sslmode=verify-full.*allow_cleartext/);
      assert.deepEqual(rest, []);
      assert.deepEqual(server.passwords, []);
    });

    // With disable the operator has said that there is none.
    if (mode === 'disable') continue;
    it(`auth: relay, sslmode=${mode}: what a client sends by TLS goes no further without it`, async () => {
      const server = await fake(ASKS_CLEARTEXT);
      const proxy = await relay(server, { query: `sslmode=${mode}`, flags: PROXY_TLS });
      const client = await secureClient(proxy.port);
      const [answer] = await client.messagesToEnd();
      assert.deepEqual([answer?.type, answer?.fields['C']], ['E', '28000']);
      assert.deepEqual(server.passwords, []);
    });
  }

  it('a request for another method first does not open the way', async () => {
    // After md5 has been answered the authenticator has the password: another request follows.
    const passwords: Buffer[] = [];
    const server = await fakePrimary(async (connection) => {
      await connection.startup();
      for (const asks of [ASKS_MD5, ASKS_CLEARTEXT]) {
        connection.socket.write(asks);
        const message = Buffer.from(await connection.message());
        if (message[0] === PASSWORD_MESSAGE) passwords.push(message);
      }
    });
    stops.push(() => server.stop());
    const proxy = await relay(server, { flags: { ...PROXY_TLS, auth: 'password' } });
    const client = await secureClient(proxy.port);
    assert.equal((await client.message())?.type, 'R');
    client.write(passwordMessage(SECRET));
    const [answer] = await client.messagesToEnd();
    assert.deepEqual([answer?.type, answer?.fields['C']], ['E', '28000']);
    assert.equal(passwords.length, 1);
    assert.match(passwords[0]!.toString('latin1', 5), /^md5[0-9a-f]{32}\0$/);
  });

  it('md5 is answered as before; a client whose own connection is plain decides for itself', async () => {
    const md5 = await fake(ASKS_MD5);
    const proxy = await relay(md5, { flags: { ...PROXY_TLS, auth: 'password' } });
    const client = await secureClient(proxy.port);
    assert.equal((await client.message())?.type, 'R');
    client.write(passwordMessage(SECRET));
    assert.ok((await client.until('Z')).some(({ type }) => type === 'Z'));
    assert.equal(md5.passwords.length, 1);
    client.destroy();

    const server = await fake(ASKS_CLEARTEXT);
    const plain = await relay(server);
    const other = await RawClient.connect(plain.port);
    other.write(frontend.startup({ user: 'alice' }));
    assert.deepEqual((await other.message())?.whole, ASKS_CLEARTEXT);
    other.write(passwordMessage(SECRET));
    await other.until('Z');
    assert.deepEqual(server.passwords, [passwordMessage(SECRET)]);
    other.destroy();
  });

  it('sslmode=disable together with allow_cleartext sends it; neither of them alone', async () => {
    const server = await fake(ASKS_CLEARTEXT);
    const proxy = await relay(server, {
      query: 'sslmode=disable&allow_cleartext=true',
      flags: { ...PROXY_TLS, auth: 'password' },
    });
    const client = await secureClient(proxy.port);
    assert.equal((await client.message())?.type, 'R');
    client.write(passwordMessage(SECRET));
    await client.until('Z');
    assert.deepEqual(server.passwords, [passwordMessage(SECRET)]);
    client.destroy();
    for (const sslmode of ['allow', 'prefer', 'require', 'verify-full']) {
      assert.throws(
        () =>
          loadConfig({ flags: { primary: `postgres://h?sslmode=${sslmode}&allow_cleartext=true` }, env: {} }),
        /allow_cleartext=true, which needs sslmode=disable/,
      );
    }
  });

  it('a server that the configuration declares is not told the administrator’s password', async () => {
    const remote = await fake(ASKS_CLEARTEXT);
    const primary = await primaryServer(18);
    const server = (more: object): string =>
      JSON.stringify({
        far: {
          host: '127.0.0.1',
          port: remote.port,
          user: 'u',
          password: SECRET,
          roles: ['public'],
          ...more,
        },
      });
    const proxy = await relay(primary, { env: { DBLINK_PROXY_DBLINK_SERVERS: server({}) } });
    const { client } = await logIn(proxy.port);
    const answer = await query(client, "SELECT dblink_connect('far')");
    const error = answer.find(({ type }) => type === 'E')?.fields;
    assert.equal(error?.['C'], '08001');
    assert.match(error?.['D'] ?? '', /it was not sent/);
    assert.deepEqual(remote.passwords, []);
    client.destroy();

    const told = { sslmode: 'disable', allow_cleartext: true };
    const allowed = await relay(primary, { env: { DBLINK_PROXY_DBLINK_SERVERS: server(told) } });
    const other = await logIn(allowed.port);
    other.client.write(frontend.query("SELECT dblink_connect('far')"));
    await eventually('the password has come', () => assert.equal(remote.passwords.length, 1));
    other.client.destroy();
  });

  describe('the start warns', () => {
    const warnings = (flags: Readonly<Record<string, unknown>>, env = {}): readonly string[] =>
      loadConfig({ flags, env }).warnings.filter((text) => /does not prove who/.test(text));

    for (const sslmode of ['disable', 'allow', 'prefer', 'require', 'verify-ca']) {
      it(`below verify-full: ${sslmode}`, () => {
        assert.equal(warnings({}, { DBLINK_PROXY_PRIMARY: `postgres://u:p@h?sslmode=${sslmode}` }).length, 1);
        const asked = { ...PROXY_TLS, auth: 'password', primary: `postgres://h?sslmode=${sslmode}` };
        assert.equal(warnings(asked).length, 1);
        assert.deepEqual(warnings({ primary: `postgres://h?sslmode=${sslmode}` }), []);
      });
    }

    it('not with verify-full, nor for a Unix socket', () => {
      assert.deepEqual(warnings({ primary: 'postgres://u:p@h?sslmode=verify-full' }), []);
      assert.deepEqual(warnings({ primary: 'postgres://u:p@%2Frun' }), []);
    });
  });
});

describe('rule: a client’s password and its encryption are what they seem', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;
  before(async () => {
    primary = await primaryServer(18);
    proxy = await startRelay(primary, { flags: PROXY_TLS });
  });
  after(() => proxy?.stop());

  it('bytes behind the end of a password are refused, and the primary gets none of it', async () => {
    const server = await impostor(ASKS_MD5);
    const asking = await startRelay(server, { flags: { ...PROXY_TLS, auth: 'password' } });
    const client = await secureClient(asking.port);
    assert.equal((await client.message())?.type, 'R');
    client.write(passwordMessage(SECRET, 'and more'));
    const [answer] = await client.messagesToEnd();
    assert.deepEqual([answer?.type, answer?.fields['C']], ['E', '08P01']);
    assert.deepEqual(server.passwords, []);
    await asking.stop();
    await server.stop();
  });

  it('TLS is not renegotiated at a client’s wish', async () => {
    const client = await RawClient.connectTls(proxy.port, {
      ALPNProtocols: ['postgresql'],
      maxVersion: 'TLSv1.2',
    });
    const socket = client.socket as TLSSocket;
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    const asked = new Promise<Error | null>((resolve) => {
      socket.once('error', resolve);
      socket.renegotiate({ rejectUnauthorized: false }, resolve);
    });
    assert.match(String((await asked)?.message), /no renegotiation/i);
    client.destroy();
  });

  it('TLS is 1.2 at least, whatever Node was told', async () => {
    const weak = ['--tls-min-v1.0', '--tls-cipher-list=DEFAULT@SECLEVEL=0'];
    const program = await startProgram(`postgres://127.0.0.1:${primary.port}?sslmode=disable`, {
      node: weak,
      args: ['--tls-cert', PROXY_TLS['tls-cert'], '--tls-key', PROXY_TLS['tls-key']],
    });
    const protocolWith = (version: 'TLSv1.1' | 'TLSv1.2'): Promise<string | null> =>
      new Promise((resolve) => {
        const socket = connectTls({
          port: program.port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
          minVersion: 'TLSv1',
          maxVersion: version,
          ciphers: 'DEFAULT@SECLEVEL=0',
          ALPNProtocols: ['postgresql'],
        });
        socket.once('secureConnect', () => {
          resolve(socket.getProtocol());
          socket.destroy();
        });
        socket.once('error', () => resolve(null));
      });
    assert.equal(await protocolWith('TLSv1.2'), 'TLSv1.2');
    assert.equal(await protocolWith('TLSv1.1'), null);
    await program.kill();
  });
});
