import { READER } from '../fixtures.js';
import { CONNECT, type Flow, flow, stringsOfStatements, withValues } from './types.js';

const PASSWORD = READER.password.replaceAll("'", "''");

/** What needs the functions of the extension or the bridge, or their foreign-data wrapper, beside functions that call dblink. */
export const helperFlows: readonly Flow[] = [
  flow(
    'rows of a cursor and of an asynchronous query in larger statements',
    CONNECT,
    "SELECT dblink_open('c', 'pages', 'SELECT item, amount FROM orders ORDER BY id')",
    "INSERT INTO log (line) SELECT item FROM dblink_fetch('c', 'pages', 2) AS t(item text, amount numeric)",
    withValues(
      'SELECT item FROM dblink_fetch($1, $2, 9) AS t(item text, n numeric) WHERE n < $3',
      'c',
      'pages',
      100,
    ),
    "SELECT dblink_close('c', 'pages'), dblink_send_query('c', 'SELECT item FROM orders WHERE id > 3')",
    withValues(
      'INSERT INTO log (line) SELECT item FROM dblink_get_result($1) AS t(item text) WHERE item <> $2 RETURNING line',
      'c',
      'ring',
    ),
    'DELETE FROM log',
    // Which of two functions is meant cannot be told from parameters without a type.
    withValues('SELECT * FROM dblink_fetch($1, $2, $3) AS t(a int)', 'c', 'pages', 1),
  ),
  flow(
    'notifications of the remote, and the statement that the client sent',
    CONNECT,
    "SELECT dblink_exec('c', 'LISTEN news')",
    "SELECT dblink_exec('c', 'NOTIFY news, ''été''; NOTIFY news')",
    "SELECT notify_name, extra FROM dblink_get_notify('c')",
    "SELECT notify_name, extra FROM dblink_get_notify('c')",
    "SELECT dblink_exec('c', 'NOTIFY news, ''2''')",
    withValues('SELECT n.extra FROM dblink_get_notify($1) n WHERE n.notify_name = $2', 'c', 'news'),
    'SELECT /* all */ dblink_current_query() AS q,\n  dblink_current_query() /* of it */',
    withValues('SELECT dblink_current_query() AS q, $1 AS given', 'one'),
    withValues('SELECT * FROM dblink_get_notify($1)', 'nosuch'),
  ),
  stringsOfStatements(
    'the string of statements that the client sent',
    'SELECT 1; SELECT dblink_current_query(); SELECT 3',
  ),
  flow(
    'statements made of a local row',
    'CREATE TEMP TABLE local (a int, "B b" text, c numeric, PRIMARY KEY ("B b", a))',
    "INSERT INTO local VALUES (1, 'it''s', 2.50), (2, E'back\\\\slash', NULL)",
    withValues('SELECT * FROM dblink_get_pkey($1) WHERE position < $2', 'local', 3),
    withValues(
      'SELECT dblink_build_sql_insert($1, $2::text::int2vector, $3, $4, $5)',
      'local',
      '1 2',
      2,
      ['1', "it's"],
      ['8', '"quoted", \\ é'],
    ),
    withValues('SELECT dblink_build_sql_delete($1, $2, $3, $4)', 'local', '2', 1, ['']),
    withValues(
      'SELECT dblink_build_sql_update($1, $2, $3, $4, $5)',
      'local',
      [1, 2],
      2,
      ['2', 'back\\slash'],
      ['9', null],
    ),
    withValues('SELECT dblink_build_sql_delete($1, $2::text::int2vector, $3, $4)', 'local', '1 2', 2, [
      'one',
    ]),
    withValues('SELECT * FROM dblink_get_pkey($1)', 'nosuch'),
  ),
  flow(
    'foreign servers',
    "CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '{P}', dbname '{D}')",
    "SELECT dblink_connect('c', 'far')",
    `CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS ("user" '${READER.name}', password '${PASSWORD}')`,
    withValues('SELECT dblink_connect($1, $2)', 'c', 'far'),
    withValues('SELECT * FROM dblink($1, $2) AS t(who text)', 'far', 'SELECT current_user::text'),
    "SELECT dblink_exec('c', 'DELETE FROM orders')",
    "ALTER USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (SET password 'wrong')",
    "SELECT * FROM dblink('far', 'SELECT 1') AS t(a int)",
    "ALTER SERVER far OPTIONS (ADD hots 'x')",
    'DROP SERVER far CASCADE',
    withValues('SELECT dblink_connect($1)', 'far'),
  ),
];
