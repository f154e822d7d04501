import { bound, onRemote, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { plpgsql, sql } from './functionNotation.js';

/**
 * dblink inside of sessions that dblink opens to the server itself: `l` is one. What is sent to it is written between `$l$`, and what
 * that sends further between `$m$`.
 */

/** The server itself, by one of its addresses. */
const itself = (host = '127.0.0.1', more = ''): string =>
  `host=${host} port={lport} user=postgres dbname=app options=-csearch_path=scratch,public${more}`;
const L = itself();
const openTo = (conninfo: string, name = 'l'): string => `SELECT dblink_connect('${name}', '${conninfo}')`;
const ask = (text: string, columns = 'v text', name = 'l'): string =>
  `SELECT * FROM dblink('${name}', $l$${text}$l$) AS t(${columns})`;
const exec = (text: string, more = ''): string => `SELECT dblink_exec('l', $l$${text}$l$${more})`;

const VIEW = `CREATE VIEW far AS SELECT * FROM dblink('{R}', 'SELECT id, name FROM people') AS t(id int, name text);\n`;
const WRITES = plpgsql("BEGIN RETURN dblink_exec('{R}', statement); END", { args: 'statement text' });
const TRIGGER = `CREATE TABLE watched (a int);
${plpgsql("BEGIN PERFORM dblink_exec('r', 'INSERT INTO w VALUES (' || NEW.a || ')'); RETURN NEW; END", { name: 'copy_far', returns: 'trigger' })}
CREATE TRIGGER copy_far AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION copy_far();\n`;
const SLOW = plpgsql("BEGIN RETURN dblink_exec('{R} application_name=victim', 'SELECT pg_sleep(2)'); END", {
  name: 'slow',
});
/** What the extension lets run on would be taken for something left over. */
const KILL = onRemote(
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'",
);
const W = { remote: 'CREATE TABLE w (a int)' };
const RFAR = '{R} options=-csearch_path=scratch';

/** The loopback leads to the database `app`, where the case's objects have to be. */
const inside = (
  name: string,
  local: string,
  steps: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case =>
  testCase(`loopback: ${name}`, [openTo(L), ...steps], {
    local,
    bridged: true,
    sessions: ['utf8', 'latin1', 'styles'],
    ...more,
  });

export const loopbackCases: readonly Case[] = [
  inside('calls at the top level', '', [
    ask(
      "SELECT * FROM dblink('{R}', 'SELECT id, name FROM people ORDER BY id') AS t(id int, name text)",
      'id int, name text',
    ),
    ask("SELECT count(*) FROM dblink('{R}', 'SELECT id FROM people') AS t(id int), generate_series(1, 2)"),
    ask("SELECT dblink_connect('r', '{R}')"),
    ask('SELECT dblink_get_connections()'),
    'SELECT dblink_get_connections()',
    ask("SELECT dblink_exec('r', 'SET a.b = 1'), dblink_error_message('r')", 'v text, w text'),
    ask("SELECT * FROM dblink('r', 'SELECT 1; SELECT current_setting($$a.b$$)') AS t(v text)"),
    "SELECT dblink_exec('r', 'SELECT 1')",
    ask("SELECT dblink_disconnect('r')"),
    ask("SELECT dblink_disconnect('r')"),
    bound('SELECT * FROM dblink($1, $2) AS t(v text)', ['l', "SELECT dblink_exec('{R}', 'SET a.b = 1')"]),
  ]),
  inside('a view', VIEW, [
    ask('SELECT id, name FROM far ORDER BY id', 'id int, name text'),
    ask('SELECT count(*) FROM far a, far b', 'n int'),
    `SELECT * FROM dblink('${L}', 'SELECT name FROM far ORDER BY id') AS t(name text)`,
    `SELECT i.id, t.name FROM items i JOIN dblink('l', 'SELECT id, name FROM far') AS t(id int, name text) USING (id) ORDER BY 1`,
  ]),
  inside(
    'a function',
    WRITES,
    [
      ask("SELECT f('INSERT INTO scratch.w VALUES (1)')"),
      exec("DO $do$ BEGIN PERFORM f('INSERT INTO scratch.w VALUES (2)'); END $do$"),
      `SELECT dblink_exec('${L}', $l$ SELECT f('INSERT INTO scratch.w VALUES (3)') $l$)`,
      exec("CREATE TEMP TABLE made AS SELECT f('INSERT INTO scratch.w VALUES (4)') AS tag"),
      ask('SELECT tag FROM made'),
    ],
    W,
  ),
  inside(
    'a trigger',
    TRIGGER,
    [
      exec('INSERT INTO watched VALUES (1)'),
      ask(`SELECT dblink_connect('r', '${RFAR}')`),
      exec('INSERT INTO watched VALUES (1), (2)'),
      exec('BEGIN'),
      exec('INSERT INTO watched VALUES (3)'),
      exec('INSERT INTO watched VALUES (NULL)'),
      exec('ROLLBACK'),
      ask('SELECT a FROM watched ORDER BY a', 'a int'),
      ask("SELECT * FROM dblink('r', 'SELECT a FROM w ORDER BY a') AS t(a int)", 'a int'),
    ],
    W,
  ),
  inside('errors', WRITES, [
    ask("SELECT * FROM dblink('{R}', 'SELECT 1/0') AS t(a int)"),
    ask("SELECT f('INSERT INTO nosuch VALUES (1)')"),
    ask(
      "SELECT f('DO $do$ BEGIN RAISE EXCEPTION USING ERRCODE = $q$ZZ123$q$, MESSAGE = $q$m$q$, DETAIL = $q$d$q$, HINT = $q$h$q$; END $do$')",
    ),
    ask("SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(a int)"),
    ask("SELECT * FROM dblink('{R}', 'SELECT 1') AS t(a int, b int)"),
    ask("SELECT dblink('{R}', 'SELECT 1')"),
    ask("SELECT * FROM dblink('{R}', 'SELECT $$x$$') AS t(a int)"),
    ask("SELECT nosuch('dblink')"),
    exec(
      "DO $do$ BEGIN PERFORM f('selec'); EXCEPTION WHEN OTHERS THEN RAISE EXCEPTION '% %', SQLSTATE, SQLERRM USING ERRCODE = 'P0077'; END $do$",
    ),
    "SELECT dblink_error_message('l')",
    exec("SELECT f('selec')", ', false'),
    "SELECT dblink_error_message('l')",
  ]),
  inside('three levels', VIEW + WRITES, [
    ask(`SELECT * FROM dblink('${L}', $m$ SELECT name FROM far ORDER BY id $m$) AS t(v text)`),
    ask(`SELECT dblink_connect('m', '${L}')`),
    ask(`SELECT * FROM dblink('m', $m$ SELECT dblink_connect('r', '{R}') $m$) AS t(v text)`),
    ask(`SELECT * FROM dblink('m', $m$ SELECT dblink_get_connections() $m$) AS t(v text)`),
    ask('SELECT dblink_get_connections()'),
    ask(`SELECT * FROM dblink('m', $m$ SELECT f('INSERT INTO nosuch VALUES (1)') $m$) AS t(v text)`),
    ask(`SELECT dblink_exec('m', $m$ DO $do$ BEGIN PERFORM f('SET a.b = 1'); END $do$ $m$)`),
  ]),
  inside('asynchronously', VIEW, [
    "SELECT dblink_send_query('l', 'SELECT name FROM far ORDER BY id; SELECT count(*)::text FROM far')",
    "SELECT * FROM dblink_get_result('l') AS t(v text)",
    "SELECT * FROM dblink_get_result('l') AS t(v text)",
    "SELECT * FROM dblink_get_result('l') AS t(v text)",
    "SELECT dblink_is_busy('l')",
    ask("SELECT dblink_connect('r', '{R}')"),
    ask("SELECT dblink_send_query('r', 'SELECT 1')", 'v int'),
    ask("SELECT * FROM dblink_get_result('r') AS t(v int)", 'v int'),
    ask("SELECT * FROM dblink_get_result('r') AS t(v int)", 'v int'),
  ]),
  inside('cursors', VIEW, [
    "SELECT dblink_open('l', 'cur', 'SELECT id, name FROM far ORDER BY id')",
    "SELECT * FROM dblink_fetch('l', 'cur', 2) AS t(id int, name text)",
    "SELECT * FROM dblink_fetch('l', 'cur', 100) AS t(id int, name text)",
    "SELECT dblink_close('l', 'cur')",
    ask("SELECT dblink_connect('r', '{R}')"),
    ask("SELECT dblink_open('r', 'cur', 'SELECT id FROM people ORDER BY id')"),
    ask("SELECT id FROM dblink_fetch('r', 'cur', 2) AS t(id int)", 'id int'),
    ask("SELECT dblink_close('r', 'cur')"),
  ]),
  inside('notifications', '', [
    exec('LISTEN news'),
    exec("SELECT pg_notify('news', 'dblink')"),
    ask("SELECT dblink_connect('r', '{R}')"),
    ask("SELECT dblink_exec('r', 'LISTEN far_news; NOTIFY far_news')"),
    ask("SELECT notify_name FROM dblink_get_notify('r')"),
    "SELECT notify_name, extra FROM dblink_get_notify('l')",
  ]),
  inside('a large result', VIEW, [
    ask(
      "SELECT length(v), md5(v) FROM (SELECT string_agg(v, '') AS v FROM dblink('{R}', 'SELECT repeat(chr(64 + i % 60), 1000) FROM generate_series(1, 500) AS i') AS t(v text)) s",
      'n int, m text',
    ),
    `SELECT count(*), sum(length(v)) FROM dblink('l', $l$ SELECT v FROM dblink('{R}', 'SELECT repeat(chr(64 + i % 60), 1000) FROM generate_series(1, 500) AS i') AS t(v text) $l$) AS t(v text)`,
  ]),
  inside('time limits and levels of isolation', VIEW + SLOW, [
    exec("SET statement_timeout = '300ms'"),
    ask("SELECT * FROM dblink('{R} application_name=victim', 'SELECT pg_sleep(2)') AS t(v text)"),
    ask('SELECT slow()'),
    KILL,
    exec('RESET ALL'),
    ask('SELECT count(*) FROM far', 'n int'),
    exec('DISCARD ALL'),
    ask('SELECT count(*) FROM far', 'n int'),
    exec('BEGIN ISOLATION LEVEL SERIALIZABLE'),
    ask('SELECT count(*) FROM far', 'n int'),
    exec('COMMIT'),
    exec('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'),
    ask('SELECT count(*) FROM far', 'n int'),
    exec('COMMIT'),
  ]),
  inside(
    'what the caller of another role may',
    sql("SELECT dblink_connect('x', '{R}')", { attributes: 'SECURITY DEFINER' }),
    [
      exec('SET ROLE plain_user'),
      ask("SELECT dblink_connect('x', '{R}')"),
      ask("SELECT dblink_connect_u('x', '{R}')"),
      ask('SELECT scratch.f()'),
      exec('RESET ROLE'),
      ask("SELECT dblink_connect('y', '{R}')"),
      ask("SELECT dblink_connect_u('z', '{R}')"),
    ],
  ),
  testCase(
    'loopback: other addresses and databases of the server',
    [
      openTo(itself('localhost'), 'l'),
      ask("SELECT * FROM dblink('{R}', 'SELECT count(*) FROM people') AS t(n int)"),
      ask('SELECT count(*) FROM far'),
      "SELECT dblink_connect('o', 'host=127.0.0.1 port={lport} user=postgres dbname=app_latin1')",
      ask("SELECT * FROM dblink('{R}', 'SELECT name FROM people ORDER BY id') AS t(v text)", 'v text', 'o'),
      ask("DO $do$ BEGIN PERFORM dblink_connect('r', '{R}'); END $do$", 'v text', 'o'),
      ask('SELECT dblink_get_connections()', 'v text', 'o'),
    ],
    { local: VIEW, bridged: true, sessions: ['utf8'] },
  ),
];
