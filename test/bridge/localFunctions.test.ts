import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Client, type DatabaseError } from 'pg';
import { withoutFrames } from '../../src/bridge/exchange/contextFrames.js';
import { installBridge } from '../../src/bridge/extension/install.js';
import { createFunctionSql } from '../../src/bridge/installed/publicFunctions.js';
import { CATALOGUE } from '../../src/dblink/catalogue.js';
import type { PostgresServer } from '../../src/embedded/index.js';
import { errorResponse, PgError } from '../../src/wire/errors.js';
import { eventually } from '../support/eventually.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../support/postgres.js';

/** The functions that concern the primary alone, called on direct connections: nothing of the proxy is there to help. */

const TABLES = `
CREATE TABLE t (a int, gone int, b text, PRIMARY KEY (b, a));
ALTER TABLE t DROP gone;
INSERT INTO t VALUES (1, E'x''\\\\y'), (2, 'q');
CREATE INDEX ix ON t (a);`;

const STATEMENTS: readonly string[] = [
  "SELECT * FROM dblink_get_pkey('t')",
  'SELECT dblink_get_pkey(NULL)',
  "SELECT * FROM dblink_get_pkey('nosuch')",
  "SELECT * FROM dblink_get_pkey('a b')",
  "SELECT * FROM dblink_get_pkey('ix')",
  "SELECT dblink_build_sql_insert('t', '1', 1, '{1}', '{5}')",
  "SELECT dblink_build_sql_update('t', '2 1', 2, ARRAY[E'x''\\\\y', '1'], '{é,NULL}')",
  "SELECT dblink_build_sql_delete('t', '1', 1, '{5}')",
  "SELECT dblink_build_sql_insert('t', '1', 1, '{99}', '{5}')",
  "SELECT dblink_build_sql_insert('t', '1', 1, '{x}', '{5}')",
  "SELECT dblink_build_sql_update('t', '3', 1, '{1}', '{5}')",
  "SELECT dblink_build_sql_delete('t', '1', 1, '{}')",
  'SELECT dblink_current_query() /* so */',
  "CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host 'x', port '1')",
  "CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'x', password 'y')",
  "ALTER SERVER s OPTIONS (ADD usr 'x')",
  "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (pasword 'x')",
  "ALTER FOREIGN DATA WRAPPER dblink_fdw OPTIONS (ADD host 'x')",
  'DROP SERVER s CASCADE',
];

/** Rows, or what an error says; its CONTEXT is what only the proxy can mend. */
async function outcome(client: Client, sql: string): Promise<unknown> {
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows;
  } catch (error) {
    const { code, message, detail, hint, position, internalQuery, internalPosition } = error as DatabaseError;
    return { code, message, detail, hint, position, internalQuery, internalPosition };
  }
}

