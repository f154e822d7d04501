import { bound, fetch, onRemote, open, testCase } from '../notation.js';
import type { Case } from '../types.js';

/** dblink_send_query, dblink_is_busy, dblink_get_result, dblink_cancel_query (reference, section 6). */

const send = (sql: string): string => `SELECT dblink_send_query('c', $remote$${sql}$remote$)`;
const result = (columns = 'a int', more = ''): string =>
  `SELECT * FROM dblink_get_result('c'${more}) AS t(${columns})`;
const noRaise = (columns = 'a int'): string => result(columns, ', false');
const exec = (sql: string, more = ''): string => `SELECT dblink_exec('c', $remote$${sql}$remote$${more})`;
const message = "SELECT dblink_error_message('c')";
const busy = "SELECT dblink_is_busy('c')";
/** By then a short query has been answered. */
const settle = 'SELECT pg_sleep(0.5)';
const cancel = "SELECT dblink_cancel_query('c')";

const on = (name: string, ...steps: Case['steps']): Case => testCase(`async: ${name}`, [open('c'), ...steps]);
/** What only the bridge serves. */
const needing = (name: string, ...steps: Case['steps']): Case => ({ ...on(name, ...steps), bridged: true });
const hidden = (name: string, local: string, ...steps: Case['steps']): Case =>
  testCase(`async: ${name}`, [open('c'), ...steps], { local, bridged: true });

const OPEN_VICTIM = "SELECT dblink_connect('c', '{R} application_name=victim')";
const KILL = onRemote(
  "SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_activity WHERE application_name = 'victim'",
);
const killed = (name: string, ...steps: Case['steps']): Case =>
  testCase(`async: ${name}`, [OPEN_VICTIM, ...steps, "SELECT dblink_disconnect('c')"]);

