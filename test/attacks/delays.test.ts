import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { systemNames } from '../../src/wire/names/resolver.js';
import { errorOf, FaultClient } from '../faults/world/client.js';
import { backend, type FakePrimary, failure, fakePrimary } from '../support/fakePrimary.js';
import { type NameServer, nameServer } from '../support/nameServer.js';
import type { TestProxy } from '../support/proxy.js';
import { costsNoMoreThan, type WatchedProxy } from './support/delay.js';
import { type FilesWorld, makeFilesWorld, PASSWORD, quoted, session } from './support/filesWorld.js';

/**
 * Rule: what one session has done costs only that session. While others name files that are none, names that nobody knows and
 * remotes that have much computed, or take as many connections and as much memory as they can, a session that asks
 * `select 1` every 20 ms waits no longer than while as many do something harmless.
 */

/** Attackers at the same time. */
const MANY = 12;
/** How long an attack is watched that would go on for minutes. */
const WATCHED_MS = 1000;

let world: FilesWorld;
let proxy: TestProxy;
let names: NameServer;
let greedy: FakePrimary;
let silent: FakePrimary;
const open = new Set<Socket>();

/** The proxy in this process: its loop is the one that turns here. */
function watched({ port }: TestProxy): { readonly proxy: WatchedProxy; stop(): void } {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 10);
    last = now;
  }, 10);
  const state: WatchedProxy['state'] = async () => {
    const longestPauseMs = longest;
    longest = 0;
    return { longestPauseMs, longestOwnPauseMs: longestPauseMs };
  };
  return { proxy: { port, state }, stop: () => clearInterval(timer) };
}

const calls = (conninfo: string): string =>
  `SELECT a FROM dblink(${quoted(conninfo)}, 'SELECT 1') AS t(a int)`;

/** So many sessions run a statement each. @param cancelAfterMs undefined: to its end */
async function many(
  sql: (number: number) => string,
  { user = 'postgres', cancelAfterMs }: { readonly user?: string; readonly cancelAfterMs?: number } = {},
): Promise<void> {
  const clients = await Promise.all(Array.from({ length: MANY }, () => session(proxy, user)));
  const over = Promise.all(clients.map((client, number) => client.query(sql(number))));
  if (cancelAfterMs !== undefined) {
    await delay(cancelAfterMs);
    await Promise.all(clients.map((client) => client.cancel()));
  }
  await over;
  await Promise.all(clients.map((client) => client.end()));
}

describe('what an attack costs others', { timeout: 900_000 }, () => {
  let usual: string;
  let watching: ReturnType<typeof watched>;

  before(async () => {
    world = await makeFilesWorld();
    names = await nameServer((name) => (name.startsWith('silent') ? 'silent' : 'nxdomain'));
    systemNames.use({
      servers: [names.address],
      env: { RES_OPTIONS: 'timeout:30 attempts:5', LOCALDOMAIN: '' },
    });
    proxy = await world.proxy();
    watching = watched(proxy);
    usual = `${world.remoteAt} password=${PASSWORD}`;
    const superuser = await session(proxy);
    await superuser.rows('CREATE EXTENSION dblink; CREATE ROLE low LOGIN; CREATE ROLE other LOGIN');
    await superuser.end();
    // As many iterations as are allowed.
    greedy = await fakePrimary(async (connection) => {
      await connection.startup();
      connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
      const nonce = /r=([^,]+)$/.exec((await connection.message()).toString('latin1'))?.[1];
      connection.socket.write(backend('R', `\0\0\0\x0br=${nonce}xyz,s=c2FsdHNhbHQ=,i=100000`));
      await connection.message();
      connection.socket.end(failure('FATAL', '28P01', 'no'));
    });
    silent = await fakePrimary(
      ({ socket }) => new Promise((resolve) => socket.once('close', () => resolve())),
    );
  });
  after(async () => {
    watching?.stop();
    systemNames.use();
    for (const socket of open) socket.destroy();
    await Promise.all([names?.stop(), greedy?.stop(), silent?.stop()]);
    await world?.close();
  });

  const connecting = (): Promise<void> => many(() => calls(usual), { user: 'low' });
  const waiting = (): Promise<void> =>
    many(() => calls(`host=127.0.0.1 port=${silent.port} user=u password=p sslmode=disable`), {
      user: 'low',
      cancelAfterMs: WATCHED_MS,
    });

  const attacks: Readonly<Record<string, readonly [() => Promise<void>, () => Promise<void>]>> = {
    'files that never end': [
      connecting,
      () => many(() => calls(`${usual} sslmode=require sslrootcert=${world.paths.zero}`)),
    ],
    'files that wait for a writer': [
      connecting,
      () =>
        many((n) => calls(`${usual} sslmode=require ${['sslcert', 'sslcrl'][n % 2]}=${world.paths.fifo}`)),
    ],
    'files that are too long': [
      connecting,
      () => many(() => calls(`${usual} sslmode=require sslrootcert=${world.paths.large}`)),
    ],
    'names whose servers are silent': [
      waiting,
      () =>
        many((n) => calls(`host=silent${n}.example user=u password=p`), {
          user: 'low',
          cancelAfterMs: WATCHED_MS,
        }),
    ],
    'a thousand names in one string': [
      waiting,
      () => {
        const hosts = Array.from({ length: 1000 }, (_, i) => `nobody${i}.example`).join();
        return many(() => calls(`host=${hosts} user=u password=p`), {
          user: 'low',
          cancelAfterMs: WATCHED_MS,
        });
      },
    ],
    'password hashes of as many rounds as are allowed': [
      connecting,
      () =>
        many(() => calls(`host=127.0.0.1 port=${greedy.port} user=u password=p sslmode=disable`), {
          user: 'low',
        }),
    ],
    'logins that never end': [waiting, waiting],
    'as many connections as a session may have': [
      connecting,
      async () => {
        const client = await session(proxy, 'low');
        let sqlstate: string | undefined;
        for (let n = 0; sqlstate === undefined && n < 200; n++) {
          const frames = await client.query(`SELECT dblink_connect('c${n}', ${quoted(usual)})`);
          if (frames.some(({ type }) => type === 'E')) sqlstate = errorOf(frames)['C'];
        }
        assert.equal(sqlstate, '53300');
        await client.end();
      },
    ],
    'connections of clients that do not log in': [
      async () => {
        for (let n = 0; n < 5; n++) await many(() => 'SELECT 1');
      },
      async () => {
        const sockets = Array.from({ length: 300 }, () => connect(proxy.port, '127.0.0.1'));
        for (const socket of sockets) {
          open.add(socket);
          socket.on('error', () => undefined);
        }
        await delay(WATCHED_MS);
        for (const socket of sockets) {
          socket.destroy();
          open.delete(socket);
        }
      },
    ],
    'results that are held': [
      async () => {
        const client = await FaultClient.open(proxy.port);
        await client.query("SELECT repeat('x', 40000000) FROM generate_series(1, 3)");
        await client.end();
      },
      async () => {
        const client = await FaultClient.open(proxy.port, { user: 'low' });
        const source = (name: string): string =>
          `(SELECT count(a) FROM dblink(${quoted(usual)}, 'SELECT repeat(''x'', 2048) FROM generate_series(1, 20000)') AS ${name}(a text))`;
        const frames = await client.query(`SELECT ${['x', 'y', 'z'].map(source).join(' + ')}`);
        assert.ok(frames.some(({ body }) => body.includes('60000')));
        await client.end();
      },
    ],
  };
  for (const [what, [control, attack]] of Object.entries(attacks))
    it(what, () => costsNoMoreThan(watching, control, attack));
});
