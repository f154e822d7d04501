import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { testedMajors } from '../../support/majors.js';
import { createDatabase, execute, primaryServer } from '../../support/postgres.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';

/** What other sessions see of the bridge in pg_stat_activity and pg_locks: docs/bridge.md, "What it needs". */

for (const major of testedMajors()) {
  describe(`the proxy's own connections to PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let proxy: RelayProxy;
    let client: Client;
    let remote: string;

    before(async () => {
      primary = await primaryServer(major);
      await createDatabase(primary, 'counted');
      remote = `host=127.0.0.1 port=${primary.port} dbname=postgres user=postgres`;
      proxy = await startRelay(primary);
      client = new Client({ connectionString: proxy.url('counted') });
      client.on('error', () => undefined);
      await client.connect();
    });
    after(async () => {
      await client?.end();
      await proxy?.stop();
    });

    const count = async (sql: string): Promise<number> =>
      Number((await execute(primary.url('counted'), `SELECT count(*) FROM ${sql}`))[0]![0]);
    const OWN = "pg_stat_activity WHERE datname = 'counted' AND application_name = 'dblink-proxy'";
    const LOCKS =
      "pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND a.datname = 'counted'";

    async function run(...statements: readonly string[]): Promise<void> {
      for (const sql of statements) await client.query(sql);
    }

    const CALLED = `CREATE FUNCTION called(lines int, more text DEFAULT '') RETURNS bigint LANGUAGE sql AS $$
      SELECT count(*) FROM dblink('c', 'SELECT repeat(''x'', 1000)' || more || ' FROM generate_series(1, ' || lines || ')') AS t(v text) $$`;

    it('are none as long as no call is bridged', async () => {
      for (const sql of [
        'SELECT 1',
        `SELECT dblink_connect('c', '${remote}')`,
        "SELECT * FROM dblink('c', 'SELECT 1') AS t(n int)",
        "SELECT * FROM dblink('c', 'SELECT 1') AS t(n int) JOIN pg_class ON relpages = n LIMIT 1",
        "CREATE TABLE copied AS SELECT * FROM dblink('c', 'SELECT 1') AS t(n int)",
        "INSERT INTO copied SELECT * FROM dblink('c', 'SELECT 1') AS t(n int)",
        "SELECT dblink_exec('c', 'SET a.b = 1')",
        "SELECT dblink_send_query('c', 'SELECT 1')",
        "SELECT * FROM dblink_get_result('c') AS t(n int)",
        "SELECT * FROM dblink_get_result('c') AS t(n int)",
        'SELECT dblink_get_connections()',
      ]) {
        await run(sql);
        assert.deepEqual([await count(OWN), await count(LOCKS)], [0, 0], sql);
      }
    });

    it('are one, with one lock, for CREATE EXTENSION and small answers of every kind', async () => {
      await run('CREATE EXTENSION dblink', CALLED, 'SELECT called(1)');
      for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE READ ONLY'])
        await run(`BEGIN ISOLATION LEVEL ${level}`, 'SELECT called(1)', 'COMMIT');
      assert.deepEqual([await count(OWN), await count(LOCKS)], [1, 1]);
    });

    it('are two for large answers one after another, and when what these have left has been removed', async () => {
      // From PostgreSQL 16 on the transaction before has left a side table.
      await untilRemoved();
      for (let i = 0; i < 3; i++) await run('SELECT called(1000)');
      await untilRemoved();
      assert.deepEqual([await count(OWN), await count(LOCKS)], [2, 1]);
    });

    it('can be left out, and the lock that a call waits for with them', async () => {
      const documented = readFileSync(new URL('../../../../docs/bridge.md', import.meta.url), 'utf8');
      const [activity, locks] = [
        ...documented.matchAll(/```sql\n(SELECT [^`]*?FROM pg_(?:stat_activity|locks)\b[^`]*?);\n```/g),
      ].map(([, sql]) => sql!);
      const sleeping = client.query("SELECT called(1, ' || pg_sleep(600)')");
      const cancelled = assert.rejects(sleeping, { code: '57014' });
      await untilRemoteSleeps();
      assert.equal(await count(`pg_locks WHERE locktype = 'advisory'`), 2);
      assert.equal(await count(`(${locks}) l WHERE locktype = 'advisory'`), 0);
      assert.equal(await count(`(${activity}) a WHERE datname = 'counted' AND pid <> pg_backend_pid()`), 1);
      await execute(
        primary.url(),
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT called(1, %'",
      );
      await cancelled;
    });

    const untilRemoved = (): Promise<void> =>
      eventually('side tables are gone', async () => {
        const tables =
          "pg_class WHERE relnamespace = 'dblink_proxy'::regnamespace AND relname ~ '^(rows|answer)_[0-9]'";
        assert.equal(await count(tables), 0);
      });

    const untilRemoteSleeps = (): Promise<void> =>
      eventually('the remote sleeps', async () => {
        assert.equal(await count("pg_stat_activity WHERE wait_event = 'PgSleep'"), 1);
      });
  });
}
