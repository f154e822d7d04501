import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { installBridge } from '../../../src/bridge/extension/install.js';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { findClientTools } from '../../support/clientTools.js';
import { testedMajors } from '../../support/majors.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';

/** Where a superuser makes the bridge's functions, the primary's own catalogs know them as the extension dblink. */

const tools = await findClientTools(['pg_dump', 'psql'], 15);

/** What the catalogs have of the extension, by names. */
const CATALOGS: readonly string[] = [
  `SELECT x.extname, n.nspname, x.extowner::regrole, x.extrelocatable, x.extversion, x.extconfig, x.extcondition, obj_description(x.oid, 'pg_extension')
     FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace ORDER BY 1`,
  // PostgreSQL 18 lists types of arrays, too, where the extension's script has made them.
  `SELECT pg_describe_object(d.classid, d.objid, d.objsubid), d.deptype FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE x.extname = 'dblink' ORDER BY 1`,
  `SELECT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), d.deptype FROM pg_depend d JOIN pg_extension x ON x.oid = d.objid AND d.classid = 'pg_extension'::regclass
    WHERE x.extname = 'dblink' ORDER BY 1`,
  `SELECT d.refobjid::regrole, d.deptype FROM pg_shdepend d JOIN pg_extension x ON x.oid = d.objid AND d.classid = 'pg_extension'::regclass
     JOIN pg_database b ON b.oid = d.dbid AND b.datname = current_database() WHERE x.extname = 'dblink'`,
  `SELECT pg_describe_object(i.classoid, i.objoid, i.objsubid), i.privtype, i.initprivs FROM pg_init_privs i
     JOIN pg_depend d ON d.classid = i.classoid AND d.objid = i.objoid AND d.deptype = 'e' JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'dblink' ORDER BY 1`,
];

