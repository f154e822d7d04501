import { Client } from 'pg';
import { freePort, type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { frontend } from '../support/wire.js';
import { type Meddler, startMeddler } from './meddler.js';
import { startTarget, type Target } from './target.js';
import { FuzzClient } from './wire.js';

/** What is fuzzed, and what it is compared with. */
export interface World {
  /** A PostgreSQL with dblink: says what is answered, and is the remote. */
  readonly extension: PostgresServer;
  /** A proxy in front of a primary without dblink, with the functions of the bridge. */
  readonly proxy: Target;
  /** A proxy whose primary is the one behind `primaryMeddler`. */
  readonly meddled: Target;
  readonly primaryMeddler: Meddler;
  /** How long a session may take to be answered or closed: far longer than the control session takes now. */
  readonly boundMs: () => number;
  /** The longest that the control session has waited for `SELECT 1`. */
  readonly slowestMs: () => number;
  /** What went wrong with the control session. */
  readonly controlFailure: () => string | undefined;
  stop(): Promise<void>;
}

export const DATABASE = 'app';
/** The application_name of the session whose primary is meddled with. */
export const MEDDLED_NAME = 'fuzzed';

export const startup = (more: Readonly<Record<string, string>> = {}): Buffer =>
  frontend.startup({ user: 'postgres', database: DATABASE, ...more });

const MIN_BOUND_MS = 10_000;
const SETTINGS = {
  max_connections: '200',
  log_min_messages: 'panic',
  statement_timeout: '8s',
  lock_timeout: '4s',
};

export async function startWorld(): Promise<World> {
  const [primary, extension] = await Promise.all(
    [false, true].map(async (dblink) => {
      const installation = await prepareBinaries({ major: 18, dblink });
      const port = await freePort();
      // A connection string without a host leads to the server itself, as the proxy takes it.
      const env = { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' };
      return startPostgres({ installation, settings: SETTINGS, port, env });
    }),
  );
  const stops: (() => unknown)[] = [() => primary!.stop('immediate'), () => extension!.stop('immediate')];
  const stop = async (): Promise<void> => {
    for (const end of stops.reverse()) await end();
  };
  try {
    for (const server of [primary!, extension!]) {
      await execute(server.url(), `CREATE DATABASE ${DATABASE}`);
      await execute(server.url(DATABASE), 'CREATE TABLE kept (a int)');
    }
    await execute(extension!.url(DATABASE), 'CREATE EXTENSION dblink');
    const primaryMeddler = await startMeddler(primary!);
    stops.push(() => primaryMeddler.stop());
    const url = (port: number): string => `postgres://postgres@127.0.0.1:${port}/${DATABASE}?sslmode=disable`;
    const proxy = await startTarget(url(primary!.port));
    stops.push(() => proxy.stop());
    const meddled = await startTarget(url(primaryMeddler.port));
    stops.push(() => meddled.stop());
    await execute(`postgres://postgres@127.0.0.1:${proxy.port}/${DATABASE}`, 'CREATE EXTENSION dblink');
    const control = startControl(proxy.port);
    stops.push(control.stop);
    return {
      extension: extension!,
      proxy,
      meddled,
      primaryMeddler,
      boundMs: () => Math.max(MIN_BOUND_MS, 40 * control.slowestMs()),
      slowestMs: control.slowestMs,
      controlFailure: control.failure,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A session that nobody fuzzes: it shows how long others wait, and that they are served. */
function startControl(port: number): {
  slowestMs(): number;
  failure(): string | undefined;
  stop(): void;
} {
  const client = new FuzzClient(port);
  client.write(startup());
  let slowest = 0;
  let failure: string | undefined;
  let asked = performance.now();
  let expected = 1;
  const timer = setInterval(() => {
    if (client.closed) failure ??= 'the control session was closed';
    if (client.readies < expected) {
      slowest = Math.max(slowest, performance.now() - asked);
      if (performance.now() - asked > 60_000) failure ??= 'the control session waits for a minute';
      return;
    }
    asked = performance.now();
    expected++;
    client.write(frontend.query('SELECT 1'));
    void client
      .until(() => client.readies >= expected || client.closed, 60_000)
      .then(() => {
        slowest = Math.max(slowest, performance.now() - asked);
      });
  }, 200);
  return {
    slowestMs: () => slowest,
    failure: () => failure,
    stop() {
      clearInterval(timer);
      client.destroy();
    },
  };
}

async function execute(connectionString: string, sql: string): Promise<void> {
  const client = new Client({ connectionString });
  await client.connect();
  await client.query(sql).finally(() => client.end());
}
