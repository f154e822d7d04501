import { execFileSync } from 'node:child_process';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { startTestProxy } from '../../support/proxy.js';
import { errorOf, FaultClient } from './client.js';

/**
 * A program for a network namespace of its own, where packets are dropped: nobody is told that a connection is dead. It prints what
 * became of a call, of a session and of a client, as JSON.
 */

/** Drops whatever goes to a port, or comes from it, until the function that is returned is called. */
function drop(port: number): () => void {
  const change = (how: '-I' | '-D'): void => {
    for (const end of ['--dport', '--sport'])
      execFileSync('iptables', [how, 'INPUT', '-p', 'tcp', end, String(port), '-j', 'DROP']);
  };
  change('-I');
  return () => change('-D');
}

/** Asks past the network. */
async function ask(server: PostgresServer, sql: string): Promise<unknown[][]> {
  const client = new Client({
    host: server.socketDir,
    port: server.port,
    user: 'postgres',
    database: 'postgres',
    application_name: 'observer',
  });
  await client.connect();
  try {
    return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows;
  } finally {
    await client.end();
  }
}

const sleeps = (server: PostgresServer, name: string): Promise<void> =>
  eventually(`${name} sleeps`, async () => {
    const sql = `SELECT FROM pg_stat_activity WHERE application_name = '${name}' AND wait_event = 'PgSleep'`;
    return (await ask(server, sql)).length > 0;
  });

const [primary, remote] = await Promise.all(
  [false, true].map(async (dblink) =>
    startPostgres({ installation: await prepareBinaries({ major: 18, dblink }) }),
  ),
);
const proxy = await startTestProxy(primary!, { env: { DBLINK_PROXY_TCP_KEEPALIVE: '1s' } });
const conninfo = `host=127.0.0.1 port=${remote!.port} user=postgres dbname=postgres application_name=call keepalives_idle=1`;

const client = await FaultClient.open(proxy.port);
await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
client.start("SELECT * FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)", 'simple');
await sleeps(remote!, 'call');
const remoteIsBack = drop(remote!.port);
const call = errorOf(await client.answer());
remoteIsBack();
await client.query("SELECT dblink_disconnect('c')");
await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
const [[after] = []] = await client.rows("SELECT a FROM dblink('c', 'SELECT 1') AS t(a int)");

const waiting = await FaultClient.open(proxy.port, { application_name: 'session' });
waiting.start('SELECT pg_sleep(600)', 'simple');
await sleeps(primary!, 'session');
const primaryIsBack = drop(primary!.port);
const frames = await waiting.answer();
const session = errorOf(frames);
primaryIsBack();

const lost = await FaultClient.open(proxy.port, { application_name: 'lost' });
await lost.rows('SELECT 1');
const proxyIsBack = drop(proxy.port);
await eventually('the session of a client that is gone has ended', async () => {
  const rows = await ask(primary!, "SELECT FROM pg_stat_activity WHERE application_name = 'lost'");
  return rows.length === 0;
});
proxyIsBack();

console.log(
  JSON.stringify({
    call: call['C'],
    after,
    session: session['C'],
    closed: frames.at(-1)?.type,
    client: 'gone',
  }),
);
process.exit(0);
