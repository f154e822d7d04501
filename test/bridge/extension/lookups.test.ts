import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, type QueryArrayResult } from 'pg';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { testedMajors } from '../../support/majors.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { frontend, WireConnection } from '../../support/wire.js';

/** Statements that look for the extension, or create it from inside a DO block, beside a server that has it. */

type Asked = readonly [sql: string, ...values: string[]];

const LOOKUPS: readonly Asked[] = [
  ["SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'dblink'"],
  ["SELECT * FROM pg_catalog.pg_available_extension_versions WHERE name LIKE 'dbl%'"],
  ["SELECT extname, extversion FROM pg_extension WHERE extname ~ 'dbl' OR extname = $1", 'x'],
  [
    'SELECT e.extname, n.nspname FROM pg_catalog.pg_extension e LEFT JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1',
  ],
  ['SELECT * FROM pg_available_extensions WHERE name = $1', 'dblink'],
  ['PREPARE p(text) AS SELECT extversion FROM pg_extension WHERE extname = $1'],
  ["EXECUTE p('dblink')"],
  ['DEALLOCATE p'],
  [
    "BEGIN; DECLARE c CURSOR FOR SELECT installed FROM pg_available_extension_versions WHERE name = 'dblink'; FETCH c; COMMIT",
  ],
  ['SELECT 1/0 FROM pg_extension LIMIT 1'],
  ['SELECT nosuch FROM pg_extension'],
  ["SELECT * FROM pg_extension_update_paths('dblink') ORDER BY source, target"],
  ["SELECT p.target FROM pg_catalog.pg_extension_update_paths('dblink'::text) AS p WHERE path = '1.0--1.1'"],
  [
    "SELECT 1 FROM pg_extension_update_paths('dblink') AS p(a, b) WHERE (a, b) = ('1.2', '1.0') AND path IS NULL",
  ],
  ['SELECT * FROM pg_extension_update_paths($1) ORDER BY 1, 2', 'dblink'],
  ['SELECT count(*)::int FROM pg_extension_update_paths($1)', 'plpgsql'],
  ['SELECT * FROM pg_extension_update_paths($1)', '../nosuch'],
  ['SELECT * FROM pg_extension_update_paths(NULL)'],
  ['SELECT * FROM pg_extension_update_paths(1)'],
  ['SELECT * FROM pg_extension_update_paths(nosuch)'],
  ["SELECT a, nosuch FROM pg_extension_update_paths('dblink') AS p(a)"],
  ["SELECT * FROM pg_extension_update_paths('dblink', 1)"],
  ["SELECT pg_extension_update_paths('dblink') ORDER BY 1"],
  [
    "SELECT 'a' AS a, pg_catalog.pg_extension_update_paths('dblink' /* it */) AS way ORDER BY way DESC LIMIT 2",
  ],
  ['SELECT pg_extension_update_paths($1) ORDER BY 1', 'dblink'],
  ["SELECT pg_extension_update_paths('plpgsql')"],
  ["SELECT pg_extension_update_paths('../nosuch')"],
  ['SELECT pg_extension_update_paths(NULL)'],
  ['SELECT pg_extension_update_paths(1)'],
  [
    "SELECT e.name, pg_extension_update_paths(e.name) FROM pg_available_extensions e WHERE e.name IN ('dblink', 'plpgsql') ORDER BY 1, 2",
  ],
  [
    "SELECT count(*)::int FROM (SELECT pg_extension_update_paths('dblink') AS p) s WHERE p::text LIKE '(1.0,%'",
  ],
  ["SELECT count(*)::int, max(ordinality) FROM pg_extension_update_paths('dblink') WITH ORDINALITY"],
  [
    "SELECT (p).source, n FROM pg_extension_update_paths('dblink') WITH ORDINALITY AS p(source, target, path, n) WHERE n = 7",
  ],
  ["SELECT * FROM pg_extension_update_paths('dblink') WITH ORDINALITY AS p WHERE false"],
  [
    "SELECT n, source, target FROM unnest('{dblink,plpgsql}'::name[]) n LEFT JOIN pg_extension_update_paths(n /* of each */) p ON target = '1.2' ORDER BY 1, 2",
  ],
  [
    "SELECT name, p.path FROM pg_available_extensions e, LATERAL pg_extension_update_paths(e.name -- it\n) p WHERE e.name = 'dblink' ORDER BY 2",
  ],
  ["SELECT count(p), min((p).target) FROM pg_extension_update_paths('dblink') p"],
  ["PREPARE ways(name) AS SELECT path FROM pg_extension_update_paths($1) WHERE source = '1.0' ORDER BY 1"],
  ["EXECUTE ways('dblink')"],
  ['DEALLOCATE ways'],
  ['WITH pg_extension AS (SELECT 1 AS a) SELECT * FROM pg_extension'],
  ['TABLE pg_available_extensions LIMIT 0'],
  ['SELECT count(*) > 0 FROM ONLY pg_extension'],
  ['SELECT count(tableoid) > 0, count(xmin) > 0 FROM pg_extension'],
  ["SELECT pg_catalog.pg_extension.extname FROM pg_catalog.pg_extension WHERE extname = 'plpgsql'"],
  ["SELECT extname FROM pg_extension WHERE extname = 'plpgsql' FOR KEY SHARE"],
  [
    "SELECT count(*)::int FROM (SELECT * FROM pg_extension WHERE extname = 'plpgsql') AS e(oid, extname, extowner)",
  ],
];

