import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { backend, fakePrimary } from '../support/fakePrimary.js';
import { frontend } from '../support/wire.js';
import { brief, errorOf, FaultClient, firstValue, PROTOCOLS } from './world/client.js';
import { faultyPath } from './world/faultyPath.js';
import { startProxyProcess } from './world/proxyProcess.js';
import { CASES, FOREVER } from './world/statements.js';
import { makeWorld, type World } from './world/world.js';

let world: World;
let release: () => Promise<void>;

describe('cancel', () => {
  before(async () => {
    world = await makeWorld();
    release = await world.hold();
  });
  after(async () => {
    await release();
    await world.close();
  });

  describe('a cancel request', () => {
    for (const [number, { name, sql, runs }] of CASES.entries()) {
      for (const protocol of PROTOCOLS) {
        it(`during ${name}, ${protocol}: 57014, the remote stops, the connection goes on`, async () => {
          const tag = `cancel-${number}-${protocol}`;
          const client = await world.session(tag);
          // Autocommit, then a block, then a savepoint.
          client.start(sql, protocol);
          await world.runs(tag, runs);
          await client.cancel();
          let frames = await client.answer();
          assert.match(brief(frames), /E:57014 Z:I$/);
          assert.equal(errorOf(frames)['M'], 'canceling statement due to user request');
          await world.idle(tag);
          assert.equal(
            firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")),
            '1',
          );

          await client.rows('BEGIN');
          await client.rows('SAVEPOINT s');
          client.start(sql, protocol);
          await world.runs(tag, runs);
          await client.cancel();
          frames = await client.answer();
          assert.match(brief(frames), /E:57014 Z:E$/);
          assert.equal(brief(await client.query("SELECT dblink_exec('c', 'SET a.b = 1')")), 'E:25P02 Z:E');
          assert.equal(brief(await client.query('ROLLBACK TO s')), 'C:ROLLBACK Z:T');
          assert.equal(
            firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 2') AS t(a int)")),
            '2',
          );
          await client.rows('COMMIT');
          await client.end();
          await world.gone(tag);
        });
      }
    }

    for (const protocol of PROTOCOLS) {
      it(`during dblink_connect to a host that never answers, ${protocol}`, async (t) => {
        const hole = await fakePrimary(() => {});
        t.after(() => hole.stop());
        const client = await FaultClient.open(world.proxy.port);
        for (const block of [false, true]) {
          if (block) await client.rows('BEGIN');
          const connections = hole.connections;
          client.start(
            `SELECT dblink_connect('h', 'host=127.0.0.1 port=${hole.port} user=u password=p')`,
            protocol,
          );
          await eventually('the connection is made', () => assert.ok(hole.connections > connections));
          await client.cancel();
          assert.match(brief(await client.answer()), block ? /E:57014 Z:E$/ : /E:57014 Z:I$/);
          if (block) await client.rows('ROLLBACK');
          assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
        }
        await client.end();
        await hole.stop();
      });

      it(`during each step of a login at a host that goes silent, ${protocol}`, async () => {
        const client = await FaultClient.open(world.proxy.port);
        const welcome = [backend('R', '\0\0\0\0'), backend('K', '\0\0\0\x05key!'), backend('Z', 'I')];
        for (const attributes of ['', 'target_session_attrs=read-write']) {
          for (let steps = 0; steps <= welcome.length; steps++) {
            let silent = false;
            let closed = false;
            const remote = await fakePrimary(async (connection) => {
              connection.socket.once('close', () => {
                closed = true;
              });
              await connection.startup();
              for (const step of welcome.slice(0, steps)) connection.socket.write(step);
              // What is asked on the new connection (its encoding, its attributes) is not answered either.
              if (steps === welcome.length) await connection.message();
              silent = true;
            });
            client.start(
              `SELECT dblink_connect('h', 'host=127.0.0.1 port=${remote.port} user=u sslmode=disable ${attributes}')`,
              protocol,
            );
            await eventually('the host is silent', () => assert.ok(silent));
            await client.cancel();
            assert.match(brief(await client.answer()), /E:57014 Z:I$/, `${attributes} ${steps}`);
            await eventually('the connection is closed', () => assert.ok(closed, `${attributes} ${steps}`));
            await remote.stop();
          }
        }
        assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
        await client.end();
      });

      it(`while an argument is evaluated on the primary, ${protocol}`, async () => {
        const tag = `cancel-argument-${protocol}`;
        const client = await world.session(tag);
        for (const [sql, block] of [
          [`SELECT * FROM dblink('c', 'SELECT 1' || pg_sleep(${FOREVER})::text) AS t(a int)`, false],
          [`SELECT * FROM dblink('c', 'SELECT 1' || pg_sleep(${FOREVER})::text) AS t(a int)`, true],
          [`SELECT dblink_exec('c', 'SET a.b = ' || pg_sleep(${FOREVER})::text)`, false],
          [`SELECT pg_sleep(${FOREVER})`, false],
          [`SELECT pg_sleep(${FOREVER}) /* dblink */`, true],
        ] as const) {
          if (block) await client.rows('BEGIN');
          client.start(sql, protocol);
          await eventually('the primary sleeps', async () => {
            const busy = await world.onPrimary(
              `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()`,
            );
            assert.equal(busy.length, 1);
          });
          await client.cancel();
          assert.match(brief(await client.answer()), block ? /E:57014 Z:E$/ : /E:57014 Z:I$/, sql);
          if (block) await client.rows('ROLLBACK');
        }
        assert.equal(
          firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")),
          '1',
        );
        await client.end();
      });
    }

    it('stops only the present statement of a pipeline', async () => {
      const tag = 'cancel-pipeline';
      const client = await world.session(tag);
      client.wire.send(
        frontend.query(CASES[0]!.sql),
        frontend.query("SELECT dblink_exec('c', 'SET a.b = 1')"),
        client.extended("SELECT * FROM dblink('c', 'SELECT 7') AS t(a int)"),
        frontend.query('SELECT 8'),
      );
      await world.runs(tag, 'pg_sleep');
      await client.cancel();
      const frames = await client.answer(4);
      assert.match(
        brief(frames),
        /E:57014 Z:I T D C:SELECT 1 Z:I 1 2 T D C:SELECT 1 Z:I T D C:SELECT 1 Z:I$/,
      );
      await client.end();
    });

    it('in a Query of several statements takes back what they did', async () => {
      const tag = 'cancel-implicit';
      const client = await world.session(tag);
      await client.rows('CREATE TEMP TABLE written (a int)');
      for (const more of ['', '; SELECT 1', '; COMMIT']) {
        client.start(`INSERT INTO written VALUES (1); ${CASES[0]!.sql}${more}`, 'simple');
        await world.runs(tag, 'pg_sleep');
        await client.cancel();
        assert.equal(brief(await client.answer()), 'C:INSERT 0 1 T E:57014 Z:I');
        await world.idle(tag);
        assert.deepEqual(await client.rows('SELECT * FROM written'), []);
      }
      await client.end();
    });

    it('during one of several sources that run side by side stops all of them', async () => {
      const client = await world.session('cancel-left');
      await client.rows(`SELECT dblink_connect('d', '${world.conninfo('cancel-right')}')`);
      const source = (name: string) => `dblink('${name}', 'SELECT a FROM held') AS ${name}(a int)`;
      client.start(`SELECT count(*) FROM ${source('c')}, ${source('d')}`, 'simple');
      await Promise.all([world.runs('cancel-left', 'held'), world.runs('cancel-right', 'held')]);
      await client.cancel();
      assert.match(brief(await client.answer()), /E:57014 Z:I$/);
      await Promise.all([world.idle('cancel-left'), world.idle('cancel-right')]);
      await client.end();
    });

    it('that comes while nothing runs, or too late, hits nothing: 100 racing ones', async () => {
      const client = await world.session('cancel-race');
      let cancelled = 0;
      for (let round = 0; round < 100; round++) {
        const statement = [
          "SELECT dblink_exec('c', 'SET a.b = 1')",
          "SELECT * FROM dblink('c', 'SELECT i FROM generate_series(1, 500) i') AS t(a int)",
          "SELECT count(*) FROM dblink('c', 'SELECT i FROM generate_series(1, 500) i') AS t(a int)",
          "SELECT count(*) FROM dblink('c', 'SELECT ' || length('x')) AS t(a int)",
          'SELECT 1',
        ][round % 5]!;
        client.start(statement, PROTOCOLS[round % 2]!);
        if (round % 3 > 0) await delay((round % 7) / 2);
        const sent = client.cancel();
        const first = brief(await client.answer());
        if (/E:57014/.test(first)) cancelled++;
        else assert.match(first, /C:SELECT \d+ Z:I$/, statement);
        // The request has been dealt with: whatever comes now is another statement's business.
        await sent;
        const next = brief(
          await client.query("SELECT * FROM dblink('c', 'SELECT pg_sleep(0.002), 5') AS t(a text, b int)"),
        );
        assert.equal(next, 'T D C:SELECT 1 Z:I', `round ${round}: ${statement}`);
      }
      assert.ok(cancelled < 100);
      await client.end();
    });

    it('that reaches the primary between two steps of the proxy is not lost', async (t) => {
      const path = await faultyPath(world.primary);
      const proxy = await startProxyProcess({ primary: path });
      t.after(async () => {
        await proxy.stop();
        await path.close();
      });
      const sleep = `'SELECT pg_sleep(${FOREVER})::text'`;
      for (const sql of [
        `SELECT count(*) FROM dblink('c', ${sleep}) AS t(a text)`,
        // Only the primary can carry that out.
        `SELECT count(*) FROM generate_series(1, 2) g, LATERAL dblink('c', ${sleep} || ' WHERE 0 < ' || g) AS t(a text)`,
      ]) {
        for (const protocol of PROTOCOLS) {
          const client = await FaultClient.open(proxy.port);
          await client.rows(`SELECT dblink_connect('c', '${world.conninfo('cancel-between')}')`);
          // The primary has done its part when the request reaches it, and the proxy does not know it yet.
          const since = path.received();
          const pass = path.keepBack();
          client.start(sql, protocol);
          await eventually('the primary has answered', () => assert.ok(path.received() > since));
          await client.cancel();
          pass();
          assert.match(brief(await client.answer()), /E:57014 Z:I$/);
          assert.equal(
            firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")),
            '1',
          );
          await client.end();
        }
        // The bridge's own connections stay for a while.
        if (!sql.includes('LATERAL')) await proxy.assertClean();
      }
      assert.deepEqual((await proxy.state()).unhandled, []);
    });

    it('with a wrong key stops nothing', async () => {
      const client = await world.session('cancel-wrong');
      const other = await world.session('cancel-other');
      client.start("SELECT * FROM dblink('c', 'SELECT pg_sleep(0.5)::text') AS t(a text)", 'simple');
      await world.runs('cancel-wrong', 'pg_sleep');
      await other.cancel();
      assert.match(brief(await client.answer()), /D C:SELECT 1 Z:I$/);
      await Promise.all([client.end(), other.end()]);
    });
  });
});
