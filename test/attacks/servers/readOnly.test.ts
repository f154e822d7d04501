import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { errorOf, type FaultClient } from '../../faults/world/client.js';
import { testedMajors } from '../../support/majors.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { quoted, session } from '../support/filesWorld.js';
import { ATTEMPTED, ATTEMPTS, startDeafRelay } from '../support/writingAttempts.js';

/**
 * Servers that are declared `read_only`: whatever a client sends there, nothing is written, although the remote's user may write. From
 * PostgreSQL 14 on the remote reports its mode. One of before, and one behind a pooler that passes no such report on, has to be asked.
 */

const ways = [...testedMajors().map((major) => ({ major, reports: true })), { major: 18, reports: false }];
for (const { major, reports } of ways) {
  describe(`servers that are declared read-only, PostgreSQL ${major}${reports ? '' : ' without reports'}`, () => {
    let primary: PostgresServer;
    let remote: PostgresServer;
    let relay: { port: number; close(): void } | undefined;
    let proxy: TestProxy;
    /** The plans by which statements were served. */
    const plans: string[] = [];
    let client: FaultClient;
    let writer: FaultClient;

    before(async () => {
      [primary, remote] = await Promise.all([
        prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
        prepareBinaries({ major, dblink: true }).then((installation) => startPostgres({ installation })),
      ]);
      if (!reports) relay = await startDeafRelay(remote.port, 'default_transaction_read_only');
      const server = {
        host: remote.host,
        sslmode: 'disable',
        port: String(relay?.port ?? remote.port),
        user: 'postgres',
        dbname: 'postgres',
        options: '-c work_mem=123kB -c default_transaction_read_only=off',
        roles: ['public'],
      };
      const servers = JSON.stringify({ reports: { ...server, read_only: true }, writes: server });
      const env = { DBLINK_PROXY_DBLINK_SERVERS: servers };
      const log = pino(
        { level: 'debug' },
        {
          write: (line) => {
            const { msg, plan } = JSON.parse(line) as { msg: string; plan: string };
            if (msg.startsWith('dblink statement')) plans.push(plan);
          },
        },
      );
      const address = `${primary.host}:${primary.port}?sslmode=disable`;
      proxy = await startTestProxy(primary, {
        flags: { primary: `postgres://postgres@${address}` },
        env,
        log,
      });
      client = await session(proxy);
      await client.rows('CREATE EXTENSION dblink');
      writer = await session(proxy);
      await writer.rows("SELECT dblink_connect('w', 'writes')");
      await writer.rows(`SELECT dblink_exec('w', ${quoted(ATTEMPTED)})`);
    });
    after(async () => {
      await Promise.all([client?.end(), writer?.end()]);
      await proxy?.stop();
      relay?.close();
      await Promise.all([primary?.stop('immediate'), remote?.stop('immediate')]);
    });

    /** The error code of a call, or `OK`. */
    const outcome = async (call: string): Promise<string> => {
      const frames = await client.query(call);
      return frames.some(({ type }) => type === 'E') ? errorOf(frames).C! : 'OK';
    };
    const written = async (): Promise<string | null> =>
      (await writer.rows("SELECT * FROM dblink('w', 'SELECT count(*) FROM kept') AS t(n int)"))[0]![0]!;

    const calls: Readonly<Record<string, (sql: string) => string>> = {
      dblink_exec: (sql) => `SELECT dblink_exec('c', ${quoted(sql)})`,
      dblink: (sql) => `SELECT * FROM dblink('c', ${quoted(sql)}) AS t(a text)`,
      dblink_send_query: (sql) =>
        `SELECT dblink_send_query('c', ${quoted(sql)}) FROM (SELECT * FROM dblink_get_result('c') AS t(a text)) s RIGHT JOIN (SELECT) r ON true`,
      'a function': (sql) => `DO ${quoted(`BEGIN PERFORM dblink_exec('c', ${quoted(sql)}); END`)}`,
    };
    for (const [way, call] of Object.entries(calls)) {
      it(`nothing is written by ${way}`, async () => {
        for (const texts of ATTEMPTS) {
          await client.rows("SELECT dblink_connect('c', 'reports')");
          for (const sql of texts) await client.query(call(sql));
          await client.query("SELECT * FROM dblink_get_result('c', false) AS t(a text)");
          await client.rows("SELECT dblink_disconnect('c')");
          assert.equal(await written(), '0', texts.join(' / '));
        }
      });
    }

    it('what is tried is refused with 25006, and a session that has left the mode is of no more use', async () => {
      assert.equal(await outcome("SELECT dblink_connect('c', 'reports')"), 'OK');
      const run = (sql: string): Promise<string> => outcome(calls['dblink_exec']!(sql));
      for (const sql of [
        'INSERT INTO kept VALUES (1)',
        'SET default_transaction_read_only = off',
        'BEGIN READ WRITE',
        'CALL leave_and_write()',
        'SELECT leave_mode(); COMMIT; INSERT INTO kept VALUES (1)',
      ])
        assert.equal(await run(sql), '25006', sql);
      assert.equal(await outcome("SELECT * FROM dblink('c', 'SELECT leave_mode()') AS t(a text)"), 'OK');
      for (const sql of ['SET work_mem = 1000', 'BEGIN']) assert.equal(await run(sql), '25006', sql);
      await client.rows("SELECT dblink_disconnect('c')");
    });

    it('what a read-only session permits goes on working, with the options of the server', async () => {
      await client.rows("SELECT dblink_connect('c', 'reports')");
      const run = (sql: string): Promise<string> => outcome(calls['dblink_exec']!(sql));
      for (const sql of [
        'BEGIN',
        'SET LOCAL work_mem = 1000',
        'SAVEPOINT s',
        'ROLLBACK TO s',
        'COMMIT',
        'LISTEN l',
      ])
        assert.equal(await run(sql), 'OK', sql);
      assert.equal(await outcome(calls['a function']!('LISTEN l')), 'OK');
      const rows = await client.rows(
        "SELECT a FROM dblink('c', 'SELECT current_setting(''work_mem'') || current_setting(''transaction_read_only'')') AS t(a text)",
      );
      assert.deepEqual(rows, [['123kBon']]);
      assert.equal(await outcome("SELECT dblink_open('c', 'k', 'SELECT 1')"), 'OK');
      assert.equal(await outcome("SELECT * FROM dblink_fetch('c', 'k', 5) AS t(a int)"), 'OK');
      assert.equal(await outcome("SELECT dblink_close('c', 'k')"), 'OK');
      await client.rows("SELECT dblink_disconnect('c')");
    });

    it('a text that calls any function may run before PostgreSQL reaches the call, without the bridge', async () => {
      const create = `CREATE FUNCTION my_text() RETURNS text LANGUAGE sql AS 'SELECT ''x'''`;
      await writer.rows(`SELECT dblink_exec('w', ${quoted(create)})`);
      for (const [server, plan] of [
        ['reports', 'splice'],
        ['writes', 'bridge'],
      ] as const) {
        plans.length = 0;
        const source = `dblink('${server}', 'SELECT length(my_text())') AS t(b int)`;
        const rows = await client.rows(
          `SELECT a FROM (VALUES (1), (2)) l(a) WHERE a IN (SELECT b FROM ${source})`,
        );
        assert.deepEqual(rows, [['1']]);
        assert.deepEqual(plans, [plan]);
      }
    });
  });
}
