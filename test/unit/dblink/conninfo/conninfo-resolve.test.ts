import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ConninfoError, parseConninfo, resolveConninfo } from '../../../../src/dblink/conninfo/index.js';
import { context, type Environment, resolve } from './conninfo-context.js';

/** resolve() in a place where the primary is reached over TCP. */
function resolveNear(host: string, port: string, text: string, env: Environment = {}) {
  const defaults = { host, port, user: 'alice' };
  return resolveConninfo(parseConninfo(text), { ...context(env), defaults });
}

describe('defaults', () => {
  it('lead to where the primary is, as the session user, who names the database', async () => {
    const resolved = await resolveNear('db.internal', '6543', '');
    assert.deepEqual([resolved.hosts[0]?.host, resolved.hosts[0]?.port], ['db.internal', 6543]);
    assert.deepEqual([resolved.user, resolved.database], ['alice', 'alice']);
  });

  it('apply the primary’s port only together with its host', async () => {
    assert.equal((await resolveNear('db.internal', '6543', 'host=other')).hosts[0]?.port, 5432);
    assert.equal((await resolveNear('db.internal', '6543', 'port=7000')).hosts[0]?.port, 7000);
    const mixed = await resolveNear('db.internal', '6543', 'host=other,');
    assert.deepEqual(
      mixed.hosts.map((host) => [host.host, host.port]),
      [
        ['other', 5432],
        ['db.internal', 6543],
      ],
    );
  });

  it('give way to the environment', async () => {
    const env = { PGHOST: 'env.host', PGPORT: '1', PGUSER: 'env', PGDATABASE: 'envdb' };
    const resolved = await resolveNear('db.internal', '6543', '', env);
    assert.deepEqual([resolved.hosts[0]?.host, resolved.hosts[0]?.port], ['env.host', 1]);
    assert.deepEqual([resolved.user, resolved.database], ['env', 'envdb']);
  });

  it('know a primary behind a Unix socket', async () => {
    const host = (await resolveNear('@abstract', '5433', '')).hosts[0];
    assert.equal(host?.socketDirectory, '@abstract');
    assert.equal(host?.socketPath, '@abstract/.s.PGSQL.5433');
    assert.equal(
      (await resolveNear('/run/pg', '5433', 'hostaddr=127.0.0.1')).hosts[0]?.socketPath,
      undefined,
    );
  });
});

describe('hosts', () => {
  it('keep a name for TLS beside the address to connect to', async () => {
    const [host] = (await resolve('host=db.example hostaddr=::1 port=6000')).hosts;
    assert.equal(host?.host, 'db.example');
    assert.equal(host?.hostaddr, '::1');
    assert.equal(host?.displayHost, '::1');
  });

  it('that cannot be tried do not hide one that can', async () => {
    const resolved = await resolve('host=a,b,c port=0,5432,x');
    assert.deepEqual(
      resolved.hosts.map((host) => host.problem?.error.message),
      ['invalid port number: "0"', undefined, 'invalid integer value "x" for connection option "port"'],
    );
    assert.deepEqual(
      resolved.hosts.map((host) => host.problem?.fatal),
      [false, undefined, true],
    );
  });

  it('report a wrong connect_timeout when the first attempt begins', async () => {
    const problem = (await resolve('host=a connect_timeout=x')).hosts[0]?.problem;
    assert.equal(problem?.error.message, 'invalid integer value "x" for connection option "connect_timeout"');
    assert.deepEqual([problem?.prefixed, problem?.fatal], [true, true]);
  });

  it('on Unix sockets have no TCP options to be wrong', async () => {
    assert.equal((await resolve('host=/tmp keepalives_idle=x')).hosts[0]?.problem, undefined);
  });

  it('keep other alphabets whole in messages of several lines', async () => {
    await assert.rejects(
      resolve(Buffer.from('host=a,b port=é,1').toString('latin1')),
      (error: ConninfoError) => error.message === 'invalid integer value "é" for connection option "port"',
    );
  });
});

