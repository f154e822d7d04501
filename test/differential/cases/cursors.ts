import { bound, fetch, onRemote, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** dblink_open, dblink_fetch, dblink_close: arguments, errors, and the remote transaction around them. */

const REMOTE =
  "CREATE TABLE w (a int PRIMARY KEY, b text); INSERT INTO w SELECT i, 'row ' || i FROM generate_series(1, 6) i";
const QUERY = 'SELECT a, b FROM w ORDER BY a';
const openCursor = (cursor = 'cur', sql = QUERY, more = ''): string =>
  `SELECT dblink_open('c', '${cursor}', $remote$${sql}$remote$${more})`;
const rows = (howMany: number | string, cursor = 'cur', more = '', columns = 'a int, b text'): string =>
  `SELECT * FROM dblink_fetch('c', '${cursor}', ${howMany}${more}) AS t(${columns})`;
const close = (cursor = 'cur', more = ''): string => `SELECT dblink_close('c', '${cursor}'${more})`;
const exec = (sql: string, more = ''): string => `SELECT dblink_exec('c', $remote$${sql}$remote$${more})`;
const count = fetch('SELECT count(*) FROM w', 'n int', "'{R}', ");
const message = "SELECT dblink_error_message('c')";

/** A connection whose process on the remote can be ended. */
const OPEN_VICTIM = "SELECT dblink_connect('c', '{R} application_name=victim')";
const KILL = onRemote(
  "SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_activity WHERE application_name = 'victim'",
);

const on = (name: string, ...steps: Case['steps']): Case =>
  testCase(`cursors: ${name}`, [open('c'), ...steps], { remote: REMOTE });
/** What only the bridge serves. */
const needing = (name: string, ...steps: Case['steps']): Case => ({ ...on(name, ...steps), bridged: true });
const hidden = (name: string, local: string, ...steps: Case['steps']): Case =>
  testCase(`cursors: ${name}`, [open('c'), ...steps], { remote: REMOTE, local, bridged: true });

export const cursorCases: readonly Case[] = [
  on('a named connection', openCursor(), rows(2), rows(2), rows(10), rows(1), close(), rows(1)),
  testCase(
    'cursors: the unnamed connection',
    [
      "SELECT dblink_connect('{R}')",
      `SELECT dblink_open('cur', '${QUERY}')`,
      "SELECT * FROM dblink_fetch('cur', 2) AS t(a int, b text)",
      "SELECT * FROM dblink_fetch('cur', 1, false) AS t(a int, b text)",
      "SELECT dblink_close('cur')",
      `SELECT dblink_open('cur', '${QUERY}', true)`,
      "SELECT * FROM dblink_fetch('cur', 2, true) AS t(a int, b text)",
      "SELECT dblink_close('cur', true)",
      "SELECT dblink_close('cur', false)",
      "SELECT dblink_exec('ROLLBACK')",
      "SELECT * FROM dblink_fetch('cur', 2, false) AS t(a int, b text)",
      `SELECT dblink_open('cur', 'SELECT * FROM nosuch', false)`,
      'SELECT dblink_disconnect()',
    ],
    { remote: REMOTE },
  ),
  on(
    'every overload with fail_on_error',
    openCursor('cur', QUERY, ', true'),
    rows(1, 'cur', ', true'),
    rows(1, 'cur', ', false'),
    close('cur', ', true'),
    openCursor('cur', QUERY, ', false'),
    close('cur', ', false'),
  ),
  testCase('cursors: no connection', [
    "SELECT dblink_open('nosuch', 'cur', 'SELECT 1')",
    "SELECT * FROM dblink_fetch('nosuch', 'cur', 1) AS t(a int)",
    "SELECT dblink_close('nosuch', 'cur')",
    "SELECT dblink_open('nosuch', 'cur', 'SELECT 1', false)",
    "SELECT * FROM dblink_fetch('nosuch', 'cur', 1, false) AS t(a int)",
    "SELECT dblink_close('nosuch', 'cur', false)",
    "SELECT dblink_open('cur', 'SELECT 1')",
    "SELECT * FROM dblink_fetch('cur', 1) AS t(a int)",
    "SELECT dblink_close('cur')",
    "SELECT dblink_open('cur', 'SELECT 1', false)",
    "SELECT * FROM dblink_fetch('cur', 1, false) AS t(a int)",
    "SELECT dblink_close('cur', false)",
  ]),
  testCase('cursors: a connection string is no connection', [
    "SELECT dblink_open('{R}', 'cur', 'SELECT 1')",
    "SELECT * FROM dblink_fetch('{R}', 'cur', 1) AS t(a int)",
    "SELECT dblink_close('{R}', 'cur')",
  ]),
  on(
    'NULL arguments',
    "SELECT dblink_open('c', NULL, 'SELECT 1')",
    "SELECT dblink_open('c', 'cur', NULL)",
    "SELECT dblink_open(NULL, 'cur', 'SELECT 1')",
    "SELECT dblink_open('c', 'cur', 'SELECT 1', NULL)",
    "SELECT * FROM dblink_fetch('c', 'cur', NULL::int) AS t(a int)",
    "SELECT * FROM dblink_fetch('c', NULL, 1) AS t(a int)",
    "SELECT * FROM dblink_fetch(NULL, 'cur', 1) AS t(a int)",
    "SELECT * FROM dblink_fetch('c', 'cur', 1, NULL) AS t(a int)",
    "SELECT dblink_close('c', NULL::text)",
    "SELECT dblink_close(NULL, 'cur')",
    "SELECT dblink_close('c', 'cur', NULL)",
    fetch('SELECT now() = statement_timestamp()', 'idle bool'),
  ),
  testCase('cursors: which overload', [
    open('c'),
    "SELECT dblink_open('cur', 'SELECT 1', 'true')",
    "SELECT dblink_fetch('m', 'x', '1')",
    "SELECT * FROM dblink_fetch('m', 1, 'f') AS t(a int)",
    "SELECT * FROM dblink_fetch('m', 'x', '1') AS t(a int)",
    "SELECT dblink_close('cur', 'f')",
    "SELECT * FROM dblink_fetch('c', 'cur', 1::smallint) AS t(a int)",
    "SELECT * FROM dblink_fetch('c', 'cur', 1::bigint) AS t(a int)",
    "SELECT * FROM dblink_fetch('c', 'cur', 1.5) AS t(a int)",
    "SELECT * FROM dblink_fetch('c', 'cur', 99999999999) AS t(a int)",
    "SELECT dblink_open('c', 'cur')",
    'SELECT dblink_close()',
  ]),

  // Transactions (reference, section 5).
  on('the last close commits', openCursor(), exec("INSERT INTO w VALUES (7, 'x')"), count, close(), count),
  on(
    'two cursors, two closes',
    openCursor('k1'),
    openCursor('k2'),
    exec('DELETE FROM w'),
    close('k1'),
    count,
    close('k2'),
    count,
    exec('DECLARE k3 CURSOR FOR SELECT 1', ', false'),
  ),
  on(
    "the user's transaction stays open",
    exec('BEGIN'),
    openCursor(),
    exec('DELETE FROM w'),
    rows(1),
    close(),
    count,
    exec('ROLLBACK'),
    count,
  ),
  on(
    'a disconnect loses what was not committed',
    openCursor(),
    exec('DELETE FROM w'),
    "SELECT dblink_disconnect('c')",
    count,
  ),
  on('the end of the session loses what was not committed', openCursor(), exec('DELETE FROM w')),
  on(
    'open that fails leaves the transaction aborted',
    openCursor('cur', 'SELECT * FROM nosuch', ', false'),
    openCursor('cur', QUERY, ', false'),
    message,
    exec('ROLLBACK'),
    openCursor(),
    close(),
  ),
  on('open that fails with an error', openCursor('cur', 'SELECT * FROM nosuch')),
  on(
    'open that fails counts all the same',
    openCursor('k1'),
    exec('SAVEPOINT s'),
    openCursor('k2', 'nonsense', ', false'),
    exec('ROLLBACK TO s'),
    close('k1'),
    count,
    exec('SELECT 1/0', ', false'),
    exec('ROLLBACK'),
  ),
  on('open of a cursor that is there', openCursor(), openCursor('cur', QUERY, ', false'), exec('ROLLBACK')),
  on(
    'open again after a rollback starts anew',
    openCursor(),
    exec('ROLLBACK'),
    openCursor(),
    exec('DELETE FROM w'),
    close(),
    count,
  ),
  on('close of nothing', close('cur', ', false'), close(), close('nosuch', ', false'), message),
  on(
    'close that fails changes nothing',
    openCursor(),
    exec('SAVEPOINT s'),
    close('nosuch', ', false'),
    exec('ROLLBACK TO s'),
    exec('DELETE FROM w'),
    close(),
    count,
  ),
  on(
    'close all counts once',
    openCursor('k1'),
    openCursor('k2'),
    close('all'),
    rows(1, 'k1', ', false'),
    exec('ROLLBACK'),
  ),
  on(
    'COMMIT by the user',
    openCursor(),
    exec('DELETE FROM w'),
    exec('COMMIT'),
    count,
    close('cur', ', false'),
    rows(1, 'cur', ', false'),
  ),
  testCase(
    'cursors: a deferred constraint fails at the last close',
    [
      open('c'),
      `SELECT dblink_open('c', 'zz', 'SELECT 1')`,
      exec('INSERT INTO dd VALUES (1), (1)'),
      "SELECT dblink_close('c', 'zz', false)",
      message,
      fetch('SELECT count(*) FROM dd', 'n int'),
    ],
    { remote: 'CREATE TABLE dd (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)' },
  ),
  on(
    'tags of transaction commands',
    exec("PREPARE TRANSACTION 'x'", ', false'),
    exec('BEGIN'),
    exec('SELECT 1/0', ', false'),
    exec('COMMIT'),
    exec('BEGIN; SAVEPOINT a'),
    exec('RELEASE a'),
    exec('BEGIN'),
    exec('END'),
  ),
  testCase(
    'cursors: local ROLLBACK closes nothing',
    [
      open('c'),
      'BEGIN',
      openCursor(),
      'ROLLBACK',
      rows(1),
      'BEGIN',
      close(),
      'ROLLBACK',
      rows(1, 'cur', ', false'),
    ],
    { remote: REMOTE, contexts: ['autocommit'] },
  ),

  // Names and statements are pasted.
  on(
    'names fold, unless quoted',
    openCursor('Cur2'),
    rows(1, 'CUR2'),
    openCursor('"Mixed Case"'),
    rows(1, '"Mixed Case"'),
    rows(1, 'Mixed Case', ', false'),
    exec('ROLLBACK'),
  ),
  on(
    'a scrolling cursor',
    openCursor('h SCROLL'),
    rows(3, 'h'),
    rows(-2, 'h'),
    rows(0, 'h'),
    rows(-10, 'h'),
    close('h'),
  ),
  on(
    'a cursor WITH HOLD',
    openCursor('h', QUERY),
    exec('DECLARE k CURSOR WITH HOLD FOR SELECT 1, $$x$$'),
    close('h'),
    rows(1, 'k'),
    close('k'),
  ),
  on('how many', openCursor(), rows(0), rows(1), rows(0), rows(-1, 'cur', ', false'), exec('ROLLBACK')),
  on(
    'two statements to open',
    openCursor('x', 'SELECT 1; SELECT 2', ', false'),
    close('all'),
    openCursor('x', 'SELECT 1; SELECT 2'),
  ),
  on(
    'an empty query',
    openCursor('x', '', ', false'),
    exec('ROLLBACK'),
    openCursor('', 'SELECT 1', ', false'),
    exec('ROLLBACK'),
  ),
  on(
    'a command instead of a FETCH',
    exec('CREATE TEMP TABLE tt ()'),
    openCursor(),
    rows(1, 'cur; SET a.b = 1', ', false'),
    rows(1, 'cur'),
  ),
  on(
    'a name that is too long',
    openCursor('k'.repeat(70)),
    rows(1, 'k'.repeat(63)),
    close('k'.repeat(600), ', false'),
    exec('ROLLBACK'),
    close('k'.repeat(600), ', false'),
  ),
  testCase('cursors: a query that is a parameter', [
    open('c'),
    bound('SELECT dblink_open($1, $2, $3)', ['c', 'cur', 'SELECT 1 UNION ALL SELECT 2']),
    bound('SELECT * FROM dblink_fetch($1, $2, $3) AS t(a int)', ['c', 'cur', 1], [25, 25, 23]),
    bound('SELECT * FROM dblink_fetch($1, $2, $3, $4) AS t(a int)', ['c', 'cur', 1, false], [25, 25, 23, 16]),
    bound('SELECT dblink_close($1, $2)', ['c', 'cur'], [25, 25]),
  ]),
  testCase('cursors: text beyond ASCII', [
    open('c'),
    "SELECT dblink_open('c', '\"{text}\"', 'SELECT ''{text}''')",
    "SELECT * FROM dblink_fetch('c', '\"{text}\"', 1) AS t(a text)",
    "SELECT dblink_close('c', '{text} {text}', false)",
  ]),

  // Errors.
  on(
    'errors while fetching',
    openCursor('cur', 'SELECT 10 / (3 - a), b FROM w ORDER BY a'),
    rows(2),
    rows(5, 'cur', ', false'),
    rows(1, 'cur', ', false'),
    message,
  ),
  on('an error while fetching', openCursor('cur', 'SELECT 10 / (3 - a), b FROM w ORDER BY a'), rows(5)),
  on(
    'a wrong number of columns, yet the cursor advances',
    openCursor(),
    rows(2, 'cur', '', 'a int'),
    rows(1),
    rows(0, 'cur', '', 'a int'),
    rows(100, 'cur', '', 'a int, b text, c text'),
    rows(1),
  ),
  on(
    'a value that does not fit, yet the cursor advances',
    openCursor(),
    rows(2, 'cur', '', 'a int, b int'),
    message,
    rows(1),
    close(),
  ),
  on(
    'a value that does not fit, fail_on_error or not',
    openCursor(),
    rows(2, 'cur', ', false', 'a int, b int'),
    rows(1),
  ),
  needing(
    'no column list',
    openCursor(),
    "SELECT dblink_fetch('c', 'cur', 1)",
    "SELECT * FROM dblink_fetch('c', 'cur', 1)",
    rows(1),
    "SELECT (dblink_fetch('c', 'cur', 1)).*",
  ),
  needing('in a select list of no row', openCursor(), "SELECT dblink_fetch('c', 'nosuch', 1, false)"),
  on('context of errors', close('x'), exec('BEGIN'), rows(1, 'x'), exec('ROLLBACK')),

  // Places.
  needing(
    'in a join',
    openCursor(),
    "SELECT x, t.* FROM generate_series(1, 2) x, dblink_fetch('c', 'cur', 2) AS t(a int, b text) ORDER BY x, a",
    rows(1),
  ),
  needing(
    'LIMIT fetches all the same',
    openCursor(),
    `${rows(3)} LIMIT 1`,
    `${rows(3)} LIMIT 0`,
    `${rows(1)} WHERE false`,
    rows(2),
  ),
  needing(
    'in a lateral join',
    openCursor(),
    "SELECT x, t.a FROM generate_series(1, 2) x, LATERAL dblink_fetch('c', 'cur', x) AS t(a int, b text)",
    rows(1),
  ),
  needing(
    'in INSERT … SELECT',
    openCursor(),
    'CREATE TEMP TABLE got (a int, b text)',
    `INSERT INTO got ${rows(2)}`,
    'SELECT * FROM got',
  ),
  on(
    'several in a select list',
    `SELECT dblink_open('c', 'k1', 'SELECT 1'), dblink_open('c', 'k2', 'SELECT 2')`,
    "SELECT dblink_close('c', 'k1'), dblink_close('c', 'k2')",
  ),
  needing(
    'for every row',
    "SELECT dblink_open('c', 'k' || i, 'SELECT ' || i) FROM generate_series(1, 3) i",
    rows(1, 'k3', '', 'a int'),
    "SELECT dblink_close('c', 'k' || i) FROM generate_series(1, 3) i",
    rows(1, 'k3', ', false', 'a int'),
  ),
  on(
    'an error aborts the block',
    'BEGIN',
    openCursor(),
    rows(1, 'nosuch'),
    rows(1),
    'ROLLBACK',
    close('cur', ', false'),
  ),
  hidden(
    'in a function',
    `CREATE FUNCTION all_rows() RETURNS SETOF text LANGUAGE plpgsql AS $$
     DECLARE r record; n int := 0;
     BEGIN
       PERFORM dblink_open('c', 'cur', '${QUERY}');
       LOOP
         n := 0;
         FOR r IN SELECT * FROM dblink_fetch('c', 'cur', 4) AS t(a int, b text) LOOP n := n + 1; RETURN NEXT r.b; END LOOP;
         EXIT WHEN n = 0;
       END LOOP;
       RETURN NEXT dblink_close('c', 'cur');
     END $$`,
    'SELECT * FROM all_rows()',
    'SELECT * FROM all_rows()',
    count,
  ),
  hidden(
    'errors caught in a function',
    `CREATE FUNCTION caught() RETURNS text LANGUAGE plpgsql AS $$
     BEGIN
       PERFORM dblink_open('c', 'cur', 'SELECT * FROM nosuch');
       RETURN 'not reached';
     EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
     END $$;
     CREATE FUNCTION fetched() RETURNS text LANGUAGE plpgsql AS $$
     DECLARE got text;
     BEGIN
       SELECT b INTO got FROM dblink_fetch('c', 'cur', 1) AS t(a int);
       RETURN got;
     EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
     END $$`,
    'SELECT caught()',
    'SELECT fetched()',
    "SELECT dblink_close('c', 'cur', false)",
    exec('ROLLBACK'),
  ),
  hidden(
    'a view over a fetch',
    "CREATE VIEW v AS SELECT * FROM dblink_fetch('c', 'cur', 2) AS t(a int, b text)",
    openCursor(),
    'SELECT * FROM v',
    'SELECT * FROM v',
    'SELECT count(*) FROM v',
    'SELECT * FROM v',
  ),
  hidden(
    'in DO',
    '',
    `DO $$ BEGIN PERFORM dblink_open('c', 'cur', '${QUERY}'); END $$`,
    rows(2),
    "DO $$ BEGIN PERFORM dblink_close('c', 'cur'); END $$",
    rows(2, 'cur', ', false'),
  ),

  // A remote that is gone (reference, section 12, entry 30).
  ...(
    [
      ['open', [KILL, openCursor('cur', QUERY, ', false'), openCursor('cur', QUERY, ', false'), message]],
      [
        'fetch',
        [
          openCursor(),
          KILL,
          rows(1, 'cur', ', false'),
          rows(1, 'cur', ', false'),
          close('cur', ', false'),
          openCursor('cur', QUERY, ', false'),
          message,
        ],
      ],
      ['close', [openCursor(), KILL, close('cur', ', false'), close('cur', ', false'), message]],
    ] as const
  ).map(([first, steps]) =>
    testCase(`cursors: ${first} notices that the remote is gone`, [OPEN_VICTIM, ...steps], {
      remote: REMOTE,
    }),
  ),
];