async function connected<T>(url: string, act: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

for (const major of [18, 15]) {
  describe(`functions that need no proxy, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let extension: PostgresServer;
    before(async () => {
      [primary, extension] = await Promise.all([primaryServer(major), extensionServer(major)]);
    });

    /** A database with the functions of the bridge, and nothing else of it. @returns its address */
    async function database(name: string, encoding = 'UTF8'): Promise<string> {
      const url = await createDatabase(primary, name, { encoding });
      const { host, port } = primary;
      const tls = { mode: 'disable', serverName: host } as const;
      const address = { address: { host, port }, tls, user: 'postgres', password: undefined, database: name };
      await installBridge(address, name);
      await execute(url, `DROP SCHEMA dblink_proxy CASCADE; ${TABLES}`);
      return url;
    }

    for (const encoding of ['UTF8', 'LATIN1', 'SQL_ASCII']) {
      it(`answers like the extension in ${encoding}`, async () => {
        const name = `local_${encoding.toLowerCase()}`;
        const ours = await database(name, encoding);
        const theirs = await createDatabase(extension, name, { encoding });
        await execute(theirs, `CREATE EXTENSION dblink; ${TABLES}`);
        const play = (url: string): Promise<unknown[]> =>
          connected(url, async (client) => {
            const outcomes: unknown[] = [];
            for (const sql of STATEMENTS) outcomes.push([sql, await outcome(client, sql)]);
            return outcomes;
          });
        assert.deepEqual(await play(ours), await play(theirs));
      });
    }

    it('waits for who changes the table, and then sees the table as it is', async () => {
      const url = await database('local_waiting');
      await connected(url, (changing) =>
        connected(url, async (asking) => {
          const {
            rows: [row],
          } = await asking.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
          const waits = async (): Promise<boolean> => {
            const { rows } = await changing.query('SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted', [
              row!.pid,
            ]);
            return rows.length > 0;
          };
          for (const [change, sql, expected] of [
            [
              'ALTER TABLE t ADD c int',
              "dblink_build_sql_delete('t', '3', 1, '{5}')",
              "DELETE FROM t WHERE c = '5'",
            ],
            [
              'DROP TABLE t; CREATE TABLE t (z int)',
              "dblink_build_sql_delete('t', '1', 1, '{5}')",
              "DELETE FROM t WHERE z = '5'",
            ],
            ['DROP TABLE t', "dblink_build_sql_delete('t', '1', 1, '{5}')", 'relation "t" does not exist'],
          ] as const) {
            await changing.query('BEGIN');
            await changing.query(change);
            const answer = asking.query<{ s: string }>(`SELECT ${sql} AS s`).then(
              ({ rows }) => rows[0]?.s,
              (error: Error) => error.message,
            );
            await eventually('it waits', waits);
            await changing.query('COMMIT');
            assert.equal(await answer, expected);
          }
        }),
      );
    });
  });
}

describe('the validator on PostgreSQL 18.5 and later', () => {
  // None of these runs here, so that the function is told that it is on one.
  it('checks use_scram_passthrough', async () => {
    const url = await createDatabase(await primaryServer(18), 'local_passthrough');
    const validator = CATALOGUE.find(({ name }) => name === 'dblink_fdw_validator')!;
    const sql = createFunctionSql(validator, 'public');
    const later = sql.replace("current_setting('server_version_num')", "'180005'");
    assert.notEqual(later, sql);
    await execute(url, later);
    const check = (value: string, catalog: string): string =>
      `SELECT dblink_fdw_validator('{use_scram_passthrough=${value}}', '${catalog}'::regclass)::text`;
    const said = await connected(url, async (client) => {
      const answers: unknown[] = [];
      for (const catalog of ['pg_foreign_server', 'pg_user_mapping', 'pg_foreign_data_wrapper'])
        for (const value of ['ON', 'maybe']) answers.push(await outcome(client, check(value, catalog)));
      return answers.map((answer) => {
        const { code, message, hint } = answer as DatabaseError;
        return code === undefined ? 'valid' : [code, message, hint];
      });
    });
    const notBoolean = ['42601', 'use_scram_passthrough requires a Boolean value', undefined];
    const invalid = [
      'HV00J',
      'invalid option "use_scram_passthrough"',
      'There are no valid options in this context.',
    ];
    assert.deepEqual(said, ['valid', notBoolean, 'valid', notBoolean, invalid, invalid]);
  });
});

describe('the frames of functions that need no proxy', () => {
  const NOTHING_KNOWN = { shadowed: new Set<string>(), unmarked: false };
  const context = (lines: readonly string[], routine = 'exec_stmt_raise'): string | undefined => {
    const error = new PgError('22023', 'm', { context: lines.join('\n'), routine, file: 'f.c' });
    const changed = withoutFrames(errorResponse(error), (same) => same, NOTHING_KNOWN) ?? error;
    return [changed.fields.file, changed.fields.context].filter((field) => field !== undefined).join('|');
  };
  const SIGNATURE = 'dblink_build_sql_delete(text,int2vector,integer,text[])';

  it('are taken away, with where they say that the error was raised', () => {
    assert.equal(context([`PL/pgSQL function ${SIGNATURE} line 5 at RAISE`]), '');
    assert.equal(context([`PL/pgSQL-Funktion "ö ""x""".${SIGNATURE} Zeile 5 bei RAISE`]), '');
    assert.equal(context([`PL/pgSQL関数pg_temp_3.${SIGNATURE}の5行目 - RAISE`]), '');
    assert.equal(context([`PL/pgSQL function ${SIGNATURE} line 5 at assignment`], 'x'), 'f.c');
  });

  it('are taken away from among others', () => {
    const others = ['PL/pgSQL function f(integer) line 1 at RAISE', 'SQL statement "SELECT a FROM v"'];
    const caller = 'PL/pgSQL function g() line 3 at RETURN';
    assert.equal(
      context([...others, `PL/pgSQL function public.${SIGNATURE} line 58 at EXECUTE`, caller]),
      `f.c|${[...others, caller].join('\n')}`,
    );
  });

  it('are taken away with the expression that PostgreSQL quotes', () => {
    const caller = 'PL/pgSQL function g() line 3 at RETURN';
    const quoted =
      'PL/pgSQL assignment "relation := pg_catalog.regclass(/*dblink-proxy*/ $1 /*dblink-proxy*/)"';
    assert.equal(
      context([quoted, `PL/pgSQL function ${SIGNATURE} line 5 at assignment`, caller], 'x'),
      `f.c|${caller}`,
    );
  });

  it("are not mistaken for others' frames and statements", () => {
    for (const line of [
      `PL/pgSQL function my${SIGNATURE} line 5 at RAISE`,
      'PL/pgSQL function dblink_build_sql_delete(text,integer) line 5 at RAISE',
      `SQL statement "GRANT EXECUTE ON FUNCTION ${SIGNATURE} TO nosuch1"`,
    ]) {
      assert.equal(context([line]), `f.c|${line}`);
    }
  });
});