const BLOCKS: readonly Asked[] = [
  ['DO $$ BEGIN IF false THEN\n CREATE EXTENSION dblink;\n END IF; END $$'],
  ["SELECT installed_version FROM pg_available_extensions WHERE name = 'dblink'"],
  [
    "DO $do$ BEGIN\n PERFORM $$ create extension dblink; $$; CREATE EXTENSION IF NOT EXISTS dblink; -- made\n RAISE NOTICE 'made'; END $do$",
  ],
  ['DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS "dblink" WITH SCHEMA public; END $$ LANGUAGE plpgsql'],
  ['DO $$ BEGIN CREATE EXTENSION dblink; END $$'],
  ['DO $$\nBEGIN\n CREATE EXTENSION IF NOT EXISTS dblink;\n PERFORM 1/0;\nEND $$'],
  ['DROP EXTENSION dblink'],
  ['BEGIN; DO $$ BEGIN CREATE EXTENSION dblink; END $$; ROLLBACK'],
  ["SELECT count(*)::int FROM pg_extension WHERE extname = 'dblink'"],
  ["DO $$\nBEGIN\n CREATE EXTENSION dblink SCHEMA public;\n RAISE 'line %', 4;\nEND $$"],
  ['DO $$ BEGIN CREATE EXTENSION dblink; END $$'],
  ['SELECT dblink_get_connections()'],
];

