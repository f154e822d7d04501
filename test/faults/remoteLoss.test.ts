import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import type { Frame } from '../support/wire.js';
import { brief, errorOf, FaultClient, firstValue, PROTOCOLS } from './world/client.js';
import { type FaultyPath, faultyPath } from './world/faultyPath.js';
import { makeWorld, type World } from './world/world.js';

/** Statements by plan: what is lost while they run, and that they run is seen on the remote by these words. */
const STATEMENTS = [
  {
    plan: 'exec',
    sql: "SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(600); END$$')",
    begins: /^(1 2 )?T E/,
  },
  {
    plan: 'stream',
    sql: "SELECT * FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)",
    begins: /^(1 2 )?T E/,
  },
  {
    plan: 'stream after rows',
    sql: "SELECT * FROM dblink('c', 'SELECT i, CASE WHEN i > 5000 THEN pg_sleep(600)::text END FROM generate_series(1, 6000) i') AS t(a int, b text)",
    begins: /^(1 2 )?T D E/,
  },
  {
    plan: 'splice',
    sql: "SELECT count(*) FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)",
    begins: /^(1 2 )?T E/,
  },
] as const;

const ONE = "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)";

describe('a remote that is lost', () => {
  let world: World;
  before(async () => {
    world = await makeWorld();
  });
  after(() => world.close());

  /** What a client is told of the loss, and that the session goes on and can connect again. */
  async function afterLoss(client: FaultClient, reconnect: string, block: boolean): Promise<void> {
    const frames = await client.answer();
    assert.match(brief(frames), block ? /E:08006 Z:E$/ : /E:08006 Z:I$/);
    assert.match(
      errorOf(frames)['M'] ?? '',
      /server closed the connection|terminating connection|reset by peer/,
    );
    if (block) {
      assert.equal(brief(await client.query('SELECT 1')), 'E:25P02 Z:E');
      assert.equal(brief(await client.query('ROLLBACK TO SAVEPOINT s')), 'C:ROLLBACK Z:T');
    }
    // The loss has been reported; now the connection is there in name only, until it is made anew.
    const status = block ? 'E' : 'I';
    assert.equal(brief(await client.query(ONE)), `T E:XX000 Z:${status}`);
    if (block) await client.rows('ROLLBACK TO SAVEPOINT s');
    assert.equal(firstValue(await client.query("SELECT dblink_disconnect('c')")), 'OK');
    assert.equal(firstValue(await client.query(`SELECT dblink_connect('c', '${reconnect}')`)), 'OK');
    assert.equal(firstValue(await client.query(ONE)), '1');
    if (block) await client.rows('COMMIT');
    assert.equal(firstValue(await client.query('SELECT 5')), '5');
  }

  for (const { plan, sql, begins } of STATEMENTS) {
    for (const protocol of PROTOCOLS) {
      it(`by pg_terminate_backend during ${plan}, ${protocol}: one 08006`, async () => {
        const tag = `killed-${plan.replaceAll(' ', '-')}-${protocol}`;
        const client = await world.session(tag);
        for (const block of [false, true]) {
          if (block) {
            await client.rows('BEGIN');
            await client.rows('SAVEPOINT s');
          }
          client.start(sql, protocol);
          await world.sleeps(tag);
          await world.onRemote(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${tag}'`,
          );
          const frames = await client.wire.until(({ type }) => type === 'E');
          assert.match(brief(frames), begins);
          assert.equal(brief(frames.slice(-1)), 'E:08006');
          assert.equal(brief(await client.answer()), block ? 'Z:E' : 'Z:I');
          if (block) await client.rows('ROLLBACK TO SAVEPOINT s');
          await client.rows("SELECT dblink_disconnect('c')");
          await world.gone(tag);
          await client.rows(`SELECT dblink_connect('c', '${world.conninfo(tag)}')`);
          assert.equal(firstValue(await client.query(ONE)), '1');
          if (block) await client.rows('COMMIT');
        }
        await client.end();
        await world.gone(tag);
      });
    }
  }

  /** Ends what a cut has left behind on the remote: it would go on until it has something to send. */
  async function killActive(tag: string): Promise<void> {
    await world.onRemote(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${tag}' AND state = 'active'`,
    );
    await world.idle(tag);
  }

  /** A session whose connection c leads over a path that can be cut. */
  async function overPath(t: TestContext, tag: string): Promise<[FaultClient, FaultyPath, string]> {
    const path = await faultyPath(world.remote);
    t.after(() => path.close());
    const conninfo = `host=127.0.0.1 port=${path.port} user=postgres dbname=postgres sslmode=disable application_name=${tag}`;
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
    return [client, path, conninfo];
  }

  for (const how of ['end', 'reset'] as const) {
    it(`by a TCP ${how}, during and between statements`, async (t) => {
      const tag = `cut-${how}`;
      const [client, path, conninfo] = await overPath(t, tag);
      for (const { sql } of STATEMENTS) {
        for (const block of [false, true]) {
          if (block) {
            await client.rows('BEGIN');
            await client.rows('SAVEPOINT s');
          }
          client.start(sql, 'simple');
          await world.sleeps(tag);
          path.cut(how);
          await afterLoss(client, conninfo, block);
          await killActive(tag);
        }
      }
      path.cut(how);
      await eventually('the connection is cut', () => assert.equal(path.open(), 0));
      client.start(ONE, 'simple');
      await afterLoss(client, conninfo, false);
      await client.end();
      await eventually('the connections are closed', () => assert.equal(path.open(), 0));
    });
  }

  it('by a cut in the middle of a row: whole rows, then one 08006', async (t) => {
    const [client, path, conninfo] = await overPath(t, 'cut-row');
    for (const protocol of PROTOCOLS) {
      for (const bytes of [100_000, 1_000_000, 3_000_000]) {
        const since = path.received();
        client.start(
          "SELECT * FROM dblink('c', 'SELECT repeat(''x'', 3000), generate_series(1, 1000000)') AS t(a text, b int)",
          protocol,
        );
        await eventually('rows come', () => assert.ok(path.received() - since > bytes));
        path.cut('reset');
        const frames = await client.answer();
        assert.match(brief(frames), /T D E:08006 Z:I$/);
        for (const { type, body } of frames) {
          if (type === 'D') assert.equal(body.readInt32BE(2), 3000);
        }
        await client.rows("SELECT dblink_disconnect('c')");
        await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
      }
    }
    await client.end();
  });

  /** Cancels what has just been sent: again and again, for a request that comes before it hits nothing. */
  async function cancelled(client: FaultClient): Promise<Frame[]> {
    const answer = client.answer();
    for (;;) {
      await client.cancel();
      const frames = await Promise.race([answer, delay(100)]);
      if (frames !== undefined) return frames;
    }
  }

  it('by standing still: a cancel ends the call, the end of the session everything', async (t) => {
    const [client, path] = await overPath(t, 'stalled');
    for (const { sql } of STATEMENTS.slice(0, 3)) {
      const other = await overPath(t, 'stalled');
      path.stall();
      client.start(sql, 'simple');
      other[1].stall();
      other[0].start(sql, 'extended');
      assert.match(brief(await cancelled(client)), /E:57014 Z:I$/);
      // It waits for the earlier one to end; this wait can be cancelled, too.
      client.start(ONE, 'simple');
      assert.match(brief(await cancelled(client)), /E:57014 Z:I$/);
      path.resume();
      assert.equal(firstValue(await client.query(ONE)), '1');
      await other[0].end();
    }
    await client.end();
  });

  it('one-shot connections: one 08006 and no connection left', async (t) => {
    const path = await faultyPath(world.remote);
    t.after(() => path.close());
    const conninfo = `host=127.0.0.1 port=${path.port} user=postgres sslmode=disable application_name=oneshot`;
    const client = await FaultClient.open(world.proxy.port);
    for (const how of ['end', 'reset'] as const) {
      for (const sql of [
        `SELECT * FROM dblink('${conninfo}', 'SELECT pg_sleep(600)::text') AS t(a text)`,
        `SELECT count(*) FROM dblink('${conninfo}', 'SELECT pg_sleep(600)::text') AS t(a text)`,
        `SELECT dblink_exec('${conninfo}', 'DO $$BEGIN PERFORM pg_sleep(600); END$$')`,
      ]) {
        client.start(sql, 'simple');
        await world.sleeps('oneshot');
        path.cut(how);
        assert.equal(brief(await client.answer()), 'T E:08006 Z:I');
        await killActive('oneshot');
      }
    }
    await client.end();
  });

  it('errors that do not fail: a NOTICE, and the statement goes on', async () => {
    const tag = 'killed-notice';
    const client = await world.session(tag);
    client.start("SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(600); END$$', false)", 'simple');
    await world.sleeps(tag);
    await world.onRemote(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${tag}'`,
    );
    const frames = await client.answer();
    assert.equal(brief(frames), 'T N:08006 D C:SELECT 1 Z:I');
    assert.equal(firstValue(frames), 'ERROR');
    await client.end();
  });

  it('that is stopped: 08006 for what runs, 08001 for what comes, and all is well when it is back', async (t) => {
    const installation = await prepareBinaries({ major: 18, dblink: true });
    const server: PostgresServer = await startPostgres({ installation });
    t.after(() => server.stop('immediate'));
    const conninfo = `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres`;
    const clients = await Promise.all(STATEMENTS.map(() => FaultClient.open(world.proxy.port)));
    await Promise.all(clients.map((client) => client.rows(`SELECT dblink_connect('c', '${conninfo}')`)));
    const idle = await FaultClient.open(world.proxy.port);
    await idle.rows(`SELECT dblink_connect('c', '${conninfo}')`);
    for (const [i, client] of clients.entries()) client.start(STATEMENTS[i]!.sql, 'simple');
    const found = await FaultClient.open(server.port);
    await eventually('all of them run', async () => {
      const rows = await found.rows(
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'",
      );
      assert.equal(rows.length, STATEMENTS.length);
    });
    found.wire.destroy();
    await server.stop('immediate');
    for (const client of clients) assert.match(brief(await client.answer()), /^T (D )?E:08006 Z:I$/);
    assert.equal(brief(await idle.query(ONE)), 'T E:08006 Z:I');
    assert.equal(brief(await idle.query(`SELECT dblink_connect('d', '${conninfo}')`)), 'T E:08001 Z:I');
    for (const client of [...clients, idle]) {
      assert.equal(firstValue(await client.query('SELECT 1')), '1');
      assert.equal(firstValue(await client.query("SELECT dblink_disconnect('c')")), 'OK');
      await client.end();
    }
  });
});
