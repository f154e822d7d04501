import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
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
  /**
   * Waits until this holds, as long as the client goes on getting something: slow is not stuck. Where nothing has come for
   * LONG_MS, it is compared with other sessions: only if they are served from begin to end meanwhile, it is late.
   * @throws Late
   */
  wait(client: FuzzClient, holds: () => boolean, what: () => string): Promise<void>;
  /** The longest that the control session has waited for `SELECT 1`. */
  readonly slowestMs: () => number;
  /** What has gone wrong with the control session, which gets the time it needs for its last answer. */
  controlFailure(): Promise<string | undefined>;
  stop(): Promise<void>;
}

export const DATABASE = 'app';
/** The application_name of the session whose primary is meddled with. */
export const MEDDLED_NAME = 'fuzzed';

export const startup = (more: Readonly<Record<string, string>> = {}): Buffer =>
  frontend.startup({ user: 'postgres', database: DATABASE, ...more });

/** More than any time limit of the proxy's, or of the servers that follow. */
export const LONG_MS = 20_000;
/** However slow everything is: nobody plays longer than this. */
const PATIENCE_MS = 600_000;
const COMPARED_SESSIONS = 10;
const SETTINGS = {
  max_connections: '200',
  log_min_messages: 'panic',
  statement_timeout: '8s',
  lock_timeout: '4s',
};

/** Something that did not come. Time alone is no proof of a fault: it counts if it happens again when nothing else runs. */
export class Late extends Error {}

export async function startWorld(): Promise<World> {
  const [primary, extension] = await Promise.all(
    [false, true].map(async (dblink) => {
      const installation = await prepareBinaries({ major: 18, dblink });
      // A connection string without a host leads to the server itself, as the proxy takes it.
      const env = (port: number) => ({ PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' });
      return startPostgres({ installation, settings: SETTINGS, env });
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
      wait: (client, holds, what) => wait(proxy.port, client, holds, what),
      slowestMs: control.slowestMs,
      controlFailure: control.failure,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function wait(
  port: number,
  client: FuzzClient,
  holds: () => boolean,
  what: () => string,
): Promise<void> {
  const since = performance.now();
  const silentMs = (): number => Math.min(client.silentMs, performance.now() - since);
  for (;;) {
    await client.until(() => holds() || silentMs() > LONG_MS, PATIENCE_MS);
    const compared = performance.now();
    for (let i = 0; i < COMPARED_SESSIONS && !holds(); i++) if (!(await served(port))) break;
    if (holds()) return;
    const goesOn = silentMs() < performance.now() - compared;
    if (!goesOn || performance.now() - since > PATIENCE_MS) throw new Late(what());
  }
}

/** Whether a session of its own gets an answer, however long that takes. */
async function served(port: number): Promise<boolean> {
  const client = new FuzzClient(port);
  try {
    client.write(startup());
    await client.until(() => client.readies > 0 || client.closed, PATIENCE_MS);
    client.write(frontend.query('SELECT 1'));
    return (await client.until(() => client.readies > 1 || client.closed, PATIENCE_MS)) && !client.closed;
  } finally {
    client.destroy();
  }
}

/** A session that nobody fuzzes: it shows how long others wait, and that they are served. */
function startControl(port: number): {
  slowestMs(): number;
  failure(): Promise<string | undefined>;
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
      return;
    }
    asked = performance.now();
    expected++;
    client.write(frontend.query('SELECT 1'));
    void client
      .until(() => client.readies >= expected || client.closed, PATIENCE_MS)
      .then(() => {
        slowest = Math.max(slowest, performance.now() - asked);
      });
  }, 200);
  return {
    slowestMs: () => slowest,
    async failure() {
      clearInterval(timer);
      const answered = await client.until(() => client.readies >= expected || client.closed, PATIENCE_MS);
      return failure ?? (answered ? undefined : 'the control session is not answered');
    },
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
