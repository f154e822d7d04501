import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { type FakePrimary, failure, fakePrimary, GREETING } from '../support/fakePrimary.js';
import { execute, extensionServer, primaryServer } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';
import { type Program, type ProgramOptions, startProgram } from './support/program.js';

const CANCEL_REQUEST = 80877102;

describe('the process', () => {
  let primary: PostgresServer;
  const programs: Program[] = [];
  const fakes: FakePrimary[] = [];

  before(async () => {
    primary = await primaryServer(18);
  });
  afterEach(async () => {
    await Promise.all(programs.splice(0).map((program) => program.kill()));
    await Promise.all(fakes.splice(0).map((fake) => fake.stop()));
  });

  const url = (): string => `postgres://127.0.0.1:${primary.port}?sslmode=disable`;
  const program = async (to: string, options: ProgramOptions = {}): Promise<Program> => {
    const started = await startProgram(to, options);
    programs.push(started);
    return started;
  };
  const fake = async (...script: Parameters<typeof fakePrimary>): Promise<FakePrimary> => {
    const started = await fakePrimary(...script);
    fakes.push(started);
    return started;
  };

  describe('rule: what a session did is cancelled before the process is gone', () => {
    const soon = { env: { DBLINK_PROXY_TIMEOUTS_SHUTDOWN: '100ms' } };

    it('a primary that is slow to take the cancel request gets it all the same', async () => {
      let clientGone: () => void = () => undefined;
      const gone = new Promise<void>((resolve) => {
        clientGone = resolve;
      });
      let cancelled = false;
      const slow = await fake(async (connection) => {
        const head = await connection.take(8);
        if (head.readInt32BE(4) !== 80877103) throw new Error('SSLRequest was expected');
        // The cancel request: everything else of the shutdown is over before it is answered.
        if (connection.number > 1) {
          await gone;
          await delay(300);
        }
        connection.socket.write('N');
        const packet = await connection.startup();
        if (packet.readInt32BE(4) !== CANCEL_REQUEST) return void connection.socket.write(GREETING);
        cancelled = true;
        connection.socket.end();
      });
      const { port, child, ended } = await program(`postgres://127.0.0.1:${slow.port}`, soon);
      const { client } = await logIn(port);
      client.write(frontend.query('SELECT for_ever()'));
      await eventually('the query has arrived', () => assert.ok(slow.connections >= 1));
      child.kill('SIGTERM');
      assert.equal((await client.messagesToEnd()).at(-1)?.fields['C'], '57P01');
      clientGone();
      assert.equal(await ended, 0);
      assert.ok(cancelled, 'the process ended without having sent the cancel request');
    });

    it('a remote statement does not outlive the process', async () => {
      const { port, child, ended } = await program(url(), soon);
      const { client } = await logIn(port);
      const remote = `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres application_name=outlives`;
      client.write(
        frontend.query(`SELECT * FROM dblink('${remote}', 'SELECT 1 FROM pg_sleep(600)') AS t(a int)`),
      );
      const sleeping = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'outlives'";
      await eventually('the remote sleeps', async () =>
        assert.equal((await execute(primary.url(), `${sleeping} AND wait_event = 'PgSleep'`)).length, 1),
      );
      child.kill('SIGTERM');
      assert.equal(await ended, 0);
      client.destroy();
      await eventually('the remote has stopped', async () =>
        assert.equal((await execute(primary.url(), sleeping)).length, 0),
      );
    });
  });

  it('rule: a second SIGTERM tells clients 57P01', async () => {
    const { port, child, ended, logged } = await program(url());
    const { client } = await logIn(port);
    await query(client, 'BEGIN');
    child.kill('SIGTERM');
    await logged(({ msg }) => msg === 'shutting down');
    child.kill('SIGTERM');
    const messages = await client.messagesToEnd();
    assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '57P01']);
    assert.equal(await ended, 0);
  });

  describe('rule: a signal that is not meant to end the process does not', () => {
    for (const signal of ['SIGHUP', 'SIGUSR1'] as const) {
      it(signal, async () => {
        const { port, child, logged } = await program(url());
        const { client } = await logIn(port);
        child.kill(signal);
        await logged((line) => line['signal'] === signal);
        assert.equal(firstValue(await query(client, 'SELECT 41 + 1')), '42');
        assert.equal(child.exitCode, null);
        client.destroy();
      });
    }
  });

  describe('rule: nobody who can signal the process reads its memory', () => {
    // A port of its own for each test, where Node would take 9229.
    const node = ['--inspect-port=0'];
    const opened = /Debugger listening on (\S+)/;

    it('SIGUSR1 opens no debugger', async () => {
      const { child, lines, logged } = await program(url(), { node });
      child.kill('SIGUSR1');
      await logged((line) => line['signal'] === 'SIGUSR1');
      await delay(200);
      assert.equal(
        lines.find((line) => opened.test(line)),
        undefined,
      );
    });

    it('nor does one that comes before the program has been loaded', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'dblink-proxy-'));
      const early = join(directory, 'early.cjs');
      // Waits until the debugger is there.
      writeFileSync(
        early,
        `process.kill(process.pid, 'SIGUSR1');
         const until = Date.now() + 10000;
         const { url } = require('node:inspector');
         while (url() === undefined && Date.now() < until);`,
      );
      try {
        const { lines } = await program(url(), { node: [...node, '--require', early] });
        const address = new URL(opened.exec(lines.join('\n'))?.[1] ?? 'ws://none:1');
        assert.notEqual(address.hostname, 'none', 'the debugger was to be open for a moment');
        await assert.rejects(RawClient.connect(Number(address.port)), { code: 'ECONNREFUSED' });
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  });

  describe('rule: a fault ends the process only where its state cannot be trusted', () => {
    const faulty = { program: 'test/attacks/support/faultyProgram.js' };

    for (const [fault, msg] of [
      ['rejection', 'unhandled rejection'],
      ['nothing', 'unhandled rejection'],
      ['socket', 'uncaught exception'],
    ] as const) {
      it(`goes on, logs and counts: ${fault}`, async () => {
        const { port, child, logged } = await program(url(), faulty);
        const { client } = await logIn(port);
        for (const count of [1, 2]) {
          child.send(fault);
          const line = await logged((candidate) => candidate.msg === msg && candidate['count'] === count);
          assert.equal(line.level, 'error');
          assert.equal(firstValue(await query(client, 'SELECT 41 + 1')), '42');
        }
        client.destroy();
      });
    }

    for (const fault of ['exception', 'parser']) {
      it(`ends in order, clients are told: ${fault}`, async () => {
        const { port, child, ended, logged } = await program(url(), faulty);
        const { client } = await logIn(port);
        await query(client, 'BEGIN');
        child.send(fault);
        assert.equal((await client.messagesToEnd()).at(-1)?.fields['C'], '57P01');
        await logged(({ level, msg }) => level === 'fatal' && /cannot be trusted/.test(msg));
        assert.equal(await ended, 1);
      });
    }
  });

  it('rule: a log that nobody reads any more does not end the process', async () => {
    const { port, child } = await program(url(), { env: { DBLINK_PROXY_LOG_LEVEL: 'debug' } });
    child.stderr!.destroy();
    for (let i = 0; i < 5; i++) {
      const { client } = await logIn(port);
      assert.equal(firstValue(await query(client, 'SELECT 41 + 1')), '42');
      client.destroy();
    }
    assert.equal(child.exitCode, null);
  });

  describe('rule: the command line shows no password', { skip: process.platform !== 'linux' }, () => {
    for (const form of [
      (port: number) => `postgres://proxy:s3cr3t%40@127.0.0.1:${port}/postgres`,
      (port: number) => `postgres://127.0.0.1:${port}/postgres?user=proxy&password=s3cr3t`,
    ]) {
      it(form(1), async () => {
        const { pid, lines } = await program(form(primary.port));
        const shown = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        assert.doesNotMatch(shown, /s3cr3t/);
        assert.match(shown, /--primary.postgres:/);
        assert.ok(
          lines.some((line) => /"level":"warn".*--primary has a password/.test(line)),
          'no warning',
        );
        assert.doesNotMatch(lines.join('\n'), /s3cr3t/);
      });
    }
  });

  describe('rule: a Unix socket is open to those whom its mode names', () => {
    const directory = mkdtempSync(join(tmpdir(), 'dblink-proxy-'));
    after(() => rmSync(directory, { recursive: true }));

    for (const mode of ['0700', '0770', '0777']) {
      it(mode, async () => {
        await program(url(), {
          listen: `${directory}:5${mode}`,
          env: { DBLINK_PROXY_UNIX_SOCKET_MODE: mode },
        });
        const found = statSync(join(directory, `.s.PGSQL.5${mode}`)).mode & 0o777;
        assert.equal(found.toString(8), mode.slice(1));
      });
    }
  });

  it('rule: what the image is built on is named by its digest', () => {
    const dockerfile = readFileSync(new URL('../../../Dockerfile', import.meta.url), 'utf8');
    assert.match(dockerfile, /^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$/m);
    // `scratch` is no image: there is nothing in it.
    for (const [, image] of dockerfile.matchAll(/^FROM (\S+)/gm))
      assert.match(image!, /^(?:\$\{\w+\}|scratch)$/);
  });

  describe('rule: who could not log in stands in the log, with the address', () => {
    it('refused by the primary', async () => {
      const strict = await fake(async (connection) => {
        await connection.startup();
        connection.socket.end(failure('FATAL', '28P01', 'password authentication failed for user "eve"'));
      });
      const { port, logged } = await program(`postgres://127.0.0.1:${strict.port}?sslmode=disable`);
      const client = await RawClient.connect(port);
      client.write(frontend.startup({ user: 'eve', database: 'bank' }));
      await client.toEnd();
      const line = await logged(({ msg }) => msg === 'login failed');
      assert.deepEqual(
        [line.level, line['client'], line['user'], line['database'], line['sqlstate']],
        ['info', '127.0.0.1', 'eve', 'bank', '28P01'],
      );
    });

    it('refused by the proxy: no primary', async () => {
      const { port, logged } = await program('postgres://127.0.0.1:1?sslmode=disable');
      const client = await RawClient.connect(port);
      client.write(frontend.startup({ user: 'eve' }));
      await client.toEnd();
      const line = await logged(({ msg }) => msg === 'client refused');
      assert.deepEqual([line.level, line['client'], line['sqlstate']], ['info', '127.0.0.1', '08001']);
    });

    it('refused by the proxy: no startup packet', async () => {
      const { port, logged } = await program(url());
      const client = await RawClient.connect(port);
      client.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
      await client.toEnd();
      const line = await logged(({ msg }) => msg === 'client refused before its session began');
      assert.deepEqual([line.level, line['client']], ['info', '127.0.0.1']);
    });
  });

  describe('rule: no name that a client gives to its own objects breaks anything', () => {
    for (const name of ['dblink_proxy', 'dblink_proxy_plain', 'dblink_proxy_styled']) {
      it(name, async () => {
        const remote = await extensionServer(18);
        const conninfo = `host=127.0.0.1 port=${remote.port} user=postgres dbname=postgres`;
        const script = [
          'BEGIN',
          `PREPARE ${name} AS SELECT 'mine'`,
          `DECLARE ${name} CURSOR WITH HOLD FOR SELECT 'cursor'`,
          `SELECT a + 1 FROM dblink('${conninfo}', 'SELECT 41') AS t(a int) WHERE a > 0`,
          // Needs arguments from the primary; then another style of dates.
          `SELECT a + 1 FROM dblink('${conninfo}', 'SELECT ' || 41) AS t(a int) WHERE a > 0`,
          `SELECT d::text FROM dblink('${conninfo}', 'SET DateStyle = German; SELECT DATE ''2001-02-03''') AS t(d date) WHERE d IS NOT NULL`,
          `EXECUTE ${name}`,
          `FETCH ${name}`,
          'COMMIT',
          `SELECT name FROM pg_prepared_statements`,
          `SELECT name FROM pg_cursors`,
        ];
        const proxy = await startRelay(primary);
        const proxied = await logIn(proxy.port);
        const native = await logIn(remote.port);
        await query(native.client, 'CREATE EXTENSION IF NOT EXISTS dblink');
        for (const sql of script) {
          const got = await query(proxied.client, sql);
          assert.deepEqual(
            [types(got), firstValue(got)],
            await query(native.client, sql).then((wanted) => [types(wanted), firstValue(wanted)]),
            `${sql}: ${got.find(({ type }) => type === 'E')?.fields['M']}`,
          );
        }
        proxied.client.destroy();
        native.client.destroy();
        await proxy.stop();
      });
    }
  });
});
