import { type AddressInfo, connect, createServer } from 'node:net';
import { splitter } from './lyingRelay.js';

/** What people try to write in a session that is to be read-only, each on a connection of its own. The last text writes, if the ones before have made that possible. */
export const ATTEMPTS: readonly (readonly string[])[] = [
  ['INSERT INTO kept VALUES (1)'],
  ['SELECT write_one()'],
  ['SET default_transaction_read_only = off', 'INSERT INTO kept VALUES (1)'],
  ['SET "default_transaction_read_only" TO off', 'INSERT INTO kept VALUES (1)'],
  ['set session Transaction_Read_Only = off', 'INSERT INTO kept VALUES (1)'],
  ['SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE', 'INSERT INTO kept VALUES (1)'],
  ['BEGIN READ WRITE', 'INSERT INTO kept VALUES (1)', 'COMMIT'],
  ['START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE', 'INSERT INTO kept VALUES (1)', 'COMMIT'],
  ['BEGIN', 'SET TRANSACTION READ WRITE', 'INSERT INTO kept VALUES (1)', 'COMMIT'],
  [
    'BEGIN',
    "SELECT set_config('transaction_read_only', 'off', true)",
    'INSERT INTO kept VALUES (1)',
    'COMMIT',
  ],
  ["SELECT set_config('default_transaction_read_only', 'off', false)", 'INSERT INTO kept VALUES (1)'],
  [
    "SELECT 1 FROM (SELECT set_config('default_transaction_' || 'read_only', 'off', false)) s",
    'SELECT write_one()',
  ],
  ['SELECT leave_mode()', 'INSERT INTO kept VALUES (1)'],
  ['SELECT leave_mode(); COMMIT; INSERT INTO kept VALUES (1)'],
  ['BEGIN; SELECT leave_mode(); COMMIT; INSERT INTO kept VALUES (1)'],
  ['BEGIN; SELECT leave_mode(); COMMIT AND CHAIN; INSERT INTO kept VALUES (1)'],
  ['SELECT leave_mode(); BEGIN; INSERT INTO kept VALUES (1); COMMIT'],
  ['BEGIN', 'DECLARE h CURSOR WITH HOLD FOR SELECT leave_mode()', 'COMMIT; INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'DECLARE h CURSOR WITH HOLD FOR SELECT leave_mode()', 'COMMIT', 'INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'SELECT leave_mode()', 'ROLLBACK; INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'SELECT leave_mode()', 'COMMIT', 'INSERT INTO kept VALUES (1)'],
  ['BEGIN', 'SELECT leave_mode()', 'ROLLBACK', 'INSERT INTO kept VALUES (1)'],
  ['DO $$BEGIN PERFORM leave_mode(); COMMIT; INSERT INTO kept VALUES (1); END$$'],
  ['DO $$BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO kept VALUES (1); END$$'],
  ['CALL leave_and_write()'],
  ['RESET default_transaction_read_only', 'INSERT INTO kept VALUES (1)'],
  // U+0081 is two bytes, the second of which begins a character of SHIFT_JIS_2004 that becomes a backslash.
  [
    'SET client_encoding = SHIFT_JIS_2004',
    `SELECT E'\u0081_', '; COMMIT; BEGIN READ WRITE; INSERT INTO kept VALUES (1); COMMIT; --'`,
  ],
  [
    'BEGIN',
    "SELECT set_config('default_transaction_read_only', 'off', false), set_config('default_transaction_read_only', 'on', true)",
    'COMMIT; INSERT INTO kept VALUES (1)',
  ],
  ['RESET ALL', 'INSERT INTO kept VALUES (1)'],
  ['DISCARD ALL', 'INSERT INTO kept VALUES (1)'],
  ["SELECT E'\\';SET default_transaction_read_only = off;--'", 'INSERT INTO kept VALUES (1)'],
  ['PREPARE p AS INSERT INTO kept VALUES (1)', 'EXECUTE p'],
  [
    "PREPARE q AS SELECT set_config('default_transaction_read_only', 'off', false)",
    'EXECUTE q',
    'SELECT write_one()',
  ],
  ['EXPLAIN ANALYZE INSERT INTO kept VALUES (1)'],
  ['WITH w AS (INSERT INTO kept VALUES (1) RETURNING a) SELECT a FROM w'],
  ['CREATE TABLE kept_too ()'],
  ['SELECT 1 INTO kept_too'],
  ["ALTER SYSTEM SET work_mem = '5MB'"],
  ['VACUUM kept'],
  ["COPY kept FROM PROGRAM 'echo 1'"],
  ["PREPARE TRANSACTION 'x'"],
];

/** What the attempts write to and call. */
export const ATTEMPTED = `CREATE TABLE kept (a int);
  ALTER ROLE postgres SET default_transaction_read_only = off;
  CREATE FUNCTION write_one() RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (1) RETURNING a';
  CREATE FUNCTION leave_mode() RETURNS text LANGUAGE sql
    AS $$SELECT set_config('default_transaction_read_only', 'off', false)$$;
  CREATE PROCEDURE leave_and_write() LANGUAGE plpgsql
    AS $$BEGIN PERFORM leave_mode(); COMMIT; INSERT INTO kept VALUES (1); END$$`;

/** A way to a server on which its reports of a setting are lost. */
export async function startDeafRelay(
  port: number,
  setting: string,
): Promise<{ port: number; close(): void }> {
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    client.pipe(server);
    const pass = splitter((type, message) => {
      if (type !== 'S' || !message.includes(`${setting}\0`)) client.write(message);
    });
    server.on('data', pass);
    server.on('close', () => client.destroy());
    for (const socket of [client, server]) socket.on('error', () => server.destroy());
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return { port: (listener.address() as AddressInfo).port, close: () => void listener.close() };
}
