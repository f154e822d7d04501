import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../../src/config/index.js';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { errorOf, type FaultClient } from '../../faults/world/client.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { quoted, session } from '../support/filesWorld.js';
import { ATTEMPTED, ATTEMPTS, startDeafRelay } from '../support/writingAttempts.js';

/**
 * The setting `policy.remote_writes_in_read_only: deny`: whatever a client calls in a read-only transaction, nothing is written on a
 * remote, and other transactions notice nothing of it.
 */

for (const reports of [true, false]) {
  describe(`remotes in read-only transactions${reports ? '' : ', where they do not report their mode'}`, () => {
    let primary: PostgresServer;
    let remote: PostgresServer;
    let relay: { port: number; close(): void } | undefined;
    let proxy: TestProxy;
    let client: FaultClient;
    let writer: FaultClient;
    /** A connection string of the remote. */
    let target: string;

    before(async () => {
      [primary, remote] = await Promise.all([
        prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
        prepareBinaries({ major: 18, dblink: true }).then((installation) => startPostgres({ installation })),
      ]);
      if (!reports) relay = await startDeafRelay(remote.port, 'default_transaction_read_only');
      target = `host=${remote.host} port=${relay?.port ?? remote.port} user=postgres dbname=postgres sslmode=disable`;
      proxy = await startTestProxy(primary, {
        flags: { primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable` },
        env: { DBLINK_PROXY_POLICY_REMOTE_WRITES_IN_READ_ONLY: 'deny' },
      });
      client = await session(proxy);
      await client.rows('CREATE EXTENSION dblink');
      writer = await session(proxy);
      await writer.rows(`SELECT dblink_connect('w', ${quoted(target)})`);
      await writer.rows(`SELECT dblink_exec('w', ${quoted(ATTEMPTED)})`);
    });
    after(async () => {
      await Promise.all([client?.end(), writer?.end()]);
      await proxy?.stop();
      relay?.close();
      await Promise.all([primary?.stop('immediate'), remote?.stop('immediate')]);
    });

    const outcome = async (sql: string): Promise<string> => {
      const frames = await client.query(sql);
      return frames.some(({ type }) => type === 'E') ? errorOf(frames).C! : 'OK';
    };
    const written = async (): Promise<string | null> =>
      (await writer.rows("SELECT * FROM dblink('w', 'SELECT count(*) FROM kept') AS t(n int)"))[0]![0]!;
    const exec = (sql: string, name = 'c'): string => `SELECT dblink_exec(${quoted(name)}, ${quoted(sql)})`;
    const inFunction = (sql: string): string =>
      `DO ${quoted(`BEGIN PERFORM dblink_exec('c', ${quoted(sql)}); END`)}`;

    const calls: Readonly<Record<string, (sql: string) => string>> = {
      dblink_exec: exec,
      dblink: (sql) => `SELECT * FROM dblink('c', ${quoted(sql)}) AS t(a text)`,
      dblink_send_query: (sql) =>
        `SELECT dblink_send_query('c', ${quoted(sql)}) FROM (SELECT * FROM dblink_get_result('c') AS t(a text)) s RIGHT JOIN (SELECT) r ON true`,
      'a function': inFunction,
      'a connection string': (sql) => `SELECT dblink_exec(${quoted(target)}, ${quoted(sql)})`,
    };
    for (const [way, call] of Object.entries(calls)) {
      it(`nothing is written by ${way}`, async () => {
        await client.rows('SET default_transaction_read_only = on');
        for (const texts of ATTEMPTS) {
          await client.rows(`SELECT dblink_connect('c', ${quoted(target)})`);
          for (const sql of texts) await client.query(call(sql));
          await client.query("SELECT * FROM dblink_get_result('c', false) AS t(a text)");
          await client.rows("SELECT dblink_disconnect('c')");
          assert.equal(await written(), '0', texts.join(' / '));
        }
        await client.rows('RESET default_transaction_read_only');
      });
    }

    it('a transaction that is not read-only writes, before and after one that is, on the same connection', async () => {
      await client.rows(`SELECT dblink_connect('c', ${quoted(target)})`);
      const insert = 'INSERT INTO kept VALUES (2)';
      for (const call of [exec, inFunction]) {
        assert.equal(await outcome(call(insert)), 'OK');
        for (const begin of ['BEGIN READ ONLY', 'START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY']) {
          await client.rows(begin);
          assert.equal(await outcome(call(insert)), '25006');
          await client.rows('ROLLBACK');
        }
        await client.rows('BEGIN');
        assert.equal(await outcome(call(insert)), 'OK');
        await client.rows('SET TRANSACTION READ ONLY');
        assert.equal(await outcome(call(insert)), '25006');
        await client.rows('COMMIT');
        assert.equal(await outcome(`BEGIN READ ONLY; ${call(insert)}`), '25006');
        await client.rows('ROLLBACK');
        assert.equal(await outcome(call(insert)), 'OK');
      }
      assert.deepEqual(
        await client.rows("SELECT * FROM dblink('c', 'SHOW default_transaction_read_only') AS t(a text)"),
        [['off']],
      );
      await client.rows("SELECT dblink_exec('c', 'TRUNCATE kept')");
      await client.rows("SELECT dblink_disconnect('c')");
    });

    it('in a remote transaction that can write only plain queries are sent, and it goes on afterwards', async () => {
      await client.rows(`SELECT dblink_connect('c', ${quoted(target)})`);
      await client.rows(exec('BEGIN'));
      await client.rows(exec('INSERT INTO kept VALUES (3)'));
      const count = "SELECT * FROM dblink('c', 'SELECT count(*) FROM kept') AS t(n int)";
      await client.rows('BEGIN READ ONLY');
      assert.deepEqual(await client.rows(count), [['1']]);
      assert.equal(await outcome("SELECT * FROM dblink('c', 'SELECT leave_mode()') AS t(a text)"), '25006');
      await client.rows('ROLLBACK');
      await client.rows(exec('ROLLBACK'));
      assert.deepEqual(await client.rows(count), [['0']]);
      await client.rows("SELECT dblink_disconnect('c')");
    });

    it('a connection that is open is guarded as the policy is at the call', async () => {
      const { running } = proxy;
      const loaded = (value: 'allow' | 'deny') =>
        loadConfig({
          flags: {
            listen: ['127.0.0.1:0'],
            primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable`,
            'log-level': 'error',
          },
          env: { DBLINK_PROXY_POLICY_REMOTE_WRITES_IN_READ_ONLY: value },
        });
      await client.rows(`SELECT dblink_connect('c', ${quoted(target)})`);
      for (const [value, expected] of [
        ['allow', 'OK'],
        ['deny', '25006'],
        ['allow', 'OK'],
        ['deny', '25006'],
      ] as const) {
        await running.reload(loaded(value));
        await client.rows('BEGIN READ ONLY');
        assert.equal(await outcome(exec('INSERT INTO kept VALUES (4)')), expected);
        await client.rows('ROLLBACK');
      }
      await client.rows(exec('TRUNCATE kept'));
      await client.rows("SELECT dblink_disconnect('c')");
    });

    it('cursors and commands that change nothing go on working in it', async () => {
      await client.rows('SET default_transaction_read_only = on');
      await client.rows(`SELECT dblink_connect('c', ${quoted(target)})`);
      for (const call of [
        "SELECT dblink_open('c', 'k', 'SELECT write_one() FROM kept')",
        "SELECT * FROM dblink_fetch('c', 'k', 5) AS t(a int)",
        "SELECT dblink_close('c', 'k')",
        exec('SET work_mem = 1000'),
        exec('LISTEN l'),
        "SELECT * FROM dblink_get_notify('c')",
      ])
        assert.equal(await outcome(call), 'OK', call);
      await client.rows("SELECT dblink_disconnect('c')");
      await client.rows('RESET default_transaction_read_only');
    });
  });
}
