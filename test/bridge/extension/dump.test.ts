import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { asWithExtension } from '../../../src/bridge/extension/dumpQueries.js';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { FIRST_OBJECT } from '../../../src/primary/marks.js';
import { loadParser } from '../../../src/sql/index.js';
import { findClientTools } from '../../support/clientTools.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { WireConnection } from '../../support/wire.js';

/** Dumps through the proxy are those of a server that has the extension. */

const tools = await findClientTools(['psql', 'pg_dump', 'pg_dumpall', 'pg_restore'], 15);
const NO_TOOLS = 'PostgreSQL’s client programs are not on this machine';

/** Things that use dblink, and things that do not. @param remote a connection string */
const contents = (remote: string): string => `
  CREATE EXTENSION dblink;
  CREATE SCHEMA app;
  CREATE VIEW app.people AS SELECT * FROM dblink('${remote}', 'SELECT n, n::text FROM generate_series(1, 3) n') AS t(id int, name text);
  CREATE VIEW app.names AS SELECT name FROM app.people;
  CREATE FUNCTION app.fetch(q text) RETURNS SETOF int LANGUAGE plpgsql AS
    $$BEGIN RETURN QUERY SELECT * FROM dblink('${remote}', q) AS t(a int); END$$;
  CREATE TABLE app.keys (k dblink_pkey_results, v int DEFAULT 7);
  INSERT INTO app.keys VALUES (ROW(1, 'a'));
  COMMENT ON VIEW app.people IS 'remote people';
  CREATE FUNCTION dblink_mine(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
  GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO pg_monitor;
  REVOKE ALL ON FUNCTION dblink_exec(text, text) FROM PUBLIC;
  CREATE SERVER elsewhere FOREIGN DATA WRAPPER dblink_fdw`;

/** What pg_dump reads, by names; versions 13 to 18 ask in these forms. */
const CATALOGS = [
  'SELECT x.extname, n.nspname, x.extrelocatable, x.extversion, x.extconfig, x.extcondition, x.tableoid::regclass::text FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace ORDER BY 1',
  `SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
     AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink') AND pg_describe_object(classid, objid, 0) NOT LIKE '%[]' ORDER BY 1`,
  'SELECT n.tableoid::regclass::text, n.nspname, n.nspacl FROM pg_namespace n ORDER BY 2',
  `SELECT c.relname, c.relkind FROM pg_class c LEFT JOIN pg_class tc ON (c.reltoastrelid = tc.oid) WHERE c.relkind IN ('r', 'S', 'v', 'c', 'm', 'f', 'p') AND c.oid > 16383 ORDER BY c.relname`,
  `SELECT p.oid::regprocedure::text, p.proacl, pip.privtype, pip.initprivs FROM pg_catalog.pg_proc p LEFT JOIN pg_init_privs pip ON (p.oid = pip.objoid AND pip.classoid = 'pg_proc'::regclass AND pip.objsubid = 0)
     WHERE p.prokind <> 'a' AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'i')
       AND pronamespace != (SELECT oid FROM pg_namespace WHERE nspname = 'pg_catalog') AND p.proname LIKE 'dblink%' ORDER BY 1`,
  `SELECT typname, (SELECT relkind FROM pg_class WHERE oid = typrelid), typname[0] = '_' AND typelem != 0 AND (SELECT typarray FROM pg_type te WHERE oid = pg_type.typelem) = oid FROM pg_type WHERE oid > 16383 AND typname NOT LIKE 'pg_toast%' ORDER BY 1`,
  `SELECT description, classoid, objsubid FROM pg_catalog.pg_description WHERE objoid > 16383 AND classoid = 'pg_extension'::regclass ORDER BY 1`,
  `PREPARE one(pg_catalog.oid) AS SELECT proname FROM pg_catalog.pg_proc p, pg_catalog.pg_language l WHERE p.oid = $1 AND l.oid = p.prolang`,
  `EXECUTE one('dblink_mine(text)'::regprocedure)`,
];

