import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/eventually.js';
import { backend, fakePrimary } from '../support/fakePrimary.js';
import { asQuickAs, timed } from '../support/pace.js';
import { RawClient } from '../support/rawClient.js';
import { frontend } from '../support/wire.js';
import { FaultClient } from './world/client.js';
import { makeWorld, type World } from './world/world.js';

/** What a session does when it ends. */
const WORK: readonly { readonly name: string; readonly sql: string; readonly runs: string }[] = [
  {
    name: 'dblink_exec',
    sql: "SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(600); END$$')",
    runs: 'pg_sleep',
  },
  {
    name: 'a stream',
    sql: "SELECT * FROM dblink('c', 'SELECT repeat(''x'', 1000), generate_series(1, 2000000000)') AS t(a text, b int)",
    runs: 'generate_series',
  },
  {
    name: 'a splice',
    sql: "SELECT count(*) FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)",
    runs: 'pg_sleep',
  },
  {
    name: 'a one-shot call',
    sql: "SELECT * FROM dblink('%conninfo%', 'SELECT pg_sleep(600)::text') AS t(a text)",
    runs: 'pg_sleep',
  },
  {
    name: 'two sources',
    sql: "SELECT count(*) FROM dblink('c', 'SELECT a FROM held') AS t(a int), dblink('d', 'SELECT a FROM held') AS u(a int)",
    runs: 'held',
  },
  {
    name: 'an argument on the primary',
    sql: "SELECT dblink_exec('c', 'SET a.b = ' || pg_sleep(3)::text)",
    runs: '',
  },
  { name: 'nothing', sql: '', runs: '' },
];

/** How a session ends. */
const ENDS = ['Terminate', 'close', 'reset'] as const;

