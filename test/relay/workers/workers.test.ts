import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Client, type ClientConfig } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { type LogLine, type Program, startProgram } from '../../attacks/support/program.js';
import { untilGone, untilSleeping } from '../../support/activity.js';
import { eventually } from '../../support/eventually.js';
import { lively } from '../../support/pace.js';
import { execute } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { logIn, refusal, types } from '../../support/relay.js';
import { PROXY_TLS } from '../../support/tlsFiles.js';
import { frontend } from '../../support/wire.js';

/** A client, and the process that serves it. */
interface Served {
  readonly client: Client;
  readonly worker: number;
}

/** Resolves when a client's connection is gone, with or without an error. */
const ended = (client: Client): Promise<void> => new Promise((resolve) => client.once('end', resolve));

/** A client's CancelRequest, with some bits of its secret changed. */
function cancelOf(client: Client, wrong = 0): Buffer {
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey ^ wrong);
  return frontend.cancelRequest(processID, secret);
}

/** Two processes serve sessions, and a third one accepts connections. */
describe('a proxy of two workers', () => {
  let primary: PostgresServer;
  const programs = new Set<Program>();
  const clients = new Set<Client>();

  before(async () => {
    primary = await startPostgres({ installation: await prepareBinaries({ major: 18, dblink: false }) });
  });
  afterEach(async () => {
    for (const client of clients) await client.end().catch(() => undefined);
    clients.clear();
    for (const program of programs) await program.kill();
    programs.clear();
  });
  after(() => primary?.stop('immediate'));

  async function start(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Program> {
    const program = await startProgram(`postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable`, {
      args: ['--workers', '2', '--log-level', 'debug', ...args],
      env,
    });
    programs.add(program);
    return program;
  }

  /** What the program has logged with this text. */
  const logged = (program: Program, text: string): readonly LogLine[] =>
    program.lines.map((line) => JSON.parse(line) as LogLine).filter(({ msg }) => msg === text);

  /** Opens a session. One at a time, so that it is known which process has logged its beginning. */
  async function open(program: Program, more: ClientConfig = {}): Promise<Served> {
    const before = logged(program, 'session begins').length;
    const client = new Client({
      host: '127.0.0.1',
      port: program.port,
      user: 'postgres',
      database: 'postgres',
      ...more,
    });
    clients.add(client);
    client.on('error', () => undefined);
    await client.connect();
    await eventually('the session is logged', () => logged(program, 'session begins').length > before);
    return { client, worker: Number(logged(program, 'session begins')[before]!['pid']) };
  }

  /** Opens two sessions, each with another worker. */
  async function openBoth(program: Program, more: ClientConfig = {}): Promise<readonly [Served, Served]> {
    const pair = [await open(program, more), await open(program, more)] as const;
    assert.notEqual(pair[0].worker, pair[1].worker);
    return pair;
  }

  it('spreads the sessions that there are, not those that have been', async () => {
    const proxy = await start();
    const served: Served[] = [];
    for (let i = 0; i < 8; i++) served.push(await open(proxy));
    const workers = [...new Set(served.map(({ worker }) => worker))];
    assert.equal(workers.length, 2);
    assert.ok(!workers.includes(proxy.pid));
    const [first, second] = workers.map((pid) => served.filter(({ worker }) => worker === pid));
    assert.deepEqual([first!.length, second!.length], [4, 4]);

    for (const { client } of first!) await client.end();
    await eventually('they have left', () => logged(proxy, 'session ends').length === 4);
    for (let i = 0; i < 4; i++) assert.equal((await open(proxy)).worker, first![0]!.worker);
  });

  it('cancels what a session does, whichever worker gets the request', async () => {
    const proxy = await start();
    for (const [name, { client }] of (await openBoth(proxy)).entries()) {
      for (let i = 0; i < 4; i++) {
        const running = client.query(`SET application_name = 'asleep ${name}'; SELECT pg_sleep(600)`);
        await untilSleeping(primary, `asleep ${name}`);
        // Requests go to the workers in turns, since each is a connection that ends at once.
        const request = await RawClient.connect(proxy.port);
        request.write(cancelOf(client));
        await assert.rejects(lively('the cancel', running), { code: '57014' });
        assert.equal((await request.messagesToEnd()).length, 0);
      }
    }
  });

  it('ignores a cancel request with a wrong key', async () => {
    const proxy = await start();
    const [{ client }] = await openBoth(proxy);
    const running = client.query("SET application_name = 'left alone'; SELECT pg_sleep(2)");
    await untilSleeping(primary, 'left alone');
    for (const wrong of [1, 2, ~0]) {
      const request = await RawClient.connect(proxy.port);
      request.write(cancelOf(client, wrong));
      await request.messagesToEnd();
    }
    await running;
  });

  it('loses the sessions of a worker that is killed, and no other; another one takes its place', async () => {
    const proxy = await start();
    const [lost, kept] = await openBoth(proxy);
    await kept.client.query('CREATE TEMP TABLE mine AS SELECT 42 AS n');
    const gone = ended(lost.client);
    process.kill(lost.worker, 'SIGKILL');
    await lively('the end of its sessions', gone);
    const line = await proxy.logged(({ msg }) => msg.startsWith('a worker has ended'));
    assert.deepEqual([line.level, line['cause'], line['connections']], ['error', 'SIGKILL', 1]);
    assert.deepEqual((await kept.client.query('SELECT n FROM mine')).rows, [{ n: 42 }]);
    // Until there is another one, all go to the worker that is left.
    assert.equal((await open(proxy)).worker, kept.worker);
    await eventually('a new worker serves sessions', async () => {
      const { worker } = await open(proxy);
      return worker !== kept.worker && worker !== lost.worker;
    });
  });

  it('serves who comes while there is no worker, when there is one again', async () => {
    const proxy = await start();
    for (const { worker } of await openBoth(proxy)) process.kill(worker, 'SIGKILL');
    await eventually(
      'both have ended',
      () => logged(proxy, 'a worker has ended; its sessions are lost, and it is replaced').length === 2,
    );
    const { client } = await lively('a session', open(proxy));
    assert.deepEqual((await client.query('SELECT 7 AS n')).rows, [{ n: 7 }]);
  });

  it('shuts down as one: idle sessions are told, transactions finish, and it ends with 0', async () => {
    const proxy = await start();
    const [idle, busy] = [await logIn(proxy.port), await logIn(proxy.port)];
    const other = await logIn(proxy.port);
    busy.client.write(frontend.query('BEGIN'));
    await busy.client.until('Z');
    proxy.child.kill('SIGTERM');
    for (const { client } of [idle, other]) {
      const messages = await lively('the end of an idle session', client.messagesToEnd());
      assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '57P01']);
    }
    await assert.rejects(RawClient.connect(proxy.port), { code: 'ECONNREFUSED' });
    busy.client.write(frontend.query('COMMIT'));
    const last = await lively('the end of the transaction', busy.client.messagesToEnd());
    assert.deepEqual([types(last), last.at(-1)?.fields['C']], ['CZE', '57P01']);
    assert.equal(await lively('the end of the proxy', proxy.ended), 0);
  });

  it('ends everything at a second signal, and cancels what runs', async () => {
    const proxy = await start();
    const { client } = await logIn(proxy.port, { application_name: 'at the second' });
    client.write(frontend.query('SELECT pg_sleep(600)'));
    await untilSleeping(primary, 'at the second');
    proxy.child.kill('SIGTERM');
    await proxy.logged(({ msg }) => msg === 'shutting down');
    proxy.child.kill('SIGTERM');
    await lively('the end of the proxy', proxy.ended);
    await untilGone(primary, 'at the second');
    client.destroy();
  });

  it('leaves no worker behind when its first process is killed', async () => {
    const proxy = await start();
    const both = await openBoth(proxy);
    const ends = both.map(({ client }) => ended(client));
    proxy.child.kill('SIGKILL');
    await lively('the end of the sessions', Promise.all(ends));
    for (const { worker } of both) {
      await eventually('the worker ends', () => {
        try {
          process.kill(worker, 0);
          return false;
        } catch {
          return true;
        }
      });
    }
  });

  it('counts the clients of all workers', async () => {
    const proxy = await start([], { DBLINK_PROXY_LIMITS_CLIENTS: '3' });
    for (let i = 0; i < 3; i++) await logIn(proxy.port);
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'postgres' }));
    assert.equal((await refusal(client))['C'], '53300');
  });

  it('has the connections of all workers leave a database for a command', async () => {
    const proxy = await start();
    await execute(primary.url(), 'CREATE DATABASE pattern');
    for (const { client } of await openBoth(proxy, { database: 'pattern' })) {
      await client.query(
        `CREATE EXTENSION IF NOT EXISTS dblink;
         DO $$ BEGIN PERFORM * FROM dblink('${primary.url()}', 'SELECT 1') AS t(x int); END $$`,
      );
      await client.end();
    }
    // Before half a second has passed, after which they leave by themselves.
    const [{ client }] = await openBoth(proxy);
    await client.query('CREATE DATABASE of_pattern TEMPLATE pattern');
    await client.query('DROP DATABASE of_pattern');
    await client.query('DROP DATABASE pattern');
  });

  it('carries out dblink, TLS and half-closed clients as one process does', async () => {
    const proxy = await start([
      ...Object.entries(PROXY_TLS).flatMap(([flag, value]) => [`--${flag}`, value]),
    ]);
    for (const { client } of await openBoth(proxy, { ssl: { rejectUnauthorized: false } })) {
      const { rows } = await client.query(
        `SELECT * FROM dblink('${primary.url()}', 'SELECT n FROM generate_series(1, 3) n') AS t(n int)`,
      );
      assert.deepEqual(rows, [{ n: 1 }, { n: 2 }, { n: 3 }]);
    }
    for (let i = 0; i < 2; i++) {
      const { client } = await logIn(proxy.port);
      client.write(frontend.query('SELECT pg_sleep(0.2)'));
      client.socket.end();
      assert.equal(types(await lively('the answer', client.messagesToEnd())), 'TDCZ');
    }
  });

  it('the policy and the access rules hold in all of them', async () => {
    const program = await start([], {
      DBLINK_PROXY_POLICY_RULES: JSON.stringify([{ deny: { host: 'local*', address: 'loopback', port: 1 } }]),
      DBLINK_PROXY_ACCESS: JSON.stringify([{ allow: { user: 'post*', client: 'loopback' } }]),
    });
    const workers = new Set<number>();
    for (let i = 0; i < 4; i++) {
      const { client, worker } = await open(program);
      workers.add(worker);
      const call = (port: number): Promise<unknown> =>
        client.query(
          `SELECT dblink_connect('host=localhost port=${port} user=postgres password=x dbname=postgres')`,
        );
      await assert.rejects(call(1), { code: '42501', message: /is not allowed by the policy/ });
      await assert.rejects(call(2), { code: '08001' });
    }
    assert.equal(workers.size, 2);
    const stranger = new Client({
      host: '127.0.0.1',
      port: program.port,
      user: 'stranger',
      database: 'postgres',
    });
    await assert.rejects(stranger.connect(), { code: '28000' });
  });
});
