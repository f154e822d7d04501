import { fetch, open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { L, ONE_QUERY, SHOW_L, shape } from './shapeNotation.js';
import { NEXT, pending, SETTLE, send, sent, source } from './shapesAsyncNotation.js';

/**
 * The shapes with dblink_send_query, dblink_is_busy, dblink_get_result and dblink_cancel_query.
 *
 * Played as they stand by "async: …": T9 "a transaction"; T10 and S2 "several statements"; T11 "disconnect with results
 * pending"; E9 and E10 "sent for every row"; J3 and J4 "both results in one statement"; D1 and S5 "in INSERT … SELECT"; V1 "a
 * view"; P4 "parameters"; F5 and S1 "in functions".
 */

const statements: readonly Case[] = [
  pending('T4', 'grouped, ordered, limited', 1, [
    `SELECT name, count(*) FROM ${source()} WHERE name <> '' GROUP BY 1 ORDER BY 2, 1 LIMIT 5`,
    NEXT,
  ]),
  pending('T6', 'no table alias', 2, [
    "SELECT * FROM dblink_get_result('c') AS (a int, b text)",
    "SELECT a FROM dblink_get_result('c', false) t (a int, b text)",
    NEXT,
  ]),
  shape(
    'T8 M2',
    'async, on the database itself, what a transaction bars',
    [
      "SELECT dblink_connect('c', 'dbname=' || current_database())",
      send('VACUUM scratch.l'),
      `SELECT * FROM ${source('s text')}`,
      `SELECT * FROM ${source('s text')}`,
      send('CREATE DATABASE app'),
      `SELECT * FROM dblink_get_result('c', false) AS t(s text)`,
      NEXT,
    ],
    L,
  ),
  shape(
    'T12',
    'async in one Query',
    [
      `SELECT dblink_connect('c', '{R}'); ${sent(1)}; ${NEXT}; ${NEXT}; SELECT dblink_disconnect('c')`,
      `SELECT dblink_connect('c', '{R}'); ${send('SELECT 1/0')}; ${NEXT}; ${NEXT}; SELECT dblink_disconnect('c')`,
      NEXT,
    ],
    ONE_QUERY,
  ),
  shape('T13', 'async, with a schema', [
    open('c'),
    "SELECT PUBLIC.Dblink_Send_Query('c', 'SELECT 1')",
    `SELECT * FROM "public".dblink_get_result('c') AS t(a int)`,
    "SELECT * FROM public.dblink_get_result('c', true) AS t(a int)",
    "SELECT public.dblink_is_busy('c'), public.dblink_cancel_query('c')",
    "SELECT extensions.dblink_send_query('c', 'SELECT 1')",
    `SELECT "Public".dblink_is_busy('c')`,
  ]),
  shape(
    'T15 T16',
    'async, procedures and writes',
    [
      open('c'),
      send('CALL proc(1); CALL proc_out(4); INSERT INTO w VALUES (1), (2) RETURNING a; SHOW datestyle'),
      `SELECT * FROM ${source('s text')}`,
      `SELECT * FROM ${source('n int')}`,
      `SELECT * FROM ${source('a int')} ORDER BY a`,
      `SELECT * FROM ${source('s text')}`,
      NEXT,
    ],
    { remote: 'CREATE TABLE w (a int)' },
  ),
  shape(
    'T18',
    'async, the local transaction is another one',
    [
      open('c'),
      'BEGIN',
      'INSERT INTO l VALUES (2)',
      send('INSERT INTO w VALUES (1); SELECT 5'),
      'ROLLBACK',
      `SELECT * FROM ${source('s text')}`,
      'BEGIN',
      `SELECT * FROM ${source('a int')}`,
      'ROLLBACK',
      NEXT,
      SHOW_L,
    ],
    { ...L, remote: 'CREATE TABLE w (a int)', contexts: ['autocommit'] },
  ),
];

const expressions: readonly Case[] = [
  shape('E1 E3 E4', 'async, computed arguments', [
    open('c'),
    "SET app.connection = 'c'",
    "SELECT dblink_send_query(current_setting('app.connection'), format('SELECT id, %L FROM people WHERE id = %s', current_database(), 1 + 1))",
    "SELECT a, b LIKE 'app%' AS same FROM dblink_get_result((SELECT 'c'), 1 > 2) AS t(a int, b text)",
    "SELECT dblink_is_busy(lower('C')), dblink_cancel_query((SELECT 'c' FROM items WHERE id = 1))",
    'SELECT dblink_send_query((SELECT name FROM items), $$SELECT 1$$)',
    "SELECT dblink_send_query('c', (SELECT v FROM conf WHERE k = 'nosuch'))",
  ]),
  shape(
    'E5 E6',
    'async, strings of all spellings, casts',
    [
      open('c'),
      `SELECT dblink_send_query(E'\\x63'::text, CAST($q$SELECT 'it''s' || E'\\t', 1$q$ AS text))`,
      "SELECT t.a, t.b FROM dblink_get_result('c'::text, 't'::boolean) t(a text, b integer)",
      "SELECT t.a FROM dblink_get_result('c'::varchar) t(a text)",
      "SELECT dblink_send_query('c'\n'', 'SELECT '\n'1')",
      "CREATE VIEW v AS SELECT t.a FROM dblink_get_result('c', false) AS t(a int)",
      "SELECT pg_get_viewdef('v'::regclass)",
      'SELECT * FROM v',
    ],
    { local: '' },
  ),
  shape('E7 E8', 'async, in arguments and conditions', [
    open('c'),
    "SELECT loud(dblink_send_query('c', 'SELECT 5')::text), CASE WHEN dblink_error_message('c') = 'OK' THEN 'well' END",
    "SELECT CASE WHEN 'd' = ANY (dblink_get_connections()) THEN dblink_send_query('d', 'SELECT 1') ELSE -1 END",
    "SELECT coalesce((SELECT a FROM dblink_get_result('c') AS t(a int)), -1), coalesce((SELECT a FROM dblink_get_result('c') AS t(a int)), -1)",
    "SELECT CASE WHEN dblink_is_busy('c') = 1 THEN dblink_cancel_query('c') ELSE 'idle' END",
    "SELECT dblink_send_query('c', (SELECT 'SELECT ' || a FROM dblink('c', 'SELECT 5') AS t(a text)))",
    "SELECT * FROM dblink_get_result('c') AS t(a int)",
  ]),
  shape('E11 S7', 'async, all connections cancelled, drained and closed', [
    ...['a', 'b'].flatMap((name) => [open(name), send('SELECT pg_sleep(20)', name)]),
    SETTLE,
    'SELECT n, dblink_cancel_query(n) FROM unnest(dblink_get_connections()) n ORDER BY 1',
    'SELECT n, t.* FROM (SELECT unnest(dblink_get_connections()) AS n ORDER BY 1) s, LATERAL dblink_get_result(n, false) AS t(a text)',
    'SELECT n, t.* FROM (SELECT unnest(dblink_get_connections()) AS n ORDER BY 1) s, LATERAL dblink_get_result(n, false) AS t(a text)',
    "SELECT n, split_part(dblink_error_message(n), E'\\n', 1), dblink_disconnect(n) FROM unnest(dblink_get_connections()) n ORDER BY 1",
  ]),
  pending('E12 E13', 'in sub-queries', 4, [
    `SELECT (SELECT max(id) FROM ${source()})`,
    `SELECT id FROM items WHERE id IN (SELECT id + 1 FROM ${source()}) ORDER BY 1`,
    `SELECT id FROM items WHERE EXISTS (SELECT 1 FROM ${source()}) ORDER BY 1`,
    `SELECT id = ANY (ARRAY(SELECT id FROM ${source()})) FROM items ORDER BY 1`,
    NEXT,
  ]),
  shape(
    'E14',
    'async, a dblink of the remote',
    [
      open('c'),
      send(
        "SELECT a, a::text FROM dblink('{R}', 'SELECT generate_series(1, 3)') AS t(a int); SELECT dblink_connect('inner', 'nosuch')",
      ),
      NEXT,
      `SELECT * FROM ${source('s text')}`,
      NEXT,
    ],
    { remote: 'CREATE EXTENSION dblink SCHEMA scratch' },
  ),
  pending(
    'E15 D9 D10',
    'in COPY, EXPLAIN and DECLARE',
    3,
    [
      `COPY (SELECT * FROM ${source()}) TO STDOUT`,
      `EXPLAIN (COSTS OFF) SELECT * FROM ${source()}`,
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM ${source()} WHERE id > 0`,
      'BEGIN',
      `DECLARE s CURSOR FOR SELECT * FROM ${source()}`,
      'FETCH 1 FROM s',
      'FETCH ALL FROM s',
      'COMMIT',
      NEXT,
    ],
    { contexts: ['autocommit'] },
  ),
];

const joins: readonly Case[] = [
  pending('J1 J2', 'joined', 2, [
    `SELECT i.name, t.name FROM items i JOIN ${source()} ON t.id = i.id ORDER BY i.id`,
    `SELECT i.id, s.name FROM items i LEFT JOIN (SELECT * FROM (SELECT * FROM ${source()}) a) s ON s.id = i.id ORDER BY 1`,
    NEXT,
  ]),
  pending('J5', 'in a CTE', 3, [
    `WITH r AS (SELECT * FROM ${source()}) SELECT r.id, i.name FROM r JOIN items i USING (id) ORDER BY 1`,
    `WITH r AS MATERIALIZED (SELECT * FROM ${source()}) SELECT count(*) FROM r, r s`,
    `WITH r AS (SELECT * FROM ${source()}) SELECT 1`,
    NEXT,
    NEXT,
  ]),
  shape('J6 J7 S6', 'async, sent to every connection and taken from it', [
    "SELECT dblink_connect('w' || n, '{R}') FROM generate_series(1, 3) n",
    "SELECT n, dblink_send_query('w' || n, 'SELECT ' || 10 * n) FROM generate_series(1, 3) n",
    "SELECT n, r.x FROM generate_series(1, 3) n CROSS JOIN LATERAL dblink_get_result('w' || n) AS r(x int)",
    "SELECT n, r.x FROM generate_series(1, 3) n CROSS JOIN LATERAL dblink_get_result('w' || n) AS r(x int)",
    "SELECT i.id, dblink_send_query('w1', format('SELECT %L', i.name)), t.a FROM items i CROSS JOIN LATERAL dblink_get_result(left('w1', 2 + 0 * i.id)) AS t(a text)",
  ]),
  pending('J8', 'the difference to local rows', 3, [
    `SELECT id FROM items i WHERE NOT EXISTS (SELECT 1 FROM ${source()} WHERE t.id = i.id) ORDER BY 1`,
    `SELECT id FROM items EXCEPT SELECT id FROM ${source()}`,
    `SELECT id FROM items INTERSECT SELECT id FROM ${source()} ORDER BY 1`,
    NEXT,
  ]),
  pending('J9', 'ROWS FROM and recursion', 4, [
    "SELECT * FROM ROWS FROM (dblink_get_result('c') AS (a int, b text), generate_series(1, 4)) WITH ORDINALITY",
    "WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT t.id FROM r, LATERAL dblink_get_result('c', r.id > 0) AS t(id int, name text) WHERE t.id = 2) SELECT * FROM r",
    NEXT,
  ]),
  shape('J10', 'async, json rows', [
    open('c'),
    send("SELECT json_build_object('a', id, 'b', name) FROM people WHERE id < 3 ORDER BY id"),
    `SELECT r.* FROM ${source('j json')}, json_to_record(t.j) AS r(a int, b text)`,
    NEXT,
  ]),
  pending('J11', 'the same call many times', 5, [
    `SELECT ${Array.from({ length: 6 }, (_, n) => `(SELECT count(*) FROM ${source()}) AS n${n}`).join(', ')}`,
    NEXT,
  ]),
];

const changes: readonly Case[] = [
  pending(
    'D2 D3 D4 D8',
    'in INSERT, UPDATE, DELETE and VALUES',
    5,
    [
      `INSERT INTO l SELECT * FROM ${source()} ON CONFLICT (id) DO UPDATE SET v = l.v || excluded.v RETURNING *`,
      `UPDATE l SET v = t.name FROM ${source()} WHERE t.id = l.id RETURNING l.*`,
      `INSERT INTO l VALUES ((SELECT 10 * max(id) FROM ${source()}), 'new')`,
      `DELETE FROM l USING ${source()} WHERE l.id = 1 + t.id`,
      `DELETE FROM l WHERE id NOT IN (SELECT 10 * id FROM ${source()})`,
      NEXT,
      SHOW_L,
    ],
    L,
  ),
  pending(
    'D5',
    'in MERGE',
    1,
    [
      `MERGE INTO l USING (SELECT * FROM ${source()}) s ON s.id = l.id WHEN MATCHED THEN UPDATE SET v = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name)`,
      SHOW_L,
    ],
    { ...L, minMajor: 15 },
  ),
  shape(
    'D6 D7 D11',
    'async, sent for what was written',
    [
      open('c'),
      open('d'),
      "WITH i AS (INSERT INTO l VALUES (2, 'two') RETURNING id) SELECT id, dblink_send_query('c', format('INSERT INTO w VALUES (%s)', id)) FROM i",
      `SELECT * FROM ${source('s text')}`,
      NEXT,
      "SELECT dblink_send_query('c', string_agg(format('INSERT INTO w VALUES (%s)', id), '; ' ORDER BY id)) FROM l WHERE id > 1",
      `SELECT * INTO made FROM ${source('s text')}`,
      'SELECT * FROM made',
      "INSERT INTO l VALUES (3, 'three') RETURNING dblink_send_query('d', format('INSERT INTO w VALUES (%s)', id))",
      `SELECT * FROM ${source('s text', 'd')}`,
    ],
    { ...L, remote: 'CREATE TABLE w (a int)' },
  ),
];

const watching: readonly Case[] = [
  shape(
    'S4',
    'async, one string with its own transaction',
    [
      open('c'),
      send(
        'BEGIN; SET LOCAL ROLE plain_user; INSERT INTO w VALUES (1), (2); SELECT current_user, count(*) FROM w; COMMIT; SELECT current_user',
      ),
      ...['s text', 's text', 's text', 'u text, n int', 's text', 'u text'].map(
        (columns) => `SELECT * FROM ${source(columns)}`,
      ),
      NEXT,
    ],
    { remote: 'CREATE TABLE w (a int); GRANT ALL ON w TO plain_user' },
  ),
  shape(
    'S8',
    'async, the worker is watched from elsewhere',
    [
      "SELECT dblink_connect('a', '{R} application_name=worker_a')",
      open('c'),
      "SELECT dblink_exec('c', 'SELECT 1; BEGIN; LOCK TABLE w')",
      "SELECT t.pid AS n INTO TEMP before FROM dblink('a', 'SELECT pg_backend_pid()') AS t(pid int)",
      send('SELECT count(*) FROM w', 'a'),
      SETTLE,
      fetch(
        "SELECT application_name, wait_event_type, state FROM pg_stat_activity WHERE application_name = 'worker_a'",
        'a text, b text, c text',
      ),
      "SELECT dblink_is_busy('a')",
      "SELECT dblink_exec('c', 'COMMIT')",
      `SELECT * FROM ${source('n int', 'a')}`,
      `SELECT * FROM ${source('n int', 'a')}`,
      "SELECT t.pid = before.n AS same FROM before, dblink('a', 'SELECT pg_backend_pid()') AS t(pid int)",
    ],
    { remote: 'CREATE TABLE w (a int)', local: '' },
  ),
];

export const shapeAsyncCases: readonly Case[] = [
  ...statements,
  ...expressions,
  ...joins,
  ...changes,
  ...watching,
];
