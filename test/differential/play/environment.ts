import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { MATRIX_PACKAGES } from '../../support/majors.js';
import type { TestProxy } from '../../support/proxy.js';
import { WireConnection } from '../../support/wire.js';

import { BRIDGE, FINGERPRINT, LOCAL_FIXTURE, REMOTE_FIXTURE, REMOTE_HBA, ROLES } from './fixtures.js';
import { LOCAL_DATABASES, type LocalDatabase } from './types.js';

/** The databases of a side that the harness looks after on direct connections. */
export type DatabaseName = LocalDatabase | 'remote';

/** One side of the comparison: where clients connect, and the servers behind it. */
export interface Side {
  readonly name: 'extension' | 'proxy' | 'extension again';
  readonly client: { readonly host: string; readonly port: number };
  readonly local: PostgresServer;
  readonly remote: PostgresServer;
  /** Direct connections as superuser. */
  readonly direct: Readonly<Record<DatabaseName, WireConnection>>;
  readonly ports: ReadonlyMap<string, string>;
  /** Fixtures of all databases, as they were before the first case. */
  readonly fingerprint: string;
}

export interface Environment {
  readonly major: number;
  readonly extension: Side;
  readonly proxy: Side;
  /** Fails if a case has changed the fixtures. */
  checkFixtures(): Promise<void>;
  stop(): Promise<void>;
}

/** Both settings and locale are the same for all servers, so that nothing but dblink can make a difference. */
const SETTINGS = {
  timezone: 'UTC',
  datestyle: 'ISO, MDY',
  max_prepared_transactions: '5',
  max_connections: '60',
  autovacuum: 'off',
  log_min_messages: 'fatal',
};

/** What stands on the second side; `forced`: a proxy that leaves to the bridge whatever that can serve. */
export type SecondSide = 'proxy' | 'forced' | 'extension';

/** What is otherwise about the remotes. */
export interface Remotes {
  readonly remoteMajor?: number | undefined;
  /** They are copies of the primaries' cluster, so that the proxy takes them for the primary and serves dblink in their sessions. */
  readonly sameCluster?: boolean;
}

/** Arguments that initdb has anyway. A server with arguments of its own is a cluster of its own. */
const OWN_CLUSTER = ['--encoding=UTF8'];

/**
 * Starts two primaries of a major and two identical remotes, of the same major unless another is named: one pair with
 * the extension, one with the proxy in front of a primary whose dblink files were removed, but which has the functions of
 * the bridge (not in `app_bare`). With `second: 'extension'` both sides have the extension, which shows that normalisations
 * suffice and cases are deterministic.
 */
