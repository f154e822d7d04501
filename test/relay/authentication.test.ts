import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TLSSocket } from 'node:tls';
import { Client, type ClientConfig, DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { fakePrimary } from '../support/fakePrimary.js';
import { execute } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { logIn, query, type RelayOptions, type RelayProxy, startRelay } from '../support/relay.js';
import { PROXY_TLS, primaryTls, tlsFile, tlsText } from '../support/tlsFiles.js';
import { frontend } from '../support/wire.js';

const METHODS = ['trust', 'password', 'md5', 'scram'] as const;
const PASSWORD = 'pä$$ wörd';

const HBA = [
  'host all postgres all trust',
  'host all trust all trust',
  'host all password all password',
  'host all md5 all md5',
  'host all scram all scram-sha-256',
  'hostssl all tls_only all trust',
  'hostnossl all plain_only all trust',
];

let secure: PostgresServer;
let plain: PostgresServer;
const proxies: RelayProxy[] = [];

before(async () => {
  const installation = await prepareBinaries({ major: 18, dblink: false });
  [secure, plain] = await Promise.all([
    startPostgres({ installation, hba: HBA, tls: primaryTls() }),
    startPostgres({ installation, hba: HBA }),
  ]);
  for (const server of [secure, plain]) {
    const roles = [...METHODS, 'tls_only', 'plain_only'].map((name) => {
      const how = name === 'md5' ? 'md5' : 'scram-sha-256';
      return `SET password_encryption = '${how}'; CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}';`;
    });
    await execute(server.url(), `SET client_min_messages = error; ${roles.join('\n')}`);
  }
});
after(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await Promise.all([secure, plain].map((server) => server?.stop('immediate')));
});

async function relay(primary: PostgresServer, options: RelayOptions = {}): Promise<RelayProxy> {
  const proxy = await startRelay(primary, options);
  proxies.push(proxy);
  return proxy;
}

/** Logs in with a real driver and tells whether the primary's connection is encrypted. */
async function login(
  proxy: RelayProxy,
  user: string,
  options: ClientConfig = {},
): Promise<{ user: string; ssl: boolean }> {
  const client = new Client({
    host: proxy.host,
    port: proxy.port,
    database: 'postgres',
    user,
    password: PASSWORD,
    ...options,
  });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<{ user: string; ssl: boolean }>(
      'SELECT session_user AS user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    return rows[0]!;
  } finally {
    await client.end();
  }
}

const TLS: ClientConfig = { ssl: { rejectUnauthorized: false } };

const refusedWith =
  (sqlstate: string, words = /./) =>
  (error: unknown): true => {
    assert.ok(error instanceof DatabaseError, String(error));
    assert.equal(error.code, sqlstate, error.message);
    assert.match(`${error.message}\n${error.detail}`, words);
    return true;
  };

describe('auth: relay', () => {
  for (const [name, toPrimary, client] of [
    ['plaintext on both hops', 'disable', {}],
    ['TLS to the primary', 'require', {}],
    ['TLS from the client', 'disable', TLS],
  ] as const) {
    describe(name, () => {
      let proxy: RelayProxy;
      before(async () => {
        proxy = await relay(secure, {
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
    assert.deepEqual(await offer((await relay(secure, { query: 'sslmode=require' })).port), [
      'SCRAM-SHA-256',
    ]);
    assert.deepEqual(await offer((await relay(secure)).port), ['SCRAM-SHA-256']);
    // What the primary offers over TLS, so that there was something to take out.
    const direct = await RawClient.connect(secure.port);
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
    const proxy = await relay(plain, { env: { DBLINK_PROXY_TIMEOUTS_LOGIN: '300ms' } });
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'scram', database: 'postgres' }));
    const messages = await client.messagesToEnd(3000);
    assert.equal(messages.at(-1)?.fields['C'], '57014');
    assert.match(messages.at(-1)?.fields['M'] ?? '', /authentication/);
  });

  it('passes lies in authentication messages on to the primary, which ends that connection only', async () => {
    const proxy = await relay(plain);
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
    assert.equal((await client.messagesToEnd())[0]?.fields['C'], '08P01');
    assert.equal((await login(proxy, 'scram')).user, 'scram');
  });
});

describe('auth: password', () => {
  const flags = { ...PROXY_TLS, auth: 'password' };

  for (const [name, server, mode] of [
    ['TLS to the primary', () => secure, 'require'],
    ['plaintext to the primary', () => plain, 'disable'],
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
    const proxy = await relay(plain, { flags });
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
    const proxy = await relay(plain, { flags });
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
    const proxy = await relay(plain, { flags });
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

describe('sslmode to the primary', () => {
  const root = encodeURIComponent(tlsFile('ca.crt'));
  const otherRoot = encodeURIComponent(tlsFile('other-ca.crt'));
  const cases: readonly (readonly [string, () => PostgresServer, string, string | boolean, string?])[] = [
    ['disable', () => secure, 'trust', false],
    ['disable', () => secure, 'tls_only', '28000'],
    ['allow', () => secure, 'trust', false],
    ['allow', () => secure, 'tls_only', true],
    ['allow', () => plain, 'tls_only', '28000|08'],
    ['prefer', () => secure, 'trust', true],
    ['prefer', () => plain, 'trust', false],
    ['prefer', () => secure, 'plain_only', false],
    ['require', () => secure, 'trust', true],
    ['require', () => plain, 'trust', '08001'],
    ['require', () => secure, 'plain_only', '28000'],
    [`require&sslrootcert=${otherRoot}`, () => secure, 'trust', '08001'],
    [`verify-ca&sslrootcert=${root}`, () => secure, 'trust', true],
    [`verify-ca&sslrootcert=${otherRoot}`, () => secure, 'trust', '08001'],
    [`verify-full&sslrootcert=${root}`, () => secure, 'trust', true],
    [`verify-full&sslrootcert=${root}`, () => secure, 'trust', true, 'localhost'],
    [`verify-full&sslrootcert=${root}`, () => plain, 'trust', '08001'],
  ];
  for (const [mode, server, user, expected, host] of cases) {
    const shown = mode.replace(/%.*%2F/, '');
    it(`${shown}, user ${user}${host === undefined ? '' : `, host ${host}`}: ${expected}`, async () => {
      const name = server() === secure ? 'with TLS' : 'without TLS';
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

  it('cancel requests take the same way', async () => {
    const proxy = await relay(secure, { query: 'sslmode=require' });
    const { client, startup } = await logIn(proxy.port);
    const key = startup.find(({ type }) => type === 'K')!.body;
    const answer = query(client, 'SELECT pg_sleep(30)');
    const sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while ((await execute(secure.url(), sleeping)).length === 0);
    const other = await RawClient.connect(proxy.port);
    other.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
    await other.toEnd();
    assert.equal((await answer).find(({ type }) => type === 'E')?.fields['C'], '57014');
    client.destroy();
  });
});
