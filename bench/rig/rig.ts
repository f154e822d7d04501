import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import type { Contender } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import { ACCOUNTS_TABLE, BRIDGE_OBJECTS, bulkTable, LOCAL_TABLES } from '../measure/tables.js';
import { type PgBouncer, startPgBouncer } from './pgbouncer.js';
import { type ProxyProcess, startProxyProcess } from './proxy.js';

/** Every server that takes part. The remote is the same for the proxy and for the extension. */
export interface Rig {
  readonly postgresVersion: string;
  readonly pgbouncer: PgBouncer | undefined;
  readonly contenders: Readonly<Record<'relay' | 'dblink', readonly Contender[]>>;
  /** Connection string of the remote for dblink. */
  readonly remote: string;
  /** Another proxy process in front of the same primary, for a profile of its own. */
  startProxy(profile?: { readonly directory: string; readonly name: string }): Promise<ProxyProcess>;
  stop(): Promise<void>;
}

const SETTINGS = {
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  // Nothing that would come and go in the middle of a measurement.
  autovacuum: 'off',
  checkpoint_timeout: '1h',
};

/** Starts what the chosen groups need, and fills the tables. */
export async function startRig(options: {
  readonly major: number;
  readonly bulkRows: number;
  readonly groups: ReadonlySet<'relay' | 'dblink'>;
}): Promise<Rig> {
  const { major, bulkRows, groups } = options;
  const plain = await prepareBinaries({ major, dblink: false });
  const start = (installation = plain, initdbArgs: readonly string[] = []): Promise<PostgresServer> =>
    startPostgres({ installation, settings: SETTINGS, initdbArgs });
  const primary = await start();
  await fill(primary, [...(groups.has('relay') ? [ACCOUNTS_TABLE, bulkTable(bulkRows)] : []), LOCAL_TABLES]);

  const pgbouncer = groups.has('relay') ? await startPgBouncer(primary) : undefined;
  const proxy = await startProxyProcess(primary);
  const servers = [primary];
  let native: PostgresServer | undefined;
  let remote: PostgresServer | undefined;
  if (groups.has('dblink')) {
    native = await start(await prepareBinaries({ major, dblink: true }));
    await fill(native, ['CREATE EXTENSION dblink', LOCAL_TABLES, BRIDGE_OBJECTS]);
    // Through the proxy, which makes its own functions of it.
    await fill(proxy.contender, ['CREATE EXTENSION dblink', BRIDGE_OBJECTS]);
    // Of a cluster of its own: made of the same template it would have the primary's identifier, and be taken for the primary.
    remote = await start(plain, ['--encoding=UTF8']);
    await fill(remote, [bulkTable(bulkRows), 'CREATE UNLOGGED TABLE sink (n int)']);
    servers.push(native, remote);
  }
  return {
    postgresVersion: plain.version,
    pgbouncer,
    contenders: {
      relay: [
        { name: 'direct', host: primary.host, port: primary.port },
        ...(pgbouncer === undefined ? [] : [pgbouncer.contender]),
        proxy.contender,
      ],
      dblink:
        native === undefined
          ? []
          : [{ name: 'native', host: native.host, port: native.port }, proxy.contender],
    },
    remote:
      remote === undefined ? '' : `host=${remote.host} port=${remote.port} dbname=postgres user=postgres`,
    startProxy: (profile) => startProxyProcess(primary, profile),
    async stop() {
      await Promise.all([proxy.stop(), pgbouncer?.stop()]);
      await Promise.all(servers.map((server) => server.stop('immediate')));
    },
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
