import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../../src/embedded/index.js';
import {
  ConnectError,
  type ConnectOptions,
  isEncrypted,
  openServerSocket,
  startupMessage,
  type TlsMode,
  type TlsOptions,
  type WireClient,
} from '../../../../src/wire/outbound/index.js';
import {
  collector,
  connectTo,
  leavesNothing,
  message,
  run,
  scriptedServer,
  WELCOME,
} from '../client-support.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../../../test/fixtures/tls/${name}`, import.meta.url));

const MODES: readonly TlsMode[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];
const CA = fixture('ca.crt');

let server: PostgresServer;
/** For files whose modes matter, which a checkout does not keep. */
let directory: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tls-connect-'));
  server = await startPostgres({
    installation: await prepareBinaries({ major: 18, dblink: true }),
    password: 'sekret',
    tls: {
      cert: readFileSync(fixture('server.crt'), 'utf8'),
      key: readFileSync(fixture('server.key'), 'utf8'),
    },
    hba: [
      'local all all trust',
      'hostssl all plain_only all reject',
      'hostnossl all tls_only all reject',
      'hostssl all wire_cert all cert',
      'host all clear all password',
      'host all md5ish all md5',
      'host all scram all scram-sha-256',
      'host all postgres,plain_only,tls_only all trust',
    ],
  });
  const admin = await connectTo({ path: `${server.socketDir}/.s.PGSQL.${server.port}` });
  const { errors } = await run(
    admin,
    "create role plain_only login; create role tls_only login; create role wire_cert login; create role clear login password 'p'; " +
      "create role scram login password 'pass\u00aaword'; set password_encryption = md5; create role md5ish login password 'p'",
  );
  assert.deepEqual(errors, []);
  // Where the server's own user can read it.
  writeFileSync(join(server.dataDir, 'client-ca.crt'), readFileSync(CA), { mode: 0o644 });
  assert.deepEqual((await run(admin, "alter system set ssl_ca_file = 'client-ca.crt'")).errors, []);
  server.reload();
  admin.close();
  // New sessions follow the server's main process, which takes its time.
  for (let setting: string | null | undefined; setting !== 'client-ca.crt'; ) {
    const next = await connectTo({ path: `${server.socketDir}/.s.PGSQL.${server.port}` });
    setting = (await run(next, 'show ssl_ca_file')).rows[0]?.[0];
    next.close();
  }
});
after(async () => {
  await server.stop('immediate');
  rmSync(directory, { recursive: true });
});

const connectAs = (
  user: string,
  tls: TlsOptions,
  options: Partial<ConnectOptions> = {},
): Promise<WireClient> =>
  connectTo(
    { host: '127.0.0.1', port: server.port },
    {
      tls: { serverName: '127.0.0.1', ...tls },
      startup: [
        ['user', user],
        ['database', 'postgres'],
      ],
      ...options,
    },
  );

/** Connects, runs something, closes. @returns whether it was encrypted, or the error's text without the server's name */
async function outcome(attempt: Promise<WireClient>): Promise<string> {
  try {
    const client = await attempt;
    assert.deepEqual((await run(client, 'select 1')).rows, [['1']]);
    const used = client.passwordRequested ? ' with password' : '';
    client.close();
    return `${client.encrypted ? 'tls' : 'plain'}${used}`;
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    const prefix = /connection to server at "[^"]*"(?: \([^)]*\))?, port \d+ failed: /g;
    assert.match(error.message, prefix);
    return error.message.replaceAll(prefix, '> ');
  }
}

const refusedBy = (user: string, encryption: string): string =>
  `> FATAL:  pg_hba.conf rejects connection for host "127.0.0.1", user "${user}", database "postgres", ${encryption}`;
const PLAIN = 'no encryption';
const TLS = 'SSL encryption';