export const asyncCases: readonly Case[] = [
  on(
    'one statement',
    send('SELECT 1'),
    result(),
    result(),
    result(),
    send('SELECT 2'),
    result('a text'),
    result(),
  ),
  on(
    'rows',
    send("SELECT g, 'row ' || g FROM generate_series(1, 5) g"),
    result('a int, b text'),
    result('x xml'),
  ),
  on(
    'several statements',
    send("SELECT 1; SET a.b = 'x'; SELECT 2 WHERE false; SELECT 3"),
    result(),
    result('s text'),
    result(),
    result(),
    result(),
  ),
  on(
    'an error ends the string',
    send('SELECT 1; SELECT 1/0; SELECT 3'),
    noRaise(),
    noRaise(),
    noRaise(),
    noRaise(),
    message,
  ),
  on('an error is raised', send('SELECT 1/0'), result(), result()),
  on(
    'an error is raised in so many words',
    send('SELECT 1/0'),
    result('a int', ', true'),
    result('a int', ', true'),
  ),
  on(
    'a command is a row',
    send('CREATE TEMP TABLE t (a int)'),
    result('s text'),
    result('s text'),
    send('INSERT INTO t VALUES (1), (2)'),
    result('s varchar'),
    result(),
  ),
  on('a command into other columns', send('SET a.b = 1; SET a.b = 2; SELECT 3'), result('a int')),
  on('a command into two columns', send('SET a.b = 1; SET a.b = 2'), result('a text, b text')),
  on('a wrong number of columns', send('SELECT 1, 2; SELECT 3'), result()),
  on(
    'what does not fit is taken all the same',
    send("SET a.b = 1; SELECT 1, 2; SELECT 'x'; SELECT 5"),
    result('a int'),
    result(),
    result(),
    result(),
    result(),
  ),
  on('the last call takes any column list', send('SELECT 1'), result(), result('a int, b text, c date')),
  on('an empty string', send(''), noRaise(), noRaise(), send(' ; -- x'), noRaise(), noRaise(), message),
  on('an empty string raises', send(''), result()),
  on('nothing was sent', result(), noRaise('a int, b int'), busy, cancel, message),
  testCase('async: no connection', [
    "SELECT dblink_send_query('nosuch', 'SELECT 1')",
    "SELECT dblink_is_busy('nosuch')",
    "SELECT * FROM dblink_get_result('nosuch') AS t(a int)",
    "SELECT * FROM dblink_get_result('nosuch', false) AS t(a int)",
    "SELECT dblink_cancel_query('nosuch')",
    "SELECT dblink_error_message('nosuch')",
    "SELECT dblink_send_query('{R}', 'SELECT 1')",
    "SELECT dblink_connect('{R}')",
    "SELECT dblink_send_query('', 'SELECT 1')",
  ]),
  testCase('async: there is no form for the unnamed connection', [
    "SELECT dblink_send_query('SELECT 1')",
    'SELECT dblink_is_busy()',
    'SELECT * FROM dblink_get_result() AS t(a int)',
    'SELECT dblink_cancel_query()',
    'SELECT dblink_error_message()',
  ]),
  on(
    'NULL arguments',
    "SELECT dblink_send_query('c', NULL)",
    "SELECT dblink_send_query(NULL, 'SELECT 1')",
    'SELECT dblink_is_busy(NULL)',
    'SELECT * FROM dblink_get_result(NULL) AS t(a int)',
    "SELECT * FROM dblink_get_result('c', NULL) AS t(a int)",
    'SELECT dblink_cancel_query(NULL)',
    'SELECT dblink_error_message(NULL)',
    result(),
  ),
  on(
    'which overload',
    "SELECT * FROM dblink_get_result('c', 'f') AS t(a int)",
    "SELECT * FROM dblink_get_result('c', 1) AS t(a int)",
    "SELECT dblink_send_query('c', 1)",
    "SELECT dblink_send_query('c', 'SELECT 1', true)",
  ),

  // Results that have not been taken.
  on(
    'sent twice',
    send('SELECT 1'),
    send('SELECT 2'),
    send('SELECT 3'),
    message,
    result(),
    send('SELECT 4'),
    result(),
    send('SELECT 5'),
    result(),
    result(),
    message,
  ),
  on(
    'exec, open, fetch and close are refused',
    send('SELECT 1'),
    exec('SET a.b = 1', ', false'),
    "SELECT dblink_open('c', 'k', 'SELECT 1', false)",
    "SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int)",
    "SELECT dblink_close('c', 'k', false)",
    message,
    result(),
    result(),
    exec('SET a.b = 1'),
  ),
  on('exec is refused with an error', send('SELECT 1'), exec('SET a.b = 1')),
  on(
    'open is refused, and counts',
    exec('SET a.b = 1'),
    "SELECT dblink_open('c', 'k', 'SELECT 1')",
    send('SELECT 1'),
    "SELECT dblink_open('c', 'l', 'SELECT 1', false)",
    result(),
    result(),
    "SELECT dblink_close('c', 'k')",
    fetch('SELECT now() = statement_timestamp()', 'idle bool'),
  ),
  on(
    'dblink() is refused and drops them',
    send('SELECT 1; SELECT 2'),
    fetch('SELECT 3', 'a int'),
    result(),
    fetch('SELECT 3', 'a int'),
    message,
  ),
  on(
    'dblink() is refused whatever fail_on_error',
    send('SELECT 1; SELECT 1/0'),
    `SELECT * FROM dblink('c', 'SELECT 2', false) AS t(a int)`,
    result(),
    message,
    fetch('SELECT 3', 'a int'),
  ),
  on(
    'dblink() waits for what it drops',
    send('CREATE TEMP TABLE tt AS SELECT 1 AS a; SELECT pg_sleep(0.5); INSERT INTO tt VALUES (2)'),
    fetch('SELECT 3', 'a int'),
    fetch('SELECT count(*) FROM tt', 'n int'),
  ),
  needing(
    'who has looked is free',
    send('SELECT 1'),
    result(),
    settle,
    busy,
    send('SELECT 2'),
    result(),
    settle,
    "SELECT * FROM dblink_get_notify('c')",
    exec('SET a.b = 1'),
  ),
  on(
    'an error and then other commands',
    send('selec 1'),
    settle,
    message,
    busy,
    message,
    exec('SET a.b = 1', ', false'),
    noRaise(),
    message,
    noRaise(),
    message,
    exec('SET a.b = 1'),
    message,
  ),
  on(
    'the error of an exec while results are pending',
    send('SELECT 1/0'),
    exec('SELECT 1', ', false'),
    exec('SELECT 1', ', false'),
    noRaise(),
    exec('SELECT 1', ', false'),
    noRaise(),
    message,
  ),
  on(
    'disconnect with results pending',
    send('SELECT 1; SELECT 2'),
    "SELECT dblink_disconnect('c')",
    open('c'),
    result(),
    fetch('SELECT 1', 'a int'),
  ),
  // What runs is cancelled, where the extension lets it run on.
  killed(
    'disconnect while it runs',
    send('SELECT pg_sleep(20)'),
    "SELECT dblink_disconnect('c')",
    KILL,
    "SELECT dblink_connect('c', '{R}')",
  ),

  // Busy or not, and cancelling.
  on('busy until it is done', send('SELECT pg_sleep(2)'), busy, noRaise('a text'), busy, noRaise(), busy),
  on(
    'not busy when it is done',
    send('SELECT 1'),
    settle,
    busy,
    busy,
    result(),
    settle,
    busy,
    result(),
    busy,
  ),
  on(
    'cancelled',
    send('SELECT pg_sleep(20)'),
    settle,
    cancel,
    noRaise(),
    noRaise(),
    message,
    fetch('SELECT 1', 'a int'),
  ),
  on('cancelled, with an error', send('SELECT pg_sleep(20)'), settle, cancel, result(), result()),
  on(
    'a cancel of nothing',
    cancel,
    fetch('SELECT 1', 'a int'),
    send('SELECT 1'),
    settle,
    cancel,
    result(),
    result(),
  ),
  on(
    'the rest of a cancelled string does not run',
    send('CREATE TEMP TABLE tt (); SELECT pg_sleep(20); SELECT 3'),
    settle,
    cancel,
    noRaise('s text'),
    noRaise('s text'),
    noRaise('s text'),
    fetch("SELECT to_regclass('tt')", 'a text'),
  ),
  testCase('async: two connections work side by side', [
    open('c'),
    open('d'),
    send('SELECT pg_sleep(0.3), 1'),
    "SELECT dblink_send_query('d', 'SELECT pg_sleep(0.3), 2')",
    result('s text, a int'),
    "SELECT * FROM dblink_get_result('d') AS t(s text, a int)",
    "SELECT * FROM dblink_get_result('d') AS t(s text, a int)",
    result(),
  ]),
  testCase(
    'async: both results in one statement',
    [
      open('c'),
      open('d'),
      send('SELECT 1'),
      "SELECT dblink_send_query('d', 'SELECT 2')",
      "SELECT * FROM dblink_get_result('c') AS t(a int), dblink_get_result('d') AS u(b int)",
      "SELECT * FROM dblink_get_result('c') AS t(a int) UNION ALL SELECT * FROM dblink_get_result('d') AS u(b int)",
    ],
    { bridged: true },
  ),
  testCase(
    'async: a time limit while waiting',
    [
      OPEN_VICTIM,
      send('SELECT pg_sleep(20)'),
      "SET statement_timeout = '300ms'",
      result(),
      'RESET statement_timeout',
      KILL,
      "SELECT dblink_disconnect('c')",
    ],
    { differs: 'own-error', contexts: ['autocommit'], transports: ['simple', 'extended', 'binary'] },
  ),

  // Places.
  needing(
    'in a select list',
    send('SET a.b = 1; SELECT 1'),
    "SELECT dblink_get_result('c')",
    "SELECT dblink_get_result('c')",
    "SELECT dblink_get_result('c')",
    "SELECT dblink_get_result('c', false)",
  ),
  needing(
    'in a select list with nothing pending',
    "SELECT dblink_get_result('c')",
    "SELECT 1, dblink_get_result('c', false)",
  ),
  on(
    'sent and taken by one statement',
    "SELECT dblink_send_query('c', 'SELECT 1'), dblink_is_busy('nosuch')",
    result(),
    result(),
  ),
  needing(
    'sent for every row',
    "SELECT dblink_send_query('c', 'SELECT ' || i) FROM generate_series(1, 3) i",
    result(),
    result(),
  ),
  needing(
    'with a filter, an order and a limit',
    send('SELECT g FROM generate_series(1, 9) g; SELECT 10; SELECT 11'),
    `${result()} WHERE a > 4 ORDER BY a DESC`,
    `${result()} LIMIT 0`,
    `${result()} LIMIT 1`,
    result(),
    result(),
  ),
  needing(
    'in a join with rows',
    send('SELECT 1'),
    "SELECT * FROM generate_series(1, 3) g, dblink_get_result('c') AS t(a int)",
    result(),
  ),
  needing(
    'in a lateral join',
    send('SELECT 1; SELECT 2'),
    "SELECT * FROM generate_series(1, 3) g, LATERAL (SELECT * FROM dblink_get_result('c', g > 0) AS t(a int)) t",
    result(),
  ),
  needing(
    'in INSERT … SELECT',
    send('SELECT g FROM generate_series(1, 3) g'),
    'CREATE TEMP TABLE got (a int)',
    `INSERT INTO got ${result()}`,
    'SELECT * FROM got',
    result(),
  ),
  testCase('async: parameters', [
    open('c'),
    bound('SELECT dblink_send_query($1, $2)', ['c', 'SELECT 1; SELECT 2; SELECT 1/0']),
    bound('SELECT * FROM dblink_get_result($1) AS t(a int)', ['c']),
    bound('SELECT * FROM dblink_get_result($1, $2) AS t(a int)', ['c', false], [25, 16]),
    bound('SELECT * FROM dblink_get_result($1, $2) AS t(a int)', ['c', false], [25, 16]),
    settle,
    bound('SELECT dblink_is_busy($1), dblink_cancel_query($2)', ['c', 'c']),
    bound('SELECT * FROM dblink_get_result($1, $2) AS t(a int)', ['c', null], [25, 16]),
  ]),
  testCase('async: text beyond ASCII', [
    open('c'),
    send("SELECT '{text}'; SELECT '{text}'::int"),
    result('a text'),
    noRaise('a text'),
    noRaise('a text'),
  ]),
  on(
    'styles',
    exec("SET datestyle = 'German'"),
    send("SELECT date '2024-02-03', interval '1 day 2 hours'"),
    result('a date, b interval'),
    result(),
    send("SET datestyle = 'SQL, DMY'; SELECT date '2024-02-03'"),
    result('s text'),
    result('a date'),
  ),
  on('an error aborts the block', 'BEGIN', send('SELECT 1/0'), result(), noRaise(), 'ROLLBACK', noRaise()),
  on(
    'a transaction',
    send('BEGIN; CREATE TEMP TABLE tt (a int)'),
    result('s text'),
    result('s text'),
    result('s text'),
    send('ROLLBACK'),
    result('s text'),
    result('s text'),
    fetch("SELECT to_regclass('tt')", 'a text'),
  ),
  on(
    'a notice of the remote is not shown',
    send("DO $$ BEGIN RAISE WARNING 'w'; END $$"),
    result('s text'),
    result('s text'),
  ),
  on(
    'server-side errors with all fields',
    send(
      "DO $$ BEGIN RAISE EXCEPTION 'm' USING ERRCODE = 'ZZ123', DETAIL = 'd', HINT = 'h', TABLE = 't'; END $$",
    ),
    result(),
    message,
  ),
  on(
    'COPY to the client',
    send('COPY (SELECT 1) TO STDOUT'),
    settle,
    busy,
    noRaise(),
    message,
    "SELECT dblink_disconnect('c')",
  ),
  on(
    'many rows',
    send("SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g"),
    `SELECT count(*), sum(a), sum(length(b)) FROM dblink_get_result('c') AS t(a int, b text)`,
    result(),
  ),
  on(
    'many rows, asked for first',
    send("SELECT g, repeat('x', 100) FROM generate_series(1, 60000) g"),
    settle,
    settle,
    "SELECT 0 * dblink_is_busy('c')",
    `SELECT count(*), sum(a), sum(length(b)) FROM dblink_get_result('c') AS t(a int, b text)`,
    result(),
  ),

  hidden(
    'in functions',
    `CREATE FUNCTION all_results() RETURNS SETOF int LANGUAGE plpgsql AS $$
     DECLARE n int;
     BEGIN
       PERFORM dblink_send_query('c', 'SELECT 1; SELECT 2; SELECT 3');
       LOOP
         WHILE dblink_is_busy('c') = 1 LOOP PERFORM pg_sleep(0.01); END LOOP;
         SELECT a INTO n FROM dblink_get_result('c') AS t(a int);
         EXIT WHEN NOT FOUND;
         RETURN NEXT n;
       END LOOP;
     END $$;
     CREATE FUNCTION caught() RETURNS SETOF text LANGUAGE plpgsql AS $$
     BEGIN
       PERFORM dblink_send_query('c', 'SELECT 1/0');
       BEGIN
         RETURN NEXT (SELECT a::text FROM dblink_get_result('c') AS t(a int));
       EXCEPTION WHEN division_by_zero THEN RETURN NEXT SQLERRM;
       END;
       RETURN NEXT coalesce((SELECT a::text FROM dblink_get_result('c') AS t(a int)), 'nothing');
     END $$`,
    'SELECT * FROM all_results()',
    'SELECT * FROM caught()',
    'SELECT * FROM all_results()',
  ),
  hidden(
    'a view',
    "CREATE VIEW v AS SELECT * FROM dblink_get_result('c') AS t(a int)",
    send('SELECT 1; SELECT 2, 3; SELECT 4'),
    'SELECT * FROM v',
  ),
  hidden(
    'a view of results that fit',
    "CREATE VIEW v AS SELECT * FROM dblink_get_result('c', false) AS t(a int)",
    send('SELECT 1; SELECT 2; SELECT 1/0'),
    'SELECT * FROM v',
    'SELECT * FROM v',
    'SELECT * FROM v',
    'SELECT * FROM v',
    'SELECT * FROM v',
  ),

  // A remote that is gone.
  killed(
    'killed while it runs',
    send('SELECT pg_sleep(20)'),
    settle,
    KILL,
    noRaise(),
    message,
    noRaise(),
    message,
    noRaise(),
    send('SELECT 1'),
    cancel,
  ),
  killed(
    'killed before it is sent',
    KILL,
    send('SELECT 1'),
    noRaise(),
    noRaise(),
    noRaise(),
    message,
    send('SELECT 1'),
    exec('x', ', false'),
    busy,
    message,
  ),
  killed(
    'killed, then asked',
    KILL,
    busy,
    message,
    busy,
    message,
    busy,
    message,
    noRaise(),
    cancel,
    exec('x', ', false'),
    message,
  ),
  killed(
    'killed while it runs, then asked',
    send('SELECT pg_sleep(20)'),
    settle,
    KILL,
    settle,
    busy,
    message,
    busy,
    message,
    noRaise(),
    message,
    busy,
    message,
    noRaise(),
    message,
    noRaise(),
  ),
  killed(
    'killed, then a result',
    KILL,
    noRaise(),
    message,
    cancel,
    exec('x', ', false'),
    exec('x', ', false'),
    cancel,
  ),
  killed(
    'killed while it runs, then exec and dblink()',
    send('SELECT pg_sleep(20)'),
    settle,
    KILL,
    exec('x', ', false'),
    fetch('SELECT 1', 'a int'),
  ),
  killed('killed, with an error', send('SELECT pg_sleep(20)'), settle, KILL, result()),
];