for (const major of testedMajors()) {
  describe(`the extension in the primary's catalogs, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let extension: PostgresServer;
    let proxy: TestProxy;
    let number = 0;

    before(async () => {
      [primary, extension] = await Promise.all([primaryServer(major), extensionServer(major)]);
      for (const server of [primary, extension])
        await execute(server.url(), 'CREATE ROLE adm SUPERUSER LOGIN; CREATE ROLE owner LOGIN');
      proxy = await startTestProxy(primary);
    });
    after(() => proxy.stop());

    const urlOf = (database: string, user = 'postgres', to: TestProxy = proxy): string =>
      `postgres://${user}@${to.host}:${to.port}/${database}`;

    const newDatabase = async (): Promise<string> => {
      const database = `registered_${++number}`;
      await Promise.all([createDatabase(primary, database), createDatabase(extension, database)]);
      return database;
    };

    /** What both sides say, past the proxy, after the same SQL, which the proxy's side gets through the proxy. */
    const bothKnow = async (database: string, setup: string, user = 'postgres'): Promise<void> => {
      const native = extension.url(database).replace('postgres@', `${user}@`);
      await execute(native, setup);
      await execute(urlOf(database, user), setup);
      for (const sql of CATALOGS) {
        assert.deepEqual(
          await execute(primary.url(database), sql),
          await execute(extension.url(database), sql),
          sql,
        );
      }
    };

    it('are as the extension leaves them, whatever is done to it', async () => {
      const database = await newDatabase();
      await bothKnow(database, 'CREATE EXTENSION dblink');
      await bothKnow(database, 'CREATE SCHEMA elsewhere; ALTER EXTENSION dblink SET SCHEMA elsewhere');
      await bothKnow(database, "COMMENT ON EXTENSION dblink IS 'mine'");
      await bothKnow(
        database,
        'CREATE FUNCTION more() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; ALTER EXTENSION dblink ADD FUNCTION more()',
      );
      await bothKnow(
        database,
        'ALTER EXTENSION dblink DROP FUNCTION more(); GRANT EXECUTE ON FUNCTION elsewhere.dblink_connect_u(text) TO owner',
      );
      await bothKnow(database, 'ALTER EXTENSION dblink UPDATE');
      await bothKnow(database, 'BEGIN; DROP EXTENSION dblink; ROLLBACK');
      await bothKnow(database, 'DROP EXTENSION dblink');
      await bothKnow(database, 'BEGIN; CREATE EXTENSION dblink; ROLLBACK');
      await bothKnow(database, 'CREATE EXTENSION dblink SCHEMA elsewhere', 'adm');
      await bothKnow(database, 'REASSIGN OWNED BY adm TO postgres');
    });

    it('are found from functions, DO blocks and prepared statements', async () => {
      const database = await newDatabase();
      const asked = [
        'CREATE EXTENSION dblink',
        'CREATE TABLE found (v text)',
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_extension WHERE extname = 'dblink') THEN INSERT INTO found VALUES ('parallel'); ELSE INSERT INTO found VALUES ('serial'); END IF; END $$",
        'DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS dblink; END $$',
        "CREATE FUNCTION place() RETURNS text LANGUAGE sql AS $$ SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname LIKE 'dbl%' $$",
        'INSERT INTO found SELECT place()',
        'PREPARE p(text) AS INSERT INTO found SELECT extversion FROM pg_extension WHERE extname = $1',
        "EXECUTE p('dblink')",
        "SELECT v, (SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension) FROM found ORDER BY v",
      ].join(';');
      const native = await execute(extension.url(database), asked);
      assert.deepEqual(await execute(urlOf(database), asked), native);
      assert.deepEqual(
        native.map(([value]) => value),
        ['1.2', 'parallel', 'public'],
      );
    });

    it('are what a direct connection drops; through the proxy it comes back', async () => {
      const database = await newDatabase();
      await execute(
        urlOf(database),
        'CREATE EXTENSION dblink; CREATE VIEW v AS SELECT dblink_get_connections()',
      );
      await assert.rejects(execute(primary.url(database), 'DROP FUNCTION dblink_disconnect()'), {
        code: '2BP01',
      });
      await assert.rejects(execute(primary.url(database), 'DROP EXTENSION dblink'), { code: '2BP01' });
      await execute(primary.url(database), 'DROP EXTENSION dblink CASCADE');
      const left =
        "SELECT count(*)::int FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'";
      assert.deepEqual(await execute(primary.url(database), left), [[0]]);
      await execute(urlOf(database), 'CREATE EXTENSION dblink');
      const call = `SELECT x FROM dblink('${extension.url()}', 'SELECT 1') AS t(x int)`;
      await execute(urlOf(database), `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ ${call} $$`);
      assert.deepEqual(await execute(urlOf(database), 'SELECT f()'), [[1]]);
    });

    it('has nothing when CREATE EXTENSION fails half-way', async () => {
      const database = await newDatabase();
      await execute(
        primary.url(database),
        `CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
         CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN tag IN ('CREATE FOREIGN DATA WRAPPER') EXECUTE FUNCTION forbid()`,
      );
      await assert.rejects(execute(urlOf(database), 'CREATE EXTENSION dblink'), { code: 'P0001' });
      assert.deepEqual(
        await execute(
          primary.url(database),
          "SELECT extname FROM pg_extension WHERE extname = 'dblink' UNION ALL SELECT proname FROM pg_proc WHERE proname = 'dblink' AND pronamespace = 'public'::regnamespace",
        ),
        [],
      );
    });

    it('know it also where the account is the superuser, and only for code that counts anyway', async () => {
      const database = await newDatabase();
      await execute(primary.url(), `ALTER DATABASE ${database} OWNER TO owner`);
      await execute(
        primary.url(database),
        `CREATE ROLE low_${database} LOGIN; GRANT CREATE ON SCHEMA public TO PUBLIC`,
      );
      const accounted = await startTestProxy(primary, {
        flags: { primary: `postgres://adm@${primary.host}:${primary.port}?sslmode=disable` },
      });
      const known = `SELECT extowner::regrole::text, (SELECT count(*)::int FROM pg_depend d WHERE d.refobjid = x.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass) FROM pg_extension x WHERE extname = 'dblink'`;
      // The account has made its schema. Somebody makes functions that look like the bridge's, and wants to be the extension.
      await execute(urlOf(database, 'postgres', accounted), 'CREATE EXTENSION dblink; DROP EXTENSION dblink');
      await execute(
        urlOf(database, `low_${database}`, accounted),
        `CREATE FUNCTION public.dblink(text) RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN RETURN; END';
         COMMENT ON FUNCTION public.dblink(text) IS 'dblink-proxy bridge 8';
         SELECT dblink_proxy.register()`,
      );
      assert.deepEqual(await execute(primary.url(database), known), []);
      await execute(urlOf(database, `low_${database}`, accounted), 'DROP FUNCTION public.dblink(text)');
      await execute(urlOf(database, 'owner', accounted), 'CREATE EXTENSION dblink');
      assert.deepEqual(await execute(primary.url(database), known), [['owner', 41]]);
      await execute(urlOf(database, 'owner', accounted), 'DROP EXTENSION dblink');
      assert.deepEqual(await execute(primary.url(database), known), []);
      await accounted.stop();
      // Without a superuser there is no row: the functions are functions.
      await execute(primary.url(database), 'DROP SCHEMA dblink_proxy CASCADE');
      await execute(urlOf(database, 'owner'), 'CREATE EXTENSION dblink');
      assert.deepEqual(await execute(primary.url(database), known), []);
      // Nobody but who may make them has them registered with the rights of an account that is a superuser.
      await execute(urlOf(database, 'owner'), 'DROP EXTENSION dblink');
      await execute(primary.url(database), 'DROP SCHEMA dblink_proxy CASCADE');
      const late = await startTestProxy(primary, {
        flags: { primary: `postgres://adm@${primary.host}:${primary.port}?sslmode=disable` },
      });
      try {
        await execute(urlOf(database, 'owner', late), 'CREATE EXTENSION dblink');
        await execute(
          primary.url(database),
          `DELETE FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink');
           DELETE FROM pg_depend WHERE classid = 'pg_extension'::regclass AND objid = (SELECT oid FROM pg_extension WHERE extname = 'dblink');
           DELETE FROM pg_shdepend WHERE classid = 'pg_extension'::regclass AND objid = (SELECT oid FROM pg_extension WHERE extname = 'dblink');
           DELETE FROM pg_description WHERE classoid = 'pg_extension'::regclass AND objoid = (SELECT oid FROM pg_extension WHERE extname = 'dblink');
           DELETE FROM pg_extension WHERE extname = 'dblink'`,
        );
        await execute(urlOf(database, `low_${database}`, late), 'SELECT dblink_proxy.register()');
        assert.deepEqual(await execute(primary.url(database), known), []);
        // An older snapshot would bring back what was revoked since.
        const older = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT dblink_proxy.register(); COMMIT';
        await execute(urlOf(database, 'owner', late), older);
        assert.deepEqual(await execute(primary.url(database), known), []);
      } finally {
        await late.stop();
      }
      // A superuser's update registers them.
      await execute(urlOf(database), 'ALTER EXTENSION dblink UPDATE');
      assert.deepEqual(await execute(primary.url(database), known), [['owner', 41]]);
    });

    it('has nothing of what others have marked as the bridge’s, and nobody else can drop it', async () => {
      const database = await newDatabase();
      const low = `low2_${major}`;
      await execute(
        primary.url(),
        `CREATE ROLE ${low} LOGIN; GRANT CREATE ON DATABASE ${database} TO ${low}`,
      );
      const accounted = await startTestProxy(primary, {
        flags: { primary: `postgres://adm@${primary.host}:${primary.port}?sslmode=disable` },
      });
      const mark = (kind: string, name: string): string =>
        `COMMENT ON ${kind} ${name} IS 'dblink-proxy bridge 8'`;
      const planted = `CREATE SCHEMA "A"; CREATE TYPE "A".base AS (a int); CREATE DOMAIN "A".dblink_pkey_results AS "A".base;
        ${mark('DOMAIN', '"A".dblink_pkey_results')};
        CREATE FUNCTION "A".dblink(text, text) RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN RETURN; END'; ${mark('FUNCTION', '"A".dblink(text, text)')};
        CREATE FUNCTION "A".dblink_fdw_validator(text[], oid) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
        COMMENT ON FUNCTION "A".dblink_fdw_validator(text[], oid) IS 'dblink-proxy bridge 6'`;
      await execute(primary.url(database).replace('postgres@', `${low}@`), planted);
      const members = `SELECT DISTINCT coalesce(p.pronamespace, t.typnamespace)::regnamespace::text FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'dblink'
         LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND coalesce(p.oid, t.oid) IS NOT NULL`;
      const owner =
        "SELECT extowner::regrole::text, extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'dblink'";
      for (const made of ['CREATE EXTENSION dblink', 'ALTER EXTENSION dblink UPDATE']) {
        await execute(urlOf(database, 'postgres', accounted), made);
        await execute(urlOf(database, low, accounted), 'SELECT dblink_proxy.register()');
        assert.deepEqual(await execute(primary.url(database), members), [['public']], made);
        assert.deepEqual(await execute(primary.url(database), owner), [['postgres', 'public']], made);
      }
      await execute(primary.url(database).replace('postgres@', `${low}@`), 'DROP SCHEMA "A" CASCADE');
      assert.deepEqual(await execute(primary.url(database), owner), [['postgres', 'public']]);
      assert.deepEqual(
        await execute(
          primary.url(database),
          "SELECT fdwvalidator::regprocedure::text FROM pg_foreign_data_wrapper WHERE fdwname = 'dblink_fdw'",
        ),
        [['dblink_fdw_validator(text[],oid)']],
      );
      await accounted.stop();
    });

    it('an installation takes over no service schema of somebody else', async () => {
      const database = await newDatabase();
      const low = `low3_${major}`;
      await execute(
        primary.url(),
        `CREATE ROLE ${low} LOGIN; GRANT CREATE ON DATABASE ${database} TO ${low}`,
      );
      const own = primary.url(database).replace('postgres@', `${low}@`);
      const account = {
        address: { host: primary.host, port: primary.port },
        tls: { mode: 'disable' },
        user: 'postgres',
        password: undefined,
        database,
      } as const;
      for (const mark of ['', "COMMENT ON SCHEMA dblink_proxy IS 'dblink-proxy bridge 8'"]) {
        await execute(own, `CREATE SCHEMA dblink_proxy; ${mark}`);
        await assert.rejects(installBridge(account, database), /belongs to low3/);
        await execute(own, 'DROP SCHEMA dblink_proxy');
      }
      await installBridge(account, database);
      await execute(primary.url(database), `GRANT CREATE ON SCHEMA dblink_proxy TO ${low}`);
      await execute(own, 'CREATE FUNCTION dblink_proxy.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$');
      await assert.rejects(installBridge(account, database), /has objects of low3/);
    });

    it('keep what was granted on functions that are registered later', async () => {
      const database = await newDatabase();
      const granting = `REVOKE EXECUTE ON FUNCTION dblink(text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO owner WITH GRANT OPTION`;
      await execute(primary.url(), `ALTER DATABASE ${database} OWNER TO owner`);
      await execute(urlOf(database, 'owner'), 'CREATE EXTENSION dblink');
      await execute(
        primary.url(database),
        `${granting}; GRANT EXECUTE ON FUNCTION dblink_exec(text) TO pg_monitor`,
      );
      const privileges = `SELECT p.oid::regprocedure::text, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(p.proacl) a) FROM pg_proc p
        WHERE p.proname LIKE 'dblink%' AND p.pronamespace = 'public'::regnamespace AND p.proacl IS NOT NULL ORDER BY 1`;
      const before = await execute(primary.url(database), privileges);
      await execute(urlOf(database), 'ALTER EXTENSION dblink UPDATE');
      assert.deepEqual(await execute(primary.url(database), privileges), before);
      // What a dump compares them with is what the extension's script leaves.
      const initial = `SELECT i.objoid::regprocedure::text, (SELECT array_agg(a.grantee::regrole::text ORDER BY a.grantee) FROM aclexplode(i.initprivs) a) FROM pg_init_privs i
        WHERE i.objoid IN ('dblink(text)'::regprocedure, 'dblink_connect_u(text)'::regprocedure, 'dblink_exec(text)'::regprocedure) ORDER BY 1`;
      assert.deepEqual(await execute(primary.url(database), initial), [
        ['dblink(text)', ['-', 'owner']],
        ['dblink_connect_u(text)', ['owner']],
        ['dblink_exec(text)', ['-', 'owner']],
      ]);
    });

    // pg_dump reads no server that is newer than itself.
    const skip = tools === undefined && 'PostgreSQL’s client programs are not on this machine';
    if (major === 15)
      it('give dumps past the proxy the extension, and for an upgrade its members', { skip }, async () => {
        const database = await newDatabase();
        await execute(
          urlOf(database),
          'CREATE EXTENSION dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO owner',
        );
        const dump = async (...options: readonly string[]): Promise<string> =>
          (
            await tools!.run('pg_dump', [
              ...options,
              '--no-owner',
              '-N',
              'dblink_proxy',
              primary.url(database),
            ])
          ).stdout;
        const plain = await dump();
        assert.match(plain, /CREATE EXTENSION IF NOT EXISTS dblink WITH SCHEMA public/);
        assert.doesNotMatch(plain, /CREATE FUNCTION/);
        assert.match(plain, /GRANT ALL ON FUNCTION public\.dblink_connect_u\(text\) TO owner/);
        const upgrade = await dump('--binary-upgrade', '--schema-only');
        assert.match(upgrade, /binary_upgrade_create_empty_extension\('dblink', 'public', true, '1\.2'/);
        assert.equal(upgrade.match(/ALTER EXTENSION dblink ADD FUNCTION/g)?.length, 41);
      });

    describe('with files of other extensions', () => {
      let server: PostgresServer;
      let directory: string;
      let front: TestProxy;
      let withDblink: string;

      before(async () => {
        const [installation, whole] = await Promise.all([
          prepareBinaries({ major, dblink: false }),
          prepareBinaries({ major, dblink: true }),
        ]);
        directory = mkdtempSync(join(tmpdir(), 'registered-test-'));
        // The servers may run as another user.
        chmodSync(directory, 0o755);
        cpSync(installation.directory, directory, { recursive: true });
        server = await startPostgres({ installation: { ...installation, directory } });
        front = await startTestProxy(server);
        withDblink = whole.directory;
      });
      after(async () => {
        await front.stop();
        await server.stop('immediate');
        rmSync(directory, { recursive: true, force: true });
      });

      it('one that requires dblink is made, and depends on it', async () => {
        const files = join(directory, 'share/postgresql/extension');
        writeFileSync(
          join(files, 'needs_dblink.control'),
          "requires = 'dblink'\ndefault_version = '1'\nrelocatable = true\n",
        );
        writeFileSync(
          join(files, 'needs_dblink--1.sql'),
          "CREATE FUNCTION needs(text) RETURNS SETOF int LANGUAGE sql AS $$ SELECT x FROM public.dblink($1, 'SELECT 7') AS t(x int) $$;",
        );
        const url = `postgres://postgres@${front.host}:${front.port}/postgres`;
        await execute(url, 'CREATE EXTENSION dblink; CREATE EXTENSION needs_dblink');
        assert.deepEqual(await execute(url, `SELECT needs('${server.url()}')`), [[7]]);
        await assert.rejects(execute(url, 'DROP EXTENSION dblink'), {
          code: '2BP01',
          detail: 'extension needs_dblink depends on extension dblink',
        });
        await execute(url, 'DROP EXTENSION needs_dblink');
      });

      it('and with the real ones later: dropped and made again it is the real one', async () => {
        for (const [folder, own] of [
          ['lib/postgresql', /^dblink\./],
          ['share/postgresql/extension', /^dblink/],
        ] as const) {
          for (const file of readdirSync(join(withDblink, folder)).filter((name) => own.test(name)))
            cpSync(join(withDblink, folder, file), join(directory, folder, file));
        }
        const url = `postgres://postgres@${front.host}:${front.port}/postgres`;
        await execute(url, 'CREATE EXTENSION IF NOT EXISTS dblink; ALTER EXTENSION dblink UPDATE');
        const language = `SELECT DISTINCT l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.proname = 'dblink' AND p.pronamespace = 'public'::regnamespace`;
        assert.deepEqual(await execute(url, language), [['plpgsql']]);
        await execute(url, 'DROP EXTENSION dblink; CREATE EXTENSION dblink');
        assert.deepEqual(await execute(url, language), [['c']]);
      });
    });
  });
}