test('every sslmode with a server that allows both, only plaintext, or only TLS', async () => {
  const expected: Record<TlsMode, readonly [string, string, string]> = {
    disable: ['plain', 'plain', refusedBy('tls_only', PLAIN)],
    allow: ['plain', 'plain', 'tls'],
    prefer: ['tls', 'plain', 'tls'],
    require: ['tls', refusedBy('plain_only', TLS), 'tls'],
    'verify-ca': ['tls', refusedBy('plain_only', TLS), 'tls'],
    'verify-full': ['tls', refusedBy('plain_only', TLS), 'tls'],
  };
  await leavesNothing(async () => {
    for (const mode of MODES) {
      const tls: TlsOptions = { mode, rootCertFile: mode.startsWith('verify') ? CA : undefined };
      const users = ['postgres', 'plain_only', 'tls_only'] as const;
      const got: string[] = [];
      for (const user of users) got.push(await outcome(connectAs(user, tls)));
      assert.deepEqual(got, expected[mode], mode);
    }
  });
});

test('when both attempts of prefer and allow fail, both are told', async () => {
  const rejection = (encryption: string): string =>
    `> FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "nobody", database "postgres", ${encryption}`;
  assert.equal(
    await outcome(connectAs('nobody', { mode: 'prefer' })),
    `${rejection(TLS)}\n${rejection(PLAIN)}`,
  );
  assert.equal(
    await outcome(connectAs('nobody', { mode: 'allow' })),
    `${rejection(PLAIN)}\n${rejection(TLS)}`,
  );
  assert.equal(await outcome(connectAs('nobody', { mode: 'require' })), rejection(TLS));
});

test('verification: whom the certificates are from, and whose they are', async () => {
  const advice = '\nEither provide the file or change sslmode to disable server certificate verification.';
  const missing = join(directory, 'missing.crt');
  const garbage = join(directory, 'garbage.crt');
  writeFileSync(garbage, 'garbage\n');
  const untrusted = '> SSL error: certificate verify failed';
  const cases: readonly (readonly [Omit<TlsOptions, 'mode'>, readonly TlsMode[], string])[] = [
    [{ rootCertFile: CA }, ['require', 'verify-ca', 'verify-full'], 'tls'],
    [{ rootCertFile: CA, serverName: 'LocalHost' }, ['verify-full'], 'tls'],
    [{ rootCertFile: CA, serverName: 'db.wild.test' }, ['verify-full'], 'tls'],
    [{ rootCertFile: CA, serverName: 'other.test' }, ['require', 'verify-ca'], 'tls'],
    [
      { rootCertFile: CA, serverName: 'other.test' },
      ['verify-full'],
      '> server certificate for "localhost" (and 2 other names) does not match host name "other.test"',
    ],
    [
      { rootCertFile: CA, serverName: undefined },
      ['verify-full'],
      '> host name must be specified for a verified SSL connection',
    ],
    // A root certificate makes require verify, too.
    [{ rootCertFile: fixture('other-ca.crt') }, ['require', 'verify-ca', 'verify-full'], untrusted],
    [{ rootCertFile: fixture('other-ca.crt') }, ['prefer'], 'plain'],
    [{ rootCertFile: 'system' }, ['verify-full'], untrusted],
    [{ rootCertFile: CA, crlFile: fixture('revoked.crl') }, ['require', 'verify-ca'], untrusted],
    [{ rootCertFile: CA, crlFile: missing }, ['verify-ca'], 'tls'],
    [{ rootCertFile: missing }, ['require'], 'tls'],
    [
      { rootCertFile: missing },
      ['verify-ca', 'verify-full'],
      `> root certificate file "${missing}" does not exist${advice}`,
    ],
    [{}, ['verify-ca'], `> could not get home directory to locate root certificate file${advice}`],
    [
      { rootCertFile: garbage },
      ['require', 'verify-ca'],
      `> could not read root certificate file "${garbage}": no certificate or crl found`,
    ],
  ];
  for (const [options, modes, expected] of cases) {
    for (const mode of modes) {
      assert.equal(
        await outcome(connectAs('postgres', { mode, ...options })),
        expected,
        JSON.stringify({ mode, options }),
      );
    }
  }
  const revoked = join(directory, 'revoked');
  mkdirSync(revoked);
  copyFileSync(fixture('revoked.crl'), join(revoked, 'abcd.r0'));
  assert.equal(
    await outcome(connectAs('postgres', { mode: 'require', rootCertFile: CA, crlDirectory: revoked })),
    untrusted,
  );
});

