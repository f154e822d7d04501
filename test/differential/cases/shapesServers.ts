import { fetch, open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { plpgsql } from './functionNotation.js';
import { ONE_QUERY, shape } from './shapeNotation.js';

/**
 * The shapes of foreign servers and of connections to the database itself, with the whole family.
 *
 * Played as they stand elsewhere: W1 and W2 "servers: dblink_connect with a name", "a connection of that name comes first"; W3
 * "servers: of postgres_fdw"; W5 "servers: use_scram_passthrough for a client that did not log in with SCRAM"; T3, T5, T7 and T17
 * "one-shot connections", "rows before the error, errors off", "exec: tags of DML", "get_connections in conditions"; T14 "a
 * connection console"; M1 "functions: DO blocks"; M3 and M4 "functions: commands barred in transactions"; M5 "functions: the caller
 * gives SQL with calls in it"; V2 "views: the connection is opened and closed by the
 * application"; V8 in test/bridge/extension.test.ts; V9 "lookup: …".
 * F13 needs a language that the test servers lack, F14 sessions that never pass the proxy.
 */

const PLAIN = 'SET ROLE plain_user';
const SERVER = `DROP FOREIGN DATA WRAPPER IF EXISTS handmade CASCADE; CREATE FOREIGN DATA WRAPPER handmade;
  CREATE SERVER sv FOREIGN DATA WRAPPER handmade OPTIONS (host '{host}', port '{port}', dbname 'remote');
  CREATE USER MAPPING FOR postgres SERVER sv OPTIONS ("user" 'postgres');
  CREATE USER MAPPING FOR plain_user SERVER sv OPTIONS ("user" 'md5_user', password 'md5 pass');
  GRANT USAGE ON FOREIGN SERVER sv TO plain_user;`;
const WHO = 'SELECT current_user';

export const shapeServerCases: readonly Case[] = [
  shape(
    'W1 W2',
    'cursors and async on the connection of a server',
    [
      "SELECT dblink_connect('c', 'sv')",
      `SELECT dblink_open('c', 'k', '${WHO}')`,
      "SELECT * FROM dblink_fetch('c', 'k', 1) AS t(u text)",
      "SELECT dblink_close('c', 'k')",
      `SELECT dblink_send_query('c', '${WHO}')`,
      "SELECT * FROM dblink_get_result('c') AS t(u text)",
      "SELECT * FROM dblink_get_result('c') AS t(u text)",
      "SELECT dblink_exec('c', 'LISTEN ch; NOTIFY ch')",
      "SELECT notify_name FROM dblink_get_notify('c')",
      // Named connections only: a server is not looked up.
      "SELECT dblink_open('sv', 'k', 'SELECT 1', false)",
      "SELECT dblink_send_query('sv', 'SELECT 1')",
    ],
    { local: SERVER },
  ),
  shape(
    'W4',
    'the mapping of the role of the moment',
    [
      "SELECT dblink_connect('c', 'sv')",
      PLAIN,
      "SELECT dblink_connect('d', 'sv')",
      `SELECT n, dblink_send_query(n, '${WHO}') FROM unnest(ARRAY['c', 'd']) n`,
      "SELECT n, t.* FROM unnest(ARRAY['c', 'd']) n, LATERAL dblink_get_result(n) AS t(u text)",
      'RESET ROLE',
      `ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (SET "user" 'plain_user')`,
      fetch(WHO, 'u text', "'sv', "),
      "ALTER SERVER sv OPTIONS (ADD application_name 'rotated')",
      fetch("SELECT current_setting('application_name')", 'a text', "'sv', "),
    ],
    { local: SERVER },
  ),
  shape(
    'W2 J6 V1 F1',
    'every server of the catalogue',
    [
      "SELECT s.srvname, t.u FROM pg_foreign_server s, LATERAL dblink(s.srvname::text, 'SELECT current_user') AS t(u text) WHERE s.srvname LIKE 'sv%' ORDER BY 1",
      'SELECT * FROM v ORDER BY 1',
      "SELECT f('sv')",
      "SELECT f('sv2')",
    ],
    {
      local: `${SERVER} CREATE SERVER sv2 FOREIGN DATA WRAPPER handmade OPTIONS (host '{host}', port '{port}', dbname 'remote');
        CREATE USER MAPPING FOR PUBLIC SERVER sv2 OPTIONS ("user" 'plain_user');
        CREATE VIEW v AS SELECT srvname::text AS s, t.u FROM pg_foreign_server, LATERAL dblink(srvname::text, 'SELECT current_user') AS t(u text) WHERE srvname LIKE 'sv%';
        ${plpgsql(
          "DECLARE v text; BEGIN PERFORM dblink_connect('own', server); PERFORM dblink_open('own', 'k', 'SELECT current_user'); SELECT u INTO v FROM dblink_fetch('own', 'k', 1) AS t(u text); PERFORM dblink_close('own', 'k'); PERFORM dblink_disconnect('own'); RETURN v; END",
          { args: 'server text' },
        )}`,
    },
  ),
  shape('E2', 'here, by what the session tells of itself', [
    "SELECT dblink_connect('a', format('host=%s port=%s dbname=%s user=%s', host(inet_server_addr()), current_setting('port'), current_database(), current_user))",
    fetch('SELECT count(*) FROM public.items', 'n int', "'a', "),
    "SELECT dblink_open('a', 'k', 'SELECT id FROM public.items ORDER BY id')",
    "SELECT a.id, i.name FROM dblink_fetch('a', 'k', 2) AS a(id int) JOIN items i USING (id) ORDER BY 1",
    "SELECT dblink_send_query('a', 'SELECT current_database()')",
    "SELECT dblink_close('a', 'k', false)",
    "SELECT d = current_database() AS same FROM dblink_get_result('a') AS t(d text)",
    "SELECT d = current_database() AS same FROM dblink_get_result('a') AS t(d text)",
  ]),
  shape('V12', 'what a dump from before extensions makes', [
    open('c'),
    "CREATE FUNCTION public.dblink(text) RETURNS SETOF record AS '$libdir/dblink', 'dblink_record' LANGUAGE c STRICT",
    "CREATE FUNCTION public.dblink_exec(text, text) RETURNS text AS '$libdir/dblink', 'dblink_exec' LANGUAGE c STRICT",
    "SELECT dblink_exec('c', 'SET a.b = 1')",
  ]),
  shape('J11', 'the same dblink text many times', [
    open('c'),
    `SELECT ${Array.from({ length: 6 }, (_, n) => `(SELECT sum(a) FROM dblink('c', 'SELECT id FROM people') AS t(a int)) AS n${n}`).join(', ')}`,
    `SELECT ${Array.from({ length: 6 }, (_, n) => `t${n}.a AS a${n}`).join(', ')} FROM ${Array.from({ length: 6 }, (_, n) => `dblink('c', 'SELECT 1') AS t${n}(a int)`).join(', ')}`,
  ]),
  shape(
    'T1 T2 T12 M6',
    'a whole session in one Query',
    [
      "SELECT dblink_connect('c', '{R}'); SELECT dblink_connect('{R}'); SELECT dblink_connect('{R}'); SELECT dblink_open('c', 'k', 'SELECT 1'); SELECT dblink_send_query('c', 'SELECT 2'); SELECT * FROM dblink_get_result('c') AS t(a int); SELECT * FROM dblink_get_result('c') AS t(a int); SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a int); SELECT dblink_connect('c', '{R}'); SELECT dblink_disconnect('c')",
      "SELECT public.dblink_close('c', 'k'), public.dblink_is_busy('c'), public.dblink_disconnect(), public.dblink_disconnect('c')",
    ],
    ONE_QUERY,
  ),
];
