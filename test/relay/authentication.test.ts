import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TLSSocket } from 'node:tls';
import type { ClientConfig } from 'pg';
import type { PostgresServer } from '../../src/embedded/index.js';
import { fakePrimary } from '../support/fakePrimary.js';
import { RawClient } from '../support/rawClient.js';
import { type RelayOptions, type RelayProxy, startRelay } from '../support/relay.js';
import { PROXY_TLS, tlsText } from '../support/tlsFiles.js';
import { frontend } from '../support/wire.js';
import {
  type AuthenticatingServers,
  login,
  METHODS,
  PASSWORD,
  refusedWith,
  startAuthenticatingServers,
} from './logins.js';

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

const TLS: ClientConfig = { ssl: { rejectUnauthorized: false } };

describe('auth: relay', () => {
  for (const [name, toPrimary, client] of [
    ['plaintext on both hops', 'disable', {}],
    ['TLS to the primary', 'require', {}],
    ['TLS from the client', 'disable', TLS],
  ] as const) {
    describe(name, () => {
      let proxy: RelayProxy;
      before(async () => {
        proxy = await relay(servers.secure, {
          query: `sslmode=${toPrimary}`,
          flags: client === TLS ? PROXY_TLS : {},
        });
      });
      for (const method of METHODS) {
        it(`passes ${method}`, async () => {
          assert.deepEqual(await login(proxy, method, client), {
            user: method,
            ssl: toPrimary === 'require',
          });
        });
        if (method === 'trust') continue;
        it(`passes the refusal of a wrong password with ${method}`, async () => {
          await assert.rejects(login(proxy, method, { ...client, password: 'wrong' }), refusedWith('28P01'));
        });
      }
    });
  }

  /** The mechanisms that a client without TLS, or with it, is offered. */
  async function offer(port: number): Promise<string[]> {
    const client = await RawClient.connect(port);
    client.write(frontend.startup({ user: 'scram', database: 'postgres' }));
    const message = await client.message();
    client.destroy();
    assert.equal(message?.type, 'R');
    assert.equal(message.body.readInt32BE(0), 10);
    return message.body.toString('latin1', 4).split('\0').filter(Boolean);
  }

  it('takes SCRAM-SHA-256-PLUS out of the offer for a plaintext client when there is TLS to the primary', async () => {
    assert.deepEqual(await offer((await relay(servers.secure, { query: 'sslmode=require' })).port), [
      'SCRAM-SHA-256',
    ]);
    assert.deepEqual(await offer((await relay(servers.secure)).port), ['SCRAM-SHA-256']);
    // What the primary offers over TLS, so that there was something to take out.
    const direct = await RawClient.connect(servers.secure.port);
    direct.write(Buffer.from('0000000804d2162f', 'hex'));
    assert.equal((await direct.bytes(1)).toString(), 'S');
    await direct.startTls();
    direct.write(frontend.startup({ user: 'scram' }));
    assert.match(
      (await direct.message())?.body.toString('latin1') ?? '',
      /SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0/,
    );
    direct.destroy();
  });

  it('gives up a login that the client does not finish, with 57014', async () => {
    const proxy = await relay(servers.plain, { env: { DBLINK_PROXY_TIMEOUTS_LOGIN: '300ms' } });
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'scram', database: 'postgres' }));
    const messages = await client.messagesToEnd(3000);
    assert.equal(messages.at(-1)?.fields['C'], '57014');
    assert.match(messages.at(-1)?.fields['M'] ?? '', /authentication/);
  });

  it('passes lies in authentication messages on to the primary, which ends that connection only', async () => {
    const proxy = await relay(servers.plain);
    const message = (body: Buffer): Buffer => {
      const head = Buffer.from([0x70, 0, 0, 0, 0]);
      head.writeInt32BE(body.length + 4, 1);
      return Buffer.concat([head, body]);
    };
    for (const [user, body] of [
      ['scram', Buffer.from('SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=x', 'latin1')],
      ['scram', Buffer.from('SCRAM-SHA-256\0\xff\xff\xff\xfe', 'latin1')],
      ['scram', Buffer.from('NO-SUCH\0\0\0\0\x01x', 'latin1')],
      ['scram', Buffer.alloc(0)],
      ['scram', Buffer.alloc(60_000, 'a')],
      ['password', Buffer.from('no end')],
      ['password', Buffer.from('two\0ends\0')],
      ['md5', Buffer.from('\0')],
    ] as const) {
      const client = await RawClient.connect(proxy.port);
      client.write(frontend.startup({ user, database: 'postgres' }));
      await client.message();
      client.write(message(body));
      const answer = await client.messagesToEnd();
      assert.equal(answer.length, 1);
      assert.equal(answer[0]?.fields['S'], 'FATAL', `${user} ${body.length}`);
    }
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'password', database: 'postgres' }));
    await client.message();
    client.write(message(Buffer.alloc(70_000)));
    assert.equal((await client.toEnd()).length, 0);
    assert.equal((await login(proxy, 'scram')).user, 'scram');
  });
});

