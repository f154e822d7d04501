import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client, type DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { execute, primaryServer } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';

/** A hot standby in the primary's place: what needs no answer in a table works there. */
describe('a standby', () => {
  let standby: PostgresServer;
  let remote: string;
  let proxy: TestProxy;
  let client: Client;

  before(async () => {
    standby = await startPostgres({ installation: await prepareBinaries({ major: 18, dblink: false }) });
    const { port } = await primaryServer(18);
    remote = `host=127.0.0.1 port=${port} dbname=postgres user=postgres`;
    await execute(standby.url(), 'CREATE DATABASE plain');
    proxy = await startTestProxy(standby);
    const url = (database: string): string => `postgres://postgres@127.0.0.1:${proxy.port}/${database}`;
    await execute(
      url('postgres'),
      `CREATE EXTENSION dblink; CREATE VIEW v AS SELECT * FROM dblink('${remote}', 'SELECT 1') AS t(n int)`,
    );
    await proxy.stop();
    // A server that looks for a primary to follow, and finds none, is one as well.
    writeFileSync(join(standby.dataDir, 'standby.signal'), '');
    await standby.restart();
    proxy = await startTestProxy(standby);
    client = new Client({ connectionString: url('postgres') });
    await client.connect();
  });
  after(async () => {
    await client?.end();
    await proxy?.stop();
    await standby?.stop('immediate');
  });

  const refused = (error: DatabaseError): true => {
    assert.equal(error.code, '25006', error.message);
    assert.match(error.message, /standby/);
    assert.match(error.hint ?? '', /SELECT/);
    return true;
  };

  it('is one', async () => {
    const { rows } = await client.query('SELECT pg_is_in_recovery() AS standby');
    assert.equal(rows[0].standby, true);
  });

  it('serves calls that stand in the statement', async () => {
    const stream = await client.query(`SELECT * FROM dblink('${remote}', 'SELECT 7') AS t(n int)`);
    assert.deepEqual(stream.rows, [{ n: 7 }]);
    const splice = await client.query(
      `SELECT sum(t.n * g) AS s FROM generate_series(1, 3) g, dblink('${remote}', 'SELECT 7') AS t(n int)`,
    );
    assert.deepEqual(splice.rows, [{ s: '42' }]);
    const answer = await client.query(`SELECT dblink_connect('c', '${remote}')`);
    assert.deepEqual(answer.rows, [{ dblink_connect: 'OK' }]);
  });

  it('refuses calls that only the executor sees, with a hint', async () => {
    await assert.rejects(client.query('SELECT * FROM v'), refused);
    await assert.rejects(
      client.query("SELECT dblink_exec('c', 'SELECT ' || n) FROM generate_series(1, 2) n"),
      refused,
    );
    await assert.rejects(client.query("DO $$ BEGIN PERFORM dblink_exec('c', 'SELECT 1'); END $$"), refused);
  });

  it('refuses them as well where no functions are installed', async () => {
    const other = new Client({ connectionString: `postgres://postgres@127.0.0.1:${proxy.port}/plain` });
    await other.connect();
    try {
      await assert.rejects(
        other.query("SELECT dblink_exec('c', 'SELECT ' || n) FROM generate_series(1, 2) n"),
        refused,
      );
    } finally {
      await other.end();
    }
  });
});
