import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { installBridge } from '../../../src/bridge/extension/install.js';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { dataRowText, type Frame, frontend, WireConnection } from '../../support/wire.js';

/** CREATE EXTENSION dblink and the like, beside a server that has the extension. */

/** What a client sees: rows, tags, errors and notices by their fields, and the transaction's state. */
function shown(frames: readonly Frame[]): unknown[] {
  return frames.flatMap((frame): unknown[] => {
    switch (frame.type) {
      case 'D':
        return [dataRowText(frame.body)];
      case 'C':
        return [frame.body.toString('latin1').replace('\0', '')];
      case 'E':
      case 'N':
        return [{ [frame.type]: fields(frame.body) }];
      case 'Z':
        return [`Z ${frame.body.toString('latin1')}`];
      case 'T':
      case 'S':
        return [];
      default:
        return [frame.type];
    }
  });
}

/** The fields but for those that name places in a server's source. */
function fields(body: Buffer): Record<string, string> {
  const parts = body.toString('utf8').split('\0').filter(Boolean);
  const entries = parts.map((part) => [part.slice(0, 1), part.slice(1)] as const);
  return Object.fromEntries(entries.filter(([code]) => !'FLR'.includes(code)));
}

type Message = string | readonly Buffer[];

const prepared = (sql: string, name = ''): readonly Buffer[] => [
  frontend.parse(name, sql),
  frontend.bind({ statement: name }),
  frontend.describe('P', ''),
  frontend.execute('', 0),
  frontend.sync(),
];