describe('auth: password', () => {
  const flags = { ...PROXY_TLS, auth: 'password' };

  for (const [name, server, mode] of [
    ['TLS to the primary', () => servers.secure, 'require'],
    ['plaintext to the primary', () => servers.plain, 'disable&allow_cleartext=true'],
  ] as const) {
    describe(name, () => {
      let proxy: RelayProxy;
      before(async () => {
        proxy = await relay(server(), { query: `sslmode=${mode}`, flags });
      });
      for (const method of METHODS) {
        it(`logs in when the primary asks for ${method}`, async () => {
          assert.deepEqual(await login(proxy, method, TLS), { user: method, ssl: mode === 'require' });
        });
        if (method === 'trust') continue;
        it(`refuses a wrong password when it asks for ${method}, in the primary's words`, async () => {
          await assert.rejects(
            login(proxy, method, { ...TLS, password: 'wrong' }),
            refusedWith('28P01', /password authentication failed for user/),
          );
        });
        it(`refuses an empty password when it asks for ${method}`, async () => {
          await assert.rejects(
            login(proxy, method, { ...TLS, password: '' }),
            refusedWith('28P01', /empty password/),
          );
        });
      }

      it('sends all that belongs to a startup, in order, and the session works', async () => {
        const { startup } = await tlsLogin(proxy.port, { user: 'scram', application_name: 'ordered' });
        assert.match(startup, /^RS{10,}KZ$/);
      });
    });
  }

  /** Logs in over TLS with a cleartext password and returns the types of what follows it. */
  async function tlsLogin(port: number, parameters: Record<string, string>) {
    const client = await RawClient.connect(port);
    client.write(Buffer.from('0000000804d2162f', 'hex'));
    await client.bytes(1);
    await client.startTls();
    client.write(frontend.startup({ database: 'postgres', ...parameters }));
    const request = await client.message();
    assert.equal(request?.body.readInt32BE(0), 3, 'AuthenticationCleartextPassword');
    const password = Buffer.from(`${PASSWORD}\0`);
    const head = Buffer.from([0x70, 0, 0, 0, password.length + 4]);
    client.write(head, password);
    const startup = (await client.until('Z')).map(({ type }) => type).join('');
    return { client, startup };
  }

  it('refuses a plaintext client before it sends its password', async () => {
    const proxy = await relay(servers.plain, { flags });
    await assert.rejects(login(proxy, 'scram'), refusedWith('28000', /TLS/));
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'trust' }));
    const messages = await client.messagesToEnd();
    assert.deepEqual(
      messages.map(({ type }) => type),
      ['E'],
    );
  });

  it('tells what the primary says after the login, too', async () => {
    const proxy = await relay(servers.plain, { flags });
    await assert.rejects(login(proxy, 'scram', { ...TLS, database: 'missing' }), refusedWith('3D000'));
    await assert.rejects(login(proxy, 'tls_only', TLS), refusedWith('28000'));
  });

  it('binds SCRAM to the TLS channel of the primary', async () => {
    const seen: string[] = [];
    const fake = await fakePrimary(async ({ take, socket }) => {
      await take(8);
      socket.removeAllListeners('data');
      socket.write('S');
      const channel = new TLSSocket(socket, {
        isServer: true,
        cert: tlsText('server.crt'),
        key: tlsText('server.key'),
      });
      channel.on('error', () => {});
      channel.once('data', () => {
        const body = Buffer.from('\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0', 'latin1');
        channel.write(Buffer.concat([Buffer.from([0x52, 0, 0, 0, body.length + 4]), body]));
        channel.once('data', (first: Buffer) => {
          seen.push(first.toString('latin1', 5));
          channel.destroy();
        });
      });
    });
    const proxy = await startRelay(fake, { query: 'sslmode=require', flags });
    await assert.rejects(login(proxy, 'scram', TLS), refusedWith('08006'));
    await proxy.stop();
    await fake.stop();
    assert.equal(seen.length, 1);
    assert.match(seen[0]!, /^SCRAM-SHA-256-PLUS\0....p=tls-server-end-point,,n=/s);
  });

  it('does not pass on what a client sends in place of a password', async () => {
    const proxy = await relay(servers.plain, { flags });
    const client = await RawClient.connect(proxy.port);
    client.write(Buffer.from('0000000804d2162f', 'hex'));
    await client.bytes(1);
    await client.startTls();
    client.write(frontend.startup({ user: 'scram', database: 'postgres' }));
    await client.message();
    client.write(frontend.query('SELECT 1'));
    const messages = await client.messagesToEnd();
    assert.deepEqual(
      messages.map(({ type, fields }) => [type, fields['C'], fields['M']]),
      [['E', '08P01', 'expected password response, got message type 81']],
    );
  });
});
