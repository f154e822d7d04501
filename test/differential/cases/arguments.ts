import { bound, fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Arguments that the primary must evaluate. */

const on = (name: string, ...statements: readonly string[]): Case =>
  testCase(`arguments: ${name}`, [open('c'), ...statements]);

export const argumentCases: readonly Case[] = [
  on(
    'concatenation',
    "SELECT * FROM dblink('c', 'SELECT ' || 1 + 1) AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT ' || 42) AS t(a int)",
    "SELECT * FROM dblink('' || 'c', 'SELECT ''' || current_database() || '''') AS t(a text)",
  ),
  on(
    'format',
    "SELECT * FROM dblink('c', format('SELECT %L, %s', 'it''s', 7)) AS t(a text, b int)",
    "SELECT dblink_exec('c', format('SET %I = %L', 'a.b', 'x'))",
  ),
  on(
    'quote_literal and others',
    "SELECT * FROM dblink('c', 'SELECT ' || quote_literal('it''s {text}') || ', ' || quote_nullable(NULL)) AS t(a text, b text)",
    "SELECT * FROM dblink('c', concat('SELECT ', 1, ',', 2)) AS t(a int, b int)",
    "SELECT * FROM dblink(lower('C'), replace('SELECT X', 'X', '5')) AS t(a int)",
  ),
  on(
    'connection string from functions',
    "SELECT dblink_connect('f', format('host=%s port=%s user=%s dbname=%s', '{host}', '{port}', current_user, 'remote'))",
    "SELECT dblink_connect('g', 'host={host} port={port} dbname=remote user=' || current_user)",
    fetch('SELECT current_database()', 'd text', "'g', "),
  ),
  on(
    'connection string from a table',
    "SELECT * FROM dblink((SELECT v FROM conf WHERE k = 'remote'), 'SELECT current_database()') AS t(d text)",
    "SELECT dblink_connect('t', (SELECT v FROM conf WHERE k = 'remote'))",
  ),
  on(
    'connection string from a setting',
    "SET app.dsn = '{R}'",
    "SELECT * FROM dblink(current_setting('app.dsn'), 'SELECT 1') AS t(a int)",
  ),
  on(
    'a sub-select without rows is NULL',
    "SELECT * FROM dblink((SELECT v FROM conf WHERE k = 'nosuch'), 'SELECT 1') AS t(a int)",
  ),
  on('a sub-select with two rows', "SELECT * FROM dblink((SELECT name FROM items), 'SELECT 1') AS t(a int)"),
  on(
    'a function of the user',
    "SELECT * FROM dblink('c', 'SELECT ''' || shout('x') || '''') AS t(a text)",
    "SELECT dblink_exec('c', 'SET a.b = ''' || shout('y') || '''')",
  ),
  on(
    'a function that fails',
    "SELECT * FROM dblink('c', 'SELECT ' || 1/0) AS t(a int)",
    fetch('SELECT 1', 'a int'),
  ),
  on('a function that does not exist', "SELECT * FROM dblink('c', nosuch('x')) AS t(a int)"),
  on('a column that does not exist', "SELECT * FROM dblink('c', nosuch) AS t(a int)"),
  on('current_setting that does not exist', "SELECT dblink_connect('x', current_setting('nosuch.setting'))"),
  on('an argument of the wrong type', "SELECT * FROM dblink('c', 1) AS t(a int)"),
  on('a bad literal', "SELECT * FROM dblink('c', 'SELECT 1', 'perhaps') AS t(a int)"),
  on(
    'an argument of unknown type',
    "SELECT dblink_exec('c', NULL::text)",
    "SELECT dblink_exec('c', (SELECT 'SET a.b = 1'))",
  ),
  on(
    'data written in the same transaction',
    'BEGIN',
    "INSERT INTO scratch_conf VALUES ('q', 'SELECT 99')",
    "SELECT * FROM dblink('c', (SELECT v FROM scratch_conf WHERE k = 'q')) AS t(a int)",
    'ROLLBACK',
    "SELECT * FROM dblink('c', (SELECT v FROM scratch_conf WHERE k = 'q')) AS t(a int)",
  ),
  on(
    'sequences are read once',
    "SELECT dblink_exec('c', 'SET a.b = ''' || nextval('seq') || '''')",
    "SELECT nextval('seq')",
  ),
  on(
    'random text',
    "SELECT length(a) FROM dblink('c', 'SELECT ''' || md5(random()::text) || '''') AS t(a text)",
  ),
  on(
    'CASE',
    "SELECT * FROM dblink(CASE WHEN 1 = 1 THEN 'c' ELSE 'd' END, 'SELECT 1') AS t(a int)",
    "SELECT * FROM dblink('c', coalesce(NULL, 'SELECT 2')) AS t(a int)",
  ),
  on(
    'arrays and casts',
    "SELECT * FROM dblink((ARRAY['a','c'])[2], 'SELECT 1') AS t(a int)",
    "SELECT * FROM dblink('c', array_to_string(ARRAY['SELECT', '3'], ' ')) AS t(a int)",
  ),
  on(
    'E strings and dollar quotes in expressions',
    "SELECT * FROM dblink('c', $a$SELECT '$a$ || E'x\\ty' || $b$'$b$) AS t(a text)",
  ),
  on(
    'non-ASCII in expressions',
    "SELECT * FROM dblink('c', 'SELECT ''' || upper('{text}') || '''') AS t(a text)",
  ),
  on(
    'boolean from an expression',
    "SELECT * FROM dblink('c', 'SELECT 1/0', (SELECT false)) AS t(a int)",
    "SELECT dblink_exec('c', 'SELEC', 1 = 2)",
  ),
  on(
    'nested in another function',
    "SELECT length(dblink_exec('c', 'SET a.b = 1'))",
    "SELECT dblink_exec('c', 'SET a.b = ' || quote_literal(current_user))",
    "SELECT upper(dblink_error_message('c'))",
  ),
  on(
    'scalar sub-query',
    "SELECT (SELECT max(x) FROM dblink('c', 'SELECT id FROM people') AS t(x int))",
    "SELECT (SELECT x FROM dblink('c', 'SELECT 1 WHERE false') AS t(x int)) IS NULL AS none",
    "SELECT (SELECT x FROM dblink('c', 'SELECT id FROM people') AS t(x int))",
  ),
  on(
    'EXISTS, IN, ANY, ALL',
    "SELECT EXISTS (SELECT 1 FROM dblink('c', 'SELECT 1') AS t(x int))",
    "SELECT id FROM items WHERE id IN (SELECT x FROM dblink('c', 'SELECT id FROM people WHERE id < 3') AS t(x int)) ORDER BY id",
    "SELECT 3 = ANY (SELECT x FROM dblink('c', 'SELECT id FROM people') AS t(x int)) AS any, 3 <> ALL (SELECT x FROM dblink('c', 'SELECT id FROM people') AS t(x int)) AS all",
    "SELECT id FROM items WHERE id NOT IN (SELECT x FROM dblink('c', 'SELECT id FROM people WHERE id < 3') AS t(x int)) ORDER BY id",
  ),
  on(
    'ARRAY sub-query',
    "SELECT ARRAY(SELECT x FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(x int))",
  ),
  testCase('arguments: parameters', [
    open('c'),
    bound("SELECT * FROM dblink($1, 'SELECT 1') AS t(a int)", ['c']),
    bound("SELECT * FROM dblink('c', 'SELECT ' || $1) AS t(a int)", ['5']),
    bound('SELECT * FROM dblink($1, $2) AS t(a text)', ['c', "SELECT '{text}'"]),
    bound('SELECT * FROM dblink($1, $2, $3) AS t(a int)', ['c', 'SELECT 1/0', false]),
    bound("SELECT * FROM dblink('c', format('SELECT %L', $1::int)) AS t(a int)", [7]),
  ]),
  testCase('arguments: parameters are NULL', [
    open('c'),
    bound('SELECT * FROM dblink($1, $2) AS t(a int)', ['c', null]),
    bound('SELECT dblink_exec($1, $2)', [null, 'SET a.b = 1']),
  ]),
  testCase('arguments: a parameter of the wrong type', [
    open('c'),
    bound('SELECT * FROM dblink($1, $2) AS t(a int)', ['c', 'SELECT 1'], [23, 25]),
  ]),
  testCase('arguments: varchar parameters', [
    open('c'),
    bound('SELECT * FROM dblink($1, $2) AS t(a int)', ['c', 'SELECT 1'], [1043, 1043]),
  ]),
  testCase('arguments: a parameter used twice', [
    open('c'),
    bound("SELECT $1 AS p, * FROM dblink('c', 'SELECT ''' || $1 || '''') AS t(a text)", ['twice'], [25]),
  ]),
  testCase('arguments: parameters beside a source', [
    open('c'),
    bound(
      "SELECT i.id, t.n FROM items i JOIN dblink('c', 'SELECT id, name FROM people') AS t(id int, n text) ON t.id = i.id WHERE i.id = $1",
      [2],
    ),
    bound("SELECT * FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(id int) LIMIT $1", [2]),
    bound(
      "SELECT $2::text, t.id FROM dblink($1, 'SELECT id FROM people WHERE id < 3') AS t(id int) WHERE t.id <> $3 ORDER BY 2",
      ['c', 'x', 9],
    ),
  ]),
  testCase('arguments: too few parameters', [
    open('c'),
    bound('SELECT * FROM dblink($1, $2) AS t(a int)', ['c']),
  ]),
  testCase('arguments: too many parameters', [
    open('c'),
    bound('SELECT * FROM dblink($1, $2) AS t(a int)', ['c', 'SELECT 1', 'x']),
  ]),
].map((each) =>
  each.steps.some((step) => typeof step === 'string' && /scratch_conf|seq/.test(step))
    ? { ...each, local: 'CREATE TABLE scratch_conf (k text, v text); CREATE SEQUENCE seq' }
    : each,
);
