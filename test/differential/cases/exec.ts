import { bound, fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** dblink_exec: tags, errors off, several statements, rows where none are allowed. */

const exec = (sql: string, more = ''): string => `SELECT dblink_exec('c', $remote$${sql}$remote$${more})`;
const on = (name: string, ...statements: readonly string[]): Case =>
  testCase(name, [open('c'), ...statements]);
const REMOTE =
  'CREATE TABLE w (a int PRIMARY KEY, b text); INSERT INTO w VALUES (1), (2); CREATE PROCEDURE p() LANGUAGE sql AS $$ INSERT INTO w VALUES (100) $$';
const writing = (name: string, ...statements: readonly string[]): Case =>
  testCase(name, [open('c'), ...statements], { remote: REMOTE });

export const execCases: readonly Case[] = [
  writing(
    'tags of DML',
    exec('INSERT INTO w VALUES (3), (4)'),
    exec("UPDATE w SET b = 'x'"),
    exec('DELETE FROM w WHERE a > 2'),
    exec('TRUNCATE w'),
    exec('DELETE FROM w'),
  ),
  writing(
    'tags of DDL',
    exec('CREATE TABLE t (a int)'),
    exec('CREATE INDEX ON t (a)'),
    exec('ALTER TABLE t ADD b int'),
    exec('CREATE VIEW v AS SELECT 1'),
    exec('CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$'),
    exec('DROP VIEW v'),
    exec('COMMENT ON TABLE t IS $$x$$'),
    exec('CREATE TABLE ctas AS SELECT * FROM w'),
    exec('GRANT SELECT ON t TO PUBLIC'),
  ),
  on(
    'tags of settings and others',
    exec("SET application_name = 'x'"),
    exec('RESET application_name'),
    exec('LISTEN ch'),
    exec('UNLISTEN ch'),
    exec('NOTIFY ch'),
    exec('DISCARD TEMP'),
    exec('DO $$ BEGIN END $$'),
    exec('CHECKPOINT'),
    exec('PREPARE p AS SELECT 1'),
    exec('DEALLOCATE ALL'),
    exec('CREATE TEMP TABLE tt (a int)'),
    exec('LOAD $$plpgsql$$'),
  ),
  on(
    'tags of transactions',
    exec('BEGIN'),
    exec('SAVEPOINT s'),
    exec('RELEASE s'),
    exec('COMMIT'),
    exec('START TRANSACTION'),
    exec('ROLLBACK'),
    exec('BEGIN'),
    exec('END'),
    exec('COMMIT'),
    exec('ROLLBACK'),
  ),
  on('tag of COMMIT after an error', exec('BEGIN'), exec('SELECT 1/0', ', false'), exec('COMMIT')),
  on('begin inside a transaction', exec('BEGIN'), exec('BEGIN'), exec('ROLLBACK')),
  on('PREPARE TRANSACTION outside a transaction', exec("PREPARE TRANSACTION 'x'", ', false')),
  writing('VACUUM and ANALYZE', exec('VACUUM w'), exec('ANALYZE w'), exec('REINDEX TABLE w')),
  writing('CREATE INDEX CONCURRENTLY', exec('CREATE INDEX CONCURRENTLY ON w (b)')),
  writing('CALL', exec('CALL p()'), exec('CALL proc(1)'), exec('SELECT 1; CALL p()')),
  on('CALL with an output argument', exec('CALL proc_out(1)')),
  on('a query', exec('SELECT 1')),
  on('a query, errors off', exec('SELECT 1', ', false')),
  on('a query without columns', exec('SELECT')),
  on('a query without rows', exec('SELECT 1 WHERE false')),
  writing(
    'INSERT … RETURNING',
    exec('INSERT INTO w VALUES (3) RETURNING a', ', false'),
    fetch('SELECT count(*) FROM w', 'n int'),
  ),
  writing(
    'several statements',
    exec('CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)'),
    exec('SELECT 1; UPDATE w SET a = a + 10'),
  ),
  writing('several statements, the last a query', exec('CREATE TABLE t (a int); SELECT 1')),
  writing(
    'several statements, one fails',
    exec('INSERT INTO w VALUES (3); SELECT 1/0; INSERT INTO w VALUES (4)', ', false'),
    fetch('SELECT count(*) FROM w', 'n int'),
  ),
  writing(
    'several statements with their own transaction',
    exec('BEGIN; INSERT INTO w VALUES (3); COMMIT'),
    exec('BEGIN; INSERT INTO w VALUES (4)'),
    exec('ROLLBACK'),
  ),
  on('empty string', exec('')),
  on(
    'empty string, errors off',
    exec('', ', false'),
    exec(' ; ', ', false'),
    exec('-- x', ', false'),
    "SELECT dblink_error_message('c')",
  ),
  writing('unique violation', exec('INSERT INTO w VALUES (1)')),
  writing(
    'unique violation, errors off',
    exec('INSERT INTO w VALUES (1)', ', false'),
    "SELECT dblink_error_message('c')",
    exec('INSERT INTO w VALUES (3)'),
  ),
  on('syntax error', exec('SELEC 1')),
  on(
    'syntax error, errors off',
    exec('SELEC 1', ', false'),
    "SELECT dblink_error_message('c')",
    exec("SET a.b = '1'"),
    "SELECT dblink_error_message('c')",
  ),
  testCase(
    'one-shot',
    [
      "SELECT dblink_exec('{R}', 'INSERT INTO w VALUES (3)')",
      "SELECT dblink_exec('{R}', 'SELEC', false)",
      "SELECT dblink_exec('{R}', 'SELEC')",
    ],
    { remote: REMOTE },
  ),
  testCase(
    'unnamed',
    [
      "SELECT dblink_connect('{R}')",
      "SELECT dblink_exec('INSERT INTO w VALUES (3)')",
      "SELECT dblink_exec('INSERT INTO w VALUES (3)', false)",
      "SELECT dblink_exec('INSERT INTO w VALUES (3)', true)",
    ],
    { remote: REMOTE },
  ),
  on(
    'NULL arguments',
    "SELECT dblink_exec('c', NULL)",
    "SELECT dblink_exec(NULL, 'SELECT 1')",
    "SELECT dblink_exec('c', 'SELECT 1', NULL)",
    'SELECT dblink_exec(NULL)',
  ),
  on(
    'as a value in an expression',
    "SELECT dblink_exec('c', 'SET a.b = 1') = 'SET' AS same, length(dblink_exec('c', 'RESET a.b')) AS n",
    "SELECT upper(dblink_exec('c', 'set a.b = 1')) || '!'",
  ),
  on('as an argument of a function of the user', "SELECT loud(dblink_exec('c', 'set a.b = 1'))"),
  on('two in one select', "SELECT dblink_exec('c', 'BEGIN'), dblink_exec('c', 'COMMIT')"),
  on(
    'two in one select, the first fails',
    "SELECT dblink_exec('c', 'SELEC'), dblink_exec('c', 'SET a.b = 1')",
  ),
  on(
    'beside other values',
    "SELECT 1 AS one, dblink_exec('c', 'SET a.b = 1') AS tag, 'x' AS x, current_user",
  ),
  on(
    'non-ASCII',
    exec('CREATE TEMP TABLE "{text}" (a text); INSERT INTO "{text}" VALUES (\'{text}\')'),
    fetch('SELECT a FROM "{text}"', 'a text'),
    exec('DROP TABLE "nosuch{text}"'),
  ),
  testCase('through parameters', [
    open('c'),
    bound('SELECT dblink_exec($1, $2)', ['c', 'SET a.b = 1']),
    bound('SELECT dblink_exec($1, $2, $3)', ['c', 'SELEC', false]),
    bound('SELECT dblink_exec($1, $2)', ['c', null]),
    bound('SELECT dblink_exec($1, $2)', ['c', 'SELEC']),
  ]),
].map((each) => ({ ...each, name: `exec: ${each.name}` }));
