import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { STANDARD_ERROR } from '../audit/index.js';
import type { WrittenRule } from '../policy/index.js';
import type { Complete, Config, TlsFiles } from './config.js';
import type { RuleSetting } from './entries/policy.js';
import { type ServerSetting, withPasswords } from './entries/servers.js';
import { ConfigError, type ConfigIssue, ValueError } from './errors.js';
import { renamed } from './names.js';
import { schema } from './schema.js';
import { nest, settings, valueAt } from './settings.js';
import { CONFIG_VARIABLE, environmentSource, fileSource, flagSource, type Source } from './sources.js';
import { warningsOf } from './warnings.js';

/** Where the configuration comes from. */
export interface ConfigSources {
  /** Options by flag name without dashes, undefined where not given; see `settings`. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of the configuration file; else the one that DBLINK_PROXY_CONFIG names, else none. */
  readonly file?: string | undefined;
  /** Accept that no primary is named: the environment or a flag may name one when the file is used. */
  readonly partial?: boolean;
}

/**
 * Puts the configuration together. A flag wins over the environment, the environment over the file, the file over the default.
 *
 * Every source is checked whole, so that a wrong value is reported even where another source overrides it.
 *
 * @throws ConfigError with all that is wrong and where it stands
 */
export function loadConfig(given: ConfigSources): Config {
  const { flags, env, file = env[CONFIG_VARIABLE] || undefined, partial = false } = given;
  const sources = [
    flagSource(flags),
    environmentSource(env),
    ...(file === undefined ? [] : [fileSource(file, readConfigFile(file))]),
  ];
  const issues = sources.flatMap((source) => source.issues);
  if (issues.length > 0) throw new ConfigError(issues);
  return combine(sources, env, file, partial);
}

function readConfigFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError([
      { source: file, key: '', problem: `cannot be read: ${(error as Error).message}` },
    ]);
  }
}

function combine(
  sources: readonly Source[],
  env: ConfigSources['env'],
  file: string | undefined,
  partial: boolean,
): Config {
  const defaults = schema.parse(nest(settings.map((setting) => [setting.path, setting.default])));
  const layers: readonly unknown[] = [...sources.map((source) => source.values), defaults];
  const chosen = nest(
    settings.map(({ path }) => [
      path,
      layers.map((layer) => valueAt(layer, path)).find((value) => value !== undefined),
    ]),
  ) as unknown as Complete;
  const flags = sources[0]!;
  const issues: ConfigIssue[] = [];
  const report = (key: string, problem: string): void => {
    const path = key.split('.');
    const source = sources.find(({ values }) => valueAt(values, path) !== undefined);
    issues.push({ ...(source?.locate(path) ?? { source: file ?? 'configuration' }), key, problem });
  };

  const primary = chosen.databases?.['*']?.primary;
  const { embedded, workers, auth, timeouts, limits, tcp, dblink, log, listen, policy, audit } = chosen;
  if (primary === undefined && !embedded && !partial) {
    report(
      'databases.*.primary',
      'is not set; give --primary postgres://host:port, or --embedded to try things out',
    );
  }
  if (primary !== undefined && embedded) {
    report('embedded', 'starts a primary of its own and cannot be combined with databases.*.primary');
  }
  const tls = tlsFiles(chosen.tls ?? {}, sources, file, report);
  if (auth === 'password' && tls === undefined && issues.length === 0) {
    report('auth', '"password" needs tls.cert and tls.key, since clients would send passwords unencrypted');
  }
  const servers = declaredServers(dblink?.servers ?? [], sources, env, file, report);
  if (issues.length > 0) throw new ConfigError(issues);

  return {
    listen,
    unixSocketMode: chosen.unix_socket_mode,
    databases: new Map(primary === undefined ? [] : [['*', { primary }]]),
    embedded,
    workers,
    auth,
    applicationNameAddHost: chosen.application_name_add_host,
    proxyProtocol: chosen.proxy_protocol ?? [],
    access: chosen.access ?? [],
    tls,
    log: renamed(log),
    audit: { ...renamed(audit), file: auditFile(audit.file, sources, file) },
    timeouts: renamed(timeouts),
    limits: { ...renamed(limits), reservedUsers: limits.reserved_users ?? [] },
    dblink: { ...renamed(dblink), servers },
    policy: {
      rules: withPlaces(policy.rules ?? [], sources),
      fallback: policy.default,
      connectionStrings: policy.connection_strings,
      remoteWritesInReadOnly: policy.remote_writes_in_read_only,
    },
    tcp: renamed(tcp),
    http: { listen: chosen.http?.listen, token: chosen.http?.token },
    values: Object.fromEntries(
      settings
        .map(({ key, path }) => [key, valueAt(chosen, path)])
        .filter(([, value]) => value !== undefined),
    ),
    warnings: warningsOf({
      primary,
      auth,
      tls,
      leavesToExtension:
        dblink.calls === 'primary' &&
        (audit.file !== undefined ||
          policy.default === 'deny' ||
          !policy.connection_strings ||
          (policy.rules ?? []).length > 0),
      onCommandLine: flags.values.databases?.['*']?.primary !== undefined,
    }),
  };
}