describe('numbers', () => {
  it('of ports go from 1 to 65535', async () => {
    assert.equal((await resolve('host=a port=65535')).hosts[0]?.port, 65535);
    for (const port of ['0', '-1', '65536']) {
      await assert.rejects(resolve(`host=a port=${port}`), { message: `invalid port number: "${port}"` });
    }
  });

  it('of connect_timeout: 0 and less is none, 1 is 2 s, and none exceeds what a timer can hold', async () => {
    const timeout = async (value: string) => (await resolve(`connect_timeout=${value}`)).connectTimeoutMs;
    assert.deepEqual(
      await Promise.all(['0', '-5', '1', '2', ' 10', '2147483647'].map((v) => timeout(`'${v}'`))),
      [0, 0, 2000, 2000, 10000, 2147483647],
    );
    assert.equal((await resolve('')).connectTimeoutMs, 0);
  });

  it('of keepalives', async () => {
    const keepalive = async (text: string) => (await resolve(text)).keepalive;
    assert.deepEqual(await keepalive(''), { enabled: true });
    assert.deepEqual(await keepalive('keepalives=0 keepalives_idle=x'), { enabled: false });
    assert.deepEqual(await keepalive('keepalives_idle=7 keepalives_interval=3 keepalives_count=0'), {
      enabled: true,
      idleSeconds: 7,
      intervalSeconds: 3,
    });
  });
});

describe('TLS options', () => {
  it('default to prefer, TLS 1.2 and the files in the home directory', async () => {
    assert.deepEqual((await resolve('')).tls, {
      mode: 'prefer',
      negotiation: 'postgres',
      sni: true,
      certMode: 'allow',
      certFile: '/home/user/.postgresql/postgresql.crt',
      keyFile: '/home/user/.postgresql/postgresql.key',
      rootCertFile: '/home/user/.postgresql/root.crt',
      crlFile: '/home/user/.postgresql/root.crl',
      minVersion: 'TLSv1.2',
    });
  });

  it('name the files given, and no default list beside a directory of lists', async () => {
    const text =
      'sslcert=c sslkey=k sslrootcert=r sslcrldir=d sslsni=0 sslcertmode=disable sslmode=verify-ca';
    const { tls } = await resolve(
      `${text} ssl_min_protocol_version=tlsv1.3 ssl_max_protocol_version=TLSv1.3`,
    );
    assert.deepEqual(tls, {
      mode: 'verify-ca',
      negotiation: 'postgres',
      sni: false,
      certMode: 'disable',
      certFile: 'c',
      keyFile: 'k',
      rootCertFile: 'r',
      crlDir: 'd',
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
    });
  });

  it('verify the host when any public authority is trusted', async () => {
    assert.equal((await resolve('sslrootcert=system')).tls.mode, 'verify-full');
    assert.equal((await resolve('requiressl=1')).tls.mode, 'require');
    assert.equal((await resolve('', { PGREQUIRESSL: '1', PGSSLMODE: 'allow' })).tls.mode, 'allow');
  });
});

describe('require_auth', () => {
  it('permits what it lists, or all but what it excludes', async () => {
    const permitted = async (text: string) => [...(await resolve(text)).permittedAuth].sort().join(' ');
    assert.equal(await permitted('require_auth=scram-sha-256,none'), 'none scram-sha-256');
    assert.equal(await permitted('require_auth=!none,!gss,!sspi,!oauth'), 'md5 password scram-sha-256');
    assert.equal(await permitted("require_auth=''"), 'gss md5 none oauth password scram-sha-256 sspi');
    assert.equal((await resolve('require_auth=!md5')).requireAuth, '!md5');
  });
});

describe('other options', () => {
  it('hide fallback_application_name even by an empty application_name', async () => {
    const startup = async (text: string, env?: Environment) => (await resolve(text, env)).startup;
    assert.deepEqual(await startup('fallback_application_name=fb'), [['application_name', 'fb']]);
    assert.deepEqual(await startup("fallback_application_name=fb application_name=''"), []);
    assert.deepEqual(await startup('fallback_application_name=fb', { PGAPPNAME: '' }), []);
  });

  it('are carried over', async () => {
    const text =
      'target_session_attrs=prefer-standby load_balance_hosts=random channel_binding=require requirepeer=pg';
    const resolved = await resolve(text);
    assert.equal(resolved.targetSessionAttrs, 'prefer-standby');
    assert.equal(resolved.loadBalance, 'random');
    assert.equal(resolved.channelBinding, 'require');
    assert.equal(resolved.requirePeer, 'pg');
  });

  it('take the encoding of the locale for client_encoding=auto', async () => {
    const encoding = async (locale: string) =>
      (await resolve('client_encoding=auto', { LC_ALL: locale })).startup.map(([, value]) => value);
    assert.deepEqual(await encoding('de_DE.UTF-8'), ['UTF8']);
    assert.deepEqual(await encoding('de_DE.iso88591@euro'), ['LATIN1']);
    assert.deepEqual(await encoding('C'), ['SQL_ASCII']);
    assert.deepEqual(await encoding('xx_XX.unheard-of'), []);
  });
});