test('the client certificate', async () => {
  const own = (name: string, mode: number): string => {
    const copy = join(directory, `${mode}-${name}`);
    copyFileSync(fixture(name), copy);
    chmodSync(copy, mode);
    return copy;
  };
  const certFile = fixture('client.crt');
  const key = own('client.key', 0o600);
  const encrypted = own('client-encrypted.key', 0o600);
  const open = own('client.key', 0o644);
  const other = own('names.key', 0o600);
  const garbage = join(directory, 'garbage.key');
  writeFileSync(garbage, 'garbage\n', { mode: 0o600 });
  const cases: readonly (readonly [Omit<TlsOptions, 'mode'>, string | RegExp])[] = [
    [{ certFile, keyFile: key }, 'tls'],
    [{ certFile, keyFile: encrypted, keyPassword: 'secret' }, 'tls'],
    [{}, /connection requires a valid client certificate/],
    [{ certFile: join(directory, 'missing') }, /connection requires a valid client certificate/],
    [{ certFile: garbage, keyFile: key }, `> could not read certificate file "${garbage}": no start line`],
    [
      { certFile, keyFile: join(directory, 'missing') },
      `> certificate present, but not private key file "${join(directory, 'missing')}"`,
    ],
    [{ certFile, keyFile: directory }, `> private key file "${directory}" is not a regular file`],
    [
      { certFile, keyFile: open },
      `> private key file "${open}" has group or world access; file must have permissions u=rw (0600) or less if owned by the current user, or permissions u=rw,g=r (0640) or less if owned by root`,
    ],
    [{ certFile, keyFile: other }, `> could not load private key file "${other}": key values mismatch`],
    [
      { certFile, keyFile: encrypted, keyPassword: 'wrong' },
      `> could not load private key file "${encrypted}": bad decrypt`,
    ],
    [{ certFile, keyFile: garbage }, `> could not load private key file "${garbage}": unsupported`],
  ];
  for (const [options, expected] of cases) {
    const got = await outcome(connectAs('wire_cert', { mode: 'require', ...options }));
    if (typeof expected === 'string') assert.equal(got, expected);
    else assert.match(got, expected);
  }
});

test('passwords over plaintext and TLS, with and without channel binding', async () => {
  const wrong = (user: string): string => `> FATAL:  password authentication failed for user "${user}"`;
  const missing = '> fe_sendauth: no password supplied';
  const login = (
    user: string,
    password: string | undefined,
    mode: TlsMode,
    channelBinding?: 'disable' | 'prefer' | 'require',
    requireAuth?: string,
  ): Promise<string> =>
    outcome(
      connectAs(
        user,
        { mode },
        { password: password === undefined ? undefined : Buffer.from(password), channelBinding, requireAuth },
      ),
    );
  for (const mode of ['disable', 'require'] as const) {
    const success = `${mode === 'disable' ? 'plain' : 'tls'} with password`;
    for (const [user, password] of [
      ['clear', 'p'],
      ['md5ish', 'p'],
      ['scram', 'pass\u00aaword'],
      // The same after SASLprep.
      ['scram', 'pas\u00adsaword'],
    ] as const) {
      assert.equal(await login(user, password, mode), success);
      assert.equal(await login(user, 'wrong', mode), wrong(user));
      assert.equal(await login(user, undefined, mode), missing);
    }
    assert.equal(await login('scram', 'passaword', mode, 'disable'), success);
  }
  assert.equal(await login('scram', 'passaword', 'require', 'require'), 'tls with password');
  assert.equal(
    await login('scram', 'passaword', 'disable', 'require'),
    '> channel binding required, but SSL not in use',
  );
  assert.equal(
    await login('md5ish', 'p', 'require', 'require'),
    "> channel binding required but not supported by server's authentication request",
  );
  assert.equal(
    await login('postgres', 'x', 'require', 'require'),
    '> channel binding required, but server authenticated client without channel binding',
  );
  assert.equal(await login('scram', 'passaword', 'require', 'prefer', 'scram-sha-256'), 'tls with password');
  assert.equal(
    await login('clear', 'p', 'require', 'prefer', 'scram-sha-256'),
    '> authentication method requirement "scram-sha-256" failed: server requested a cleartext password',
  );
  assert.equal(
    await login('postgres', 'p', 'require', 'prefer', '!none'),
    '> authentication method requirement "!none" failed: server did not complete authentication',
  );
  // A second attempt after the server refused the first.
  assert.equal(await login('scram', 'wrong', 'prefer'), `${wrong('scram')}\n${wrong('scram')}`);
});