for (const major of [18, 15]) {
  describe(`dumps, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let extension: PostgresServer;
    let proxy: TestProxy;
    let directory: string;
    let number = 0;

    before(async () => {
      [primary, extension] = await Promise.all([primaryServer(major), extensionServer(major)]);
      proxy = await startTestProxy(primary);
      directory = mkdtempSync(join(tmpdir(), 'dump-test-'));
    });
    after(async () => {
      rmSync(directory, { recursive: true, force: true });
      await proxy.stop();
    });

    const urlOf = (database: string): string => `postgres://postgres@${proxy.host}:${proxy.port}/${database}`;

    /** A pair of databases with the same contents: one has the extension, the other is behind the proxy. */
    const pair = async (): Promise<string> => {
      const database = `dump_${++number}`;
      await Promise.all([createDatabase(primary, database), createDatabase(extension, database)]);
      const remote = `host=${extension.host} port=${extension.port} dbname=${database} user=postgres`;
      await execute(extension.url(database), contents(remote));
      await execute(urlOf(database), contents(remote));
      return database;
    };

    const open = async (
      place: { host: string; port: number },
      database: string,
      application: string,
      user = 'postgres',
    ): Promise<WireConnection> => {
      const { connection } = await WireConnection.open({
        ...place,
        parameters: { user, database, application_name: application },
      });
      await connection.rows("SELECT set_config('search_path', 'pg_catalog', false)");
      return connection;
    };

    const readCatalogs = async (connection: WireConnection): Promise<unknown[]> => {
      const rows: unknown[] = [];
      for (const sql of CATALOGS)
        rows.push([sql, ...(await connection.rows(sql.replace('dblink_mine', 'public.dblink_mine')))]);
      await connection.end();
      return rows;
    };

    it('pg_dump reads the catalogs as with the extension', async () => {
      const database = await pair();
      const native = await readCatalogs(await open(extension, database, 'pg_dump'));
      assert.deepEqual(await readCatalogs(await open(proxy, database, 'pg_dump')), native);
    });

    it('needs no privilege and writes nothing', async () => {
      const database = await pair();
      const role = `reader_${major}`;
      await execute(
        primary.url(database),
        `CREATE ROLE ${role} LOGIN; REVOKE ALL ON DATABASE ${database} FROM PUBLIC; GRANT CONNECT ON DATABASE ${database} TO ${role}`,
      );
      const connection = await open(proxy, database, 'pg_dump', role);
      await connection.rows('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      assert.deepEqual(
        await connection.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dblink%'"),
        [],
      );
      assert.deepEqual(
        await connection.rows("SELECT extname FROM pg_extension WHERE extname LIKE 'dblink%'"),
        [['dblink']],
      );
      await connection.end();
    });

    it('other programs see what there is', async () => {
      const database = await pair();
      const connection = await open(proxy, database, 'psql');
      assert.deepEqual(
        await connection.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dblink%'"),
        [['dblink_proxy']],
      );
      assert.deepEqual(
        await connection.rows("SELECT extname FROM pg_extension WHERE extname LIKE 'dblink%'"),
        [['dblink']],
      );
      await connection.end();
    });

    it("a session's large object is not there for pg_dump, those of users are", async () => {
      const database = await pair();
      await execute(primary.url(database), 'SELECT lo_create(12345)');
      const session = await open(proxy, database, 'psql');
      await session.rows('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await session.rows('DO $$ BEGIN PERFORM public.dblink_get_connections(); END $$');
      const query = 'SELECT oid::bigint FROM pg_largeobject_metadata ORDER BY 1';
      const direct = await open(primary, database, 'pg_dump');
      const dump = await open(proxy, database, 'pg_dump');
      const all = (await direct.rows(query)).map(([oid]) => Number(oid));
      assert.deepEqual([all.length, all[0]], [2, 12345]);
      assert.ok(all[1]! >= FIRST_OBJECT);
      assert.deepEqual(await dump.rows(query), [['12345']]);
      for (const connection of [session, direct, dump]) await connection.end();
    });

    it("hides a schema of that name only if it is the bridge's", async () => {
      const database = `dump_${++number}`;
      await createDatabase(primary, database);
      await execute(primary.url(database), 'CREATE SCHEMA dblink_proxy; CREATE TABLE dblink_proxy.mine ()');
      const connection = await open(proxy, database, 'pg_dump');
      assert.deepEqual(
        await connection.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dblink%'"),
        [['dblink_proxy']],
      );
      assert.deepEqual(await connection.rows("SELECT relname FROM pg_class WHERE relname = 'mine'"), [
        ['mine'],
      ]);
      assert.deepEqual(
        await connection.rows("SELECT extname FROM pg_extension WHERE extname LIKE 'dblink%'"),
        [],
      );
      await connection.end();
    });

    // A pg_dump does not dump servers that are newer than it.
    const describeOlder = major > 15 ? () => undefined : describe;
    describeOlder('pg_dump and pg_restore', { skip: tools === undefined && NO_TOOLS }, () => {
      const run = (program: string, args: readonly string[]) => tools!.run(program, args);
      /** A dump in plain text, without the lines that differ from dump to dump. */
      const dump = async (program: string, url: string, ...args: readonly string[]): Promise<string> => {
        const { stdout, stderr } = await run(program, [...args, '-d', url]);
        assert.equal(stderr, '');
        return stdout.replace(/^\\(un)?restrict .*$/gm, '');
      };

      it('make the dump that they make with the extension', async () => {
        const database = await pair();
        for (const args of [
          [],
          ['-s'],
          ['-n', 'app'],
          ['-e', 'dblink'],
          ['-t', 'app.keys'],
          ['--inserts', '-a'],
        ]) {
          const native = await dump('pg_dump', extension.url(database), ...args);
          assert.match(native, /PostgreSQL database dump complete/);
          assert.equal(await dump('pg_dump', urlOf(database), ...args), native, args.join(' '));
        }
        const all = await dump('pg_dumpall', urlOf('postgres'));
        assert.match(all, /CREATE EXTENSION IF NOT EXISTS dblink WITH SCHEMA public;/);
        assert.doesNotMatch(all, /dblink_proxy\.(ask|tell|answer)/);
      });

      it('take an application to the extension: a dump is restored where the extension is', async () => {
        const database = await pair();
        const target = `${database}_moved`;
        await createDatabase(extension, target);
        await execute(extension.url(target), 'CREATE EXTENSION dblink');
        const place = join(directory, database);
        await run('pg_dump', ['-Fd', '-j', '2', '-f', place, '-d', urlOf(database)]);
        const { stderr } = await run('pg_restore', [
          '--exit-on-error',
          '-j',
          '2',
          '-d',
          extension.url(target),
          place,
        ]);
        assert.equal(stderr, '');
        assert.deepEqual(await execute(extension.url(target), 'SELECT * FROM app.names'), [
          ['1'],
          ['2'],
          ['3'],
        ]);
        assert.deepEqual(await execute(extension.url(target), "SELECT app.fetch('SELECT 42')"), [[42]]);
        assert.deepEqual(await execute(extension.url(target), 'SELECT k::text, v FROM app.keys'), [
          ['(1,a)', 7],
        ]);
        assert.deepEqual(
          await execute(
            extension.url(target),
            "SELECT count(*), min(probin) FROM pg_proc WHERE proname LIKE 'dblink\\_%' AND probin IS NOT NULL",
          ),
          await execute(
            extension.url(database),
            "SELECT count(*), min(probin) FROM pg_proc WHERE proname LIKE 'dblink\\_%' AND probin IS NOT NULL",
          ),
        );
      });

      it('bring an application from the extension: a dump is restored through the proxy', async () => {
        const database = await pair();
        const target = `${database}_moved`;
        await createDatabase(primary, target);
        const place = join(directory, `${database}.dump`);
        await run('pg_dump', ['-Fc', '-f', place, '-d', extension.url(database)]);
        for (const args of [[], ['--clean', '--if-exists', '--single-transaction']]) {
          const { stderr } = await run('pg_restore', [
            '--exit-on-error',
            ...args,
            '-d',
            urlOf(target),
            place,
          ]);
          assert.equal(stderr, '');
          assert.deepEqual(await execute(urlOf(target), 'SELECT * FROM app.names'), [['1'], ['2'], ['3']]);
          assert.deepEqual(await execute(urlOf(target), "SELECT app.fetch('SELECT 42')"), [[42]]);
        }
        assert.equal(await dump('pg_dump', urlOf(target)), await dump('pg_dump', extension.url(database)));
      });
    });
  });
}

