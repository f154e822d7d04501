import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { bridgeComment } from '../../../src/primary/marks.js';
import { brief, errorOf, FaultClient } from '../../faults/world/client.js';
import { soon } from '../../support/eventually.js';
import { testedMajors } from '../../support/majors.js';
import { execute } from '../../support/postgres.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';

/** A proxy in front of a primary in which one of another version has installed the bridge, and where views, functions and triggers use it. */

const CURRENT = bridgeComment();
const OLD = 'dblink-proxy bridge 4';

/**
 * Makes of what is installed that of version 4: other functions, another table of answers. ask() has looked for its answer, as it
 * does while it waits, and goes on waiting for one of its own kind.
 */
const MAKE_OLD = `DO $do$
  DECLARE f record;
  BEGIN
    COMMENT ON SCHEMA dblink_proxy IS '${OLD}';
    FOR f IN SELECT oid::regprocedure AS name, pg_get_functiondef(oid) AS definition FROM pg_proc
      WHERE proname LIKE 'dblink%' AND pronamespace = 'public'::regnamespace LOOP
      EXECUTE regexp_replace(f.definition, E'\\nBEGIN\\n', E'\\nBEGIN -- of version 4\\n');
      EXECUTE format('COMMENT ON FUNCTION %s IS %L', f.name, '${OLD}');
    END LOOP;
    DROP TABLE dblink_proxy.secret;
    ALTER TABLE dblink_proxy.answer DROP COLUMN seal;
    CREATE OR REPLACE FUNCTION dblink_proxy.ask(function text, role text, args text[]) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER AS $ask$
    BEGIN
      PERFORM FROM dblink_proxy.answer;
      RAISE INFO '%', concat_ws(':', 'dblink-proxy', split_part(current_setting('dblink_proxy.session'), ':', 1), gen_random_uuid(), 'none',
        'row', pg_backend_pid(), function, encode(role::bytea, 'hex'),
        (SELECT string_agg(coalesce(encode(a::bytea, 'hex'), '-'), ',') FROM unnest(args) AS a));
      PERFORM pg_sleep(1000);
      RETURN NULL;
    END $ask$;
  END $do$`;

for (const major of testedMajors()) {
  describe(`a bridge of another version, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let databases = 0;
    const proxies: TestProxy[] = [];

    async function newProxy(): Promise<TestProxy> {
      const account = `postgres://svc@${primary.host}:${primary.port}?sslmode=disable`;
      const proxy = await startTestProxy(primary, { flags: { primary: account } });
      proxies.push(proxy);
      return proxy;
    }

    /** A database with a bridge, in use, that is changed; and sessions through a proxy that comes new to it. */
    async function changed(sql: string): Promise<{ database: string; open(): Promise<FaultClient> }> {
      const database = `upgrade${++databases}`;
      await execute(primary.url(), `CREATE DATABASE ${database} OWNER svc`);
      const first = await newProxy();
      const client = await FaultClient.open(first.port, { database });
      const call = `dblink('host=${primary.host} port=${primary.port} user=postgres dbname=postgres', 'SELECT 42') AS t(a int)`;
      for (const statement of [
        'CREATE EXTENSION dblink',
        `CREATE VIEW v AS SELECT a FROM ${call}`,
        `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT a FROM ${call}); END $$`,
        'CREATE TABLE l (a int)',
        'CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := f(); RETURN NEW; END $$',
        'CREATE TRIGGER fill BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION fill()',
        'SELECT * FROM v',
      ])
        await client.rows(statement);
      await client.end();
      await first.stop();
      await execute(primary.url(database), sql);
      const { port } = await newProxy();
      return { database, open: () => FaultClient.open(port, { database }) };
    }

    const versions = async (database: string): Promise<unknown> =>
      (
        await execute(
          primary.url(database),
          `SELECT obj_description('dblink_proxy'::regnamespace, 'pg_namespace'), min(obj_description(oid, 'pg_proc')), max(obj_description(oid, 'pg_proc'))
             FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace = 'public'::regnamespace`,
        )
      )[0];

    async function everythingWorks(client: FaultClient): Promise<void> {
      for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE, READ ONLY']) {
        await client.rows(`BEGIN ISOLATION LEVEL ${level}`);
        assert.deepEqual(await client.rows('SELECT a, f() FROM v'), [['42', '42']], level);
        await client.rows('COMMIT');
      }
      assert.deepEqual(await client.rows('INSERT INTO l VALUES (1) RETURNING a'), [['42']]);
    }

    before(async () => {
      primary = await startPostgres({ installation: await prepareBinaries({ major, dblink: false }) });
      await execute(primary.url(), 'CREATE ROLE svc LOGIN');
    });
    after(async () => {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await primary?.stop('immediate');
    });

    for (const [what, call] of [
      ['a view', 'SELECT * FROM v'],
      ['a function', 'SELECT f()'],
      ['a trigger', 'INSERT INTO l VALUES (1)'],
    ] as const) {
      it(`the call that meets an older one says so, and is served when it is made again: ${what}`, async () => {
        const { database, open } = await changed(MAKE_OLD);
        const client = await open();
        const told = errorOf(await client.query(call));
        assert.equal(told['C'], '55000');
        assert.match(told['H'] ?? '', /Run the statement again.*ALTER EXTENSION dblink UPDATE/);
        await soon('the schema has been replaced', async () => {
          assert.doesNotMatch(brief(await client.query(call)), /E:/);
        });
        assert.deepEqual(await versions(database), [CURRENT, OLD, OLD]);
        await everythingWorks(client);
        await client.rows('ALTER EXTENSION dblink UPDATE');
        assert.deepEqual(await versions(database), [CURRENT, CURRENT, CURRENT]);
        await everythingWorks(client);
        await client.end();
      });
    }

    it('the update of the functions brings the schema up to date as well', async () => {
      const { database, open } = await changed(MAKE_OLD);
      const client = await open();
      await client.rows('ALTER EXTENSION dblink UPDATE');
      await everythingWorks(client);
      assert.deepEqual(await versions(database), [CURRENT, CURRENT, CURRENT]);
      await client.end();
    });

    it('what a transaction still uses is replaced when that ends', async () => {
      const { database, open } = await changed(MAKE_OLD);
      const other = new Client({ connectionString: primary.url(database) });
      await other.connect();
      await other.query('BEGIN; SELECT FROM dblink_proxy.answer');
      const client = await open();
      for (let i = 0; i < 3; i++) assert.equal(errorOf(await client.query('SELECT f()'))['C'], '55000');
      await other.query('COMMIT');
      await other.end();
      await soon('the schema has been replaced', async () => {
        assert.doesNotMatch(brief(await client.query('SELECT f()')), /E:/);
      });
      await everythingWorks(client);
      await client.end();
    });

    it('a newer one is left as it is', async () => {
      const newer = 'dblink-proxy bridge 4711';
      const { database, open } = await changed(`COMMENT ON SCHEMA dblink_proxy IS '${newer}'`);
      const client = await open();
      await everythingWorks(client);
      await client.rows('ALTER EXTENSION dblink UPDATE');
      await everythingWorks(client);
      assert.deepEqual(await versions(database), [newer, CURRENT, CURRENT]);
      await client.end();
    });
  });
}
