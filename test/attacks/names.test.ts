import assert from 'node:assert/strict';
import { closeSync, open, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { systemNames } from '../../src/wire/names/resolver.js';
import { errorOf, type FaultClient } from '../faults/world/client.js';
import { eventually } from '../support/eventually.js';
import { backend, type FakePrimary, failure, fakePrimary } from '../support/fakePrimary.js';
import { type NameServer, nameServer } from '../support/nameServer.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';
import { PROXY_TLS } from '../support/tlsFiles.js';
import { type FilesWorld, makeFilesWorld, PASSWORD, quoted, session } from './support/filesWorld.js';

/**
 * Look-ups, logins and password hashes: what is asked for in one session and takes long must not be waited for in another.
 * The rule that each test tries to break is its name. Nothing here is measured: that the others were served while the
 * attackers still waited is what shows it.
 */

let world: FilesWorld;
let proxy: TestProxy;
let names: NameServer;
let victim: FaultClient;
let victimConninfo: string;

const call = (conninfo: string): string =>
  `SELECT a FROM dblink(${quoted(conninfo)}, 'SELECT 1') AS t(a int)`;

/** The other session's calls: by a name of the hosts file, and with a password. */
async function victimIsServed(): Promise<void> {
  assert.deepEqual(await victim.rows(call(victimConninfo)), [['1']]);
  // The runtime's threads are free, too.
  await stat('/');
}

/** Sessions that have begun a statement, and what has come of them. */
interface Attack {
  readonly clients: readonly FaultClient[];
  readonly over: () => number;
  readonly errors: Promise<readonly Readonly<Record<string, string>>[]>;
  /** Cancels what still runs, and ends the sessions. */
  stop(): Promise<void>;
}

async function attack(
  at: TestProxy,
  count: number,
  sql: (number: number) => string,
  user = 'low',
): Promise<Attack> {
  const clients = await Promise.all(Array.from({ length: count }, () => session(at, user)));
  let over = 0;
  const errors = Promise.all(
    clients.map(async (client, number) => {
      const frames = await client.query(sql(number));
      over++;
      return errorOf(frames);
    }),
  );
  errors.catch(() => undefined);
  return {
    clients,
    over: () => over,
    errors,
    async stop() {
      await Promise.all(clients.map((client) => client.cancel()));
      await errors.catch(() => undefined);
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}

/** A remote that asks for SCRAM with so many iterations, and then says that the password is wrong. */
const greedy = (iterations: number): Promise<FakePrimary> =>
  fakePrimary(async (connection) => {
    await connection.startup();
    connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
    const first = await connection.message();
    const nonce = /r=([^,]+)$/.exec(first.toString('latin1'))?.[1];
    connection.socket.write(backend('R', `\0\0\0\x0br=${nonce}xyz,s=c2FsdHNhbHQ=,i=${iterations}`));
    await connection.message();
    connection.socket.end(failure('FATAL', '28P01', 'no'));
  });

describe('names and logins', () => {
  before(async () => {
    world = await makeFilesWorld();
    names = await nameServer((name) =>
      name.startsWith('silent') ? 'silent' : name === 'known.example' ? ['127.0.0.1'] : 'nxdomain',
    );
    // As long as a name server can be waited for.
    systemNames.use({
      servers: [names.address],
      env: { RES_OPTIONS: 'timeout:30 attempts:5', LOCALDOMAIN: '' },
    });
    proxy = await world.proxy();
    const superuser = await session(proxy);
    await superuser.rows('CREATE EXTENSION dblink; CREATE ROLE low LOGIN');
    await superuser.end();
    victim = await session(proxy, 'low');
    victimConninfo = `host=localhost port=${world.remote.port} user=postgres dbname=postgres password=${PASSWORD}`;
    await victimIsServed();
  });
  after(async () => {
    systemNames.use();
    await victim?.end();
    await names?.stop();
    await world?.close();
  });

  it('are found by the name servers, and missed in the words of getaddrinfo', async () => {
    const known = victimConninfo.replace('localhost', 'known.example');
    assert.deepEqual(await victim.rows(call(known)), [['1']]);
    const { C, D } = errorOf(
      await victim.query(call(victimConninfo.replace('localhost', 'missing.example'))),
    );
    assert.equal(C, '08001');
    assert.equal(D, 'could not translate host name "missing.example" to address: Name or service not known');
  });

  for (const inside of [false, true]) {
    it(`a silent name server delays nobody who does not ask it, ${inside ? 'in DO blocks' : 'at the top level'}`, async () => {
      const attackers = await attack(proxy, 20, (number) => {
        const sql = call(`host=silent${number}.example user=u password=p`);
        return inside ? `DO ${quoted(`BEGIN PERFORM a FROM (${sql}) x; END`)}` : sql;
      });
      await eventually('all of them ask', () => {
        const asked = new Set(names.questions.filter((question) => question.startsWith('silent')));
        assert.equal(asked.size >= 40, true, `${asked.size}`);
      });
      for (let round = 0; round < 3; round++) await victimIsServed();
      assert.equal(attackers.over(), 0);
      await attackers.stop();
      for (const { C } of await attackers.errors) assert.equal(C, '57014');
    });
  }

  it('connect_timeout and statement_timeout count while a name is looked up', async () => {
    const client = await session(proxy, 'low');
    const slow = 'host=silent.example user=u password=p';
    const { C, D } = errorOf(await client.query(call(`${slow} connect_timeout=2`)));
    assert.deepEqual(
      [C, D],
      [
        '08001',
        'could not translate host name "silent.example" to address: Temporary failure in name resolution',
      ],
    );
    await client.rows('SET statement_timeout = 200');
    assert.equal(errorOf(await client.query(call(slow)))['C'], '57014');
    await client.end();
  });

  it('a string with a thousand names is looked up between the calls of others, and its cancel ends it', async () => {
    const hosts = Array.from({ length: 1000 }, (_, number) => `h${number}.missing.example`).join(',');
    const attackers = await attack(proxy, 2, () => call(`host=${hosts} user=u password=p`));
    await eventually('they are at it', () =>
      assert.ok(names.questions.some((question) => question.startsWith('h1.missing'))),
    );
    for (let round = 0; round < 3; round++) await victimIsServed();
    assert.equal(attackers.over(), 0);
    await attackers.stop();
    for (const { C } of await attackers.errors) assert.equal(C, '57014');
  });

  it('what cannot be a name is asked of nobody', async () => {
    const from = names.questions.length;
    for (const name of ['x'.repeat(500_000), '1.'.repeat(100_000), `${'y'.repeat(80)}.example`, 'a..b']) {
      const { C, D } = errorOf(await victim.query(call(`host=${name} user=u password=p`)));
      assert.equal(C, '08001');
      assert.match(D ?? '', / to address: Name or service not known$/);
    }
    assert.deepEqual(names.questions.slice(from), []);
  });

  it('one session opens only so many connections at a time, and its waiting ends with it', async () => {
    let waiting = 0;
    const silent = await fakePrimary(async ({ socket }) => {
      waiting++;
      await new Promise((resolve) => socket.once('close', resolve));
      waiting--;
    });
    const sources = Array.from(
      { length: 30 },
      (_, number) =>
        `dblink('host=127.0.0.1 port=${silent.port} user=u password=p', 'SELECT 1') AS t${number}(a int)`,
    );
    const attackers = await attack(proxy, 1, () => `SELECT 1 FROM ${sources.join(', ')}`);
    await eventually('it has all that it may have', () => assert.equal(waiting > 0, true));
    for (let round = 0; round < 5; round++) await victimIsServed();
    assert.ok(silent.connections <= 8, `${silent.connections} connections`);
    assert.equal(attackers.over(), 0);
    await attackers.stop();
    await eventually('nothing is left', () => assert.equal(waiting, 0));
    assert.ok(silent.connections <= 8, 'those that waited were not opened');
    await silent.stop();
  });

  it('any number of sessions whose remotes do not answer leaves the others their logins', async () => {
    const few = await world.proxy({
      DBLINK_PROXY_LIMITS_REMOTE_LOGINS: '1',
      DBLINK_PROXY_LIMITS_REMOTE_LOGINS_PER_SESSION: '2',
    });
    const silent = await fakePrimary(
      ({ socket }) => new Promise((resolve) => socket.once('close', () => resolve())),
    );
    const attackers = await attack(
      few,
      20,
      () =>
        `SELECT 1 FROM ${[1, 2, 3].map((n) => `dblink('host=127.0.0.1 port=${silent.port} user=u password=p', 'SELECT 1') AS t${n}(a int)`).join(', ')}`,
    );
    await eventually('one for each, and one more', () => assert.equal(silent.connections >= 20, true));
    const other = await session(few, 'low');
    assert.deepEqual(await other.rows(call(victimConninfo)), [['1']]);
    assert.ok(silent.connections <= 21, `${silent.connections} connections`);
    assert.equal(attackers.over(), 0);
    await other.end();
    await attackers.stop();
    await silent.stop();
  });

  it('a remote that asks for more iterations than are configured is refused before anything is computed', async () => {
    const remote = await greedy(1_000_000);
    const { C, D } = errorOf(
      await victim.query(call(`host=127.0.0.1 port=${remote.port} user=u password=p sslmode=disable`)),
    );
    assert.equal(C, '08001');
    assert.match(
      D ?? '',
      /server requested 1000000 SCRAM iterations, more than the 100000 that the setting "dblink\.max_scram_iterations" allows/,
    );
    await remote.stop();
  });

  it('a fake primary that asks for too many iterations gets no work out of the password of a client', async () => {
    const primary = await greedy(1_000_000);
    const asking = await startTestProxy(
      { host: '127.0.0.1', port: primary.port },
      { flags: { auth: 'password', ...PROXY_TLS } },
    );
    const client = new Client({
      host: asking.host,
      port: asking.port,
      user: 'low',
      password: 'p',
      ssl: { rejectUnauthorized: false },
    });
    client.on('error', () => undefined);
    await assert.rejects(client.connect(), (error: Error & { code?: string }) => {
      assert.equal(error.code, '28000');
      assert.match(
        error.message,
        /server requested 1000000 SCRAM iterations.*"dblink\.max_scram_iterations"/,
      );
      return true;
    });
    await asking.stop();
    await primary.stop();
  });

  it('password hashes of one session delay no other, and end with who wanted them', async () => {
    const generous = await world.proxy({ DBLINK_PROXY_DBLINK_MAX_SCRAM_ITERATIONS: '100000000' });
    const remote = await greedy(100_000_000);
    const attackers = await attack(generous, 12, () =>
      call(`host=127.0.0.1 port=${remote.port} user=u password=p sslmode=disable`),
    );
    await eventually('they have been asked', () => assert.equal(remote.connections, 12));
    // Its remote asks for SCRAM as well.
    for (let round = 0; round < 3; round++) await victimIsServed();
    assert.equal(attackers.over(), 0);
    // Minutes of work are left, and are left undone.
    await attackers.stop();
    for (const { C } of await attackers.errors) assert.equal(C, '57014');
    const ordinary = await greedy(30_000);
    const other = await session(generous, 'low');
    const { D } = errorOf(
      await other.query(call(`host=127.0.0.1 port=${ordinary.port} user=u password=p sslmode=disable`)),
    );
    assert.match(D ?? '', /FATAL: {2}no/);
    await other.end();
    await Promise.all([remote.stop(), ordinary.stop()]);
  });

  it("nothing that a session needs waits for the runtime's threads", async () => {
    const opened = new Set<number>();
    // Each of the four threads waits for somebody who writes.
    const blocked = Array.from(
      { length: 8 },
      () =>
        new Promise<void>((resolve, reject) => {
          open(world.paths.fifo, 'r', (error, fd) => {
            if (error !== null) return reject(error);
            opened.add(fd);
            resolve();
          });
        }),
    );
    let free = false;
    const reached = stat('/').then(() => {
      free = true;
    });
    try {
      const other = await session(proxy, 'low');
      const known = victimConninfo.replace('localhost', 'known.example');
      for (const conninfo of [victimConninfo, known, `${known} sslmode=require`]) {
        assert.deepEqual(await other.rows(call(conninfo)), [['1']]);
        assert.deepEqual(
          await other.rows(`DO ${quoted(`BEGIN PERFORM a FROM (${call(conninfo)}) x; END`)}`),
          [],
        );
      }
      await other.end();
      assert.equal(free, false, 'the threads were blocked all the time');
    } finally {
      // Who is written to goes on.
      const writer = openSync(world.paths.fifo, 'w');
      await Promise.all([...blocked, reached]);
      closeSync(writer);
      for (const fd of opened) closeSync(fd);
    }
  });

  it('a silent name server keeps no client from the primary whose name it has told before', async () => {
    const relay = await world.proxy({}, 'postgres', 'known.example');
    const first = await session(relay, 'low');
    const attackers = await attack(relay, 10, (number) =>
      call(`host=silent${number}.example user=u password=p`),
    );
    const second = await session(relay, 'low');
    assert.deepEqual(await second.rows('SELECT 1'), [['1']]);
    assert.equal(attackers.over(), 0);
    await attackers.stop();
    await Promise.all([first.end(), second.end()]);
  });
});