test('direct negotiation', async () => {
  assert.equal(await outcome(connectAs('tls_only', { mode: 'require', negotiation: 'direct' })), 'tls');
  assert.equal(
    await outcome(connectAs('tls_only', { mode: 'verify-full', negotiation: 'direct', rootCertFile: CA })),
    'tls',
  );
  await assert.rejects(connectAs('tls_only', { mode: 'prefer', negotiation: 'direct' }), (error) => {
    assert.equal(
      (error as Error).message,
      'weak sslmode "prefer" may not be used with sslnegotiation=direct (use "require", "verify-ca", or "verify-full")',
    );
    return true;
  });
  // A TLS server that is not one of PostgreSQL.
  const other = createTlsServer({
    cert: readFileSync(fixture('server.crt')),
    key: readFileSync(fixture('server.key')),
  });
  other.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  assert.equal(
    await outcome(
      connectTo({ host: '127.0.0.1', port }, { tls: { mode: 'require', negotiation: 'direct' } }),
    ),
    '> direct SSL connection was established without ALPN protocol negotiation extension',
  );
  await new Promise((resolve) => other.close(resolve));
});

test('versions of TLS', async () => {
  assert.equal(await outcome(connectAs('postgres', { mode: 'require', minVersion: 'TLSv1.3' })), 'tls');
  assert.equal(await outcome(connectAs('postgres', { mode: 'require', maxVersion: 'TLSv1.2' })), 'tls');
  const got = await outcome(
    connectAs('postgres', { mode: 'require', minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }),
  );
  assert.match(
    got,
    /^> SSL error: .*\nThis may indicate that the server does not support any SSL protocol version between TLSv1 and TLSv1\.1\.$/,
  );
});

test('a cancel request takes the same way as the connection', async () => {
  const client = await connectAs('tls_only', { mode: 'verify-full', rootCertFile: CA });
  const { handler, got } = collector();
  const begun = new Promise<void>((resolve) => {
    client.onNotice = () => resolve();
  });
  const running = client.query(
    Buffer.from("do $$begin raise notice 'x'; perform pg_sleep(10); end$$"),
    handler,
  );
  await begun;
  await leavesNothing(() => client.cancel());
  await running;
  assert.deepEqual(
    got.errors.map(({ sqlstate }) => sqlstate),
    ['57014'],
  );
  client.close();
});

test('large results and the end of the connection over TLS', async () => {
  const client = await connectAs('postgres', { mode: 'require' });
  let bytes = 0;
  await client.query(Buffer.from("select repeat('x', 1000) from generate_series(1, 20000)"), {
    rawRows: (chunk) => void (bytes += chunk.length),
  });
  assert.equal(bytes, 20000 * (5 + 2 + 4 + 1000));
  await assert.rejects(
    client.query(Buffer.from('select pg_terminate_backend(pg_backend_pid())'), {}),
    (error) => {
      assert.equal(
        (error as Error).message,
        'FATAL:  terminating connection due to administrator command\nSSL connection has been closed unexpectedly',
      );
      return true;
    },
  );
});