export async function startEnvironment(
  major: number,
  second: SecondSide,
  { remoteMajor = major, sameCluster = false }: Remotes = {},
): Promise<Environment> {
  // libpq inside the extension's server, and the proxy in this process, must find no settings but those given below.
  for (const name of Object.keys(process.env)) if (/^PG[A-Z]/.test(name)) delete process.env[name];
  const packages = MATRIX_PACKAGES;
  const withExtension = await prepareBinaries({ major, dblink: true, packages });
  const without = await prepareBinaries({ major, dblink: false, packages });
  const ofRemotes = await prepareBinaries({ major: remoteMajor, dblink: true, packages });
  const remote = (): Promise<PostgresServer> =>
    startPostgres({
      installation: ofRemotes,
      settings: SETTINGS,
      hba: REMOTE_HBA,
      initdbArgs: sameCluster ? [] : OWN_CLUSTER,
    });
  const primary = async (dblink: boolean): Promise<PostgresServer> => {
    // A connection string without a host means "here": the server itself, as the proxy takes it too.
    const env = (port: number): Record<string, string> =>
      dblink ? { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' } : {};
    return startPostgres({ installation: dblink ? withExtension : without, settings: SETTINGS, env });
  };
  const servers = [
    await primary(true),
    await remote(),
    await primary(second === 'extension'),
    await remote(),
  ] as const;
  const [local1, remote1, local2, remote2] = servers;
  // Loaded only when it is needed: the harness can be checked against itself while the proxy does not even load.
  const { startTestProxy } = second === 'extension' ? {} : await import('../../support/proxy.js');
  const env: Record<string, string> = second === 'forced' ? { DBLINK_PROXY_DBLINK_BRIDGE: 'always' } : {};
  // The bridge's account: who logs in need not be able to have one.
  const flags = { primary: `postgres://postgres@${local2.host}:${local2.port}?sslmode=disable` };
  const proxy = await startTestProxy?.(local2, { env, flags });
  const left = await makeSide('extension', local1, remote1, local1);
  const right =
    proxy === undefined
      ? await makeSide('extension again', local2, remote2, local2)
      : await makeSide('proxy', local2, remote2, proxy);
  return {
    major,
    extension: left,
    proxy: right,
    async checkFixtures() {
      for (const side of [left, right]) {
        if ((await fingerprint(side.direct)) !== side.fingerprint) {
          throw new Error(`a case has changed the fixtures of ${side.name}`);
        }
      }
    },
    async stop() {
      for (const side of [left, right])
        for (const connection of Object.values(side.direct)) connection.destroy();
      await proxy?.stop();
      await Promise.all(servers.map((server) => server.stop('immediate')));
    },
  };
}

async function makeSide(
  name: Side['name'],
  local: PostgresServer,
  remote: PostgresServer,
  client: PostgresServer | TestProxy,
): Promise<Side> {
  const dblink = name !== 'proxy';
  await createDatabases(local, LOCAL_DATABASES);
  await createDatabases(remote, ['remote']);
  const direct = {
    app: await directConnection(local, 'app'),
    app_latin1: await directConnection(local, 'app_latin1'),
    app_ascii: await directConnection(local, 'app_ascii'),
    app_bare: await directConnection(local, 'app_bare'),
    remote: await directConnection(remote, 'remote'),
  };
  for (const name of LOCAL_DATABASES) {
    const database = direct[name];
    await database.rows(LOCAL_FIXTURE);
    if (dblink) await database.rows('CREATE EXTENSION dblink SCHEMA public');
    else if (name !== 'app_bare') for (const sql of BRIDGE) await database.rows(sql);
    await database.rows(`INSERT INTO conf VALUES ('remote', '${connectionString(remote)}')`);
  }
  await direct.remote.rows(REMOTE_FIXTURE);
  const ports = new Map([
    ['remote', String(remote.port)],
    ['local', String(local.port)],
    ['client', String(client.port)],
  ]);
  for (const port of ports.values()) {
    if (port.length !== 5) throw new Error(`port ${port} has not five digits, lengths of texts would differ`);
  }
  return {
    name,
    client: { host: client.host, port: client.port },
    local,
    remote,
    direct,
    ports,
    fingerprint: await fingerprint(direct),
  };
}

/** What `{R}` stands for. */
export function connectionString(remote: PostgresServer): string {
  return `host=127.0.0.1 port=${remote.port} user=postgres dbname=remote`;
}

/** Puts the values of a side in for the placeholders of a case. */
export function fillIn(sql: string, side: Side): string {
  const { remote, local } = side;
  return sql.replace(/\{(R|URI|host|port|lport)\}/g, (whole, name: string) => {
    switch (name) {
      case 'R':
        return connectionString(remote);
      case 'URI':
        return `postgresql://postgres@127.0.0.1:${remote.port}/remote`;
      case 'host':
        return '127.0.0.1';
      case 'port':
        return String(remote.port);
      case 'lport':
        return String(local.port);
      default:
        return whole;
    }
  });
}

const ENCODINGS: Readonly<Record<string, string>> = { app_latin1: 'LATIN1', app_ascii: 'SQL_ASCII' };

async function createDatabases(server: PostgresServer, names: readonly string[]): Promise<void> {
  const connection = await directConnection(server, 'postgres');
  await connection.rows(ROLES);
  for (const name of names) {
    const encoding = ENCODINGS[name] ?? 'UTF8';
    await connection.rows(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C'`);
    await connection.rows(`ALTER DATABASE ${name} SET search_path = scratch, public`);
  }
  await connection.end();
}

async function directConnection(server: PostgresServer, database: string): Promise<WireConnection> {
  const { connection, startup } = await WireConnection.open({
    host: server.host,
    port: server.port,
    parameters: {
      user: server.user,
      database,
      client_encoding: 'UTF8',
      application_name: 'harness',
      options: '-c lock_timeout=5s',
    },
  });
  if (startup.at(-1)?.type !== 'Z') throw new Error(`no direct connection to ${database}`);
  return connection;
}

async function fingerprint(direct: Side['direct']): Promise<string> {
  const parts = [];
  for (const connection of Object.values(direct)) parts.push(await connection.rows(FINGERPRINT));
  const contents = 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY 1)) FROM';
  parts.push(await direct.app.rows(`${contents} items t`), await direct.remote.rows(`${contents} people t`));
  return JSON.stringify(parts);
}
