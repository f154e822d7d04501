import { fetch, onRemote, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Errors and notices of the remote, dblink_error_message, and a remote that goes away. */

const on = (name: string, ...statements: readonly string[]): Case =>
  testCase(name, [open('c'), ...statements]);
const off = (sql: string, columns = 'a int'): string =>
  `SELECT * FROM dblink('c', $remote$${sql}$remote$, false) AS t(${columns})`;
const MESSAGE = "SELECT dblink_error_message('c')";
const KILL = onRemote(
  "SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_activity WHERE application_name = 'victim'",
);
const VICTIM = "SELECT dblink_connect('c', '{R} application_name=victim')";

/** An error of the remote in every way it can come back. */
function relayed(name: string, sql: string): Case {
  return testCase(`remote error: ${name}`, [
    open('c'),
    `SELECT dblink_exec('c', $remote$${sql}$remote$, false)`,
    MESSAGE,
    off(sql),
    fetch(sql, 'a int'),
  ]);
}

export const errorCases: readonly Case[] = [
  relayed('division by zero', 'SELECT 1/0'),
  relayed('syntax error', 'selec 1'),
  relayed('syntax error on a later line', 'SELECT 1\nFROM people\nWHER x'),
  relayed('syntax error at the end', 'SELECT'.concat(' 1 FROM')),
  relayed('undefined table', 'SELECT * FROM nosuch'),
  relayed('undefined function with a hint', 'SELECT nosuch(1)'),
  relayed('undefined column with a suggestion', 'SELECT nam FROM people'),
  relayed('unterminated string', "SELECT 'x"),
  relayed('invalid input', "SELECT 'x'::int"),
  relayed('unique violation with detail and constraint', "INSERT INTO people VALUES (1, 'x')"),
  relayed('not-null violation with column', 'INSERT INTO people VALUES (NULL)'),
  relayed('all fields', "SELECT fail('ZZ123', 'message', 'detail', 'hint')"),
  relayed('only a detail', "SELECT fail('ZZ124', 'message', 'detail')"),
  relayed('only a hint', "SELECT fail('ZZ125', 'message', NULL, 'hint')"),
  relayed(
    'several lines in all fields',
    "SELECT fail('ZZ126', E'message\\nsecond', E'detail\\nsecond', E'hint\\nsecond')",
  ),
  relayed('empty message', "SELECT fail('P0001', '')"),
  relayed('non-ASCII fields', "SELECT fail('ZZ127', '{text}', '{text} d', '{text} h')"),
  relayed('non-ASCII in the statement', "SELECT '{text}' FROM nosuch_{text}"),
  relayed('nested context', "DO $$ BEGIN PERFORM fail('ZZ128', 'inner'); END $$"),
  relayed('internal query', "DO $$ BEGIN EXECUTE 'SELECT * FROM nosuch'; END $$"),
  relayed('assertion', "DO $$ BEGIN ASSERT false, 'asserted'; END $$"),
  relayed('statement timeout', 'SET statement_timeout = 50; SELECT pg_sleep(5)'),
  relayed('lock not available', 'SET a.b = 1; DO $$ BEGIN RAISE lock_not_available; END $$'),
  relayed('in a transaction', 'BEGIN; SELECT 1/0'),
  relayed('row after row fails', 'SELECT 10 / (g - 5000) FROM generate_series(1, 10) g; SELECT 1/0'),

  testCase('rows before the error, errors off', [
    open('c'),
    off('SELECT 1; SELECT 1/0'),
    off('SELECT 10 / (2 - g) FROM generate_series(1, 3) g'),
    off('SELECT g FROM generate_series(1, 5) g; SELECT 1; SELECT 1/0'),
  ]),
  testCase(
    'rows before the error',
    [
      open('c'),
      fetch('SELECT 10 / (2 - g) FROM generate_series(1, 3) g', 'a int'),
      fetch('SELECT 1', 'a int'),
    ],
    { differs: 'streamed-rows' },
  ),
  on('conversion fails though errors are off', off("SELECT 'x'"), MESSAGE),
  on('wrong count though errors are off', off('SELECT 1, 2'), MESSAGE),
  on(
    'aborted remote transaction',
    "SELECT dblink_exec('c', 'BEGIN')",
    off('SELECT 1/0'),
    off('SELECT 1'),
    MESSAGE,
    "SELECT dblink_exec('c', 'ROLLBACK')",
    fetch('SELECT 1', 'a int'),
  ),
  on('error_message: fresh connection', MESSAGE),
  on(
    'error_message: after success',
    off('SELECT 1/0'),
    MESSAGE,
    MESSAGE,
    fetch('SELECT 1', 'a int'),
    MESSAGE,
  ),
  on('error_message: after an error that was raised', fetch('SELECT 1/0', 'a int'), MESSAGE),
  on('error_message: after a query in exec', "SELECT dblink_exec('c', 'SELECT 1')", MESSAGE),
  on(
    'error_message: detail, hint, context, line',
    "SELECT dblink_exec('c', $$SELECT fail('ZZ129', E'm\\nn', 'd', 'h')$$, false)",
    MESSAGE,
    "SELECT dblink_exec('c', $$SELECT a,\n\tb\nFROM nosuch$$, false)",
    MESSAGE,
  ),
  on(
    'error_message: position beyond ASCII',
    "SELECT dblink_exec('c', $$SELECT '{text}', x FROM people$$, false)",
    MESSAGE,
  ),
  on(
    'error_message: a long line',
    `SELECT dblink_exec('c', $$SELECT ${'1, '.repeat(60)} nosuch ${', 2'.repeat(60)}$$, false)`,
    MESSAGE,
  ),
  on(
    'error_message: internal query',
    "SELECT dblink_exec('c', $$DO 'BEGIN EXECUTE ''SELECT * FROM nosuch''; END'$$, false)",
    MESSAGE,
  ),
  on(
    'error_message: in conditions',
    off('SELECT 1/0'),
    "SELECT dblink_error_message('c') = 'OK' AS ok, dblink_error_message('c') LIKE '%zero%' AS zero",
    "SELECT CASE WHEN dblink_error_message('c') <> 'OK' THEN 'failed' END",
  ),
  testCase('error_message: unknown connection', ["SELECT dblink_error_message('nosuch')"]),
  testCase('error_message: connection string', ["SELECT dblink_error_message('{R}')"]),
  testCase('error_message: no argument', ['SELECT dblink_error_message()']),
  on('error_message: NULL', 'SELECT dblink_error_message(NULL)'),
  on(
    'error_message: of two connections',
    open('d'),
    off('SELECT 1/0'),
    "SELECT dblink_error_message('c'), dblink_error_message('d')",
  ),

  on(
    'remote notices are not forwarded',
    "SELECT dblink_exec('c', 'DO $$ BEGIN RAISE NOTICE ''n''; RAISE WARNING ''w''; END $$')",
    fetch('SELECT noise(3)', 'a int'),
    MESSAGE,
  ),
  on(
    'client_min_messages filters',
    'SET client_min_messages = warning',
    off('SELECT 1/0'),
    'SET client_min_messages = notice',
    off('SELECT 1/0'),
    'SET client_min_messages = error',
    off('SELECT 1/0'),
  ),
  testCase('client_min_messages filters the truncation notice', [
    "SET client_min_messages = 'error'",
    open('n'.repeat(64)),
  ]),
  testCase('a notice comes before the rows of its statement', [
    open('c'),
    "SELECT 1 AS before, dblink_exec('c', 'SELEC', false) AS tag, dblink_exec('c', 'ALSO', false) AS tag2",
  ]),

  testCase('killed remote: dblink', [
    VICTIM,
    KILL,
    fetch('SELECT 1', 'a int'),
    fetch('SELECT 1', 'a int'),
    MESSAGE,
    'SELECT dblink_get_connections()',
    "SELECT dblink_disconnect('c')",
    open('c'),
    fetch('SELECT 1', 'a int'),
  ]),
  testCase('killed remote: dblink, errors off', [VICTIM, KILL, off('SELECT 1'), MESSAGE, off('SELECT 1')]),
  testCase('killed remote: exec', [
    VICTIM,
    KILL,
    "SELECT dblink_exec('c', 'SET a.b = 1', false)",
    MESSAGE,
    "SELECT dblink_exec('c', 'SET a.b = 1', false)",
    MESSAGE,
    "SELECT dblink_exec('c', 'SET a.b = 1')",
  ]),
  testCase('killed remote: the name stays taken', [
    VICTIM,
    KILL,
    open('c'),
    "SELECT dblink_disconnect('c')",
    open('c'),
  ]),
  testCase('killed remote: error_message at once', [VICTIM, KILL, MESSAGE]),
  testCase('killed remote: in its own statement', [
    VICTIM,
    off('SELECT pg_terminate_backend(pg_backend_pid())', 'a bool'),
    MESSAGE,
    off('SELECT 1'),
  ]),
  testCase('killed remote: the unnamed connection', [
    "SELECT dblink_connect('{R} application_name=victim')",
    KILL,
    fetch('SELECT 1', 'a int', ''),
    fetch('SELECT 1', 'a int', ''),
    "SELECT dblink_connect('{R}')",
    fetch('SELECT 1', 'a int', ''),
  ]),
  testCase(
    'killed remote: one-shot in its own statement',
    ["SELECT * FROM dblink('{R}', 'SELECT pg_terminate_backend(pg_backend_pid())') AS t(a bool)"],
    { differs: 'streamed-rows' },
  ),
  testCase(
    'killed remote: in mid-result',
    [
      VICTIM,
      fetch(
        'SELECT g, CASE WHEN g = 5000 THEN pg_terminate_backend(pg_backend_pid()) END FROM generate_series(1, 10000) g',
        'g int, x bool',
      ),
    ],
    { differs: 'streamed-rows' },
  ),

  testCase('local conversion error', [
    open('c'),
    fetch("SELECT 'x'", 'a int'),
    MESSAGE,
    fetch('SELECT 1', 'a int'),
  ]),
  testCase('local conversion error in a later row', [
    open('c'),
    fetch("SELECT CASE WHEN g = 50 THEN 'x' ELSE g::text END FROM generate_series(1, 100) g", 'a int'),
    fetch('SELECT 1', 'a int'),
  ]),
  testCase('two statements, the first fails', [
    open('c'),
    fetch('SELECT 1/0', 'a int'),
    fetch('SELECT 2', 'a int'),
    "SELECT dblink_exec('c', 'SET a.b = 1')",
  ]),
];
