import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { testedMajors } from '../support/majors.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';

/**
 * Event triggers that audit DDL, by dblink on a remote and in a table: they see what the client does, as with the extension, and
 * none of the commands by which the bridge answers. Where the account may not switch them off they see these, and are no obstacle.
 */

const EVENTS = ['ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite'];
const PASSWORD = 'secret';

/** A database in which every command is audited. */
interface Side {
  readonly url: string;
  readonly database: string;
  /** The table of the remote that the triggers write. */
  readonly audit: string;
  /** Where clients connect. */
  readonly port: number;
}

let remote: PostgresServer;

const remotely = (): string => `host=${remote.host} port=${remote.port} user=postgres dbname=postgres`;

/** A client's session, and the notices that it gets. */
async function open(
  { database, port }: Pick<Side, 'database' | 'port'>,
  user = 'postgres',
): Promise<{ client: Client; notices: string[] }> {
  const client = new Client({ host: '127.0.0.1', port, user, database });
  const notices: string[] = [];
  client.on('notice', ({ message = '' }) => notices.push(message));
  await client.connect();
  return { client, notices };
}

/** Runs statements in one session. @returns the rows of all of them; the code of the error that ended it */
async function play(side: Side, statements: readonly string[], user?: string): Promise<unknown> {
  const { client, notices } = await open(side, user);
  try {
    const results: unknown[] = [];
    for (const text of statements) results.push((await client.query({ text, rowMode: 'array' })).rows);
    return { results, notices };
  } finally {
    await client.end();
  }
}

const failure = (run: Promise<unknown>): Promise<{ code?: string; message?: string }> =>
  run.then(
    (value) => assert.fail(`no error but ${JSON.stringify(value)}`),
    (error: { code?: string; message?: string }) => error,
  );

const SETUP = (): string => `
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  CREATE FUNCTION large() RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN RETURN (SELECT sum(length(t)) FROM dblink('${remotely()}', $q$SELECT n, repeat('x', 100) FROM generate_series(1, 2000) AS n$q$) AS t(n int, t text)); END $$;
  CREATE FUNCTION small() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RETURN (SELECT a FROM dblink('${remotely()}', 'SELECT 42') AS t(a int)); END $$;
  CREATE FUNCTION mapped() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN (SELECT u FROM dblink('elsewhere', 'SELECT current_user') AS t(u text)); END $$;
  CREATE SERVER elsewhere FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '${remote.host}', port '${remote.port}', dbname 'postgres');
  CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'app', password '${PASSWORD}');
  GRANT USAGE ON FOREIGN SERVER elsewhere TO app;
  GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO keeper;
  ALTER SERVER elsewhere OWNER TO keeper`;

/** The bare names are those of the schema that the functions of dblink are in. One trigger is for every replication role. */
const AUDIT = (audit: string): string => `
  CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM dblink_connect('audit', '${remotely()}');
    PERFORM dblink_exec('audit', format('INSERT INTO ${audit} (said) VALUES (%L)', concat_ws(' ', tg_event, tg_tag)));
    PERFORM * FROM dblink('audit', 'SELECT 1, 2') AS t(a int, b int);
    PERFORM dblink_send_query('audit', 'SELECT 1');
    PERFORM * FROM dblink_get_result('audit') AS t(a int);
    PERFORM dblink_disconnect('audit');
    RAISE NOTICE '% %', tg_event, tg_tag;
    RAISE WARNING '% %', tg_event, tg_tag;
  END $$;
  ${EVENTS.map((event) => `CREATE EVENT TRIGGER audit_${event} ON ${event} EXECUTE FUNCTION audit()`).join(';')};
  ALTER EVENT TRIGGER audit_ddl_command_end ENABLE ALWAYS`;

