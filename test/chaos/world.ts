import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { BRIDGE_FIXTURES } from '../faults/world/bridgeStatements.js';
import { OBSERVER } from '../faults/world/bridgeWorld.js';
import { startTarget, type Target, type TargetState } from '../fuzz/target.js';
import { ChaosPath } from './chaosPath.js';

/** Servers, a proxy between them, and a way between any two on which things go wrong. */
export interface ChaosWorld {
  readonly primary: PostgresServer;
  readonly remote: PostgresServer;
  readonly proxy: Target;
  /** From clients to the proxy, and from the proxy to the servers. */
  readonly paths: Readonly<Record<Where, ChaosPath>>;
  /** A small disk that what the primary stores comes to; undefined where this process may not mount one. */
  readonly disk: string | undefined;
  conninfo(tag: string): string;
  onPrimary(sql: string): Promise<readonly (readonly unknown[])[]>;
  onRemote(sql: string): Promise<readonly (readonly unknown[])[]>;
  /** Ends the proxy by a signal, waits until it has gone, and starts another one. */
  restartProxy(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** What an idle proxy has. */
  readonly idle: TargetState;
  stop(): Promise<void>;
}

export type Where = 'client' | 'primary' | 'remote';

const PASSWORD = 'chaos';
const DISK_SIZE = '8m';
const CLOCK = fileURLToPath(new URL('./clock.js', import.meta.url));

const FIXTURES = `
  CREATE TABLE names AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 500) i;
  CREATE TABLE written (n int);`;

export async function startChaosWorld(): Promise<ChaosWorld> {
  const stops: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    const start = async (dblink: boolean): Promise<PostgresServer> => {
      const server = await startPostgres({
        installation: await prepareBinaries({ major: 18, dblink }),
        settings: { log_min_messages: 'panic' },
        ...(dblink ? { password: PASSWORD } : {}),
      });
      stops.push(() => server.stop('immediate'));
      return server;
    };
    const [primary, remote] = await Promise.all([start(false), start(true)]);
    const toPrimary = await ChaosPath.open(() => primary.port);
    stops.push(() => toPrimary.close());
    const toRemote = await ChaosPath.open(() => remote.port);
    stops.push(() => toRemote.close());
    const startProxy = (): Promise<Target> =>
      startTarget(`postgres://postgres@127.0.0.1:${toPrimary.port}/postgres?sslmode=disable`, [], [CLOCK]);
    let proxy = await startProxy();
    stops.push(() => proxy.stop());
    const toProxy = await ChaosPath.open(() => proxy.port);
    stops.push(() => toProxy.close());
    const conninfo = (tag: string): string =>
      `host=127.0.0.1 port=${toRemote.port} user=postgres dbname=postgres password=${PASSWORD} application_name=${tag}`;
    const ask = (server: PostgresServer) => async (sql: string) => {
      const client = new Client({ connectionString: server.url(), application_name: OBSERVER });
      client.on('error', () => {});
      await client.connect();
      try {
        return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows;
      } finally {
        await client.end();
      }
    };
    const onPrimary = ask(primary);
    const disk = mountDisk(primary);
    if (disk !== undefined) {
      stops.push(() => unmountDisk(disk));
      await onPrimary(`CREATE TABLESPACE small LOCATION '${disk}/space'`);
      await onPrimary('GRANT CREATE ON TABLESPACE small TO PUBLIC');
      await onPrimary('ALTER DATABASE postgres SET default_tablespace = small');
    }
    await setUp(proxy.port, conninfo, toRemote.port);
    return {
      primary,
      remote,
      get proxy() {
        return proxy;
      },
      paths: { client: toProxy, primary: toPrimary, remote: toRemote },
      disk,
      conninfo,
      onPrimary,
      onRemote: ask(remote),
      async restartProxy(signal) {
        process.kill(proxy.pid, signal);
        await proxy.ended;
        proxy = await startProxy();
      },
      idle: await proxy.state(true),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Makes the extension as a client does, and what statements use, at the primary. */
async function setUp(proxyPort: number, conninfo: ChaosWorld['conninfo'], remotePort: number): Promise<void> {
  const client = new Client({ connectionString: `postgres://postgres@127.0.0.1:${proxyPort}/postgres` });
  await client.connect();
  await client.query('CREATE EXTENSION dblink');
  await client.query(BRIDGE_FIXTURES);
  await client.query(FIXTURES);
  await client.query(`
    CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw
      OPTIONS (host '127.0.0.1', port '${remotePort}', dbname 'postgres', application_name 'far');
    CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'postgres', password '${PASSWORD}');
    CREATE TABLE conf AS SELECT '${conninfo('lent')}'::text AS conninfo`);
  await client.end();
}

/** Mounts a disk of a few megabytes, with a folder for the server's user, beside the server's data. */
function mountDisk({ dataDir }: PostgresServer): string | undefined {
  const place = join(dirname(dataDir), 'disk');
  const space = join(place, 'space');
  mkdirSync(place);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_SIZE},mode=755`, 'tmpfs', place], {
      stdio: 'ignore',
    });
  } catch {
    return undefined;
  }
  const { uid, gid } = statSync(dataDir);
  mkdirSync(space, { mode: 0o700 });
  chownSync(space, uid, gid);
  return place;
}

/** The server may still use it. */
function unmountDisk(place: string): void {
  execFileSync('umount', ['-l', place], { stdio: 'ignore' });
}
