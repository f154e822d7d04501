import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { eventually, soon } from '../../support/eventually.js';
import { FaultClient } from './client.js';
import { type ProxyProcess, startProxyProcess } from './proxyProcess.js';

/** A primary without dblink, a remote, and a proxy process whose bridge is installed. */
export interface BridgeWorld {
  readonly primary: PostgresServer;
  readonly remote: PostgresServer;
  /** The one that runs now. */
  readonly proxy: ProxyProcess;
  /** Connection string to the remote; the remote knows the connection by the tag. */
  conninfo(tag: string): string;
  /** Runs SQL as somebody who is not observed, on a connection of its own. */
  onPrimary(sql: string): Promise<readonly (readonly unknown[])[]>;
  onRemote(sql: string): Promise<readonly (readonly unknown[])[]>;
  /** Opens a session of which a relay in between lets one choose how it ends. */
  session(tag: string, parameters?: Readonly<Record<string, string>>): Promise<BridgeSession>;
  /** Ends the proxy process without a word, and starts another one. */
  killProxy(): Promise<void>;
  /** Checks that the proxy, without sessions, keeps nothing but service connections, and that nothing went unhandled. */
  assertIdle(): Promise<void>;
  close(): Promise<void>;
}

export interface BridgeSession {
  readonly client: FaultClient;
  readonly tag: string;
  /** Of its process at the primary. */
  readonly pid: number;
  /** Ends the connection with a reset. */
  reset(): void;
}

export interface BridgeWorldOptions {
  readonly major?: number;
  readonly settings?: Readonly<Record<string, string>>;
  readonly remoteSettings?: Readonly<Record<string, string>>;
  readonly remotePassword?: string;
  readonly flags?: Readonly<Record<string, unknown>>;
}

/** Three that are shared, three that large results pass through, one that cleans up, one of the check at the start. */
const MAX_SERVICE_CONNECTIONS = 8;

/** Who the tests are at the servers, so that they can leave themselves out. */
export const OBSERVER = 'observer';

