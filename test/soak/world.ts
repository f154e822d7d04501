import { Client, Pool } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { BRIDGE_FIXTURES } from '../faults/world/bridgeStatements.js';
import { startTarget, type Target } from '../fuzz/target.js';
import { eventually } from '../support/eventually.js';

/** A proxy as it is started by its operator, in front of a primary without dblink, and two remotes that ask for a password. */
export interface SoakWorld {
  readonly primary: PostgresServer;
  readonly remotes: readonly PostgresServer[];
  readonly proxy: Target;
  /** Connection string to a remote, which knows the connection by the tag. */
  conninfo(remote: number, tag: string): string;
  /** Waits until a remote, or the primary (-1), runs a statement for this tag. */
  runs(server: number, tag: string): Promise<void>;
  /** Ends all connections with this tag at a remote. */
  terminate(remote: number, tag: string): Promise<void>;
  /** Ends a session's process at the primary. */
  terminateSession(pid: number): Promise<void>;
  /** What clients have at the primary and the remotes: a line for each session there. */
  connections(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const PASSWORD = 'soak';
const OBSERVER = 'observer';

/** What all clients find at the primary, beside what the bridged statements need. */
const FIXTURES = `
  CREATE TABLE names AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 500) i;
  CREATE TABLE written (tag text, n int);
  CREATE ROLE plain LOGIN;
  GRANT INSERT, SELECT ON audited, written TO plain;
  GRANT SELECT ON names, small, large, slow_large TO plain;`;

/** @param clients how many there are going to be at a time */
export async function startSoakWorld(clients: number, args: readonly string[] = []): Promise<SoakWorld> {
  const stops: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  const start = async (dblink: boolean): Promise<PostgresServer> => {
    const server = await startPostgres({
      installation: await prepareBinaries({ major: 18, dblink }),
      // A session has a connection by name at a remote, kept ones, and some for a moment.
      settings: { max_connections: String(6 * clients + 50), log_min_messages: 'panic' },
      ...(dblink ? { password: PASSWORD } : {}),
    });
    stops.push(() => server.stop('immediate'));
    return server;
  };
  try {
    const [primary, ...remotes] = await Promise.all([start(false), start(true), start(true)]);
    const proxy = await startTarget(
      `postgres://postgres@127.0.0.1:${primary!.port}/postgres?sslmode=disable`,
      args,
    );
    stops.push(() => proxy.stop());
    const observers = [primary!, ...remotes].map(observe);
    stops.push(() => Promise.all(observers.map((observer) => observer.end())));
    const conninfo: SoakWorld['conninfo'] = (remote, tag) =>
      `host=127.0.0.1 port=${remotes[remote]!.port} user=postgres dbname=postgres password=${PASSWORD} application_name=${tag}`;
    const list = async (observer: Pool): Promise<string[]> => {
      const { rows } = await observer.query<{ line: string }>(
        `SELECT concat_ws(' ', application_name, state, wait_event, left(query, 100)) AS line FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND application_name NOT IN ('dblink-proxy', '${OBSERVER}')`,
      );
      return rows.map(({ line }) => line);
    };
    await setUp(proxy.port, conninfo, remotes[0]!.port);
    return {
      primary: primary!,
      remotes,
      proxy,
      conninfo,
      runs: (server, tag) =>
        eventually(`a statement of ${tag} runs`, async () => {
          const { rows } = await observers[server + 1]!.query(
            "SELECT FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'",
            [tag],
          );
          return rows.length > 0;
        }),
      async terminate(remote, tag) {
        await observers[remote + 1]!.query(
          'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1',
          [tag],
        );
      },
      async terminateSession(pid) {
        await observers[0]!.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
      },
      connections: async () => (await Promise.all(observers.map(list))).flat(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Makes the extension as a client does, and what clients use, at the primary. */
async function setUp(proxyPort: number, conninfo: SoakWorld['conninfo'], farPort: number): Promise<void> {
  const client = new Client({ connectionString: `postgres://postgres@127.0.0.1:${proxyPort}/postgres` });
  await client.connect();
  await client.query('CREATE EXTENSION dblink');
  await client.query(BRIDGE_FIXTURES);
  await client.query(FIXTURES);
  await client.query(`
    CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw
      OPTIONS (host '127.0.0.1', port '${farPort}', dbname 'postgres', application_name 'far');
    CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'postgres', password '${PASSWORD}');
    GRANT USAGE ON FOREIGN SERVER far TO plain;
    CREATE TABLE conf AS SELECT '${conninfo(0, 'lent')}'::text AS conninfo`);
  await client.end();
}

function observe(server: PostgresServer): Pool {
  const pool = new Pool({ connectionString: server.url(), application_name: OBSERVER, max: 3 });
  pool.on('error', () => {});
  return pool;
}
