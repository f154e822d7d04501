import { CONNECT, type Flow, flow, withValues } from './types.js';

const RESULT = "SELECT * FROM dblink_get_result('c') AS t(id int, item text)";
const NUMBER = "SELECT * FROM dblink_get_result('c') AS t(a int)";
const BUSY = "SELECT dblink_is_busy('c')";

/** Queries that are sent and whose results are taken later. */
export const asynchronousFlows: readonly Flow[] = [
  flow(
    'asynchronous queries',
    CONNECT,
    "SELECT dblink_send_query('c', 'SELECT id, item FROM orders ORDER BY id')",
    RESULT,
    RESULT,
    withValues('SELECT dblink_send_query($1, $2)', 'c', 'SELECT 1 FROM pg_sleep(60)'),
    BUSY,
    BUSY,
    // A cancel that came before the query has begun would be lost.
    "SELECT dblink_exec('{R}', 'CALL until_asleep()')",
    withValues('SELECT dblink_cancel_query($1)', 'c'),
    NUMBER,
    NUMBER,
    BUSY,
    withValues(
      'SELECT dblink_send_query($1, $2)',
      'c',
      "SELECT 'two'; INSERT INTO log (line) VALUES ('x'); SELECT 1/0; SELECT 3",
    ),
    withValues('SELECT * FROM dblink_get_result($1, $2) AS t(a text)', 'c', true),
    withValues('SELECT * FROM dblink_get_result($1) AS t(status text)', 'c'),
    withValues('SELECT * FROM dblink_get_result($1, $2) AS t(a int)', 'c', false),
    "SELECT dblink_error_message('c')",
    NUMBER,
    "SELECT dblink_send_query('c', 'SELECT 1, 2')",
    NUMBER,
    "SELECT dblink_send_query('nosuch', 'SELECT 1')",
  ),
];