test('what a server may answer to SSLRequest', async () => {
  const closed =
    '> server closed the connection unexpectedly\n' +
    '\tThis probably means the server terminated abnormally\n' +
    '\tbefore or while processing the request.';
  const eof = '> SSL SYSCALL error: EOF detected';
  const answers: readonly (readonly [string, Buffer, string, string])[] = [
    ['nothing', Buffer.alloc(0), closed, closed],
    [
      'an error',
      message.error('FATAL', '53300', 'too many'),
      '> server sent an error response during SSL exchange',
      '> server sent an error response during SSL exchange',
    ],
    [
      'something else',
      Buffer.from('X'),
      '> received invalid response to SSL negotiation: X',
      '> received invalid response to SSL negotiation: X',
    ],
    [
      'stuffed bytes',
      Buffer.concat([Buffer.from('S'), WELCOME]),
      '> received unencrypted data after SSL response',
      '> received unencrypted data after SSL response',
    ],
    [
      'TLS, then the end',
      Buffer.from('S'),
      eof,
      `${eof}\n> expected authentication request from server, but received S`,
    ],
  ];
  for (const [name, answer, required, preferred] of answers) {
    const fake = await scriptedServer((socket) => socket.once('data', () => socket.end(answer)));
    const address = { host: '127.0.0.1', port: fake.port };
    await leavesNothing(async () => {
      assert.equal(await outcome(connectTo(address, { tls: { mode: 'require' } })), required, name);
      assert.equal(await outcome(connectTo(address, { tls: { mode: 'prefer' } })), preferred, name);
    });
    await fake.close();
  }
});

test('a server without TLS', async () => {
  const fake = await scriptedServer((socket) => {
    socket.once('data', () => {
      // The server's answer and what follows may come in one packet.
      socket.write('N');
      socket.once('data', () => socket.write(WELCOME));
    });
  });
  const address = { host: '127.0.0.1', port: fake.port };
  assert.equal(
    await outcome(connectTo(address, { tls: { mode: 'require' } })),
    '> server does not support SSL, but SSL was required',
  );
  const client = await connectTo(address, { tls: { mode: 'prefer' } });
  assert.equal(client.encrypted, false);
  client.destroy();
  await fake.close();
});

test('a failed handshake is told when the attempt without TLS is refused', async () => {
  const fake = await scriptedServer((socket, number) => {
    socket.once('data', () => {
      if (number === 0) socket.end('S');
      else socket.end(message.error('FATAL', '28000', 'not you'));
    });
  });
  assert.equal(
    await outcome(connectTo({ host: '127.0.0.1', port: fake.port }, { tls: { mode: 'prefer' } })),
    '> SSL SYSCALL error: EOF detected\n> FATAL:  not you',
  );
  await fake.close();
});

test('time limits and signals end an attempt wherever it hangs', async () => {
  const silent = await scriptedServer(() => {});
  const stuck = await scriptedServer((socket) => socket.once('data', () => socket.write('S')));
  await leavesNothing(async () => {
    for (const fake of [silent, stuck]) {
      for (const mode of ['disable', 'prefer', 'require'] as const) {
        const address = { host: '127.0.0.1', port: fake.port };
        if (fake === silent || mode !== 'disable') {
          assert.equal(
            await outcome(connectTo(address, { tls: { mode }, timeoutMs: 60 })),
            '> timeout expired',
          );
        }
        const reason = new Error('changed my mind');
        const controller = new AbortController();
        setTimeout(() => controller.abort(reason), 30);
        await assert.rejects(openServerSocket(address, { mode: 'require' }, controller.signal), reason);
        await assert.rejects(openServerSocket(address, { mode }, AbortSignal.abort(reason)), reason);
      }
    }
  });
  await silent.close();
  await stuck.close();
});

test('openServerSocket gives a socket that is ready for a startup packet', async () => {
  for (const mode of ['disable', 'require'] as const) {
    const socket = await openServerSocket({ host: '127.0.0.1', port: server.port }, { mode });
    assert.equal(isEncrypted(socket), mode === 'require');
    const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    socket.write(startupMessage([['user', 'postgres']]));
    assert.equal((await answer)[0], 'R'.charCodeAt(0));
    socket.destroy();
  }
});
