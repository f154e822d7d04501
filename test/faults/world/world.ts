import assert from 'node:assert/strict';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { FaultClient } from './client.js';
import { type ProxyProcess, type ProxyProcessOptions, startProxyProcess } from './proxyProcess.js';

/** A primary without dblink, a remote, a proxy in a process of its own, and a watcher of the remote. */
export interface World {
  readonly primary: PostgresServer;
  readonly remote: PostgresServer;
  readonly proxy: ProxyProcess;
  /** Connection string to the remote; `tag` is what the remote knows the connection by. */
  conninfo(tag: string, more?: string): string;
  /** A session with a remote connection named c, which the remote knows by the tag. */
  session(tag: string, more?: string): Promise<FaultClient>;
  /** Runs SQL on the remote, as somebody who is not observed. */
  onRemote(sql: string): Promise<(string | null)[][]>;
  onPrimary(sql: string): Promise<(string | null)[][]>;
  /** States and queries of the remote's connections with this tag. */
  activity(tag: string): Promise<{ state: string | null; query: string | null }[]>;
  /** Waits until the remote runs a query whose text contains these words for this tag. */
  runs(tag: string, words: string): Promise<void>;
  /** Waits until the remote sleeps for this tag: what it was to send before that is on its way. */
  sleeps(tag: string): Promise<void>;
  /** Waits until the remote runs nothing for this tag. */
  idle(tag: string): Promise<void>;
  /** Waits until the remote has no connection with this tag. */
  gone(tag: string): Promise<void>;
  /**
   * Makes `SELECT a FROM held` on the remote, which is a plain read and so may run early, wait until the function that is
   * returned is called.
   */
  hold(): Promise<() => Promise<void>>;
  /** Checks that the proxy has left nothing behind, and ends it. */
  close(): Promise<void>;
}

/** Starts a world. Its `close` belongs into an after-all hook of the suite, where it says what the proxy has left behind. */
export async function makeWorld(
  options: Omit<Partial<ProxyProcessOptions>, 'primary'> & {
    /** Of both servers. */
    readonly settings?: Readonly<Record<string, string>>;
  } = {},
): Promise<World> {
  const { settings = {} } = options;
  const [primary, remote] = await Promise.all(
    [false, true].map(async (dblink) =>
      startPostgres({ installation: await prepareBinaries({ major: 18, dblink }), settings }),
    ),
  );
  assert.ok(primary !== undefined && remote !== undefined);
  const proxy = await startProxyProcess({ primary, ...options });
  const watcher = await observer(remote.url());
  const local = await observer(primary.url());
  const conninfo = (tag: string, more = ''): string =>
    `host=${remote.host} port=${remote.port} user=postgres dbname=postgres application_name=${tag} ${more}`;
  const activity: World['activity'] = async (tag) => {
    const { rows } = await watcher.query(
      'SELECT state, query FROM pg_stat_activity WHERE application_name = $1',
      [tag],
    );
    return rows as { state: string | null; query: string | null }[];
  };
  return {
    primary,
    remote,
    proxy,
    conninfo,
    async session(tag, more) {
      const client = await FaultClient.open(proxy.port);
      await client.rows(`SELECT dblink_connect('c', '${conninfo(tag, more)}')`);
      return client;
    },
    onRemote: (sql) => rowsOf(watcher, sql),
    onPrimary: (sql) => rowsOf(local, sql),
    activity,
    runs: (tag, words) =>
      eventually(`the remote runs ${words}`, async () => {
        const running = (await activity(tag)).filter(({ state }) => state === 'active');
        assert.ok(
          running.some(({ query }) => query?.includes(words)),
          JSON.stringify(running),
        );
      }),
    sleeps: (tag) =>
      eventually('the remote sleeps', async () => {
        const { rows } = await watcher.query(
          "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'",
          [tag],
        );
        assert.ok(rows.length > 0);
      }),
    idle: (tag) =>
      eventually('the remote runs nothing', async () => {
        const running = (await activity(tag)).filter(({ state }) => state === 'active');
        assert.deepEqual(running, []);
      }),
    gone: (tag) =>
      eventually('the remote has no connection', async () => assert.deepEqual(await activity(tag), [])),
    async hold() {
      const holder = await observer(remote.url());
      await holder.query('CREATE TABLE IF NOT EXISTS held (a int)');
      await holder.query('BEGIN; LOCK TABLE held');
      return () => holder.end();
    },
    async close() {
      try {
        await proxy.assertClean();
      } finally {
        await Promise.all([watcher.end(), local.end()]);
        await proxy.stop();
        await Promise.all([primary.stop('immediate'), remote.stop('immediate')]);
      }
    },
  };
}

async function observer(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  // The servers end with the test process at the latest.
  client.on('error', () => {});
  return client;
}

async function rowsOf(client: Client, sql: string): Promise<(string | null)[][]> {
  const { rows } = await client.query<(string | null)[]>({ text: sql, rowMode: 'array' });
  return rows;
}
