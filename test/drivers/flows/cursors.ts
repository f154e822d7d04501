import { CONNECT, type Flow, flow, withValues } from './types.js';

const PAGE = "SELECT * FROM dblink_fetch('c', 'pages', 2) AS t(id int, item text)";
const OPEN = "SELECT dblink_open('c', 'pages', 'SELECT id, item FROM orders ORDER BY id')";

/** dblink's own cursors, read page by page. */
export const cursorFlows: readonly Flow[] = [
  flow(
    'a cursor on the remote',
    CONNECT,
    OPEN,
    // The same text until there is no row, and so often that JDBC gives the statement a name and asks for binary values.
    ...Array<string>(6).fill(PAGE),
    "SELECT dblink_close('c', 'pages')",
    withValues('SELECT dblink_open($1, $2, $3)', 'c', 'given', 'SELECT item, amount FROM orders ORDER BY id'),
    withValues(
      'SELECT * FROM dblink_fetch($1, $2, $3::int) AS t(item text, amount numeric)',
      'c',
      'given',
      3,
    ),
    withValues('SELECT dblink_close($1, $2, $3)', 'c', 'given', true),
    withValues('SELECT dblink_open($1, $2, $3, $4)', 'c', 'never', 'SELECT nosuch', false),
    "SELECT dblink_error_message('c')",
    "SELECT dblink_close('c', 'never')",
  ),
  flow(
    'a cursor on the remote and the client’s own transaction',
    CONNECT,
    'BEGIN',
    OPEN,
    PAGE,
    'SAVEPOINT s',
    "SELECT * FROM dblink_fetch('c', 'pages', 1) AS t(id int)",
    'ROLLBACK TO s',
    PAGE,
    'ROLLBACK',
    PAGE,
    "SELECT dblink_close('c', 'pages')",
    "SELECT dblink_open('nosuch', 'pages', 'SELECT 1')",
  ),
];
