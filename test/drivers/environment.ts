import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { startTestProxy } from '../support/proxy.js';
import { WireConnection } from '../support/wire.js';
import { bridgedFixture, LOCAL_FIXTURE, REMOTE_HBA, ROLES, remoteFixture, TEMPLATE } from './fixtures.js';
import { type Watcher, watch } from './watcher.js';

/** What a driver's program is told about the side it runs on. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  /** Connection string of the remote, as dblink takes it. */
  readonly remote: string;
  readonly remotePort: number;
  /** There are functions, views and triggers that call dblink: what the program does by itself is done with them. */
  readonly bridged: boolean;
  /** Seconds that the remote sleeps where a statement is to be cancelled. */
  readonly nap: number;
  /** Whether the primary has the extension: what only the proxy promises is not asked of it. */
  readonly native: boolean;
  /** Where the remote is watched; see watcher.ts. */
  readonly watchPort: number;
}

/**
 * The extension waits until the remote has slept; so does everybody who waits for it. It has to be long enough for a program to
 * send its cancel meanwhile. No other statement of the flows sleeps as long as either. The proxy answers at once: that is shown by an answer which comes before so long a sleep ends.
 */
const NAP_SECONDS = { extension: 3, proxy: 61 } as const;

/** One side of the comparison. */
export interface Side {
  readonly name: 'extension' | 'proxy' | 'extension again';
  /** Ports by what listens there; they differ between the sides. */
  readonly ports: ReadonlyMap<string, number>;
  readonly nap: number;
  /** Makes the databases of a driver, local and remote, as copies of the fixtures. */
  prepare(database: string, bridged: boolean): Promise<Target>;
  /** Statements other than the question itself that the remote is running or holds a transaction open for. */
  remoteActivity(database: string): Promise<readonly string[]>;
}

/** Both sides, with two identical remotes. */
export interface Environment {
  readonly extension: Side;
  readonly proxy: Side;
  stop(): Promise<void>;
}

const SETTINGS = {
  timezone: 'UTC',
  datestyle: 'ISO, MDY',
  autovacuum: 'off',
  max_connections: '60',
  max_prepared_transactions: '5',
  log_min_messages: 'fatal',
};

/**
 * Starts a primary with the extension, one without behind a proxy, and a remote for each. With `second: 'extension'`
 * both primaries have the extension, which shows that what the programs print does not vary by itself.
 */
export async function startEnvironment(major: number, second: 'proxy' | 'extension'): Promise<Environment> {
  // libpq inside the extension's server, and the proxy in this process, must find no settings but those given below.
  for (const name of Object.keys(process.env)) if (/^PG[A-Z]/.test(name)) delete process.env[name];
  const withExtension = await prepareBinaries({ major, dblink: true });
  const remote = (): Promise<PostgresServer> =>
    startPostgres({ installation: withExtension, settings: SETTINGS, hba: REMOTE_HBA });
  const primary = async (dblink: boolean): Promise<PostgresServer> => {
    // A connection string without a host means "here": the server itself, as the proxy takes it too.
    const env = (port: number): Record<string, string> =>
      dblink ? { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' } : {};
    const installation = dblink ? withExtension : await prepareBinaries({ major, dblink: false });
    return startPostgres({ installation, settings: SETTINGS, env });
  };
  const servers = [
    await primary(true),
    await remote(),
    await primary(second === 'extension'),
    await remote(),
  ] as const;
  const [primary1, remote1, primary2, remote2] = servers;
  const proxy = second === 'proxy' ? await startTestProxy(primary2) : undefined;
  const watchers = [await watch(remote1.url()), await watch(remote2.url())] as const;
  return {
    extension: await makeSide('extension', primary1, primary1, remote1, watchers[0]),
    proxy:
      proxy === undefined
        ? await makeSide('extension again', primary2, primary2, remote2, watchers[1])
        : await makeSide('proxy', proxy, primary2, remote2, watchers[1]),
    async stop() {
      await Promise.all(watchers.map((watcher) => watcher.close()));
      await proxy?.stop();
      await Promise.all(servers.map((server) => server.stop('immediate')));
    },
  };
}

async function makeSide(
  name: Side['name'],
  client: { readonly host: string; readonly port: number },
  primary: PostgresServer,
  remote: PostgresServer,
  watcher: Watcher,
): Promise<Side> {
  const nap = NAP_SECONDS[name === 'proxy' ? 'proxy' : 'extension'];
  await createDatabase(primary, TEMPLATE, 'template0');
  await createDatabase(remote, TEMPLATE, 'template0');
  await execute(primary, TEMPLATE, LOCAL_FIXTURE);
  if (name !== 'proxy') await execute(primary, TEMPLATE, 'CREATE EXTENSION dblink');
  await execute(remote, 'postgres', ROLES);
  await execute(remote, TEMPLATE, remoteFixture(nap));
  return {
    name,
    nap,
    ports: new Map([
      ['client', client.port],
      ['primary', primary.port],
      ['remote', remote.port],
    ]),
    async prepare(database, bridged) {
      await createDatabase(primary, database, TEMPLATE);
      await createDatabase(remote, database, TEMPLATE);
      const conninfo = `host=127.0.0.1 port=${remote.port} user=postgres dbname=${database}`;
      await execute(primary, database, `INSERT INTO conf VALUES ('remote', '${conninfo}')`);
      const { host, port } = client;
      if (bridged) {
        const address = { host, port, user: primary.user };
        if (name === 'proxy') await execute(address, database, 'CREATE EXTENSION dblink');
        await execute(address, database, bridgedFixture(nap));
      }
      const { user } = primary;
      const known = { host, port, user, database, remote: conninfo, remotePort: remote.port, bridged };
      return { ...known, nap, native: name !== 'proxy', watchPort: watcher.port };
    },
    async remoteActivity(database) {
      const rows = await execute(
        remote,
        'postgres',
        `SELECT query FROM pg_stat_activity WHERE datname = '${database}' AND state <> 'idle' AND application_name <> 'watcher'`,
      );
      return rows.map(([query]) => query ?? '');
    },
  };
}

/** Runs SQL on a direct connection of its own. */
async function execute(
  server: { readonly host: string; readonly port: number; readonly user: string },
  database: string,
  sql: string,
): Promise<readonly (readonly (string | null)[])[]> {
  const { host, port, user } = server;
  const { connection } = await WireConnection.open({ host, port, parameters: { user, database } });
  try {
    return await connection.rows(sql);
  } finally {
    await connection.end();
  }
}

/** Names are the tests' own and need no quotes. */
async function createDatabase(server: PostgresServer, name: string, template: string): Promise<void> {
  const options = template === 'template0' ? " ENCODING 'UTF8' LOCALE 'C'" : '';
  await execute(server, 'postgres', `CREATE DATABASE ${name} TEMPLATE ${template}${options}`);
}
