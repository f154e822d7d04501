import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { CONTENDERS, type Contender, type Group, type Remotes } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import { ACCOUNTS_TABLE, BRIDGE_OBJECTS, bulkTable, LOCAL_TABLES } from '../measure/tables.js';
import { type BareRelay, startBareRelay } from './bareRelay.js';
import { type DistantServer, startDistantServer } from './distantServer.js';
import { foreignTables, READER, REMOTE_HBA, remoteTables } from './foreign.js';
import { type PgBouncer, startPgBouncer } from './pgbouncer.js';
import { type ProxyProcess, startProxyProcess } from './proxy.js';

/** Every server that takes part. The remote is the same for the proxy and for the extension. */
export interface Rig {
  readonly postgresVersion: string;
  readonly pgbouncer: PgBouncer | undefined;
  readonly contenders: Readonly<Record<Group, readonly Contender[]>>;
  readonly remotes: Remotes;
  /** Another proxy process in front of the same primary. */
  startProxy(profile?: { readonly directory: string; readonly name: string }): Promise<ProxyProcess>;
  stop(): Promise<void>;
}

export interface RigOptions {
  readonly major: number;
  readonly bulkRows: number;
  readonly groups: ReadonlySet<Group>;
  /** How many sessions the primary takes. */
  readonly sessions: number;
}

const SETTINGS = {
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  // Nothing that would come and go in the middle of a measurement.
  autovacuum: 'off',
  checkpoint_timeout: '1h',
};

/** How far away the distant remote is: what a query there takes at least. */
export const DISTANCE_MS = 50;

/** Starts what the chosen groups need, and fills the tables. */
export async function startRig({ major, bulkRows, groups, sessions }: RigOptions): Promise<Rig> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.reverse()) await one();
  };
  try {
    return { ...(await startAll({ major, bulkRows, groups, sessions }, stops)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startAll(
  { major, bulkRows, groups, sessions }: RigOptions,
  stops: (() => Promise<void>)[],
): Promise<Omit<Rig, 'stop'>> {
  const plain = await prepareBinaries({ major, dblink: false });
  const start = async (
    installation = plain,
    more: {
      readonly hba?: readonly string[];
      readonly sessions?: number;
      readonly initdbArgs?: readonly string[];
    } = {},
  ): Promise<PostgresServer> => {
    const { hba, sessions: most = 300, initdbArgs = [] } = more;
    const settings = { ...SETTINGS, max_connections: String(most) };
    const server = await startPostgres({ installation, settings, initdbArgs, ...(hba && { hba }) });
    stops.push(() => server.stop('immediate'));
    return server;
  };
  const relay = groups.has('relay');
  // PgBouncer keeps its connections while others have theirs.
  const primary = await start(plain, { sessions: 2 * sessions + 200 });
  await fill(primary, [
    ...(relay ? [ACCOUNTS_TABLE] : []),
    ...(relay || groups.has('memory') ? [bulkTable(bulkRows)] : []),
    LOCAL_TABLES,
  ]);

  let pgbouncer: PgBouncer | undefined;
  let bare: BareRelay | undefined;
  if (relay) {
    pgbouncer = await startPgBouncer(primary, sessions);
    if (pgbouncer !== undefined) stops.push(pgbouncer.stop);
    bare = await startBareRelay(primary);
    stops.push(bare.stop);
  }
  const proxy = await startProxyProcess(primary);
  stops.push(proxy.stop);
  const all: Contender[] = [{ name: 'direct', host: primary.host, port: primary.port }, proxy.contender];
  if (pgbouncer !== undefined) all.push(pgbouncer.contender);
  if (bare !== undefined) all.push(bare.contender);

  let remotes: Remotes = { plain: '', scram: '', distant: '' };
  if (groups.has('dblink') || groups.has('fdw') || groups.has('memory')) {
    // Of a cluster of its own: made of the same template it would have the primary's identifier, and be taken for the primary.
    const remote = await start(plain, { hba: REMOTE_HBA, initdbArgs: ['--encoding=UTF8'] });
    await fill(remote, [bulkTable(bulkRows), remoteTables]);
    const distant: DistantServer = await startDistantServer(remote, DISTANCE_MS);
    stops.push(distant.stop);
    const at = (port: number, user: string): string =>
      `host=${remote.host} port=${port} dbname=postgres ${user}`;
    remotes = {
      plain: at(remote.port, 'user=postgres'),
      scram: at(remote.port, `user=${READER.name} password=${READER.password}`),
      distant: at(distant.port, 'user=postgres'),
    };
    const native = await start(await prepareBinaries({ major, dblink: true }));
    const foreign = groups.has('fdw') ? [foreignTables(remote)] : [];
    await fill(native, ['CREATE EXTENSION dblink', LOCAL_TABLES, BRIDGE_OBJECTS, ...foreign]);
    // Through the proxy, which makes its own functions of it.
    await fill(proxy.contender, ['CREATE EXTENSION dblink', BRIDGE_OBJECTS]);
    const { host, port } = native;
    all.push({ name: 'native', host, port }, { name: 'fdw', host, port });
  }
  const of = (group: Group): readonly Contender[] =>
    CONTENDERS[group].flatMap((name) => all.find((contender) => contender.name === name) ?? []);
  return {
    postgresVersion: plain.version,
    pgbouncer,
    contenders: { relay: of('relay'), dblink: of('dblink'), fdw: of('fdw'), memory: of('memory') },
    remotes,
    startProxy: (profile) => startProxyProcess(primary, profile),
  };
}

async function fill(
  server: { readonly host: string; readonly port: number },
  scripts: readonly string[],
): Promise<void> {
  const connection = await Connection.open(server.host, server.port);
  for (const script of [...scripts, 'VACUUM ANALYZE', 'CHECKPOINT']) await connection.query(script);
  await connection.end();
}