export async function makeBridgeWorld(options: BridgeWorldOptions = {}): Promise<BridgeWorld> {
  const { major = 18, settings = {}, remoteSettings = {}, remotePassword } = options;
  const [primary, remote] = await Promise.all([
    prepareBinaries({ major, dblink: false }).then((installation) =>
      startPostgres({ installation, settings }),
    ),
    prepareBinaries({ major, dblink: true }).then((installation) =>
      startPostgres({
        installation,
        settings: remoteSettings,
        ...(remotePassword === undefined ? {} : { password: remotePassword }),
      }),
    ),
  ]);
  const flags = {
    primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable`,
    'log-level': 'debug',
    ...options.flags,
  };
  let proxy = await startProxyProcess({ primary, flags });
  const observe = (server: PostgresServer) => async (sql: string) => {
    const observer = new Client({ connectionString: server.url(), application_name: OBSERVER });
    observer.on('error', () => {});
    await observer.connect();
    try {
      return (await observer.query<unknown[]>({ text: sql, rowMode: 'array' })).rows;
    } finally {
      await observer.end();
    }
  };
  const setup = await FaultClient.open(proxy.port);
  await setup.rows('CREATE EXTENSION dblink');
  await setup.end();
  return {
    primary,
    remote,
    get proxy() {
      return proxy;
    },
    conninfo: (tag) =>
      `host=${remote.host} port=${remote.port} user=postgres dbname=postgres application_name=${tag}`,
    onPrimary: observe(primary),
    onRemote: observe(remote),
    async session(tag, parameters) {
      const relay = await resettable(proxy.port);
      const client = await FaultClient.open(relay.port, { application_name: tag, ...parameters });
      const [[pid] = []] = await client.rows('SELECT pg_backend_pid()');
      return { client, tag, pid: Number(pid), reset: relay.reset };
    },
    async killProxy() {
      await proxy.stop();
      proxy = await startProxyProcess({ primary, flags });
    },
    async assertIdle() {
      await eventually('the proxy has let go of its sockets', async () => {
        const { resources, unhandled } = await proxy.state();
        assert.deepEqual(unhandled, []);
        // One is there from the start.
        const sockets = resources['TCPSocketWrap'] ?? 0;
        assert.ok(sockets <= 1 + MAX_SERVICE_CONNECTIONS, `${sockets} sockets`);
      });
      assert.doesNotMatch(proxy.log(), /internal error/);
    },
    async close() {
      await proxy.stop();
      await Promise.all([primary.stop('immediate'), remote.stop('immediate')]);
    },
  };
}

/** A way to the proxy, for one client and its cancel requests, whose first connection can be reset. */
async function resettable(port: number): Promise<{ port: number; reset(): void }> {
  let reset = (): void => {};
  let count = 0;
  const listener = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: '127.0.0.1', port, noDelay: true });
    const first = count++ === 0;
    if (first) {
      reset = () => {
        far.resetAndDestroy();
        near.destroy();
      };
    }
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.on('close', () => far.end());
    far.on('close', () => {
      near.destroy();
      if (first) listener.close();
    });
    near.pipe(far);
    far.pipe(near);
  });
  listener.unref();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    reset: () => reset(),
  };
}

/** SQL for the names of the side tables, and of functions made for a proof, that there are at the primary. */
export const SIDE_TABLES = `SELECT relname FROM pg_class WHERE relnamespace = 'dblink_proxy'::regnamespace
  AND relname ~ '^(answer|rows)_\\d' AND relkind IN ('r', 'v')
  UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'dblink_proxy'::regnamespace AND proname ~ '^proof_\\d'`;

/**
 * Waits until the primary and the remote have no more of the bridge's than living sessions that do nothing need, which has
 * to be soon.
 * @param live sessions that have bridged a call, each with one remote connection and nothing else at the remote
 * @param wait `eventually` where so much ends that how soon it is over is the servers' business
 */
export function assertNothingLeft(
  world: Pick<BridgeWorld, 'onPrimary' | 'onRemote'>,
  live: readonly BridgeSession[],
  wait = soon,
): Promise<void> {
  const pids = live.map(({ pid }) => String(pid)).sort();
  return wait('nothing is left behind', async () => {
    const [state] = await world.onPrimary(`SELECT
        (SELECT coalesce(json_agg(json_build_array(a.application_name, a.backend_type, l.granted,
            CASE l.objsubid WHEN 2 THEN l.objid::text END)), '[]') FROM pg_locks l
          LEFT JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'),
        (SELECT coalesce(json_agg(relname), '[]') FROM (${SIDE_TABLES}) AS side_tables),
        (SELECT coalesce(json_agg(pid::text), '[]') FROM dblink_proxy.answer),
        (SELECT count(*)::int FROM pg_largeobject_metadata),
        (SELECT coalesce(json_agg(json_build_array(application_name, pid::text, state, query)), '[]') FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> '${OBSERVER}')`);
    const [locks, tables, answers, largeObjects, backends] = state as [
      [string, string, boolean, string | null][],
      string[],
      string[],
      number,
      [string, string, string, string][],
    ];
    assert.deepEqual(tables, [], 'side tables');
    assert.equal(largeObjects, 0);
    assert.deepEqual(
      answers.filter((pid) => !pids.includes(pid)),
      [],
      'answers of sessions that are over',
    );
    const services = backends.filter(([name]) => name === 'dblink-proxy');
    const sessions = backends.filter(([name]) => name !== 'dblink-proxy');
    assert.deepEqual(sessions.map(([, pid]) => pid).sort(), pids, JSON.stringify(sessions));
    for (const backend of backends) assert.equal(backend[2], 'idle', JSON.stringify(backend));
    assert.ok(services.length <= MAX_SERVICE_CONNECTIONS, `${services.length} service connections`);
    for (const lock of locks) assert.deepEqual(lock.slice(0, 3), ['dblink-proxy', 'client backend', true]);
    const vouchedFor = locks.map(([, , , pid]) => pid).filter((pid) => pid !== null);
    assert.equal(locks.length - vouchedFor.length, live.length, 'advisory locks');
    assert.equal(new Set(vouchedFor).size, vouchedFor.length, 'vouched for twice');
    assert.ok(
      vouchedFor.every((pid) => pids.includes(pid)),
      'vouched for sessions that are over',
    );
    const remote = await world.onRemote(`SELECT application_name, state FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> '${OBSERVER}' ORDER BY 1`);
    assert.deepEqual(
      remote,
      live.map(({ tag }) => [tag, 'idle']).sort(([a], [b]) => (a! < b! ? -1 : 1)),
      'connections at the remote',
    );
  });
}