/** Each sequence is played on a new database. */
const SEQUENCES: Readonly<Record<string, readonly Message[]>> = {
  'made twice, dropped twice': [
    'CREATE EXTENSION dblink',
    'CREATE EXTENSION dblink',
    'CREATE EXTENSION IF NOT EXISTS dblink',
    'CREATE EXTENSION IF NOT EXISTS dblink SCHEMA nosuch',
    'SET client_min_messages = warning',
    'CREATE EXTENSION IF NOT EXISTS dblink',
    'DROP EXTENSION dblink',
    'RESET client_min_messages',
    'DROP EXTENSION dblink',
    'DROP EXTENSION IF EXISTS dblink',
    'CREATE EXTENSION "dblink" VERSION \'1.2\' CASCADE',
    'drop extension if exists dblink cascade',
  ],
  'the schema': [
    'CREATE EXTENSION dblink SCHEMA nosuch',
    "SET search_path = ''",
    'CREATE EXTENSION dblink',
    'SET search_path = nosuch1, nosuch2',
    'CREATE EXTENSION dblink',
    'CREATE SCHEMA "wëird $q$ ""name"""; CREATE SCHEMA other',
    'SET search_path = nosuch1, "wëird $q$ ""name""", other',
    'CREATE EXTENSION dblink',
    "SELECT DISTINCT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'",
    'ALTER EXTENSION dblink SET SCHEMA nosuch',
    'ALTER EXTENSION dblink SET SCHEMA other',
    'ALTER EXTENSION dblink SET SCHEMA other',
    "SELECT DISTINCT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'",
    "SELECT typnamespace::regnamespace::text FROM pg_type WHERE typname = 'dblink_pkey_results'",
    'CREATE VIEW other.v AS SELECT * FROM other.dblink_get_connections() AS c',
    'SET search_path = public',
    'DROP EXTENSION dblink',
    'DROP EXTENSION dblink CASCADE',
  ],
  versions: [
    "CREATE EXTENSION dblink VERSION '9.9'",
    'CREATE EXTENSION dblink SCHEMA public SCHEMA other',
    "CREATE EXTENSION dblink VERSION '1.2'",
    'ALTER EXTENSION dblink UPDATE',
    "ALTER EXTENSION dblink UPDATE TO '1.2'",
    "ALTER EXTENSION dblink UPDATE TO '7'",
    "COMMENT ON EXTENSION dblink IS 'something'",
    'COMMENT ON EXTENSION dblink IS NULL',
  ],
  'commands without an extension': [
    "COMMENT ON EXTENSION dblink IS 'x'",
    'ALTER EXTENSION dblink UPDATE',
    'ALTER EXTENSION dblink SET SCHEMA public',
    'BEGIN',
    'DROP EXTENSION dblink, plpgsql',
    'DROP EXTENSION dblink',
    'ROLLBACK',
  ],
  'what depends on it': [
    'CREATE EXTENSION dblink',
    "CREATE VIEW v AS SELECT * FROM dblink('a', 'b') AS t(a int)",
    'CREATE VIEW v2 AS SELECT * FROM v',
    "CREATE VIEW w AS SELECT dblink_exec('a') AS e, dblink_connect('x') AS c",
    'DROP EXTENSION dblink',
    'SELECT count(*) FROM pg_views WHERE viewname IN ($$v$$, $$v2$$)',
    'CREATE TABLE t (a dblink_pkey_results, b dblink_pkey_results[])',
    'CREATE SERVER srv FOREIGN DATA WRAPPER dblink_fdw',
    "CREATE SCHEMA s; CREATE VIEW s.sv AS SELECT dblink_open('c', 'q') AS o",
    'DROP EXTENSION dblink RESTRICT',
    'BEGIN',
    'DROP EXTENSION dblink CASCADE',
    'SELECT count(*) FROM pg_views WHERE viewname IN ($$v$$, $$v2$$)',
    'ROLLBACK',
    'SELECT count(*) FROM pg_views WHERE viewname IN ($$v$$, $$v2$$)',
    'DROP VIEW s.sv, w, v2; DROP TABLE t; DROP SERVER srv',
    'SET client_min_messages = error; DROP EXTENSION dblink CASCADE; RESET client_min_messages',
    'CREATE EXTENSION dblink',
    "CREATE VIEW v AS SELECT * FROM dblink('a', 'b') AS t(a int)",
    'DROP EXTENSION dblink CASCADE',
  ],
  transactions: [
    'BEGIN',
    'CREATE EXTENSION dblink',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    'SAVEPOINT a',
    'DROP EXTENSION dblink',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    'ROLLBACK TO a',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    'SAVEPOINT b',
    'CREATE EXTENSION dblink',
    'CREATE EXTENSION dblink',
    'ROLLBACK TO b',
    'CREATE EXTENSION IF NOT EXISTS dblink',
    'ROLLBACK',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    'BEGIN READ ONLY',
    'CREATE EXTENSION dblink',
    'ROLLBACK',
    'CREATE EXTENSION dblink',
    ...['CREATE EXTENSION dblink', 'DROP EXTENSION dblink', "COMMENT ON EXTENSION dblink IS 'x'"].flatMap(
      (sql) => ['BEGIN READ ONLY', sql, 'ROLLBACK'],
    ),
    ...['ALTER EXTENSION dblink UPDATE', 'ALTER EXTENSION dblink SET SCHEMA public'].flatMap((sql) => [
      'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY',
      sql,
      'ROLLBACK',
    ]),
    'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1',
    'DROP EXTENSION dblink',
    'CREATE EXTENSION dblink',
    'COMMIT',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
  ],
  'strings of several statements': [
    'CREATE SCHEMA a; CREATE EXTENSION dblink SCHEMA a; SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    'DROP EXTENSION dblink; SELECT 1/0; SELECT 2',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    'SELECT 1; DROP EXTENSION dblink',
    'CREATE TABLE t (); CREATE EXTENSION dblink SCHEMA nosuch; SELECT 1',
    'SELECT count(*) FROM pg_class WHERE relname = $$t$$',
    'BEGIN; CREATE EXTENSION dblink; COMMIT; DROP EXTENSION dblink; SELECT 5',
    'CREATE EXTENSION IF NOT EXISTS dblink; CREATE EXTENSION IF NOT EXISTS dblink;',
    'CREATE EXTENSION dblink; ROLLBACK',
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
  ],
  'the extended protocol': [
    prepared('CREATE EXTENSION dblink'),
    prepared('CREATE EXTENSION dblink'),
    prepared('CREATE EXTENSION IF NOT EXISTS dblink', 'named'),
    [frontend.describe('S', 'named'), frontend.sync()],
    prepared(
      'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    ),
    [
      frontend.bind({ statement: 'named', portal: 'p' }),
      frontend.execute('p', 0),
      frontend.parse('', 'SELECT 1'),
      frontend.bind({}),
      frontend.execute('', 0),
      frontend.sync(),
    ],
    // What is pipelined behind an error is skipped, and nothing of the batch stays.
    [
      ...prepared('DROP EXTENSION dblink').slice(0, -1),
      ...prepared('DROP EXTENSION dblink').slice(0, -1),
      ...prepared('SELECT 1'),
    ],
    'SELECT count(*) FROM pg_proc WHERE proname LIKE $$dblink%$$ AND pronamespace::regnamespace::text <> $$dblink_proxy$$',
    [frontend.close('S', 'named'), frontend.sync()],
    [frontend.bind({ statement: 'named' }), frontend.execute('', 0), frontend.sync()],
    prepared('DROP EXTENSION dblink'),
    [frontend.parse('again', 'CREATE EXTENSION dblink SCHEMA nosuch'), frontend.sync()],
    [frontend.parse('again', 'CREATE EXTENSION dblink'), frontend.sync()],
    [frontend.bind({ statement: 'again' }), frontend.execute('', 0), frontend.sync()],
    [frontend.bind({ statement: 'nosuch' }), frontend.execute('', 0), frontend.sync()],
  ],
};

for (const major of [18, 15]) {
  describe(`extension commands, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let extension: PostgresServer;
    let proxy: TestProxy;
    let number = 0;

    before(async () => {
      [primary, extension] = await Promise.all([primaryServer(major), extensionServer(major)]);
      proxy = await startTestProxy(primary);
      await execute(primary.url(), 'CREATE ROLE extension_owner LOGIN');
    });
    after(() => proxy.stop());

    /** A database of a role that may not switch event triggers off. */
    const createOwned = async (database: string): Promise<void> => {
      await createDatabase(primary, database);
      await execute(
        primary.url(database),
        `ALTER DATABASE ${database} OWNER TO extension_owner; GRANT CREATE ON SCHEMA public TO extension_owner`,
      );
    };

    const open = async (place: { host: string; port: number }, database: string, user = 'postgres') => {
      const { connection, startup } = await WireConnection.open({
        ...place,
        parameters: { user, database },
      });
      assert.equal(startup.at(-1)?.type, 'Z', `${startup.at(-1)?.body}`);
      return connection;
    };

    const play = async (
      place: { host: string; port: number },
      database: string,
      messages: readonly Message[],
    ) => {
      const connection = await open(place, database);
      const answers: unknown[] = [];
      for (const message of messages) {
        connection.send(...(typeof message === 'string' ? [frontend.query(message)] : message));
        const readies = typeof message === 'string' ? 1 : message.filter((part) => part[0] === 0x53).length;
        answers.push([
          typeof message === 'string' ? message : message.map(String).join(' '),
          ...shown(await connection.collect(readies)),
        ]);
      }
      await connection.end();
      return answers;
    };

    for (const [name, messages] of Object.entries(SEQUENCES)) {
      it(`${name}: as with the extension`, async () => {
        const database = `extension_${++number}`;
        await Promise.all([createDatabase(primary, database), createDatabase(extension, database)]);
        const native = await play(extension, database, messages);
        assert.deepEqual(await play(proxy, database, messages), native);
      });
    }

    it('makes the same functions, type and wrapper', async () => {
      const database = `extension_${++number}`;
      await Promise.all([createDatabase(primary, database), createDatabase(extension, database)]);
      const catalogue = [
        'CREATE EXTENSION dblink',
        `SELECT proname, proargtypes::regtype[], proargnames, proargmodes, proallargtypes::regtype[], prorettype::regtype,
           proretset, proisstrict, provolatile, procost, prorows, prosecdef, proleakproof, prokind, proacl, proowner::regrole
           FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy' ORDER BY 1, 2::text`,
        `SELECT attname, atttypid::regtype, attnum FROM pg_attribute WHERE attrelid = 'dblink_pkey_results'::regclass ORDER BY 3`,
        `SELECT fdwname, fdwhandler, fdwvalidator::regprocedure, fdwoptions, fdwacl, fdwowner::regrole FROM pg_foreign_data_wrapper`,
        'DROP EXTENSION dblink',
        `SELECT count(*) FROM pg_type WHERE typname LIKE '%dblink%'`,
        'SELECT count(*) FROM pg_foreign_data_wrapper',
      ];
      assert.deepEqual(await play(proxy, database, catalogue), await play(extension, database, catalogue));
    });

    it('refuses to replace what is not its own, as the extension does', async () => {
      const database = `extension_${++number}`;
      await Promise.all([createDatabase(primary, database), createDatabase(extension, database)]);
      const answers = [extension, proxy].map(async (place) => {
        const all = await play(place, database, [
          "CREATE FUNCTION dblink_get_connections() RETURNS text[] LANGUAGE sql AS 'SELECT NULL::text[]'",
          'CREATE EXTENSION dblink',
          'DROP FUNCTION dblink_get_connections()',
          'CREATE TYPE dblink_pkey_results AS (a int)',
          'CREATE EXTENSION dblink',
          'DROP TYPE dblink_pkey_results',
          'CREATE FOREIGN DATA WRAPPER dblink_fdw',
          'CREATE EXTENSION dblink',
          "SELECT count(*) FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'",
        ]);
        // From 18 on the extension's errors say where in its script they were raised.
        return JSON.parse(JSON.stringify(all, (key, value) => (key === 'W' ? undefined : value)));
      });
      const [native, ours] = await Promise.all(answers);
      assert.deepEqual(ours, native);
    });

    it('acts by the rights of the role', async () => {
      const database = `extension_${++number}`;
      await createDatabase(primary, database);
      const role = `maker_${major}`;
      const other = `other_${major}`;
      await execute(
        primary.url(database),
        `REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE ${role} LOGIN; CREATE ROLE ${other} LOGIN;
         CREATE SCHEMA own AUTHORIZATION ${role}; GRANT USAGE ON SCHEMA own TO ${other}; GRANT CREATE ON DATABASE ${database} TO ${role}`,
      );
      // What everybody's calls run is not for everybody to make.
      const withAccount = await startTestProxy(primary, {
        flags: { primary: `postgres://${role}@${primary.host}:${primary.port}?sslmode=disable` },
      });
      const bare = await open(proxy, database, role);
      bare.send(frontend.query('CREATE EXTENSION dblink SCHEMA own'));
      const [refused] = await bare.collect(1);
      assert.equal(refused?.type, 'E');
      assert.equal(fields(refused.body)['M'], 'permission denied to create extension "dblink"');
      assert.match(fields(refused.body)['H'] ?? '', /superuser or the owner of the database/);
      await bare.end();
      const maker = await open(withAccount, database, role);
      const ask = async (connection: WireConnection, sql: string) => {
        connection.send(frontend.query(sql));
        return shown(await connection.collect(1)).slice(0, -1);
      };
      const failure = (sqlstate: string, message: string) => [
        { E: { S: 'ERROR', V: 'ERROR', C: sqlstate, M: message } },
      ];
      assert.deepEqual(
        await ask(maker, 'CREATE EXTENSION dblink'),
        failure('42501', 'permission denied for schema public'),
      );
      assert.deepEqual(await ask(maker, 'CREATE EXTENSION dblink SCHEMA own'), ['CREATE EXTENSION']);
      assert.deepEqual(
        await ask(
          maker,
          `SELECT count(*), bool_and(proowner = '${role}'::regrole) FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'`,
        ),
        [['41', 't'], 'SELECT 1'],
      );
      const stranger = await open(withAccount, database, other);
      for (const sql of [
        'DROP EXTENSION dblink',
        'ALTER EXTENSION dblink UPDATE',
        'ALTER EXTENSION dblink SET SCHEMA public',
        "COMMENT ON EXTENSION dblink IS 'x'",
      ]) {
        assert.deepEqual(
          await ask(stranger, sql),
          failure('42501', 'must be owner of extension dblink'),
          sql,
        );
      }
      assert.deepEqual(
        await ask(maker, 'ALTER EXTENSION dblink SET SCHEMA public'),
        failure('42501', 'permission denied for schema public'),
      );
      assert.deepEqual(await ask(maker, 'DROP EXTENSION dblink'), ['DROP EXTENSION']);
      await Promise.all([maker.end(), stranger.end()]);
      await withAccount.stop();
    });

    it('brings older functions up to date, and what was granted on them stays', async () => {
      const database = `extension_${++number}`;
      await createDatabase(primary, database);
      const connection = await open(proxy, database);
      await connection.rows('CREATE EXTENSION dblink');
      await connection.rows(`DO $$
        DECLARE f regprocedure;
        BEGIN
          FOR f IN SELECT oid FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy' LOOP
            EXECUTE format('COMMENT ON FUNCTION %s IS ''dblink-proxy bridge 0''', f);
          END LOOP;
        END $$`);
      await connection.rows(`CREATE OR REPLACE FUNCTION dblink_connect(text) RETURNS text LANGUAGE plpgsql STRICT AS 'BEGIN RETURN 0; END';
        CREATE VIEW v AS SELECT dblink_connect('x');
        REVOKE ALL ON FUNCTION dblink_connect(text) FROM PUBLIC;
        ALTER EXTENSION dblink DROP FUNCTION dblink_get_notify(); DROP FUNCTION dblink_get_notify()`);
      await connection.rows('GRANT EXECUTE ON FUNCTION dblink_connect(text) TO pg_monitor');
      await connection.rows('GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO pg_monitor');
      const before = await connection.rows(
        `SELECT oid, proacl FROM pg_proc WHERE proname LIKE 'dblink\\_connect%' ORDER BY 1`,
      );
      await connection.rows('ALTER EXTENSION dblink UPDATE');
      assert.deepEqual(
        await connection.rows(
          `SELECT oid, proacl FROM pg_proc WHERE proname LIKE 'dblink\\_connect%' ORDER BY 1`,
        ),
        before,
      );
      const versions = `SELECT count(*), min(obj_description(oid, 'pg_proc')), max(obj_description(oid, 'pg_proc'))
        FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'`;
      const [[count, oldest, newest] = []] = await connection.rows(versions);
      assert.deepEqual([count, oldest === newest, oldest === 'dblink-proxy bridge 0'], ['41', true, false]);
      assert.match(
        (
          await connection.rows(`SELECT prosrc FROM pg_proc WHERE oid = 'dblink_connect(text)'::regprocedure`)
        )[0]?.[0] ?? '',
        /dblink_proxy\.ask/,
      );
      await connection.end();
    });

    it('leaves a DDL trigger its notices and errors', async () => {
      const database = `extension_${++number}`;
      await createOwned(database);
      await execute(
        primary.url(database),
        `CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS
           'BEGIN RAISE NOTICE ''dropped % objects'', (SELECT count(*) FROM pg_event_trigger_dropped_objects() WHERE original); END';
         CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS
           'BEGIN RAISE EXCEPTION ''no %'', tg_tag USING ERRCODE = ''P0099''; END';
         CREATE EVENT TRIGGER tell ON sql_drop EXECUTE FUNCTION tell();
         CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN tag IN ('CREATE TYPE') EXECUTE FUNCTION forbid();
         ALTER EVENT TRIGGER forbid DISABLE`,
      );
      const [, , refused, , dropped] = await play(proxy, database, [
        'SELECT 1',
        'ALTER EVENT TRIGGER forbid ENABLE; SET ROLE extension_owner',
        'CREATE EXTENSION dblink',
        'RESET ROLE; ALTER EVENT TRIGGER forbid DISABLE; CREATE EXTENSION dblink',
        'DROP EXTENSION dblink',
      ]);
      const frame = (name: string) => `PL/pgSQL function ${name}() line 1 at RAISE`;
      assert.deepEqual(refused, [
        'CREATE EXTENSION dblink',
        { E: { S: 'ERROR', V: 'ERROR', C: 'P0099', M: 'no CREATE TYPE', W: frame('forbid') } },
        'Z I',
      ]);
      const notice = (count: number) => ({
        N: {
          S: 'NOTICE',
          V: 'NOTICE',
          C: '00000',
          M: `dropped ${count} objects`,
          W: frame('tell'),
        },
      });
      assert.deepEqual(dropped, ['DROP EXTENSION dblink', notice(1), 'DROP EXTENSION', 'Z I']);
    });

    it('ends at a time limit and at a cancel request, and leaves nothing', async () => {
      const database = `extension_${++number}`;
      await createOwned(database);
      await execute(
        `postgres://postgres@${proxy.host}:${proxy.port}/${database}`,
        `CREATE EXTENSION dblink; DROP EXTENSION dblink; CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END';
         CREATE EVENT TRIGGER wait ON ddl_command_start WHEN tag IN ('CREATE FUNCTION') EXECUTE FUNCTION wait()`,
      );
      const { connection, startup } = await WireConnection.open({
        host: proxy.host,
        port: proxy.port,
        parameters: { user: 'postgres', database },
      });
      const expected = (message: string) => [
        {
          E: {
            S: 'ERROR',
            V: 'ERROR',
            C: '57014',
            M: message,
            W: 'SQL statement "SELECT pg_sleep(60)"\nPL/pgSQL function wait() line 1 at PERFORM',
          },
        },
        'Z I',
      ];
      await connection.rows('SET ROLE extension_owner; SET statement_timeout = 300');
      connection.send(frontend.query('CREATE EXTENSION dblink'));
      assert.deepEqual(
        shown(await connection.collect(1)),
        expected('canceling statement due to statement timeout'),
      );
      await connection.rows('RESET statement_timeout');
      const key = startup.find((frame) => frame.type === 'K')!.body;
      for (const messages of [
        [frontend.query('CREATE EXTENSION dblink')],
        prepared('CREATE EXTENSION dblink'),
      ]) {
        connection.send(...messages);
        const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND wait_event = 'PgSleep'`;
        while ((await execute(primary.url(), waiting))[0]?.[0] !== '1') await delay(20);
        const socket = connect(proxy.port, proxy.host);
        socket.end(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
        const answer = shown(await connection.collect(1));
        assert.deepEqual(answer.slice(-2), expected('canceling statement due to user request'));
      }
      assert.deepEqual(
        await connection.rows(
          "SELECT count(*) FROM pg_proc WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'",
        ),
        [['0']],
      );
      assert.deepEqual(await connection.rows("SELECT count(*) FROM pg_type WHERE typname LIKE 'dblink%'"), [
        ['0'],
      ]);
      await connection.end();
    });

    it('ends while the service schema cannot be made', async () => {
      const database = `extension_${++number}`;
      await createOwned(database);
      const account = `postgres://extension_owner@${primary.host}:${primary.port}?sslmode=disable`;
      const owners = await startTestProxy(primary, { flags: { primary: account } });
      await execute(
        primary.url(database),
        `CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END';
         CREATE EVENT TRIGGER wait ON ddl_command_start WHEN tag IN ('CREATE SCHEMA') EXECUTE FUNCTION wait()`,
      );
      const connection = await open(owners, database);
      await connection.rows('SET statement_timeout = 300');
      connection.send(frontend.query('CREATE EXTENSION dblink'));
      assert.deepEqual(shown(await connection.collect(1)), [
        { E: { S: 'ERROR', V: 'ERROR', C: '57014', M: 'canceling statement due to statement timeout' } },
        'Z I',
      ]);
      await connection.end();
      await execute(
        primary.url(),
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'dblink-proxy'`,
      );
      await owners.stop();
    });

    it('gives way to the extension on a primary that has got it since', async () => {
      const database = `extension_${++number}`;
      await createDatabase(extension, database);
      const { host, port } = extension;
      const tls = { mode: 'disable', serverName: host } as const;
      await installBridge(
        { address: { host, port }, tls, user: 'postgres', password: undefined, database },
        database,
      );
      const relaying = await startTestProxy(extension);
      try {
        const connection = await open(relaying, database);
        const implementation =
          "SELECT DISTINCT lanname FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE proname LIKE 'dblink%' AND pronamespace::regnamespace::text <> 'dblink_proxy'";
        assert.deepEqual(await connection.rows(implementation), [['plpgsql']]);
        await connection.rows('CREATE EXTENSION IF NOT EXISTS dblink');
        assert.deepEqual(await connection.rows(implementation), [['plpgsql']]);
        await connection.rows('BEGIN; DROP EXTENSION dblink; CREATE EXTENSION dblink; COMMIT');
        assert.deepEqual(await connection.rows(implementation), [['c']]);
        await connection.rows('DROP EXTENSION dblink');
        assert.deepEqual(await connection.rows(implementation), []);
        await connection.end();
      } finally {
        await relaying.stop();
      }
    });

    it('leaves it to a primary that has the extension', async () => {
      const database = `extension_${++number}`;
      await createDatabase(extension, database);
      const relaying = await startTestProxy(extension);
      try {
        const connection = await open(relaying, database);
        await connection.rows('CREATE EXTENSION dblink');
        assert.deepEqual(
          await connection.rows("SELECT count(*) FROM pg_extension WHERE extname = 'dblink'"),
          [['1']],
        );
        await connection.end();
      } finally {
        await relaying.stop();
      }
    });
  });
}