for (const major of testedMajors()) {
  describe(`looking for the extension, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let extension: PostgresServer;
    let proxy: TestProxy;
    let number = 0;

    before(async () => {
      [primary, extension] = await Promise.all([primaryServer(major), extensionServer(major)]);
      proxy = await startTestProxy(primary);
    });
    after(() => proxy.stop());

    const newDatabase = async (): Promise<string> => {
      const database = `lookups_${++number}`;
      await Promise.all([createDatabase(primary, database), createDatabase(extension, database)]);
      return database;
    };

    /** What a session is told: rows and notices, or the error. */
    const answers = async (
      port: number,
      database: string,
      all: readonly Asked[],
      user = 'postgres',
    ): Promise<unknown[]> => {
      const client = new Client({ host: '127.0.0.1', port, user, database });
      const notices: unknown[] = [];
      client.on('notice', ({ code, message, where }) => notices.push([code, message, where]));
      await client.connect();
      const said: unknown[] = [];
      for (const [sql, ...values] of all) {
        try {
          const result: unknown = await client.query({ text: sql, values, rowMode: 'array' });
          const results = (Array.isArray(result) ? result : [result]) as QueryArrayResult[];
          // What FETCH and EXECUTE return is not marked (docs/bridge.md).
          const unmarked = /^EXECUTE|FETCH/.test(sql);
          const told = results.map(({ rows, command, fields }) => [
            command,
            rows,
            fields.map((field) => (unmarked ? { ...field, tableID: 0, columnID: 0 } : field)),
          ]);
          said.push([sql, told, notices.splice(0)]);
        } catch (error) {
          const { code, message, detail, hint, where, position } = error as Record<string, unknown>;
          said.push([sql, { code, message, detail, hint, where, position }, notices.splice(0)]);
          await client.query('ROLLBACK');
          notices.splice(0);
        }
      }
      await client.end();
      return said;
    };

    it('finds it whatever the operator or parameter is, installed or not', async () => {
      const database = await newDatabase();
      for (const setup of ['SELECT 1', 'CREATE EXTENSION dblink', 'DROP EXTENSION dblink']) {
        await Promise.all([
          execute(extension.url(database), setup),
          execute(`postgres://postgres@${proxy.host}:${proxy.port}/${database}`, setup),
        ]);
        assert.deepEqual(
          await answers(proxy.port, database, LOOKUPS),
          await answers(extension.port, database, LOOKUPS),
          setup,
        );
      }
    });

    it('finds functions that no superuser has made, too', async () => {
      const database = await newDatabase();
      const role = `owner_${major}`;
      await execute(primary.url(), `CREATE ROLE ${role} LOGIN; ALTER DATABASE ${database} OWNER TO ${role}`);
      await execute(extension.url(database), 'CREATE EXTENSION dblink');
      await execute(`postgres://${role}@${proxy.host}:${proxy.port}/${database}`, 'CREATE EXTENSION dblink');
      assert.deepEqual(
        await execute(primary.url(database), "SELECT 1 FROM pg_extension WHERE extname = 'dblink'"),
        [],
      );
      // Rows of a catalog are for superusers to lock.
      const asked = LOOKUPS.filter(([sql]) => !sql.endsWith('FOR KEY SHARE'));
      const native = await answers(extension.port, database, asked);
      assert.deepEqual(await answers(proxy.port, database, asked), native);
      assert.deepEqual(await answers(proxy.port, database, asked, role), native);
    });

    it('marks columns as those of a table in each answer of the extended protocol', async () => {
      const database = await newDatabase();
      await execute(extension.url(database), 'CREATE EXTENSION dblink');
      await execute(`postgres://postgres@${proxy.host}:${proxy.port}/${database}`, 'CREATE EXTENSION dblink');
      const look =
        'SELECT name, 1 AS one, installed_version AS v, e.* FROM pg_available_extensions LEFT JOIN pg_extension e ON name = extname WHERE name = $1';
      const flights: readonly (readonly Buffer[])[] = [
        [frontend.parse('look', look), frontend.describe('S', 'look'), frontend.sync()],
        [
          frontend.bind({ portal: 'p', statement: 'look', values: [Buffer.from('nosuch')] }),
          frontend.describe('P', 'p'),
          frontend.execute('p', 0),
          frontend.close('S', 'look'),
          frontend.describe('P', 'p'),
          frontend.sync(),
        ],
        // The same columns, which here are none of a table.
        [
          frontend.parse('look', 'SELECT NULL::name AS name, 1 AS one, NULL AS v'),
          frontend.describe('S', 'look'),
          frontend.sync(),
        ],
        [frontend.query('DEALLOCATE look')],
        [
          frontend.parse('look', "SELECT extname AS a FROM pg_extension WHERE extname = 'x'"),
          frontend.sync(),
        ],
        [frontend.query('DEALLOCATE ALL')],
        [frontend.parse('look', 'SELECT NULL::name AS a'), frontend.describe('S', 'look'), frontend.sync()],
        [frontend.parse('look', look), frontend.describe('S', 'look'), frontend.sync()],
        [frontend.query('BEGIN')],
        [frontend.parse('', 'SELECT nosuch FROM pg_extension'), frontend.describe('S', ''), frontend.sync()],
        [frontend.query('SELECT * FROM pg_extension')],
        [frontend.query('ROLLBACK')],
        [
          frontend.query(
            "BEGIN; SELECT extname, extversion FROM pg_extension WHERE extname = 'x'; SELECT nosuch FROM pg_extension",
          ),
        ],
        [frontend.query('ROLLBACK')],
      ];
      const play = async (port: number): Promise<string[]> => {
        const { connection } = await WireConnection.open({
          host: '127.0.0.1',
          port,
          parameters: { user: 'postgres', database },
        });
        const frames: string[] = [];
        for (const flight of flights) {
          connection.send(...flight);
          for (const { type, body } of await connection.collect(1))
            frames.push(
              `${type} ${type === 'E' ? body.toString('latin1').replace(/\0[FLR][^\0]*/g, '') : body.toString('hex')}`,
            );
        }
        await connection.end();
        return frames;
      };
      assert.deepEqual(await play(proxy.port), await play(extension.port));
    });

    it('creates it from inside a DO block', async () => {
      const database = await newDatabase();
      assert.deepEqual(
        await answers(proxy.port, database, BLOCKS),
        await answers(extension.port, database, BLOCKS),
      );
    });

    it('leaves blocks of roles that may not create it to the primary', async () => {
      const database = await newDatabase();
      await execute(primary.url(), `CREATE ROLE low_${major} LOGIN`);
      const [[, error] = []] = (await answers(
        proxy.port,
        database,
        [['DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS dblink; END $$']],
        `low_${major}`,
      )) as unknown[][];
      assert.match(JSON.stringify(error), /"(0A000|58P01|42501)"/);
      const left =
        "SELECT 1 FROM pg_proc WHERE proname = 'dblink' UNION ALL SELECT 1 FROM pg_namespace WHERE nspname = 'dblink_proxy'";
      assert.deepEqual(await execute(primary.url(database), left), []);
    });
  });
}
