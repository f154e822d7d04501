import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { LIVENESS_MS } from '../../support/pace.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';

/** `dblink-proxy install` and `uninstall`, as a person runs them. */

const program = fileURLToPath(new URL('../../../../bin/dblink-proxy', import.meta.url));

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: readonly string[]): Promise<Ended> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('DBLINK_PROXY_'));
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, ...args],
      { env: Object.fromEntries(inherited), timeout: LIVENESS_MS },
      (error, stdout, stderr) =>
        resolve({ status: (error?.code as number | undefined) ?? 0, stdout, stderr }),
    );
  });
}

/** Everything in the catalogs that an installation could leave behind. */
const TRACES = `SELECT (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_class),
  (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_foreign_data_wrapper),
  (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_description),
  (SELECT count(*) FROM pg_depend), (SELECT count(*) FROM pg_attribute), (SELECT count(*) FROM pg_constraint),
  (SELECT count(*) FROM pg_init_privs), (SELECT count(*) FROM pg_default_acl),
  (SELECT count(*) FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database())`;

const FUNCTIONS = `SELECT count(*), min(pronamespace::regnamespace::text), max(obj_description(oid, 'pg_proc'))
  FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'`;

for (const major of [18, 15]) {
  describe(`install and uninstall, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    const service = `service_${major}`;
    let number = 0;

    before(async () => {
      primary = await primaryServer(major);
      await execute(primary.url(), `CREATE ROLE ${service} LOGIN`);
    });

    const newDatabase = async (): Promise<string> => {
      const database = `install_${++number}`;
      await createDatabase(primary, database);
      await execute(
        primary.url(database),
        `GRANT CREATE ON DATABASE ${database} TO ${service}; GRANT CREATE ON SCHEMA public TO ${service}`,
      );
      return database;
    };
    const urlOf = (database: string, user = service): string =>
      `postgres://${user}@${primary.host}:${primary.port}/${database}?sslmode=disable`;

    for (const user of [service, 'postgres']) {
      it(`installs, does it again without a change, and leaves nothing behind, as ${user}`, async () => {
        const database = await newDatabase();
        const url = primary.url(database);
        const before = await execute(url, TRACES);
        const first = await run('install', '--primary', urlOf(database, user));
        const lacking =
          user === 'postgres'
            ? ''
            : ', without the foreign-data wrapper dblink_fdw, which only a superuser can make';
        assert.match(
          first.stdout,
          /^install_\d+: installed version \d+ of the bridge, functions in schema "public"/,
        );
        assert.deepEqual(
          [first.status, first.stderr, first.stdout.endsWith(`"public"${lacking}\n`)],
          [0, '', true],
        );
        assert.equal((await execute(url, FUNCTIONS))[0]?.[0], '41');
        assert.equal(
          (await execute(url, 'SELECT count(*) FROM pg_foreign_data_wrapper'))[0]?.[0],
          user === 'postgres' ? '1' : '0',
        );
        const installed = await execute(
          url,
          `${TRACES} UNION ALL SELECT sum(oid::int8), sum(xmin::text::int8),
          0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'`,
        );
        const again = await run('install', '--primary', urlOf(database, user));
        assert.deepEqual([again.status, again.stderr], [0, '']);
        assert.match(again.stdout, / is there already, functions in schema "public"/);
        assert.deepEqual(
          await execute(
            url,
            `${TRACES} UNION ALL SELECT sum(oid::int8), sum(xmin::text::int8),
          0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'`,
          ),
          installed,
        );
        assert.deepEqual(await run('uninstall', '--primary', urlOf(database, user)), {
          status: 0,
          stdout: `${database}: removed the bridge\n`,
          stderr: '',
        });
        assert.deepEqual(await execute(url, TRACES), before);
        assert.deepEqual(await run('uninstall', '--primary', urlOf(database, user)), {
          status: 0,
          stdout: `${database}: there was nothing of the bridge\n`,
          stderr: '',
        });
      });
    }

    it('installs in several databases and in a schema', async () => {
      const databases = [await newDatabase(), await newDatabase()];
      for (const database of databases)
        await execute(primary.url(database), `CREATE SCHEMA "Own" AUTHORIZATION ${service}`);
      const places = databases.flatMap((database) => ['--database', database]);
      const done = await run('install', '--primary', urlOf('nosuch'), '--schema', 'Own', ...places);
      assert.deepEqual([done.status, done.stdout.split('\n').length], [0, 3]);
      for (const database of databases) {
        assert.deepEqual((await execute(primary.url(database), FUNCTIONS))[0]?.slice(0, 2), ['41', '"Own"']);
      }
      const moved = await run('install', '--primary', urlOf(databases[0]!), '--schema', 'public');
      assert.deepEqual([moved.status, moved.stdout], [1, '']);
      assert.match(moved.stderr, /already; to move them, run "ALTER EXTENSION dblink SET SCHEMA/);
      const nowhere = await run('install', '--primary', urlOf(await newDatabase()), '--schema', 'nosuch');
      assert.equal(nowhere.status, 1);
      assert.match(nowhere.stderr, /^dblink-proxy: install_\d+: schema "nosuch" does not exist/);
    });

    it('upgrades what is older and refuses what is newer', async () => {
      const database = await newDatabase();
      const url = primary.url(database);
      await run('install', '--primary', urlOf(database));
      const mark = (version: number): string => `DO $$
        DECLARE f regprocedure;
        BEGIN
          FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy' LOOP
            EXECUTE format('COMMENT ON FUNCTION %s IS ''dblink-proxy bridge ${version}''', f);
          END LOOP;
          COMMENT ON SCHEMA dblink_proxy IS 'dblink-proxy bridge ${version}';
        END $$`;
      const [[, , current] = []] = await execute(url, FUNCTIONS);
      await execute(
        url,
        `${mark(0)}; REVOKE ALL ON FUNCTION dblink(text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO pg_monitor`,
      );
      const upgraded = await run('install', '--primary', urlOf(database));
      assert.match(upgraded.stdout, /: upgraded to version \d+ of the bridge/);
      assert.deepEqual((await execute(url, FUNCTIONS))[0], ['41', 'public', current]);
      assert.deepEqual(
        await execute(
          url,
          `SELECT has_function_privilege('pg_monitor', 'dblink(text)', 'EXECUTE'),
             has_function_privilege('pg_monitor', 'dblink_connect_u(text)', 'EXECUTE')`,
        ),
        [[false, true]],
      );
      await execute(url, mark(4711));
      const newer = await run('install', '--primary', urlOf(database));
      assert.equal(newer.status, 1);
      assert.match(newer.stderr, /version 4711 of the bridge is newer than this program's/);
    });

    it('does not remove what others depend on, unless told to', async () => {
      const database = await newDatabase();
      const url = primary.url(database);
      const before = await execute(url, TRACES);
      await run('install', '--primary', urlOf(database, 'postgres'));
      await execute(
        url,
        `CREATE VIEW v AS SELECT * FROM dblink('a', 'b') AS t(a int); CREATE VIEW v2 AS SELECT * FROM v;
         CREATE VIEW inner_workings AS SELECT dblink_proxy.ask('f', 'r', '{}') AS a`,
      );
      const refused = await run('uninstall', '--primary', urlOf(database, 'postgres'));
      assert.deepEqual([refused.status, refused.stdout], [1, '']);
      assert.equal(
        refused.stderr,
        `dblink-proxy: ${database}: other objects depend on the bridge: view public.v depends on function public.dblink(text,text); ` +
          'view public.v2 depends on view public.v; remove them first, or use --cascade to remove them as well\n',
      );
      assert.equal((await execute(url, FUNCTIONS))[0]?.[0], '41');
      await execute(url, 'DROP VIEW v, v2');
      const inner = await run('uninstall', '--primary', urlOf(database, 'postgres'));
      assert.equal(inner.status, 1);
      assert.match(inner.stderr, /other objects depend on the bridge: .*inner_workings/);
      assert.equal((await execute(url, FUNCTIONS))[0]?.[0], '41');
      await execute(url, "CREATE VIEW v AS SELECT * FROM dblink('a', 'b') AS t(a int)");
      const forced = await run('uninstall', '--cascade', '--primary', urlOf(database, 'postgres'));
      assert.deepEqual([forced.status, forced.stderr], [0, '']);
      assert.deepEqual(await execute(url, TRACES), before);
    });

    it('says what is wrong and changes nothing', async () => {
      const database = await newDatabase();
      const url = primary.url(database);
      const place = `${primary.host}:${primary.port}`;
      const noAccount = await run('install', '--primary', `postgres://${place}/${database}`);
      assert.equal(noAccount.status, 2);
      assert.match(noAccount.stderr, /names no account/);
      assert.equal((await run('install')).status, 2);
      const missing = await run('install', '--primary', urlOf('nosuch'));
      assert.equal(missing.status, 1);
      assert.match(missing.stderr, /^dblink-proxy: nosuch: .*database "nosuch" does not exist/);

      const before = await execute(url, TRACES);
      await execute(url, "CREATE FUNCTION dblink(text) RETURNS text LANGUAGE sql AS 'SELECT 1::text'");
      const taken = await run('install', '--primary', urlOf(database));
      assert.equal(taken.status, 1);
      assert.match(taken.stderr, /function "dblink" already exists with same argument types/);
      await execute(url, 'DROP FUNCTION dblink(text); CREATE SCHEMA dblink_proxy');
      const owned = await run('install', '--primary', urlOf(database));
      assert.equal(owned.status, 1);
      assert.match(owned.stderr, /the schema dblink_proxy belongs to postgres/);
      // A schema of that name that is not the bridge's stays.
      const kept = await run('uninstall', '--primary', urlOf(database, 'postgres'));
      assert.match(kept.stdout, /there was nothing of the bridge/);
      await execute(url, `REVOKE CREATE ON DATABASE ${database} FROM ${service}; DROP SCHEMA dblink_proxy`);
      const denied = await run('install', '--primary', urlOf(database));
      assert.equal(denied.status, 1);
      assert.match(denied.stderr, /permission denied for database/);
      assert.deepEqual((await execute(url, TRACES))[0]?.slice(0, 12), before[0]?.slice(0, 12));
    });

    it('leaves a database alone that has the extension', async () => {
      const server = await extensionServer(major);
      const database = `install_native_${++number}`;
      await createDatabase(server, database);
      await execute(server.url(database), 'CREATE EXTENSION dblink');
      const { status, stderr } = await run(
        'install',
        '--primary',
        `postgres://postgres@${server.host}:${server.port}/${database}?sslmode=disable`,
      );
      assert.equal(status, 1);
      assert.match(stderr, /the extension dblink itself is installed/);
      assert.deepEqual(
        await execute(server.url(database), "SELECT 1 FROM pg_namespace WHERE nspname = 'dblink_proxy'"),
        [],
      );
    });
  });
}
