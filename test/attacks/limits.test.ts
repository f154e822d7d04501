import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../src/embedded/index.js';
import { MIB, ROOM } from '../faults/world/memoryGrowth.js';
import { type ProxyProcess, startProxyProcess } from '../faults/world/proxyProcess.js';
import { remote as remoteSays, scriptedRemote, WELCOME } from '../faults/world/scriptedRemote.js';
import { eventually } from '../support/eventually.js';
import { type FakePrimary, fakePrimary } from '../support/fakePrimary.js';
import { primaryServer } from '../support/postgres.js';
import { type Message, RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, type RelayProxy, startRelay } from '../support/relay.js';
import { frontend } from '../support/wire.js';
import { type Program, startProgram } from './support/program.js';

const errorOf = (messages: readonly Message[]): Readonly<Record<string, string>> =>
  messages.find(({ type }) => type === 'E')?.fields ?? {};

describe('rule: what one session takes leaves enough for the others', () => {
  let primary: PostgresServer;
  const stops: (() => Promise<unknown>)[] = [];
  before(async () => {
    primary = await primaryServer(18);
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const conninfo = (): string => `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`;
  const relay = async (limits: Readonly<Record<string, string>>): Promise<RelayProxy> => {
    const env = Object.fromEntries(
      Object.entries(limits).map(([name, value]) => [`DBLINK_PROXY_LIMITS_${name}`, value]),
    );
    const proxy = await startRelay(primary, { env });
    stops.push(() => proxy.stop());
    return proxy;
  };
  const session = async (port: number): Promise<RawClient> => {
    const { client } = await logIn(port);
    stops.push(async () => client.destroy());
    return client;
  };
  const connect = (client: RawClient, name: string, to = conninfo()): Promise<Message[]> =>
    query(client, `SELECT dblink_connect('${name}', '${to}')`);

  describe('remote connections', () => {
    it('a session has so many, the unnamed one included, and no other session less for it', async () => {
      const { port } = await relay({ REMOTE_CONNECTIONS_PER_SESSION: '3' });
      const [greedy, other] = [await session(port), await session(port)];
      await query(greedy, `SELECT dblink_connect('${conninfo()}')`);
      for (const name of ['a', 'b']) assert.equal(firstValue(await connect(greedy, name)), 'OK');
      const refused = errorOf(await connect(greedy, 'c'));
      assert.equal(refused['C'], '53300');
      assert.match(refused['M'] ?? '', /"limits\.remote_connections_per_session" of the proxy is 3/);
      assert.equal(firstValue(await connect(other, 'c')), 'OK');
      // A call that needs a connection of its own has none to wait for.
      const oneShot = await query(greedy, `SELECT * FROM dblink('${conninfo()}', 'SELECT 1') AS t(a int)`);
      assert.equal(errorOf(oneShot)['C'], '53300');
      await query(greedy, "SELECT dblink_disconnect('a')");
      assert.equal(firstValue(await connect(greedy, 'c')), 'OK');
    });

    it('a statement with more connection strings than that is served all the same', async () => {
      const { port } = await relay({ REMOTE_CONNECTIONS_PER_SESSION: '2' });
      const client = await session(port);
      const sources = Array.from(
        { length: 9 },
        (_, i) => `SELECT * FROM dblink('${conninfo()}', 'SELECT ${i}') AS t${i}(a int)`,
      );
      const answer = await query(client, `SELECT sum(a) FROM (${sources.join(' UNION ALL ')}) s`);
      assert.equal(firstValue(answer), '36', errorOf(answer)['M']);
      assert.equal(firstValue(await connect(client, 'c')), 'OK');
    });

    it('all sessions together have so many', async () => {
      const { port } = await relay({ REMOTE_CONNECTIONS: '2' });
      const [first, second] = [await session(port), await session(port)];
      for (const name of ['a', 'b']) assert.equal(firstValue(await connect(first, name)), 'OK');
      const refused = errorOf(await connect(second, 'a'));
      assert.equal(refused['C'], '53300');
      assert.match(refused['M'] ?? '', /"limits\.remote_connections" of the proxy is 2/);
      assert.equal(firstValue(await query(second, 'SELECT 41 + 1')), '42');
      first.destroy();
      await eventually('the places are free again', async () =>
        assert.equal(firstValue(await connect(second, 'a')), 'OK'),
      );
    });

    it('the last tenth is not for who has one already', async () => {
      const { port } = await relay({ REMOTE_CONNECTIONS: '10' });
      const [greedy, modest] = [await session(port), await session(port)];
      let got = 0;
      while (firstValue(await connect(greedy, `c${got}`)) === 'OK') got++;
      assert.equal(got, 9);
      assert.equal(firstValue(await connect(modest, 'c')), 'OK');
    });

    describe('to one server, and of one user', () => {
      const TOO_MANY = (setting: string, limit: number): RegExp =>
        new RegExp(
          `^too many dblink connections: the setting "limits\\.${setting}" of the proxy is ${limit}$`,
        );
      for (const [name, setting] of [
        ['REMOTE_CONNECTIONS_PER_SERVER', 'remote_connections_per_server'],
        ['REMOTE_CONNECTIONS_PER_USER', 'remote_connections_per_user'],
      ] as const) {
        it(`${setting}: the next one has it when one is closed; who has all is told at once`, async () => {
          const { port } = await relay({ [name]: '2' });
          const [one, other] = [await session(port), await session(port)];
          for (const connection of ['a', 'b']) assert.equal(firstValue(await connect(one, connection)), 'OK');
          const refused = errorOf(await connect(one, 'c'));
          assert.equal(refused['C'], '53300');
          assert.match(refused['M'] ?? '', TOO_MANY(setting, 2));
          const waiting = connect(other, 'a');
          // It waits behind this, and is served behind the next one.
          assert.equal(firstValue(await query(one, "SELECT dblink_error_message('a')")), 'OK');
          await query(one, "SELECT dblink_disconnect('a')");
          assert.equal(firstValue(await waiting), 'OK');
        });
      }

      it('statement_timeout and the time for it end the wait, and nothing is left of it', async () => {
        const { port } = await relay({ REMOTE_CONNECTIONS_PER_SERVER: '1' });
        const [one, other] = [await session(port), await session(port)];
        assert.equal(firstValue(await connect(one, 'a')), 'OK');
        await query(other, 'SET statement_timeout = 50');
        for (let i = 0; i < 3; i++) assert.equal(errorOf(await connect(other, 'a'))['C'], '57014');
        await query(other, 'RESET statement_timeout');
        await query(one, "SELECT dblink_disconnect('a')");
        assert.equal(firstValue(await connect(other, 'a')), 'OK');
        const hasty = await startRelay(primary, {
          env: {
            DBLINK_PROXY_LIMITS_REMOTE_CONNECTIONS_PER_SERVER: '1',
            DBLINK_PROXY_TIMEOUTS_REMOTE_WAIT: '50ms',
          },
        });
        stops.push(() => hasty.stop());
        assert.equal(firstValue(await connect(await session(hasty.port), 'a')), 'OK');
        const refused = errorOf(await connect(await session(hasty.port), 'a'));
        assert.deepEqual(
          [refused['C'], TOO_MANY('remote_connections_per_server', 1).test(refused['M'] ?? '')],
          ['53300', true],
        );
      });

      it('connections that are kept for the next call give way, also those of other sessions', async () => {
        const { port } = await relay({ REMOTE_CONNECTIONS_PER_SERVER: '1' });
        const [one, other] = [await session(port), await session(port)];
        const call = `SELECT * FROM dblink('${conninfo()}', 'SELECT 1') AS t(a int)`;
        for (let i = 0; i < 3; i++) {
          assert.equal(firstValue(await query(one, call)), '1');
          assert.equal(firstValue(await query(other, call)), '1');
        }
        assert.equal(firstValue(await query(one, call)), '1');
        assert.equal(firstValue(await connect(one, 'c')), 'OK');
      });

      it('a statement with more connection strings than that is served all the same', async () => {
        const { port } = await relay({
          REMOTE_CONNECTIONS_PER_SERVER: '2',
          REMOTE_CONNECTIONS_PER_USER: '3',
        });
        const client = await session(port);
        const sources = Array.from(
          { length: 9 },
          (_, i) => `SELECT * FROM dblink('${conninfo()}', 'SELECT ${i}') AS t${i}(a int)`,
        );
        const answer = await query(client, `SELECT sum(a) FROM (${sources.join(' UNION ALL ')}) s`);
        assert.equal(firstValue(answer), '36', errorOf(answer)['M']);
      });

      it('a cancel ends the wait of the session, whose other servers are served meanwhile', async () => {
        const { port } = await relay({ REMOTE_CONNECTIONS_PER_SERVER: '1', REMOTE_LOGINS: '0' });
        const one = await session(port);
        const { client: other, startup } = await logIn(port);
        stops.push(async () => other.destroy());
        const key = startup.find(({ type }) => type === 'K')!.body;
        assert.equal(firstValue(await connect(one, 'a')), 'OK');
        const waiting = connect(other, 'a');
        const remote = await scriptedRemote({ query: (_, socket) => socket.write(remoteSays.ready()) });
        stops.push(() => remote.close());
        assert.equal(firstValue(await connect(one, 'b', remote.conninfo)), 'OK');
        const canceller = await RawClient.connect(port);
        canceller.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
        await canceller.toEnd();
        assert.equal(errorOf(await waiting)['C'], '57014');
        assert.equal(firstValue(await query(other, 'SELECT 41 + 1')), '42');
      });
    });

    it('those that a remote keeps open after their end count until they are closed', async () => {
      let open = 0;
      let most = 0;
      // Takes no notice of the end of a connection.
      const remote: FakePrimary = await fakePrimary(async ({ socket, startup }) => {
        await startup();
        most = Math.max(most, ++open);
        socket.allowHalfOpen = true;
        socket.once('close', () => open--);
        socket.write(WELCOME);
      });
      stops.push(() => remote.stop());
      const { port } = await relay({ REMOTE_CONNECTIONS: '5' });
      const client = await session(port);
      const to = `host=127.0.0.1 port=${remote.port} user=u sslmode=disable client_encoding=UTF8`;
      for (let i = 0; i < 40; i++) {
        await query(client, `SELECT dblink_connect('c', '${to}')`);
        await query(client, "SELECT dblink_disconnect('c')");
      }
      assert.ok(most > 0 && most <= 5, `${most} at a time`);
    });
  });

  it('clients: one more is told so, stands in the log, and a cancel request is still taken', async () => {
    const program = await startProgram(`postgres://127.0.0.1:${primary.port}?sslmode=disable`, {
      env: { DBLINK_PROXY_LIMITS_CLIENTS: '2' },
    });
    stops.push(() => program.kill());
    const { port } = program;
    const { client: first, startup } = await logIn(port);
    const key = startup.find(({ type }) => type === 'K')!.body;
    const second = await session(port);
    const third = await logIn(port);
    assert.equal(errorOf(third.startup)['C'], '53300');
    assert.match(errorOf(third.startup)['M'] ?? '', /"limits\.clients" of the proxy is 2/);
    const line = await program.logged(({ msg }) => msg === 'client refused');
    assert.deepEqual([line.level, line['client'], line['sqlstate']], ['info', '127.0.0.1', '53300']);

    first.write(frontend.query('SELECT pg_sleep(600)'));
    const cancelled = first.until('Z');
    await eventually('the cancel request arrives', async () => {
      const canceller = await RawClient.connect(port);
      canceller.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
      await canceller.toEnd();
      const rows = await query(
        second,
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()",
      );
      assert.equal(firstValue(rows), '0');
    });
    assert.equal(errorOf(await cancelled)['C'], '57014');
    first.destroy();
    await eventually('a place is free again', async () => {
      const { client, startup: again } = await logIn(port);
      client.destroy();
      assert.ok(again.some(({ type }) => type === 'Z'));
    });
  });

  describe('file descriptors', { skip: process.platform !== 'linux' }, () => {
    const scarce = async (): Promise<Program> => {
      const program = await startProgram(`postgres://127.0.0.1:${primary.port}?sslmode=disable`, {
        env: { DBLINK_PROXY_LIMITS_REMOTE_CONNECTIONS_PER_SESSION: '0' },
        wrapper: ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh'],
      });
      stops.push(() => program.kill());
      return program;
    };

    it('remote connections leave some for logins, and it is logged', async () => {
      const remote = await scriptedRemote({ query: (_, socket) => socket.write(remoteSays.ready()) });
      stops.push(() => remote.close());
      const program = await scarce();
      const greedy = await session(program.port);
      let refused: Readonly<Record<string, string>> = {};
      for (let i = 0; refused['C'] === undefined; i++)
        refused = errorOf(await connect(greedy, `c${i}`, remote.conninfo));
      assert.equal(refused['C'], '53300');
      assert.match(`${refused['D']}`, /"limits\.reserved_descriptors"/);
      await program.logged(({ msg }) => /file descriptors are nearly used up/.test(msg));
      for (let i = 0; i < 5; i++) {
        assert.equal(firstValue(await query(await session(program.port), 'SELECT 41 + 1')), '42');
      }
      assert.equal(firstValue(await query(greedy, 'SELECT 41 + 1')), '42');
    });

    it('a flood of connections is refused in words and logged, and the listener recovers by itself', async () => {
      const program = await scarce();
      const flood: RawClient[] = [];
      stops.push(async () => {
        for (const client of flood) client.destroy();
      });
      for (let i = 0; i < 300; i++) flood.push(await RawClient.connect(program.port));
      await eventually('they are refused', () => {
        const answers = flood.filter(({ buffered }) => buffered.includes('53300'));
        assert.ok(answers.length > 0);
      });
      await program.logged(({ msg }) => msg === 'file descriptors are nearly used up (ulimit -n)');
      await program.logged((line) => line.msg === 'client refused' && line['client'] === '127.0.0.1');
      for (const client of flood) client.destroy();
      await eventually('clients are served again', async () => {
        const { client, startup } = await logIn(program.port);
        client.destroy();
        assert.ok(startup.some(({ type }) => type === 'Z'));
      });
    });
  });
});

describe('rule: results that are held are bounded, and their memory is given back', () => {
  let primary: PostgresServer;
  let proxy: ProxyProcess;
  before(async () => {
    primary = await primaryServer(18);
    proxy = await startProxyProcess({ primary, env: { DBLINK_PROXY_LIMITS_MEMORY: '320MiB' } });
  });
  after(() => proxy?.stop());

  const source = (mib: number, name: string): string =>
    `dblink('host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres',
       'SELECT repeat(md5(i::text), 2048) FROM generate_series(1, ${mib * 16}) i') AS ${name}(a text)`;

  const sum = (sources: readonly string[]): string =>
    `SELECT ${sources.map((from) => `(SELECT count(a) FROM ${from})`).join(' + ')}`;

  it('what is too much for all is 53200, the session goes on, and others hold what they need', async () => {
    const { client } = await logIn(proxy.port);
    const { client: other } = await logIn(proxy.port);
    client.write(frontend.query(sum([source(100, 'x'), source(100, 'y'), source(100, 'z')])));
    // A small one is served meanwhile, whatever the large one takes.
    assert.equal(firstValue(await query(other, sum([source(1, 'x')]))), '16');
    const refused = errorOf(await client.until('Z', 1, 60_000));
    assert.equal(refused['C'], '53200');
    assert.match(refused['M'] ?? '', /"limits\.memory" of the proxy is/);
    assert.equal(
      firstValue(await query(client, sum([source(20, 'x'), source(20, 'y')]))),
      String(2 * 20 * 16),
    );
    client.destroy();
    other.destroy();
  });

  it('results of many statements of one string count, too', async () => {
    const { client } = await logIn(proxy.port);
    const many = Array.from({ length: 8 }, () => "SELECT repeat(''x'', 60000000)").join('; ');
    const answer = await query(
      client,
      `SELECT count(*) FROM dblink('host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres', '${many}') AS t(a text)`,
    );
    assert.equal(errorOf(answer)['C'], '53200');
    assert.equal(firstValue(await query(client, 'SELECT 41 + 1')), '42');
    client.destroy();
  });

  it('three results of some size leave nothing behind, though no garbage is collected', async () => {
    const { client } = await logIn(proxy.port);
    const three = (mib: number): string => sum(['x', 'y', 'z'].map((name) => source(mib, name)));
    assert.equal(firstValue(await query(client, three(1))), '48');
    const before = await proxy.state(true);
    const answer = await query(client, three(40));
    assert.equal(firstValue(answer), String(3 * 40 * 16), errorOf(answer)['M']);
    assert.match(proxy.log(), /"plan":"splice"/);
    await eventually('the memory is given back', async () => {
      const { memory } = await proxy.state();
      const more = memory.arrayBuffers - before.memory.arrayBuffers;
      // What sockets have read is left to the collector, which lets 32 MiB of it lie.
      assert.ok(more < ROOM, `${more / MIB} MiB more than before`);
    });
    client.destroy();
  });
});
