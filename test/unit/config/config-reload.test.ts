import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Config, loadConfig, reloaded, type Setting, settings } from '../../../src/config/index.js';
import { type Limited, limit } from '../../../src/server/limited.js';
import { routerSettings } from '../../../src/server/sessionSettings.js';
import { tlsFile } from '../../support/tlsFiles.js';

/** Another value of each setting than its default, as an environment variable has it. */
const OTHERS: Readonly<Record<string, string>> = {
  listen: '127.0.0.1:7777',
  unix_socket_mode: '0700',
  workers: '3',
  'databases.*.primary': 'postgres://somebody@db.example/other',
  auth: 'password',
  application_name_add_host: 'true',
  proxy_protocol: '10.0.0.1',
  access: '[{"deny":{"user":"nobody"}}]',
  'log.level': 'debug',
  'log.pretty': 'true',
  'audit.file': '/elsewhere/audit.json',
  'audit.statements': 'full',
  'audit.on_full': 'drop',
  'limits.reserved_users': 'postgres',
  'dblink.schemas': 'elsewhere',
  'dblink.calls': 'primary',
  'dblink.bridge': 'off',
  'dblink.host_files': 'nobody',
  'dblink.host_environment': 'nobody',
  'dblink.servers': '{"a":{"host":"h","roles":["public"]}}',
  'http.listen': '127.0.0.1:7778',
  'http.token': 'another',
  'policy.default': 'deny',
  'policy.rules': '[{"deny":{"port":1}}]',
  'policy.connection_strings': 'false',
  'policy.remote_writes_in_read_only': 'deny',
};

const TLS = { DBLINK_PROXY_TLS_CERT: tlsFile('server.crt'), DBLINK_PROXY_TLS_KEY: tlsFile('server.key') };
const load = (env: Readonly<Record<string, string>>): Config =>
  loadConfig({ flags: {}, env: { DBLINK_PROXY_PRIMARY: 'postgres://db.example', ...TLS, ...env } });

/** The limits that are set, as they are set. */
function limitsOf(config: Config): unknown {
  const set: unknown[] = [];
  const taker = { limit: (given: unknown) => set.push(given), reserve: (given: unknown) => set.push(given) };
  const limited = {
    ...{
      descriptors: taker,
      clients: taker,
      admission: taker,
      logins: taker,
      ceiling: taker,
      memory: {},
      kept: {},
    },
  } as unknown as Limited;
  limit(limited, config);
  return [set, limited.memory, limited.kept];
}

const changedBy = ({ key, env, unit, default: normal }: Setting): Config => {
  const value = OTHERS[key] ?? (unit === undefined ? String(Number(normal) + 7) : `${4_000_007}`);
  return load({ [env]: value });
};

describe('a reload', () => {
  const before = load({});
  const changeable = settings.filter(({ key }) => !key.startsWith('tls.') && key !== 'embedded');

  for (const setting of changeable) {
    const { key, reload } = setting;
    it(`changes ${key}: ${reload}`, () => {
      const { config, changed, pending } = reloaded(before, changedBy(setting));
      assert.deepEqual(changed, [key]);
      assert.deepEqual(pending, reload === 'restart' ? [key] : []);
      const isSame = (part: (config: Config) => unknown): boolean =>
        isDeepStrictEqual(part(config), part(before));
      const ofSessions = (config: Config): unknown => [
        JSON.stringify({
          ...routerSettings(config),
          policy: 0,
          limits: {},
          timeouts: {},
          dblink: { ...config.dblink, keep: 0 },
        }),
        config.proxyProtocol,
        [config.timeouts.login, config.timeouts.tlsHandshake, config.timeouts.connect],
        [config.timeouts.lookup, config.timeouts.remoteConnect],
        [config.timeouts.remoteStatement, config.timeouts.idleDblink],
        [config.limits.statementBytes, config.limits.spliceBytes, config.limits.collectedRows],
        [config.limits.preparedStatements, config.limits.preparedBytes, config.limits.pipelinedBytes],
        [config.log.level, config.tcp],
      ];
      const ofAll = (config: Config): unknown => [
        limitsOf(config),
        config.policy,
        [config.timeouts.idle, config.timeouts.idleInTransaction, config.timeouts.transaction],
        [config.timeouts.shutdown, config.timeouts.handover],
      ];
      if (reload === 'restart') {
        const { values: _values, warnings: _warnings, ...rest } = config;
        const { values: _old, warnings: _older, ...same } = before;
        assert.deepEqual(rest, same);
      } else if (reload === 'live') assert.ok(!isSame(ofAll), 'open sessions have it');
      else assert.ok(isSame(ofAll) || !isSame(ofSessions), 'new sessions have it');
      if (reload === 'new sessions') assert.ok(!isSame(ofSessions), 'new sessions have it');
    });
  }

  it('that changes nothing says so', () => {
    assert.deepEqual(reloaded(before, load({})).changed, []);
  });

  it('goes on telling of what needs a restart', () => {
    const next = load({ DBLINK_PROXY_WORKERS: '3', DBLINK_PROXY_LOG_PRETTY: 'true' });
    const first = reloaded(before, next);
    assert.deepEqual(first.pending, ['workers', 'log.pretty']);
    assert.deepEqual(reloaded(first.config, next).pending, ['workers', 'log.pretty']);
    assert.deepEqual(reloaded(first.config, load({})).pending, []);
  });
});
