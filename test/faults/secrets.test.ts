import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { fakePrimary } from '../support/fakePrimary.js';
import { type Frame, frontend } from '../support/wire.js';
import { brief, FaultClient, firstValue, PROTOCOLS } from './world/client.js';
import { type ProxyProcess, startProxyProcess } from './world/proxyProcess.js';

/** Words that must not turn up where they do not belong, each in a place of its own. */
const PASSWORD = 'Pq7secretPassword';
const WRONG = 'Wz3wrongPassword';
const TAG = 'TagOfConnection';
const REMOTE_SQL = 'WordInRemoteSql';
const ROW = 'WordInRemoteRow';

/** A word as itself, and as the server shows bytes. */
const forms = (word: string): readonly string[] => [word, Buffer.from(word).toString('hex')];

describe('secrets', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  let proxy: ProxyProcess;
  let conninfo: string;
  const received: Frame[] = [];
  before(async () => {
    const [plain, withDblink] = await Promise.all([
      prepareBinaries({ major: 18, dblink: false }),
      prepareBinaries({ major: 18, dblink: true }),
    ]);
    primary = await startPostgres({
      installation: plain,
      settings: { log_statement: 'all', log_min_messages: 'info', log_parameter_max_length_on_error: '-1' },
    });
    remote = await startPostgres({ installation: withDblink, password: PASSWORD });
    proxy = await startProxyProcess({ primary });
    conninfo = `host=127.0.0.1 port=${remote.port} user=postgres dbname=postgres application_name=${TAG} password=${PASSWORD}`;
  });
  after(async () => {
    await proxy.assertClean();
    await proxy.stop();
    await Promise.all([primary.stop('immediate'), remote.stop('immediate')]);
  });

  const primaryLog = (): string => readFileSync(primary.logFile, 'utf8');

  /** Waits until the primary has logged what it was asked, then looks for the words. */
  async function assertNotLogged(client: FaultClient, words: readonly string[]): Promise<void> {
    const marker = `marker ${Math.random()}`;
    await client.rows(`SELECT '${marker}'`);
    await eventually('the primary logs', () => assert.ok(primaryLog().includes(marker)));
    for (const word of words.flatMap(forms)) {
      const line = primaryLog()
        .split('\n')
        .find((text) => text.includes(word));
      assert.equal(line, undefined, `the primary's log contains ${word}`);
    }
  }

  async function run(
    client: FaultClient,
    sql: string,
    protocol: (typeof PROTOCOLS)[number],
  ): Promise<Frame[]> {
    client.start(sql, protocol);
    const frames = await client.answer();
    received.push(...frames);
    return frames;
  }

  it('constant arguments never reach the primary, nor what comes of them', async () => {
    const client = await FaultClient.open(proxy.port);
    for (const protocol of PROTOCOLS) {
      for (const block of [false, true]) {
        if (block) await client.rows('BEGIN');
        const ok = async (sql: string): Promise<void> =>
          assert.match(brief(await run(client, sql, protocol)), /D C:SELECT \d+ Z:[IT]$/, sql);
        await ok(`SELECT dblink_connect('c', '${conninfo}')`);
        await ok(`SELECT dblink_exec('c', 'SET a.b = ''${REMOTE_SQL}''')`);
        await ok(`SELECT * FROM dblink('c', 'SELECT ''${REMOTE_SQL}''') AS t(a text)`);
        await ok(`SELECT a + 1 FROM dblink('c', 'SELECT length(''${REMOTE_SQL}'')') AS t(a int)`);
        await ok(`SELECT * FROM dblink('${conninfo}', 'SELECT ''${REMOTE_SQL}''') AS t(a text)`);
        await ok(
          `SELECT count(*) FROM dblink('${conninfo}', 'SELECT length(''${REMOTE_SQL}'')') AS t(a int)`,
        );
        await ok("SELECT dblink_disconnect('c')");
        if (block) await client.rows('COMMIT');
      }
      // Failures of all kinds.
      for (const sql of [
        `SELECT dblink_connect('c', '${conninfo.replace(PASSWORD, WRONG)}')`,
        `SELECT dblink_connect('c', '${conninfo} nonsense=1')`,
        `SELECT dblink_connect('c', '${conninfo} port=1 host=127.0.0.1')`,
        `SELECT dblink_connect('c', '${conninfo} sslmode=require')`,
        `SELECT dblink_connect('c', '${conninfo} dbname=nosuch')`,
        `SELECT * FROM dblink('${conninfo}', '${REMOTE_SQL}') AS t(a text)`,
        `SELECT count(*) FROM dblink('${conninfo}', 'SELECT 1/0 AS "${REMOTE_SQL}"') AS t(a int)`,
      ]) {
        assert.match(brief(await run(client, sql, protocol)), /E:\w{5} Z:I$/, sql);
        assert.match(brief(await run(client, `BEGIN; ${sql}; ROLLBACK`, 'simple')), /E:\w{5} Z:E$/, sql);
        await client.rows('ROLLBACK');
      }
    }
    await assertNotLogged(client, [PASSWORD, WRONG, TAG, REMOTE_SQL]);
    await client.end();
  });

  it('streamed rows do not reach the primary', async () => {
    const client = await FaultClient.open(proxy.port);
    await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
    for (const protocol of PROTOCOLS) {
      const frames = await run(
        client,
        `SELECT * FROM dblink('c', 'SELECT ''WordIn'' || ''RemoteRow''') AS t(a text)`,
        protocol,
      );
      assert.equal(firstValue(frames), ROW);
    }
    await assertNotLogged(client, [ROW]);
    await client.end();
  });

  it('rows that the primary finishes a statement with are a parameter, which it can be told not to log', async () => {
    const [setter, client] = await Promise.all([
      FaultClient.open(primary.port),
      FaultClient.open(proxy.port),
    ]);
    await setter.rows('ALTER SYSTEM SET log_parameter_max_length = 0');
    await setter.rows('SELECT pg_reload_conf()');
    await eventually('the setting is known', async () => {
      assert.deepEqual(await client.rows('SHOW log_parameter_max_length'), [['0']]);
    });
    await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
    for (const protocol of PROTOCOLS) {
      const sql = `SELECT lower(a) FROM dblink('c', 'SELECT ''WordIn'' || ''RemoteRow''') AS t(a text)`;
      assert.equal(firstValue(await run(client, sql, protocol)), ROW.toLowerCase());
    }
    await assertNotLogged(client, [ROW]);
    await Promise.all([setter.end(), client.end()]);
  });

  it('arguments that the primary computes are there as the client wrote them, and not their values', async () => {
    const client = await FaultClient.open(proxy.port);
    await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
    for (const protocol of PROTOCOLS) {
      const sql = `SELECT * FROM dblink('c', 'SELECT ' || quote_literal(reverse('tluseRdetupmoC'))) AS t(a text)`;
      assert.equal(firstValue(await run(client, sql, protocol)), 'ComputedResult');
    }
    await assertNotLogged(client, ['ComputedResult', PASSWORD]);
    assert.ok(primaryLog().includes("reverse('tluseRdetupmoC')"));
    await client.end();
  });

  it('no error that clients got contains a password', async () => {
    assert.ok(received.some(({ type }) => type === 'E'));
    for (const { type, body } of received) {
      if (type !== 'E' && type !== 'N') continue;
      for (const word of [PASSWORD, WRONG]) assert.ok(!body.includes(word), body.toString('latin1'));
    }
  });

  it('no audit contains a password, in any mode, whatever is run', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'secrets-'));
    const url = conninfo.replace(/^.*port=(\d+).*$/, `postgres://postgres:${PASSWORD}@127.0.0.1:$1/postgres`);
    const run = (sql: string): string => sql.replaceAll("'", "''");
    const remoteSql = [
      `CREATE ROLE canary PASSWORD '${PASSWORD}'`,
      `ALTER ROLE canary PASSWORD '${PASSWORD}' VALID UNTIL 'infinity'`,
      `ALTER ROLE canary PASSWORD ${PASSWORD}`,
      `CREATE EXTENSION IF NOT EXISTS dblink`,
      `SELECT dblink_connect('inner', '${conninfo}'), dblink_disconnect('inner')`,
      `CREATE SERVER canary FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1')`,
      `CREATE USER MAPPING FOR canary SERVER canary OPTIONS (user 'postgres', password '${PASSWORD}')`,
      `ALTER USER MAPPING FOR canary SERVER canary OPTIONS (SET password '${WRONG}')`,
      `DO $$BEGIN EXECUTE 'ALTER ROLE canary PASSWORD ''${PASSWORD}'''; END$$`,
      `SET app.password TO '${PASSWORD}'`,
      `SELECT set_config('app.token', '${PASSWORD}', false)`,
      `SELECT '${PASSWORD}' AS password`,
      `SELECT 1 -- password ${PASSWORD}`,
      `DROP SERVER canary CASCADE; DROP ROLE canary`,
    ];
    for (const mode of ['none', 'fingerprint', 'full']) {
      const file = join(directory, mode);
      const audited = await startProxyProcess({
        primary,
        flags: { primary: `postgres://postgres@127.0.0.1:${primary.port}?sslmode=disable` },
        env: { DBLINK_PROXY_AUDIT_FILE: file, DBLINK_PROXY_AUDIT_STATEMENTS: mode },
      });
      const client = await FaultClient.open(audited.port);
      for (const target of [
        conninfo,
        url,
        conninfo.replace(PASSWORD, WRONG),
        `${conninfo} nonsense=1`,
        `${conninfo} ${PASSWORD}`,
        `host=127.0.0.1 port=1 application_name= password=${PASSWORD}`,
        `host=127.0.0.1 port=1 user= password=${PASSWORD} dbname= password=${PASSWORD}`,
        url.replace(PASSWORD, `pa/${PASSWORD}`),
        url.replace(PASSWORD, `pa@${PASSWORD}`),
        url.replace(PASSWORD, `pa@${PASSWORD}@`),
        `hostaddr=127.0.0.1 host=password=${PASSWORD} port=1`,
      ]) {
        const call = `SELECT * FROM dblink('${run(target)}', 'SELECT 1') AS t(a int)`;
        await client.query(call);
        await client.query(`DO '${run(`BEGIN PERFORM dblink_exec('${run(target)}', 'SELECT 1'); END`)}'`);
      }
      await client.rows(`SELECT dblink_connect('c', '${conninfo}')`);
      for (const sql of remoteSql) {
        await client.query(`SELECT dblink_exec('c', '${run(sql)}')`);
        await client.query(`SELECT * FROM dblink('c', '${run(sql)}') AS t(a text)`);
        await client.query(`SELECT dblink_send_query('c', '${run(sql)}')`);
        await client.query("SELECT * FROM dblink_get_result('c') AS t(a text)");
        await client.query("SELECT * FROM dblink_get_result('c') AS t(a text)");
      }
      await client.end();
      await eventually('it is over', () => assert.match(readFileSync(file, 'utf8'), /"session_ended"/));
      const text = readFileSync(file, 'utf8');
      assert.equal(text.includes('"event":"statement"'), mode !== 'none');
      assert.equal(text.includes('ALTER ROLE'), mode === 'full');
      for (const word of [PASSWORD, WRONG].flatMap(forms))
        assert.ok(
          !text.includes(word),
          text.split('\n').find((line) => line.includes(word)),
        );
      await audited.stop();
    }
    rmSync(directory, { recursive: true });
  });

  it('the log at level trace contains no password, connection string, SQL or row', async () => {
    // Also what is logged when things go wrong with the connections.
    const hole = await fakePrimary(({ socket }) => void socket.end('garbage'));
    const client = await FaultClient.open(proxy.port);
    await client.query(`SELECT dblink_connect('c', 'host=127.0.0.1 port=${hole.port} password=${PASSWORD}')`);
    client.wire.send(frontend.query(`SELECT dblink_connect('c', '${conninfo}')`), Buffer.from('?garbage'));
    await client.wire.until(() => false, 1000);
    await hole.stop();
    const log = proxy.log();
    assert.match(log, /session begins/);
    for (const word of [PASSWORD, WRONG, TAG, REMOTE_SQL, ROW].flatMap(forms)) {
      assert.ok(!log.includes(word), `the log contains ${word}`);
    }
  });
});
