import assert from 'node:assert/strict';
import { type AddressInfo, connect as connectTo, createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import type { PostgresServer } from '../../src/embedded/index.js';
import { prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { brief, errorOf, FaultClient, PROTOCOLS } from '../faults/world/client.js';
import { eventually } from '../support/eventually.js';
import { testedMajors } from '../support/majors.js';
import { createDatabase, execute } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';

/**
 * Sessions that dblink opens to the primary itself: what is beside their answers, which the differential cases `loopback` compare.
 */

/** Passes everything on to a server, at another address. */
async function forwarder(port: number): Promise<Server> {
  const server = createServer((client) => {
    const upstream = connectTo(port, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

for (const major of testedMajors()) {
  describe(`nested sessions, PostgreSQL ${major}`, () => {
    let logged = '';
    const log = pino({ level: 'info' }, { write: (line) => void (logged += line) });
    let primary: PostgresServer;
    let proxy: TestProxy;
    let other: Server;
    /** A connection string for the primary, at one of its addresses. */
    let itself: (more?: string) => string;
    let elsewhere: string;

    const open = (user = 'postgres'): Promise<FaultClient> => FaultClient.open(proxy.port, { user });
    const direct = (sql: string): ReturnType<typeof execute> => execute(primary.url(), sql);
    /** SQL that sends a statement to the session of a connection. */
    const inside = (sql: string, columns = 'v text', name = 'l'): string =>
      `SELECT * FROM dblink('${name}', $l$${sql}$l$) AS t(${columns})`;
    const account = (): string => `postgres://svc@${primary.host}:${primary.port}?sslmode=disable`;
    const count = async (from: string): Promise<number> =>
      Number((await direct(`SELECT count(*) FROM ${from}`))[0]![0]);

    before(async () => {
      primary = await startPostgres({ installation: await prepareBinaries({ major, dblink: false }) });
      proxy = await startTestProxy(primary, { flags: { primary: account() }, log });
      other = await forwarder(primary.port);
      const at = (port: number) => `host=127.0.0.1 port=${port} user=postgres dbname=postgres`;
      itself = (more = '') => `${at(primary.port)}${more}`;
      elsewhere = at((other.address() as AddressInfo).port);
      await direct(`CREATE ROLE svc LOGIN; GRANT CREATE ON DATABASE postgres TO svc; CREATE ROLE low LOGIN`);
    });
    after(async () => {
      other?.close();
      await proxy?.stop();
      await primary?.stop('immediate');
    });

    it('need no service connection as long as they use no dblink', async () => {
      const ofTheProxy = "pg_stat_activity WHERE usename = 'svc'";
      await eventually('the proxy has looked at its account', () => logged.includes('service account'));
      await eventually('that is over', async () => (await count(ofTheProxy)) === 0);
      const client = await open();
      await client.rows(`SELECT dblink_connect('l', '${itself()}')`);
      await client.rows("SELECT dblink_exec('l', 'CREATE TABLE plain (a int)')");
      await client.rows(`SELECT dblink_exec('${itself()}', 'INSERT INTO plain VALUES (1)')`);
      await client.rows(`SELECT dblink_exec('${elsewhere}', 'INSERT INTO plain VALUES (1)')`);
      assert.equal(await count(ofTheProxy), 0);
      // A superuser's right, which has to be proven.
      await client.rows(inside(`SELECT dblink_connect('r', '${itself()}')`));
      assert.equal(await count(ofTheProxy), 1);
      assert.deepEqual(await client.rows(inside(`SELECT dblink_connect_u('u', '${itself()}')`)), [['OK']]);
      await client.rows(`SELECT dblink_connect('low', '${itself().replace('user=postgres', 'user=low')}')`);
      const refused = await client.query(
        inside(`SELECT dblink_connect_u('u', '${itself()}')`, 'v text', 'low'),
      );
      assert.equal(errorOf(refused)['C'], '42501');
      assert.deepEqual(await client.rows(inside('SELECT dblink_get_connections()')), [['{r,u}']]);
      await client.end();
    });

    it('begin to use dblink', async () => {
      const client = await open();
      await client.rows('CREATE EXTENSION IF NOT EXISTS dblink');
      await client.rows(`CREATE FUNCTION far(v int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN RETURN (SELECT t.v FROM dblink('${itself()}', 'SELECT ' || v + 1) AS t(v int)); END $$`);
      await client.end();
    });

    for (const where of ['host=localhost port=PORT', 'host=DIR port=PORT', 'ELSEWHERE']) {
      it(`know the primary by its cluster, not by its address: ${where}`, async () => {
        const client = await open();
        const address = where
          .replace('PORT', String(primary.port))
          .replace('DIR', primary.socketDir)
          .replace('ELSEWHERE', elsewhere);
        await client.rows(`SELECT dblink_connect('l', '${address} user=postgres dbname=postgres')`);
        assert.deepEqual(await client.rows(inside('SELECT far(1)')), [['2']]);
        // A superuser's right, in each way to use dblink.
        assert.deepEqual(await client.rows(inside(`SELECT dblink_connect('r', '${itself()}')`)), [['OK']]);
        assert.deepEqual(await client.rows(inside(`SELECT dblink_connect_u('u', '${itself()}')`)), [['OK']]);
        const block = `DO $do$ BEGIN PERFORM dblink_connect('b', '${itself()}'); END $do$`;
        assert.deepEqual(await client.rows(`SELECT dblink_exec('l', $l$${block}$l$)`), [['DO']]);
        assert.deepEqual(await client.rows(inside('SELECT dblink_get_connections()')), [['{r,u,b}']]);
        assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [['{l}']]);
        await client.end();
      });
    }

    it('are cancelled to the innermost', async () => {
      for (const protocol of PROTOCOLS) {
        for (const sleep of [
          `SELECT pg_sleep(60)`,
          `SELECT v FROM dblink('${itself()}', 'SELECT pg_sleep(60)') AS t(v text)`,
          `DO $do$ BEGIN PERFORM dblink_exec('${itself()}', 'SELECT pg_sleep(60)'); END $do$`,
        ]) {
          const client = await open();
          await client.rows(`SELECT dblink_connect('l', '${itself()}')`);
          client.start(inside(sleep), protocol);
          const sleeping = "pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND wait_event = 'PgSleep'";
          await eventually('it sleeps', async () => (await count(sleeping)) === 1);
          await client.cancel();
          assert.equal(errorOf(await client.answer())['C'], '57014');
          await eventually('nobody sleeps', async () => (await count(sleeping)) === 0);
          assert.deepEqual(await client.rows(inside('SELECT far(1)')), [['2']]);
          await client.end();
        }
      }
    });

    it('end with the session, and it goes on when they are ended', async () => {
      const named = "pg_stat_activity WHERE application_name = 'victim'";
      const client = await open();
      await client.rows(`SELECT dblink_connect('l', '${itself(' application_name=victim')}')`);
      await client.rows(inside(`SELECT dblink_connect('r', '${itself(' application_name=victim')}')`));
      assert.equal(await count(named), 2);
      await direct(`SELECT pg_terminate_backend(pid) FROM ${named}`);
      await eventually('they are gone', async () => (await count(named)) === 0);
      // Before 14 libpq keeps the last thing that it says only.
      const said = major < 14 ? /^invalid socket$/ : /terminating connection/;
      assert.match(errorOf(await client.query(inside('SELECT far(1)')))['M'] ?? '', said);
      await client.rows("SELECT dblink_disconnect('l')");
      await client.rows(`SELECT dblink_connect('l', '${itself(' application_name=victim')}')`);
      await client.rows(inside(`SELECT dblink_connect('r', '${itself(' application_name=victim')}')`));
      client.start(inside("SELECT v FROM dblink('r', 'SELECT pg_sleep(60)') AS t(v text)"), 'simple');
      await eventually('it sleeps', async () => (await count(`${named} AND wait_event = 'PgSleep'`)) === 1);
      client.wire.destroy();
      await eventually('they are gone', async () => (await count(named)) === 0);
    });

    it('go on behind commands that take settings back', async () => {
      const client = await open();
      await client.rows(`SELECT dblink_connect('l', '${itself()}')`);
      const exec = (sql: string) => client.rows(`SELECT dblink_exec('l', '${sql}')`);
      const served = async (): Promise<void> =>
        assert.deepEqual(await client.rows(inside('SELECT far(1)')), [['2']]);
      await served();
      for (const ends of ['ROLLBACK', 'COMMIT']) {
        await exec('BEGIN');
        await exec('RESET ALL');
        await exec('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
        await exec('SAVEPOINT s');
        await served();
        await exec('ROLLBACK TO s');
        await served();
        await exec('DISCARD TEMP');
        await served();
        await exec(ends);
        await served();
      }
      // Inside of a function nobody sees it before it has done harm.
      await exec(
        'CREATE FUNCTION hidden() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RESET ALL; RETURN 1; END $$',
      );
      assert.deepEqual(await client.rows(inside('SELECT hidden()')), [['1']]);
      assert.equal(errorOf(await client.query(inside('SELECT far(1)')))['C'], '55000');
      await served();
      await client.end();
    });

    it('are nested eight times at most, and leave nothing behind', async () => {
      const client = await open();
      await client.rows(`CREATE FUNCTION deep(n int, to_level int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        IF n = to_level THEN RETURN n; END IF;
        RETURN (SELECT v FROM dblink('${itself()}', format('SELECT deep(%s, %s)', n + 1, to_level)) AS t(v int)); END $$`);
      assert.deepEqual(await client.rows('SELECT deep(0, 8)'), [['8']]);
      const refused = errorOf(await client.query('SELECT deep(0, 9)'));
      assert.equal(refused['C'], '54001');
      assert.doesNotMatch(refused['W'] ?? '', /dblink_proxy|ask/);
      const others = "pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'postgres'";
      await eventually('one is left', async () => (await count(others)) === 2);
      await client.end();
    });

    it('count for the limits of the client', async () => {
      const limited = await startTestProxy(primary, {
        flags: { primary: account() },
        env: { DBLINK_PROXY_LIMITS_REMOTE_CONNECTIONS_PER_SESSION: '3' },
      });
      try {
        const client = await FaultClient.open(limited.port, { user: 'postgres' });
        await client.rows(`SELECT dblink_connect('l', '${itself()}')`);
        await client.rows(inside(`SELECT dblink_connect('l', '${itself()}')`));
        await client.rows(
          inside(inside(`SELECT dblink_connect('l', '${itself()}')`).replaceAll('$l$', '$m$')),
        );
        assert.equal(
          errorOf(await client.query(inside(`SELECT dblink_connect('k', '${itself()}')`)))['C'],
          '53300',
        );
        assert.equal(errorOf(await client.query(`SELECT dblink_connect('k', '${itself()}')`))['C'], '53300');
        await client.rows("SELECT dblink_disconnect('l')");
        await client.rows(`SELECT dblink_connect('k', '${itself()}')`);
        await client.end();
      } finally {
        await limited.stop();
      }
    });

    it('do not keep a database from being dropped', async () => {
      await createDatabase(primary, 'passing');
      await direct('GRANT CREATE ON DATABASE passing TO svc');
      const client = await open();
      const passing = itself().replace('dbname=postgres', 'dbname=passing');
      await client.rows(`SELECT dblink_connect('l', '${passing}')`);
      await client.rows("SELECT dblink_exec('l', 'CREATE EXTENSION dblink')");
      await client.rows(inside(`DO $do$ BEGIN PERFORM dblink_connect('r', '${itself()}'); END $do$`));
      await client.rows("SELECT dblink_disconnect('l')");
      assert.match(brief(await client.query('DROP DATABASE passing')), /^C:DROP DATABASE/);
      await client.end();
    });

    it('are served by the proxy that a connection string leads to', async () => {
      const second = await startTestProxy(primary, { flags: { primary: account() } });
      try {
        const client = await open();
        const by = itself().replace(String(primary.port), String(second.port));
        await client.rows(`SELECT dblink_connect('l', '${by}')`);
        await client.rows(inside(`SELECT dblink_connect('r', '${itself()}')`));
        const block = `DO $do$ BEGIN PERFORM dblink_exec('r', 'SET a.b = 1'); END $do$`;
        assert.deepEqual(await client.rows(`SELECT dblink_exec('l', $l$${block}$l$)`), [['DO']]);
        await client.end();
      } finally {
        await second.stop();
      }
    });

    it('show what a SECURITY DEFINER function asks for to nobody in between', async () => {
      await direct(`CREATE FUNCTION lent() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
        BEGIN RETURN (SELECT t.v FROM dblink('${itself()}', 'SELECT current_user') AS t(v text)); END $$`);
      const client = await open();
      const low = (conninfo: string) => conninfo.replace('user=postgres', 'user=low');
      await client.rows(`SELECT dblink_connect('l', '${low(itself())}')`);
      assert.deepEqual(await client.rows(inside('SELECT lent()')), [['postgres']]);
      await client.rows(`SELECT dblink_connect('far', '${low(elsewhere)}')`);
      const refused = errorOf(await client.query(inside('SELECT lent()', 'v text', 'far')));
      assert.equal(refused['C'], '55000');
      assert.match(refused['M'] ?? '', /SECURITY DEFINER/);
      assert.equal(errorOf(await client.query(inside('SELECT far(1)', 'v text', 'far')))['C'], '2F003');
      await client.end();
    });
  });
}
