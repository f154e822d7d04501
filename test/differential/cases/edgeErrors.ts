import { fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * Errors of the behaviour reference's tables that no other case provokes: sections 3.1 (what is raised locally), 8 (foreign
 * servers) and 9 (credentials).
 *
 * Not to be had: the limit of open files and HV001; what only a wrapper in C can do (0A000 about sets and materialize mode
 * for functions that are not called as sets, "wrong number of arguments", "return type must be a row type", 42704
 * "undefined connection name"); 42501 for a connection option and 55006, which are newer than the releases compared with
 * (known-differences.test.ts, dblink-async.test.ts).
 */

const table = (name: string, steps: Case['steps'], more: Omit<Case, 'name' | 'steps'> = {}): Case =>
  testCase(`reference 3.1: ${name}`, steps, more);
const BRIDGED = { bridged: true } as const;
const exec = (sql: string, more = ''): string => `SELECT dblink_exec('c', $remote$${sql}$remote$${more})`;

/** The connection ends itself, which its next call notices. */
const DIE = "SELECT dblink_exec('c', 'select pg_terminate_backend(pg_backend_pid())', false)";

const raised: readonly Case[] = [
  table('record type has not been registered', [open('c'), "SELECT (dblink('c', 'select 1')).*"], BRIDGED),
  table(
    'record type has not been registered, no row',
    [open('c'), "SELECT (dblink('c', 'select 1 where false')).*"],
    BRIDGED,
  ),
  ...[
    "SELECT CASE WHEN true THEN dblink('c', 'select 1') END",
    "SELECT coalesce(dblink('c', 'select 1'), NULL)",
    "SELECT 1 WHERE dblink('c', 'select 1') IS NULL",
    "VALUES (dblink('c', 'select 1'))",
    "SELECT 1 LIMIT (dblink('c', 'select 1'))::text::int",
    "UPDATE l SET a = dblink('c', 'select 1')::text::int",
    "SELECT count(dblink('c', 'select 1'))",
  ].map((sql) =>
    table(`a set where none is accepted: ${sql}`, [open('c'), sql], {
      ...BRIDGED,
      local: 'CREATE TABLE l (a int)',
    }),
  ),
  table(
    'a set in an expression',
    [open('c'), "SELECT dblink('c', 'set a.b = 1')::text || '!'", "SELECT dblink('c', 'select 1') IS NULL"],
    BRIDGED,
  ),
  table('no column list in ROWS FROM', [open('c'), "SELECT * FROM ROWS FROM (dblink('c', 'select 1')) AS t"]),
  table('a record as a column', [open('c'), fetch('select 1', 'a record')]),
  table('a record as a column of a type', [open('c'), fetch("select '(1,x)'", 'a pair')]),
  table('begin error', [
    open('c'),
    DIE,
    "SELECT dblink_open('c', 'k', 'select 1', false)",
    "SELECT dblink_open('c', 'k', 'select 1', false)",
  ]),
  table('begin error while results are pending', [
    open('c'),
    "SELECT dblink_send_query('c', 'select 1')",
    "SELECT dblink_open('c', 'k', 'select 1', false)",
  ]),
  table('could not send query, of a dead connection', [
    open('c'),
    DIE,
    exec('x', ', false'),
    fetch('select 1', 'a int'),
    "SELECT dblink_send_query('c', 'select 1')",
  ]),
  table('a cursor of the remote that is not there', [
    open('c'),
    exec('begin'),
    "SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int)",
  ]),
  table('a FETCH that is a bare command', [
    open('c'),
    "SELECT dblink_open('c', 'k', 'select 1')",
    "SELECT * FROM dblink_fetch('c', 'k; set a.b = 1', 1) AS t(a int)",
  ]),
  table('a FETCH that is a bare command, errors off', [
    open('c'),
    "SELECT dblink_open('c', 'k', 'select 1')",
    "SELECT * FROM dblink_fetch('c', 'k; set a.b = 1', 1, false) AS t(a int)",
  ]),
  table(
    'commit error',
    [
      open('c'),
      "SELECT dblink_open('c', 'k', 'select 1')",
      exec('insert into dd values (1), (1)'),
      "SELECT dblink_close('c', 'k')",
      "SELECT dblink_error_message('c')",
    ],
    { remote: 'CREATE TABLE dd (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)' },
  ),
];

const PLAIN = 'SET ROLE plain_user';

/** Every way to open a connection has both checks of credentials, whatever fail_on_error. */
const credentials: readonly Case[] = ['{R}', '{R} password=unused'].flatMap((conninfo, index) => {
  const what = ['no password', 'a password that nobody asks for'][index];
  return [
    `SELECT dblink_connect('${conninfo}')`,
    `SELECT dblink_connect('c', '${conninfo}')`,
    `SELECT * FROM dblink('${conninfo}', 'select 1') AS t(a int)`,
    `SELECT * FROM dblink('${conninfo}', 'select 1', false) AS t(a int)`,
    `SELECT dblink_exec('${conninfo}', 'set a.b = 1')`,
    `SELECT dblink_exec('${conninfo}', 'set a.b = 1', false)`,
  ].map((sql) =>
    testCase(`reference 9: ${what}: ${sql.replaceAll(conninfo, '…')}`, [
      PLAIN,
      sql,
      'SELECT dblink_get_connections()',
    ]),
  );
});

const SERVER = `DROP FOREIGN DATA WRAPPER IF EXISTS handmade CASCADE; CREATE FOREIGN DATA WRAPPER handmade;
  CREATE SERVER sv FOREIGN DATA WRAPPER handmade OPTIONS (host '{host}', port '{port}', dbname 'remote');`;

const servers: readonly Case[] = [
  testCase(
    'reference 8: a foreign table of a wrapper without a handler',
    ['CREATE FOREIGN TABLE ft (a int) SERVER sv', 'SELECT * FROM ft'],
    { local: SERVER },
  ),
  ...["dblink_connect('sv')", "dblink_exec('sv', 'set a.b = 1', false)"].map((call) =>
    testCase(
      `reference 8: no mapping and no USAGE: ${call}`,
      [`SELECT ${call}`, PLAIN, `SELECT ${call}`, 'RESET ROLE', open('c')],
      { local: SERVER, differs: 'own-error' },
    ),
  ),
  testCase('reference 8: a mapping but no USAGE', [PLAIN, "SELECT dblink_exec('sv', 'set a.b = 1', false)"], {
    local: `${SERVER} CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS ("user" 'postgres')`,
    differs: 'own-error',
  }),
];

export const edgeErrorCases: readonly Case[] = [...raised, ...credentials, ...servers];
