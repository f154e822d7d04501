import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type Config,
  ConfigError,
  type ConfigSources,
  documentSettings,
  loadConfig,
  primaryFor,
  settings,
} from '../../../src/config/index.js';
import { parseMemoryShare } from '../../../src/config/values.js';

const root = new URL('../../../../', import.meta.url);
const PRIMARY = 'databases:\n  "*":\n    primary: postgres://db:5432\n';
let directory: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-test-'));
});
after(() => rmSync(directory, { recursive: true }));

function load(text: string | undefined, rest: Partial<ConfigSources> = {}): Config {
  const file = text === undefined ? undefined : join(directory, 'proxy.yaml');
  if (file !== undefined) writeFileSync(file, text ?? '');
  return loadConfig({ flags: {}, env: {}, ...rest, file });
}

/** The message, with the temporary directory taken out. */
function refusal(text: string | undefined, rest: Partial<ConfigSources> = {}): string {
  try {
    load(text, rest);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${directory}/`, '');
    throw error;
  }
  return assert.fail('the configuration was accepted');
}

describe('configuration', () => {
  it('takes shares of the memory that there is', () => {
    const all = parseMemoryShare('100%');
    assert.ok(all > 0 && all <= totalmem());
    assert.equal(parseMemoryShare('50 %'), Math.floor(all / 2));
    assert.equal(parseMemoryShare('300MiB'), 300 * 1024 ** 2);
    assert.equal(parseMemoryShare('0'), 0);
    for (const wrong of ['101%', '-1%', '5.5%', '%', 'all'])
      assert.throws(() => parseMemoryShare(wrong), { name: 'ValueError' });
  });

  it('has the defaults that the documentation and the example name', () => {
    const { values: _values, ...config } = load(PRIMARY);
    assert.deepEqual(config, {
      listen: [{ kind: 'tcp', host: '127.0.0.1', port: 6432 }],
      unixSocketMode: undefined,
      databases: new Map([['*', { primary: { host: 'db', port: 5432, sslmode: 'prefer' } }]]),
      embedded: false,
      workers: 1,
      auth: 'relay',
      tls: undefined,
      log: { level: 'info', pretty: 'auto' },
      audit: { file: undefined, statements: 'fingerprint', onFull: 'wait', buffer: 8 * 1024 ** 2 },
      timeouts: {
        login: 60_000,
        tlsHandshake: 0,
        connect: 15_000,
        lookup: 0,
        remoteConnect: 0,
        remoteStatement: 0,
        idleDblink: 0,
        remoteWait: 30_000,
        idle: 0,
        idleInTransaction: 0,
        transaction: 0,
        shutdown: 30_000,
        handover: 60_000,
      },
      limits: {
        statementBytes: 1024 ** 2,
        spliceBytes: 256 * 1024 ** 2,
        remoteLoginsPerSession: 8,
        remoteLogins: 64,
        memory: 1024 ** 3,
        sessionMemory: 0,
        collectedRows: 0,
        preparedStatements: 10_000,
        preparedBytes: 64 * 1024 ** 2,
        pipelinedBytes: 256 * 1024,
        memoryHigh: 0,
        clients: 5000,
        clientsPerUser: 0,
        clientsPerDatabase: 0,
        clientsPerAddress: 0,
        waitingClients: 0,
        reservedClients: 0,
        reservedUsers: [],
        remoteConnections: 5000,
        remoteConnectionsPerSession: 100,
        remoteConnectionsPerUser: 0,
        remoteConnectionsPerServer: 0,
        reservedDescriptors: 64,
      },
      dblink: {
        schemas: ['public', 'extensions', 'dblink'],
        calls: 'proxy',
        bridge: 'auto',
        hostFiles: 'superusers',
        keep: 2000,
        hostEnvironment: 'superusers',
        maxScramIterations: 100_000,
        servers: [],
      },
      applicationNameAddHost: false,
      proxyProtocol: [],
      access: [],
      policy: { rules: [], fallback: 'allow', connectionStrings: true, remoteWritesInReadOnly: 'allow' },
      http: { listen: undefined, token: undefined },
      tcp: { keepalive: 60_000 },
      warnings: [],
    });
    const { values: _read, ...example } = load(readFileSync(new URL('config.example.yaml', root), 'utf8'));
    assert.deepEqual({ ...example, databases: config.databases }, config);
    assert.equal(primaryFor({ ...example, values: {} }, 'any')?.host, '127.0.0.1');
  });

  it('is documented as it is', () => {
    const documented = readFileSync(new URL('docs/configuration.md', root), 'utf8');
    assert.equal(documented, documentSettings(), 'run: npm run build && node scripts/configuration-docs.mjs');
    for (const { key, env } of settings) {
      assert.ok(documented.includes(`## \`${key}\``) && documented.includes(`\`${env}\``), key);
    }
  });

  it('takes a flag over the environment over the file over the default', () => {
    const file = `${PRIMARY}log: { level: error }\ntimeouts:\n  login: 5s\n`;
    const env = {
      DBLINK_PROXY_LOG_LEVEL: 'warn',
      DBLINK_PROXY_TIMEOUTS_CONNECT: '250ms',
      DBLINK_PROXY_AUTH: '',
    };
    assert.equal(load(file).log.level, 'error');
    assert.equal(load(file, { env }).log.level, 'warn');
    const all = load(file, { env, flags: { 'log-level': 'debug', listen: ['[::1]:1', '/run/pg:7000'] } });
    assert.equal(all.log.level, 'debug');
    assert.deepEqual(all.timeouts, { ...load(PRIMARY).timeouts, login: 5000, connect: 250 });
    assert.deepEqual(all.listen, [
      { kind: 'tcp', host: '::1', port: 1 },
      { kind: 'unix', directory: '/run/pg', port: 7000, path: '/run/pg/.s.PGSQL.7000' },
    ]);
  });

  it('can be given by the environment alone, every setting of it', () => {
    const env = {
      DBLINK_PROXY_LISTEN: '*:6432, /tmp',
      DBLINK_PROXY_PRIMARY: 'postgres://u:p%40@db/x?sslmode=verify-full&sslrootcert=/ca.pem',
      DBLINK_PROXY_LIMITS_SPLICE_BYTES: '64MB',
      DBLINK_PROXY_DBLINK_SCHEMAS: 'public,other',
      DBLINK_PROXY_SERVICE_HOST: '10.0.0.1',
      DBLINK_PROXY_PORT_6432_TCP_ADDR: '10.0.0.1',
    };
    const config = load(undefined, { env });
    assert.deepEqual(config.listen, [
      { kind: 'tcp', host: '::', port: 6432 },
      { kind: 'unix', directory: '/tmp', port: 6432, path: '/tmp/.s.PGSQL.6432' },
    ]);
    assert.deepEqual(primaryFor(config, 'x'), {
      ...{ host: 'db', port: 5432, database: 'x', user: 'u', password: 'p@' },
      ...{ sslmode: 'verify-full', sslrootcert: '/ca.pem' },
    });
    assert.equal(config.limits.spliceBytes, 64 * 1024 ** 2);
    assert.deepEqual(config.dblink.schemas, ['public', 'other']);
    const file = join(directory, 'named.yaml');
    writeFileSync(file, `${PRIMARY}auth: relay\nembedded:\n`);
    assert.throws(
      () => loadConfig({ flags: {}, env: { DBLINK_PROXY_CONFIG: file } }),
      /named\.yaml:5:1: embedded: /,
    );
  });

  // The text of the file, and the whole message.
  const wrong: readonly (readonly [text: string, message: string])[] = [
    [`${PRIMARY}lisen: [127.0.0.1:1]`, 'proxy.yaml:4:1: lisen: unknown key; did you mean "listen"?'],
    [`${PRIMARY}log:\n  levle: info`, 'proxy.yaml:5:3: log.levle: unknown key; did you mean "level"?'],
    [`${PRIMARY}log_level: info`, 'proxy.yaml:4:1: log_level: unknown key; did you mean "log.level"?'],
    [`${PRIMARY}schemas: [a]`, 'proxy.yaml:4:1: schemas: unknown key; did you mean "dblink.schemas"?'],
    [`${PRIMARY}tls:\n  zzz: 1`, 'proxy.yaml:5:3: tls.zzz: unknown key; valid keys: cert, key'],
    [
      `${PRIMARY}  orders:\n    primary: postgres://x`,
      'proxy.yaml:4:3: databases.orders: only the entry "*", for every database, is supported so far',
    ],
    [
      `${PRIMARY}log: { level: debgu }`,
      'proxy.yaml:4:15: log.level: "debgu" is not one of trace, debug, info, warn, error, fatal, silent; ' +
        'did you mean "debug"?',
    ],
    [
      `${PRIMARY}timeouts:\n  login: 10 parsecs`,
      'proxy.yaml:5:10: timeouts.login: "10 parsecs" is not a duration such as 500ms, 30s, 5min or a number of ' +
        'milliseconds',
    ],
    [
      `${PRIMARY}timeouts: 5s`,
      'proxy.yaml:4:11: timeouts: expected settings as "key: value"; valid keys: login, tls_handshake, connect, lookup, remote_connect, remote_statement, idle_dblink, remote_wait, idle, idle_in_transaction, transaction, shutdown, handover',
    ],
    [
      `${PRIMARY}limits:\n  splice_bytes: 3GiB`,
      'proxy.yaml:5:17: limits.splice_bytes: "3GiB" is more than the largest value, 2147483647',
    ],
    [
      `${PRIMARY}listen:\n  - localhost`,
      'proxy.yaml:5:3: listen: "localhost" is neither HOST:PORT nor the directory of a Unix socket',
    ],
    [`${PRIMARY}auth: relay\nauth: relay`, 'proxy.yaml:5:1: is not valid YAML: Map keys must be unique'],
    [
      `${PRIMARY}auth: password`,
      'proxy.yaml:4:7: auth: "password" needs tls.cert and tls.key, since clients would send passwords unencrypted',
    ],
    [`${PRIMARY}tls:\n  key: k.pem`, 'proxy.yaml:5:8: tls.key: is of no use without tls.cert'],
    [
      `${PRIMARY}embedded: true`,
      'proxy.yaml:4:11: embedded: starts a primary of its own and cannot be combined with databases.*.primary',
    ],
    [
      'just text',
      'proxy.yaml:1:1: expected settings as "key: value"; valid keys: listen, unix_socket_mode, workers, databases, embedded, auth, application_name_add_host, proxy_protocol, access, tls, log, audit, timeouts, limits, dblink, policy, http, tcp',
    ],
    [
      '',
      'proxy.yaml: databases.*.primary: is not set; give --primary postgres://host:port, or --embedded to try things out',
    ],
  ];
  for (const [text, message] of wrong) {
    it(`refuses ${JSON.stringify(text.replace(PRIMARY, '…'))}`, () => assert.equal(refusal(text), message));
  }

  it('reports everything that is wrong, whatever overrides it', () => {
    const flags = { 'log-level': 'loud', auth: 'relay' };
    const env = { DBLINK_PROXY_TIMEOUT_LOGIN: '1s', DBLINK_PROXY_AUTH: 'none' };
    assert.deepEqual(refusal(`${PRIMARY}auth: nothing\ntcp: { keepalive: x }`, { flags, env }).split('\n'), [
      '--log-level: log.level: "loud" is not one of trace, debug, info, warn, error, fatal, silent',
      'environment variable DBLINK_PROXY_AUTH: auth: "none" is not one of relay, password',
      'environment variable DBLINK_PROXY_TIMEOUT_LOGIN: unknown setting; did you mean "DBLINK_PROXY_TIMEOUTS_LOGIN"?',
      'proxy.yaml:4:7: auth: "nothing" is not one of relay, password',
      'proxy.yaml:5:19: tcp.keepalive: "x" is not a duration such as 500ms, 30s, 5min or a number of milliseconds',
    ]);
  });

  it('says which file it cannot read', () => {
    const file = join(directory, 'none.yaml');
    assert.throws(() => loadConfig({ flags: {}, env: {}, file }), /none\.yaml: cannot be read: ENOENT/);
    writeFileSync(join(directory, 'rubbish.pem'), 'rubbish');
    const text = `${PRIMARY}tls:\n  cert: rubbish.pem\n  key: missing.pem\n`;
    assert.match(refusal(text), /^proxy\.yaml:6:8: tls\.key: cannot be read: ENOENT/);
    assert.match(
      refusal(text.replace('missing', 'rubbish')),
      /^proxy\.yaml:5:9: tls\.cert: cannot be used with tls\.key/,
    );
  });
});
