import { fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Which of several errors is raised: what dblink() has got is converted when the next thing goes wrong. */

const order = (name: string, ...steps: Case['steps']): Case =>
  testCase(`error order: ${name}`, [open('c'), ...steps, "SELECT dblink_error_message('c')"]);

/** The same for what no plan but the bridge serves in every context. */
const hidden = (name: string, ...steps: Case['steps']): Case => ({ ...order(name, ...steps), bridged: true });

/** The same with fail_on_error = false, in which a NOTICE takes the place of the remote's error. */
const lenient = (sql: string, columns: string): string =>
  `SELECT * FROM dblink('c', $remote$${sql}$remote$, false) AS t(${columns})`;

const both = (name: string, sql: string, columns: string): readonly Case[] => [
  order(name, fetch(sql, columns)),
  order(`${name}, without failing`, lenient(sql, columns)),
  hidden(
    `${name}, in a select list`,
    `SELECT (SELECT a FROM dblink('c', $remote$${sql}$remote$, false) AS t(${columns}) LIMIT 1)`,
  ),
  testCase(
    `error order: ${name}, in a function`,
    [
      open('c'),
      `DO $do$ BEGIN PERFORM * FROM dblink('c', $remote$${sql}$remote$) AS t(${columns}); EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $do$`,
      `DO $do$ BEGIN PERFORM * FROM dblink('c', $remote$${sql}$remote$, false) AS t(${columns}); END $do$`,
      "SELECT dblink_error_message('c')",
      "SELECT dblink_exec('c', 'SET a.b = 1')",
    ],
    { bridged: true },
  ),
];

export const errorOrderCases: readonly Case[] = [
  ...both('a value, then the remote', "SELECT 'x'; SELECT 1/0", 'a int'),
  ...both('a good value, then the remote', 'SELECT 1; SELECT 1/0', 'a int'),
  ...both('the number of columns, then the remote', 'SELECT 1, 2; SELECT 1/0', 'a int'),
  ...both(
    'the number of columns without rows, then the remote',
    'SELECT 1, 2 WHERE false; SELECT 1/0',
    'a int',
  ),
  ...both('nothing, then the remote', 'SELECT 1 WHERE false; SELECT 1/0', 'a int'),
  ...both('a command, then the remote', 'SET a.b = 1; SELECT 1/0', 'a int'),
  ...both(
    'rows of the statement that fails',
    'SELECT 10 / (2 - g), $$x$$ FROM generate_series(1, 3) AS g',
    'a int, b int',
  ),
  ...both('a date, then the remote', 'SELECT date $$2024-02-03$$; SELECT 1/0', 'a date'),
  ...both(
    'many rows, then the remote',
    'SELECT g FROM generate_series(1, 20000) AS g; SELECT 1/0',
    'a smallint',
  ),
  // What PostgreSQL does not reach must not show: neither in the error message nor in pending results.
  hidden(
    'a source that is not reached keeps the error message',
    "SELECT dblink_exec('c', 'selec', false)",
    "SELECT * FROM generate_series(1, 0) AS g, dblink('c', 'SELECT 1') AS t(a int)",
  ),
  hidden(
    'a source that is not reached keeps pending results',
    "SELECT dblink_send_query('c', 'SELECT 42')",
    "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int) WHERE false",
    "SELECT * FROM dblink_get_result('c') AS t(a int)",
    "SELECT * FROM dblink_get_result('c') AS t(a int)",
  ),
  hidden(
    'a message that is not asked for',
    "SELECT CASE WHEN 1 = 2 THEN dblink_error_message('nosuch') END",
    "SELECT dblink_error_message('nosuch') WHERE false",
    "SELECT coalesce('x', dblink_error_message('nosuch'))",
  ),
];
