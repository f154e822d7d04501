import {
  bind,
  describePortal,
  execute,
  flow,
  open,
  parse,
  query,
  sync,
  testCase,
} from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** What is none of dblink's business, and statements that only look as if they were. */

const plain = (name: string, ...steps: Case['steps']): Case => testCase(`untouched: ${name}`, steps);
const LOCAL =
  "CREATE TABLE dblink (a int, dblink text); INSERT INTO dblink VALUES (1, 'dblink('), (2, 'x'); CREATE FUNCTION dblink_own(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 || '?' $$";

export const untouchedCases: readonly Case[] = [
  plain('queries', 'SELECT 1', 'SELECT * FROM items ORDER BY id', 'SELECT \'{text}\' AS "{text}"', 'SELECT'),
  plain('errors', 'SELECT 1/0', 'SELEC', 'SELECT * FROM nosuch', "SELECT 'x"),
  plain(
    'the word in strings',
    "SELECT 'dblink(''c'', ''x'')'",
    'SELECT $$ dblink $$',
    "SELECT E'dblink\\n'",
    "SELECT 'DBLINK' LIKE 'dblink%'",
  ),
  plain(
    'the word in comments',
    'SELECT 1 -- dblink(',
    '/* dblink() */ SELECT 2',
    '/* SELECT dblink_connect(/* nested */ */ SELECT 3',
  ),
  plain(
    'the word in identifiers',
    'SELECT 1 AS dblink',
    'SELECT 1 AS "dblink_connect"',
    'SELECT dblink.id FROM items dblink ORDER BY 1',
    'WITH dblink AS (SELECT 1 AS a) SELECT * FROM dblink',
  ),
  plain(
    'a syntax error with the word',
    'SELEC dblink(1)',
    "SELECT * FROM dblink('c', 'x' AS t(a int)",
    "SELECT * FROM dblink('c', 'x') AS t(a int",
    'dblink',
    "SELECT dblink_connect('c",
  ),
  plain('a syntax error behind a good statement', 'SELECT dblink_get_connections(); SELEC 1'),
  plain('an unknown function beside the word', "SELECT nosuch('dblink')"),
  plain(
    'a wrong number of arguments',
    "SELECT dblink_exec('a', 'b', true, 'd')",
    'SELECT dblink_get_connections(1)',
    "SELECT dblink_disconnect('a', 'b')",
    'SELECT * FROM dblink() AS t(a int)',
  ),
  testCase(
    'untouched: a table and a function of similar names',
    [
      'SELECT * FROM dblink ORDER BY a',
      'SELECT dblink FROM dblink ORDER BY a',
      "SELECT dblink_own('x')",
      "UPDATE dblink SET dblink = 'dblink' WHERE a = 2",
      'DROP TABLE dblink',
    ],
    { local: LOCAL },
  ),
  testCase(
    'untouched: a dblink beside a table of that name',
    [
      open('c'),
      "SELECT d.a, t.b FROM dblink d JOIN dblink('c', 'SELECT 1, $$r$$') AS t(a int, b text) USING (a)",
    ],
    { local: LOCAL },
  ),
  testCase(
    'untouched: a function of the user before the extension in search_path',
    ["SELECT * FROM dblink('c', 'x') AS d", "SELECT dblink('c', 'x')"],
    { local: "CREATE FUNCTION dblink(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'own ' || $1 $$" },
  ),
  testCase(
    'untouched: a function of the user with other arguments',
    ['SELECT dblink(1, 2)', open('c'), "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)"],
    { local: 'CREATE FUNCTION dblink(int, int) RETURNS int LANGUAGE sql AS $$ SELECT $1 + $2 $$' },
  ),
  plain(
    'SHOW and SET',
    'SHOW server_version_num',
    "SET application_name = 'dblink'",
    'SHOW application_name',
    'RESET application_name',
    "SET nosuch.dblink = 'x'",
    "SELECT current_setting('nosuch.dblink')",
  ),
  plain('SQL PREPARE without dblink', 'PREPARE p AS SELECT $1::int + 1', 'EXECUTE p(1)', 'DEALLOCATE p'),
  plain(
    'DO without dblink',
    "DO $$ BEGIN RAISE NOTICE 'hello'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'bye'; END $$",
  ),
  plain('the word in DO, only as text', "DO $$ BEGIN RAISE NOTICE 'dblink'; END $$"),
  plain('the word in EXPLAIN, only as text', "EXPLAIN (COSTS OFF) SELECT 'dblink' FROM nothing"),
  plain(
    'transactions',
    'BEGIN',
    'INSERT INTO savepoint_probe VALUES (9)',
    'SAVEPOINT a',
    'SELECT 1/0',
    'ROLLBACK TO a',
    'ROLLBACK',
    'COMMIT',
    'ABORT',
  ),
  plain('several statements', "SELECT 1; SELECT 'dblink'; SELECT 2/0; SELECT 3"),
  plain('empty queries', '', ';', ' ', '-- dblink'),
  plain(
    'notices',
    "DO $$ BEGIN RAISE WARNING 'w' USING DETAIL = 'd', HINT = 'h', ERRCODE = '01234'; END $$",
    'DROP TABLE IF EXISTS nosuch',
    'COMMIT',
  ),
  plain(
    'ParameterStatus',
    "SET timezone = 'Asia/Tokyo'",
    "SET datestyle = 'German'",
    'SET standard_conforming_strings = off',
    'SET client_encoding = LATIN1',
    'RESET ALL',
  ),
  plain(
    'the extended protocol',
    flow(
      parse("SELECT $1::text || 'dblink'", 's'),
      bind({ statement: 's', params: ['x'] }),
      describePortal(),
      execute(),
      sync,
    ),
    flow(
      parse('SELECT id FROM items ORDER BY id'),
      bind({ portal: 'p' }),
      execute(2, 'p'),
      execute(1, 'p'),
      sync,
    ),
    flow(parse('SELECT 1/0'), bind(), execute(), sync, query('SELECT 1')),
  ),
  plain(
    'large results and long statements',
    'SELECT g, repeat($$x$$, 100) FROM generate_series(1, 3000) g',
    `SELECT length('${'x'.repeat(100_000)}')`,
  ),
  plain(
    'an IN list beside dblink',
    open('c'),
    `SELECT count(*) FROM items i JOIN dblink('c', 'SELECT 1') AS t(a int) ON i.id = t.a WHERE i.id IN (${Array.from({ length: 3000 }, (_, i) => i).join(',')})`,
  ),
  plain('COPY to the client', 'COPY items TO STDOUT', "COPY (SELECT 'dblink') TO STDOUT"),
  plain('NOTIFY', 'LISTEN dblink', "NOTIFY dblink, 'dblink'", 'UNLISTEN *'),
  plain(
    'settings in effect',
    "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') AND name NOT IN ('application_name') ORDER BY 1",
  ),
];