/** The rules of the policy, each with the place where its author finds it. */
function withPlaces(rules: readonly RuleSetting[], sources: readonly Source[]): readonly WrittenRule[] {
  const source = sources.find(({ values }) => valueAt(values, ['policy', 'rules']) !== undefined);
  return rules.map((rule, i) => {
    const { source: name = '', line } = source?.locate(['policy', 'rules', String(i)]) ?? {};
    const place = `policy.rules[${i}]`;
    return { ...rule, place: line === undefined ? place : `${place} (${name}, line ${line})` };
  });
}

/** Where the audit goes. */
const auditFile = (
  given: string | undefined,
  sources: readonly Source[],
  file: string | undefined,
): string | undefined =>
  given === undefined || given === STANDARD_ERROR
    ? given
    : resolve(directoryOf(['audit', 'file'], sources, file), given);

/** The servers with their passwords. What is wrong is reported. */
function declaredServers(
  given: readonly ServerSetting[],
  sources: readonly Source[],
  env: ConfigSources['env'],
  file: string | undefined,
  report: (key: string, problem: string) => void,
): Config['dblink']['servers'] {
  try {
    return withPasswords(given, directoryOf(['dblink', 'servers'], sources, file), env);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    report('dblink.servers', error.message);
    return [];
  }
}

/** The directory that a relative path in a setting counts from: the file's, if it is the file that gives the setting. */
const directoryOf = (
  path: readonly string[],
  sources: readonly Source[],
  file: string | undefined,
): string => {
  // The first two sources are the flags and the environment.
  const overridden = sources.slice(0, 2).some(({ values }) => valueAt(values, path) !== undefined);
  return file === undefined || overridden ? '.' : dirname(file);
};

/** Both paths, made absolute, if the pair can be used. What is wrong is reported otherwise. */
function tlsFiles(
  given: { readonly cert?: string | undefined; readonly key?: string | undefined },
  sources: readonly Source[],
  file: string | undefined,
  report: (key: string, problem: string) => void,
): TlsFiles | undefined {
  if (given.cert === undefined && given.key === undefined) return undefined;
  if (given.cert === undefined || given.key === undefined) {
    const [present, absent] = given.cert === undefined ? ['tls.key', 'tls.cert'] : ['tls.cert', 'tls.key'];
    report(present, `is of no use without ${absent}`);
    return undefined;
  }
  const absolute = (name: 'cert' | 'key', path: string): string =>
    resolve(directoryOf(['tls', name], sources, file), path);
  const files = { cert: absolute('cert', given.cert), key: absolute('key', given.key) };
  const contents = new Map<string, Buffer>();
  for (const name of ['cert', 'key'] as const) {
    try {
      contents.set(name, readFileSync(files[name]));
    } catch (error) {
      report(`tls.${name}`, `cannot be read: ${(error as Error).message}`);
    }
  }
  if (contents.size < 2) return undefined;
  try {
    createSecureContext({ cert: contents.get('cert'), key: contents.get('key') });
  } catch (error) {
    report('tls.cert', `cannot be used with tls.key: ${(error as Error).message}`);
    return undefined;
  }
  return files;
}