const PLAYS: Readonly<Record<string, readonly [user: string, statements: readonly string[]]>> = {
  'a large result': ['postgres', ['SELECT large()', 'SELECT large()']],
  'answers in tables of their own': [
    'postgres',
    [
      'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY',
      'SELECT small()',
      'SELECT small(), large()',
      'COMMIT',
    ],
  ],
  'the proof of a role': ['app', ['SELECT mapped()']],
  'computed arguments': [
    'postgres',
    [
      'CREATE TABLE c (s text)',
      "INSERT INTO c VALUES ('SELECT 7')",
      "SELECT a FROM dblink(current_setting('my.remote'), (SELECT s FROM c)) AS t(a int)",
      "SELECT a FROM c, dblink(current_setting('my.remote'), c.s) AS t(a int)",
      "SELECT sum(a) FROM dblink(current_setting('my.remote'), 'SELECT generate_series(1, ' || 50000 || ')') AS t(a int)",
      'DROP TABLE c',
    ],
  ],
  "the client's own commands": [
    'postgres',
    [
      'CREATE TABLE d (a int)',
      'INSERT INTO d VALUES (1)',
      'ALTER TABLE d ALTER a TYPE numeric',
      'DROP TABLE d',
    ],
  ],
};

for (const major of testedMajors()) {
  describe(`event triggers, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let native: Side;
    const proxies: TestProxy[] = [];

    const proxyOf = async (account: string): Promise<TestProxy> => {
      const url = `postgres://${account}@${primary.host}:${primary.port}?sslmode=disable`;
      const proxy = await startTestProxy(primary, { flags: { primary: url } });
      proxies.push(proxy);
      return proxy;
    };

    async function audited(url: string, audit: string, port: number): Promise<Side> {
      const side: Side = { url, database: new URL(url).pathname.slice(1), audit, port };
      await execute(url, `ALTER DATABASE ${side.database} SET my.remote = '${remotely()}'`);
      await play(side, ['CREATE EXTENSION dblink', SETUP()]);
      await execute(remote.url(), `CREATE TABLE ${audit} (n serial, said text)`);
      await execute(url, AUDIT(audit));
      return side;
    }

    const auditOf = async ({ audit }: Side): Promise<readonly unknown[]> =>
      (await execute(remote.url(), `SELECT said FROM ${audit} ORDER BY n`)).flat();

    before(async () => {
      remote = await startPostgres({
        installation: await prepareBinaries({ major: 18, dblink: false }),
        hba: ['local all all trust', 'host all app all scram-sha-256', 'host all all all trust'],
      });
      await execute(remote.url(), `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
      let extension: PostgresServer;
      [extension, primary] = await Promise.all([extensionServer(major), primaryServer(major)]);
      const roles = 'CREATE ROLE app LOGIN; CREATE ROLE keeper';
      await execute(extension.url(), roles);
      await execute(
        primary.url(),
        `${roles}; CREATE ROLE plain LOGIN; GRANT keeper TO plain; CREATE ROLE super LOGIN SUPERUSER`,
      );
      native = await audited(await createDatabase(extension, 'audited'), 'native', extension.port);
    });
    after(async () => {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await remote?.stop('immediate');
    });

    for (const account of ['super', 'plain']) {
      describe(`the account is ${account}`, () => {
        let behind: Side;
        before(async () => {
          const url = await createDatabase(primary, `audited_${account}`);
          await execute(primary.url(), `GRANT CREATE ON DATABASE audited_${account} TO plain`);
          behind = await audited(url, `of_${account}`, (await proxyOf(account)).port);
        });

        for (const [what, [user, statements]] of Object.entries(PLAYS)) {
          it(`the remote's audit is that of the extension: ${what}`, async () => {
            await execute(remote.url(), `TRUNCATE ${native.audit}, ${behind.audit}`);
            assert.deepEqual(await play(behind, statements, user), await play(native, statements, user));
            await eventually('what the bridge has made is dropped', async () => {
              const left = `SELECT relname FROM pg_class WHERE relnamespace = 'dblink_proxy'::regnamespace AND relname ~ '^(rows|answer)_[0-9]'
                UNION ALL SELECT proname FROM pg_proc WHERE proname ~ '^proof_'`;
              assert.deepEqual(await execute(behind.url, left), []);
            });
            assert.deepEqual(await auditOf(behind), await auditOf(native));
          });
        }
      });
    }

    describe('what cannot be had by others', () => {
      let side: Side;
      const calling = "SELECT dblink_exec(current_setting('my.remote'), 'SET a.b = 1')";
      const inFunction = `DO $$ BEGIN PERFORM dblink_exec(current_setting('my.remote'), 'SET a.b = 1'); END $$`;
      /** A session that begins with the mark of the proxy's own connections. */
      const marked = async ({ port }: { readonly port: number }, user: string): Promise<Client> => {
        const options = '-c dblink_proxy.session=service';
        const client = new Client({ host: '127.0.0.1', port, user, database: side.database, options });
        await client.connect();
        return client;
      };
      before(async () => {
        const url = await createDatabase(primary, 'guarded');
        await execute(primary.url(), 'ALTER DATABASE guarded OWNER TO plain');
        side = await audited(url, 'guarded', (await proxyOf('plain')).port);
      });

      it("a session that says that it is the proxy's own has no call skipped", async () => {
        for (const user of ['plain', 'postgres', 'app']) {
          const { code } = await failure(
            play(side, ["SET dblink_proxy.session = 'service'", inFunction], user),
          );
          assert.equal(code, '55000', user);
        }
        // Connected past the proxy, as anybody but the account.
        for (const user of ['postgres', 'app']) {
          const client = await marked(primary, user);
          assert.equal((await failure(client.query(calling))).code, '55000', user);
          await client.end();
        }
      });

      it("the proxy's mark is not the client's to give at login, not even as the account", async () => {
        const client = await marked(side, 'plain');
        await client.query("SET dblink_proxy.session = 'service'");
        assert.equal((await failure(client.query(inFunction))).code, '55000');
        await client.end();
      });

      it("a trigger's bare names are not looked for where others could put something", async () => {
        await play(side, ['GRANT CREATE ON SCHEMA public TO app']);
        try {
          const { code, message } = await failure(play(side, ['SELECT large()']));
          assert.deepEqual(
            [code, message],
            ['42883', 'function dblink_connect(unknown, unknown) does not exist'],
          );
        } finally {
          await play(side, ['REVOKE CREATE ON SCHEMA public FROM app']);
        }
        await play(side, ['SELECT large()']);
      });

      it('the schema is brought up to date although its account cannot switch the triggers off', async () => {
        // Its own connections are known by what this one is made with.
        const account = await marked(primary, 'plain');
        await account.query("COMMENT ON SCHEMA dblink_proxy IS 'dblink-proxy bridge 4'");
        const { port } = await proxyOf('plain');
        await eventually('the schema is of this version', async () => {
          await play({ ...side, port }, ['SELECT large()']);
        });
        await account.end();
      });

      it('a trigger that refuses the command of an account that cannot switch it off refuses the call', async () => {
        await play(side, [
          `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'ZZ001'; END $$`,
          "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()",
        ]);
        try {
          assert.equal((await failure(play(side, ['SELECT large()']))).code, 'ZZ001');
          // Small answers need no table.
          await play(side, ['SELECT small()']);
        } finally {
          await play(side, ['DROP EVENT TRIGGER refuse']);
        }
      });
    });

    describe('what the bridge makes for the client', () => {
      const WATCH = `
        CREATE TABLE seen (n serial, said text);
        CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO public.seen (said) VALUES (concat_ws(' ', tg_event, tg_tag));
        END $$;
        ${EVENTS.map((event) => `CREATE EVENT TRIGGER see_${event} ON ${event} EXECUTE FUNCTION see()`).join(';')}`;
      const SEEN = 'SELECT said FROM public.seen ORDER BY n';
      let proxy: TestProxy;
      const watched = async (database: string): Promise<{ database: string; port: number; url: string }> => {
        const url = await createDatabase(primary, database);
        await execute(url, WATCH);
        await execute(url, 'TRUNCATE public.seen');
        return { database, port: proxy.port, url };
      };
      before(async () => {
        proxy = await proxyOf('super');
      });

      it('temporary functions', async () => {
        const place = await watched('temporary');
        const { client } = await open(place);
        const { rows } = await client.query(
          `SELECT a FROM (VALUES (1)) AS v(n), dblink('${remotely()}', 'SELECT ' || n) AS t(a int)`,
        );
        assert.deepEqual(rows, [{ a: 1 }]);
        const made = "SELECT FROM pg_proc WHERE proname = 'dblink' AND pronamespace = pg_my_temp_schema()";
        assert.notEqual((await client.query(made)).rowCount, 0);
        assert.deepEqual(await execute(place.url, SEEN), []);
        await client.query('CREATE TABLE t (a int)');
        assert.equal((await execute(place.url, SEEN)).length, 2);
        await client.end();
      });

      it('the functions: triggers see what the script of the extension does, and the other commands', async () => {
        const behind = await watched('extended');
        const extension = await extensionServer(major);
        const beside = {
          database: 'extended',
          port: extension.port,
          url: await createDatabase(extension, 'extended'),
        };
        await execute(beside.url, WATCH);
        const made: unknown[] = [];
        for (const place of [behind, beside]) {
          const { client, notices } = await open(place);
          const settings = async (): Promise<unknown> =>
            (
              await client.query(
                "SELECT current_setting('event_triggers', true), current_setting('session_replication_role'), current_setting('search_path')",
              )
            ).rows;
          const usual = await settings();
          await client.query('CREATE SCHEMA elsewhere; TRUNCATE seen');
          await client.query('BEGIN');
          await client.query('CREATE EXTENSION dblink');
          assert.deepEqual(await settings(), usual);
          await client.query('COMMIT');
          assert.deepEqual(await settings(), usual);
          made.push((await execute(place.url, SEEN)).flat().sort());
          assert.deepEqual(notices, []);
          await client.query('DROP EXTENSION dblink');
          await client.query('TRUNCATE seen');
          await client.query('DO $$ BEGIN CREATE EXTENSION dblink; END $$');
          made.push((await execute(place.url, SEEN)).flat().sort());
          assert.deepEqual(notices, []);
          await client.query('TRUNCATE seen');
          await client.query('ALTER EXTENSION dblink SET SCHEMA elsewhere');
          await client.query("CREATE VIEW v AS SELECT * FROM elsewhere.dblink('', '') AS t(a int)");
          assert.equal((await failure(client.query('DROP EXTENSION dblink'))).code, '2BP01');
          await client.query('DROP EXTENSION dblink CASCADE');
          assert.deepEqual(await settings(), usual);
          await client.end();
        }
        assert.ok((made[0] as unknown[]).length > 80);
        assert.deepEqual(made.slice(0, 2), made.slice(2));
        assert.deepEqual(await execute(behind.url, SEEN), await execute(beside.url, SEEN));
      });

      it('the functions, where there is no row in pg_extension: what is dropped is seen', async () => {
        const url = await createDatabase(primary, 'unregistered');
        await execute(
          url,
          `ALTER DATABASE unregistered OWNER TO plain; GRANT CREATE ON SCHEMA public TO plain; GRANT USAGE ON LANGUAGE plpgsql TO plain`,
        );
        const { port } = await proxyOf('plain');
        const { client } = await open({ database: 'unregistered', port });
        await client.query('SET ROLE plain');
        await client.query('CREATE EXTENSION dblink');
        await client.query('RESET ROLE');
        await client.query('CREATE SCHEMA elsewhere');
        await client.query(WATCH);
        await client.query('TRUNCATE seen');
        await client.query('ALTER EXTENSION dblink SET SCHEMA elsewhere');
        assert.deepEqual(await execute(url, SEEN), []);
        await client.query("CREATE VIEW v AS SELECT * FROM elsewhere.dblink('', '') AS t(a int)");
        await client.query('TRUNCATE seen');
        assert.equal((await failure(client.query('DROP EXTENSION dblink'))).code, '2BP01');
        await client.query('DROP EXTENSION dblink CASCADE');
        assert.deepEqual(
          (await execute(url, SEEN)).flat(),
          ['DROP FUNCTION', 'DROP TYPE'].flatMap((tag) =>
            ['ddl_command_start', 'sql_drop', 'ddl_command_end'].map((event) => `${event} ${tag}`),
          ),
        );
        await client.end();
      });
    });
  });
}
