import { fetch, onRemote, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * dblink_get_notify, which only the bridge serves. Process ids differ from server to server: cases compare them on the
 * spot.
 */

const exec = (sql: string): string => `SELECT dblink_exec('c', $remote$${sql}$remote$)`;
const taken = "SELECT notify_name, extra FROM dblink_get_notify('c')";
/** By then a notification has come. */
const settle = 'SELECT pg_sleep(0.5)';

const on = (name: string, ...steps: Case['steps']): Case =>
  testCase(`notify: ${name}`, [open('c'), ...steps]);

const cases: readonly Case[] = [
  on('none', taken, "SELECT * FROM dblink_get_notify('c')", 'SELECT * FROM dblink_get_notify()'),
  on('from oneself', exec('LISTEN ch'), exec('NOTIFY ch'), exec("NOTIFY ch, 'payload'"), taken, taken),
  on(
    'the process',
    exec('LISTEN ch'),
    exec('NOTIFY ch'),
    "SELECT n.be_pid = t.pid FROM dblink_get_notify('c') n, dblink('c', 'SELECT pg_backend_pid()') AS t(pid int)",
  ),
  testCase('notify: the unnamed connection', [
    'SELECT * FROM dblink_get_notify()',
    "SELECT dblink_connect('{R}')",
    'SELECT * FROM dblink_get_notify()',
    "SELECT dblink_exec('LISTEN ch')",
    "SELECT dblink_exec('NOTIFY ch')",
    'SELECT notify_name, extra FROM dblink_get_notify()',
    'SELECT notify_name, extra FROM dblink_get_notify()',
  ]),
  testCase('notify: no connection', [
    "SELECT * FROM dblink_get_notify('nosuch')",
    'SELECT * FROM dblink_get_notify(NULL)',
    "SELECT * FROM dblink_get_notify(conname => 'nosuch')",
    "SELECT dblink_get_notify('nosuch')",
    'SELECT dblink_get_notify()',
  ]),
  on('from elsewhere', exec('LISTEN ch'), onRemote("NOTIFY ch, 'x'"), settle, taken, taken),
  on(
    'after the end of the transaction',
    exec('LISTEN ch'),
    exec('BEGIN'),
    exec('NOTIFY ch'),
    taken,
    exec('COMMIT'),
    taken,
    exec('BEGIN'),
    exec('NOTIFY ch'),
    exec('ROLLBACK'),
    taken,
  ),
  on(
    'several, in order',
    exec('LISTEN a'),
    exec('LISTEN b'),
    exec("NOTIFY b, '1'; NOTIFY a, '2'; NOTIFY b, '3'; NOTIFY c"),
    taken,
  ),
  on('through dblink()', fetch('LISTEN ch', 's text'), fetch("SELECT pg_notify('ch', 'p')", 'a text'), taken),
  on(
    'a filter and an order',
    exec('LISTEN ch'),
    exec("NOTIFY ch, '1'; NOTIFY ch, '2'"),
    "SELECT extra FROM dblink_get_notify('c') WHERE extra > '1' ORDER BY extra",
    taken,
  ),
  on(
    'a limit takes all',
    exec('LISTEN ch'),
    exec("NOTIFY ch, '1'; NOTIFY ch, '2'"),
    "SELECT extra FROM dblink_get_notify('c') LIMIT 1",
    taken,
  ),
  on(
    'never reached',
    exec('LISTEN ch'),
    exec('NOTIFY ch'),
    "SELECT extra FROM dblink_get_notify('c') WHERE false",
    "SELECT extra FROM dblink_get_notify('c') LIMIT 0",
    taken,
  ),
  on(
    'columns under other names',
    exec('LISTEN ch'),
    exec('NOTIFY ch'),
    "SELECT a, c FROM dblink_get_notify('c') AS t(a, b, c)",
    "SELECT notify_name FROM dblink_get_notify('c') AS t(a text, b int, c text)",
  ),
  on(
    'in a select list',
    exec('LISTEN ch'),
    exec("NOTIFY ch, 'x'"),
    "SELECT (dblink_get_notify('c')).extra",
    taken,
  ),
  on('the types', "SELECT * FROM dblink_get_notify('c')"),
  on(
    'while results are pending',
    exec('LISTEN ch'),
    "SELECT dblink_send_query('c', 'NOTIFY ch; SELECT 1')",
    "SELECT * FROM dblink_get_result('c') AS t(s text)",
    "SELECT * FROM dblink_get_result('c') AS t(a int)",
    "SELECT * FROM dblink_get_result('c') AS t(a int)",
    settle,
    taken,
  ),
  testCase('notify: text beyond ASCII', [
    open('c'),
    exec('LISTEN "{text}"'),
    exec('NOTIFY "{text}", \'{text}\''),
    taken,
  ]),
  testCase('notify: of a connection that is gone', [
    open('c'),
    exec('LISTEN ch'),
    exec('NOTIFY ch'),
    "SELECT dblink_disconnect('c')",
    taken,
    open('c'),
    taken,
  ]),
  testCase(
    'notify: in a function',
    [
      open('c'),
      exec('LISTEN ch'),
      exec("NOTIFY ch, 'x'"),
      'SELECT * FROM heard()',
      'SELECT * FROM heard()',
      'SELECT extra FROM v',
    ],
    {
      local: `CREATE FUNCTION heard() RETURNS SETOF text LANGUAGE sql AS $$ SELECT notify_name || ' ' || extra FROM dblink_get_notify('c') $$;
        CREATE VIEW v AS SELECT * FROM dblink_get_notify('c')`,
    },
  ),
  testCase('notify: of a remote that was killed', [
    "SELECT dblink_connect('c', '{R} application_name=victim')",
    exec('LISTEN ch'),
    onRemote(
      "SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_activity WHERE application_name = 'victim'",
    ),
    taken,
    "SELECT dblink_error_message('c')",
    taken,
    "SELECT dblink_error_message('c')",
    "SELECT dblink_send_query('c', 'SELECT 1')",
  ]),
];

export const notifyCases: readonly Case[] = cases.map((testCase) => ({ ...testCase, bridged: true }));