describe('queries of pg_dump', () => {
  before(loadParser);
  const change = (sql: string): string | undefined =>
    asWithExtension(Buffer.from(sql, 'latin1'))?.toString('latin1');

  it('are left alone where nothing of the bridge could be in the answer', () => {
    for (const sql of [
      'SELECT 1',
      'COPY public.pg_class (a) TO stdout',
      'SELECT * FROM public.pg_class',
      "SELECT 'pg_class'::regclass, pg_class_aclmask FROM pg_settings",
      'LOCK TABLE pg_class IN ACCESS SHARE MODE',
      "SELECT 1 FROM pg_depend WHERE deptype <> 'e'",
      'SELECT FROM pg_class WHERE (',
    ]) {
      assert.equal(change(sql), undefined, sql);
    }
  });

  it('keep everything but the names of the catalogs', () => {
    const sql =
      'SELECT \'pg_type\', "pg_class"."oid" FROM /* pg_proc */ "pg_class" JOIN pg_catalog . pg_type t ON t.oid = reltype, pg_namespace AS n(a)';
    const changed = change(sql) ?? '';
    const parts = changed.split(
      /\(SELECT tableoid, \* FROM pg_catalog\.pg_(?:class|type|namespace) WHERE [\s\S]*?\$'\)\)\)/,
    );
    assert.deepEqual(parts, [
      'SELECT \'pg_type\', "pg_class"."oid" FROM /* pg_proc */ ',
      ' AS pg_class JOIN ',
      ' t ON t.oid = reltype, ',
      ' AS n(a)',
    ]);
  });
});