describe('the end of a session', () => {
  let world: World;
  let release: () => Promise<void>;
  before(async () => {
    world = await makeWorld();
    release = await world.hold();
    await world.onRemote('CREATE TABLE IF NOT EXISTS written (by text)');
  });
  after(async () => {
    await release();
    await world.close();
  });

  /** Logs in with a raw socket, opens c and d, begins remote transactions in them, and starts the work. */
  async function begin(tag: string, sql: string): Promise<RawClient> {
    const client = await RawClient.connect(world.proxy.port);
    client.write(frontend.startup({ user: 'postgres', database: 'postgres' }));
    await client.until('Z');
    for (const name of ['c', 'd']) {
      client.write(
        frontend.query(`SELECT dblink_connect('${name}', '${world.conninfo(tag)}')`),
        frontend.query(`SELECT dblink_exec('${name}', 'BEGIN; INSERT INTO written VALUES (''${tag}'')')`),
      );
    }
    await client.until('Z', 4);
    if (sql !== '') client.write(frontend.query(sql.replace('%conninfo%', world.conninfo(tag))));
    return client;
  }

  /** A client of the remote's own cancels its statement and leaves: how long it is there from then on. */
  async function cancelledAndLeft(): Promise<number> {
    const tag = 'end-direct';
    const client = await FaultClient.open(world.remote.port, { application_name: tag });
    client.start('SELECT pg_sleep(600)', 'simple');
    await world.sleeps(tag);
    return timed(async () => {
      await client.cancel();
      client.wire.destroy();
      await world.gone(tag);
    });
  }

  for (const end of ENDS) {
    for (const { name, sql, runs } of WORK) {
      it(`by ${end} during ${name}: its connections are closed and rolled back`, async () => {
        const tag = `end-${end}-${name.replaceAll(' ', '-')}`;
        const ours = async (): Promise<number> => {
          const client = await begin(tag, sql);
          if (runs !== '') await world.runs(tag, runs);
          const { socket } = client;
          if (end === 'Terminate') socket.end(frontend.terminate());
          else if (end === 'close') socket.destroy();
          else socket.resetAndDestroy();
          const elapsed = await timed(() => world.gone(tag));
          assert.deepEqual(await world.onRemote(`SELECT * FROM written WHERE by = '${tag}'`), []);
          return elapsed;
        };
        await asQuickAs('the end of its connections', ours, cancelledAndLeft);
      });
    }
  }

  it('while it is not reading a stream', async () => {
    const tag = 'end-not-reading';
    const client = await begin(tag, WORK[1]!.sql);
    client.socket.pause();
    await world.runs(tag, 'generate_series');
    await eventually('the remote waits for the proxy', async () => {
      const rows = await world.onRemote(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = '${tag}' AND wait_event = 'ClientWrite'`,
      );
      assert.equal(rows.length, 1);
    });
    client.socket.resetAndDestroy();
    await world.gone(tag);
  });

  it('by the death of the client process', async () => {
    const tag = 'end-killed';
    const script = `
      const { Client } = require('pg');
      const client = new Client({ host: '127.0.0.1', port: ${world.proxy.port}, user: 'postgres', database: 'postgres' });
      client.connect().then(async () => {
        await client.query("SELECT dblink_connect('c', '${world.conninfo(tag)}')");
        await client.query("SELECT dblink_exec('c', 'BEGIN; INSERT INTO written VALUES (''${tag}'')')");
        await client.query("SELECT * FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)");
      });`;
    const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    try {
      await world.runs(tag, 'pg_sleep');
    } finally {
      child.kill('SIGKILL');
    }
    await world.gone(tag);
    assert.deepEqual(await world.onRemote(`SELECT * FROM written WHERE by = '${tag}'`), []);
  });

  it('while a connection is being opened, at each step', async () => {
    const steps = [backend('R', '\0\0\0\0'), backend('K', '\0\0\0\x05key!'), backend('Z', 'I')];
    for (const attributes of ['', ' target_session_attrs=read-write']) {
      for (const end of ENDS) {
        for (let said = 0; said <= steps.length; said++) {
          let open = 0;
          let silent = false;
          const remote = await fakePrimary(async (connection) => {
            connection.socket.once('close', () => open--);
            open++;
            const first = await connection.startup();
            if (first.length === 16) return void connection.socket.end();
            for (const step of steps.slice(0, said)) connection.socket.write(step);
            if (said === steps.length) await connection.message();
            silent = true;
          });
          const client = await RawClient.connect(world.proxy.port);
          client.write(frontend.startup({ user: 'postgres', database: 'postgres' }));
          await client.until('Z');
          const conninfo = `host=127.0.0.1 port=${remote.port} user=u sslmode=disable${attributes}`;
          client.write(
            frontend.query(
              said % 2 === 0
                ? `SELECT dblink_connect('h', '${conninfo}')`
                : `SELECT * FROM dblink('${conninfo}', 'SELECT 1') AS t(a int)`,
            ),
          );
          await eventually('the remote is silent', () => assert.ok(silent));
          if (end === 'Terminate') client.socket.end(frontend.terminate());
          else if (end === 'close') client.socket.destroy();
          else client.socket.resetAndDestroy();
          await eventually('the connection is closed', () => assert.equal(open, 0));
          await remote.stop();
        }
      }
    }
  });

  it('of many sessions at once, in any state', async () => {
    const tag = 'end-many';
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, i) => begin(tag, WORK[i % WORK.length]!.sql)),
    );
    for (const [i, { socket }] of clients.entries()) {
      if (i % 3 === 0) socket.end(frontend.terminate());
      else if (i % 3 === 1) socket.destroy();
      else socket.resetAndDestroy();
    }
    await world.gone(tag);
    await eventually('the primary has no session of theirs', async () => {
      const rows = await world.onPrimary(
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
      );
      assert.deepEqual(rows, []);
    });
  });

  it('half-open: a client that sends no more is served on, as by a server, until it has gone', async () => {
    const tag = 'end-half';
    const client = await begin(tag, "SELECT * FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)");
    await world.runs(tag, 'pg_sleep');
    client.socket.end();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await world.runs(tag, 'pg_sleep');
    client.socket.destroy();
    await world.gone(tag);
  });

  it('with much held input behind a slow call', async () => {
    const tag = 'end-held';
    const client = await begin(tag, WORK[0]!.sql);
    await world.runs(tag, 'pg_sleep');
    // As much as the proxy reads while it is busy. Behind more it would not see the end before the call's own end, as
    // PostgreSQL itself does not while a statement runs.
    client.socket.write(Buffer.concat(Array.from({ length: 10_000 }, () => frontend.query('SELECT 1'))));
    await world.runs(tag, 'pg_sleep');
    client.socket.resetAndDestroy();
    await world.gone(tag);
  });

  it('before it has begun', async () => {
    for (let i = 0; i < 20; i++) {
      const socket = connect(world.proxy.port, '127.0.0.1');
      socket.on('error', () => {});
      if (i % 2 === 0) socket.write(frontend.startup({ user: 'postgres' }));
      socket.once('connect', () => (i % 4 < 2 ? socket.resetAndDestroy() : socket.destroy()));
    }
    const client = await FaultClient.open(world.proxy.port);
    await client.rows('SELECT 1');
    await client.end();
  });
});
