import { open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { L, ONE_QUERY, SHOW_L, shape } from './shapeNotation.js';
import { CLOSE, cursor, NEXT, openCursor, QUERY, source } from './shapesCursorsNotation.js';

/**
 * The shapes with dblink_open, dblink_fetch and dblink_close; dblink_fetch has side effects, so each case tells how far the
 * cursor went.
 *
 * Played as they stand by "cursors: …": T9 "the user's transaction stays open"; T11 "a disconnect loses what was not
 * committed"; T18 "local ROLLBACK closes nothing"; E9 and E10 "for every row"; D1 "in INSERT … SELECT"; V1 "a view over a
 * fetch"; P4 "a query that is a parameter"; F5 "in a function"; F9 "in DO"; and C3 by "cursor on the remote by hand".
 */

const statements: readonly Case[] = [
  cursor('T4', 'grouped, ordered, limited', [
    `SELECT name, count(*) FROM ${source(4)} WHERE name <> '' GROUP BY 1 ORDER BY 2, 1 LIMIT 5`,
    NEXT,
  ]),
  shape('T6', 'cursors, no table alias', [
    "SELECT dblink_connect('{R}')",
    `SELECT dblink_open('k', '${QUERY}')`,
    "SELECT * FROM dblink_fetch('k', 2) AS (a int, b text)",
    "SELECT * FROM dblink_fetch('k', 1) t (a int, b text)",
    "SELECT a FROM dblink_fetch('k', 1) t (a int, b text)",
  ]),
  shape('T8', 'cursors, on the database itself', [
    "SELECT dblink_connect('c', 'dbname=' || current_database())",
    openCursor('k', 'c', 'SELECT id FROM public.items ORDER BY id'),
    `SELECT * FROM items i JOIN ${source(2, 'id int')} USING (id) ORDER BY 1`,
    CLOSE,
  ]),
  cursor(
    'T10',
    'several statements beside one',
    [
      "SELECT dblink_exec('c', 'INSERT INTO w VALUES (1); INSERT INTO w VALUES (2)')",
      NEXT,
      "SELECT dblink_exec('c', 'INSERT INTO w VALUES (3); SELECT 1/0', false)",
      "SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int, b text)",
      CLOSE,
    ],
    { remote: 'CREATE TABLE w (a int)' },
  ),
  shape(
    'T12',
    'cursors in one Query',
    [
      `SELECT dblink_connect('c', '{R}'); ${openCursor()}; SELECT * FROM ${source(2)}; SELECT * FROM ${source(9)}; ${CLOSE}; SELECT dblink_disconnect('c')`,
      `SELECT dblink_connect('c', '{R}'); ${openCursor()}; SELECT * FROM ${source(2, 'a int')}; ${CLOSE}; SELECT dblink_disconnect('c')`,
      NEXT,
    ],
    ONE_QUERY,
  ),
  shape('T13', 'cursors, with a schema', [
    'SELECT public.dblink_connect($$c$$, $$ {R} $$)',
    `SELECT PUBLIC.Dblink_Open('c', 'k', '${QUERY}')`,
    `SELECT * FROM "public"."dblink_fetch"('c', 'k', 2) AS t(a int, b text)`,
    "SELECT public.dblink_close('c', 'k')",
    "SELECT extensions.dblink_open('c', 'k', 'SELECT 1')",
    `SELECT "Public".dblink_close('c', 'k')`,
    'SELECT * FROM "dblink_Fetch"($$c$$, $$k$$, 1) AS t(a int)',
  ]),
  shape(
    'T15 T16',
    'cursors over what is no query',
    [
      open('c'),
      ...['INSERT INTO w VALUES (1) RETURNING a', 'CALL proc(1)', 'SHOW datestyle', 'VALUES (1)'].flatMap(
        (sql) => [
          `SELECT dblink_open('c', 'k', '${sql}', false)`,
          "SELECT * FROM dblink_fetch('c', 'k', 1, false) AS t(a int)",
          "SELECT dblink_exec('c', 'ROLLBACK')",
        ],
      ),
    ],
    { remote: 'CREATE TABLE w (a int)' },
  ),
];

const expressions: readonly Case[] = [
  shape('E1 E3 E4', 'cursors, computed arguments', [
    open('c'),
    "SET app.connection = 'c'",
    "SELECT dblink_open(current_setting('app.connection'), 'k' || 1, format('SELECT id, %L FROM people WHERE id > %s ORDER BY id', current_database() || '''', 1 + 1))",
    "SELECT a, b LIKE 'app%''' AS same FROM dblink_fetch((SELECT 'c'), 'k' || 1, (SELECT 1 + count(*) FROM items WHERE id < 2)::int) AS t(a int, b text)",
    "SELECT dblink_close(lower('C'), (SELECT 'k1' FROM items WHERE id = 1))",
    "SELECT dblink_close('c', (SELECT name FROM items))",
    "SELECT dblink_open('c', (SELECT v FROM conf WHERE k = 'nosuch'), 'SELECT 1')",
  ]),
  shape('E5', 'cursors, strings of all spellings', [
    open('c'),
    `SELECT dblink_open('c', E'\\x6b', $q$SELECT 1, 'it''s' || E'\\t'$q$)`,
    "SELECT * FROM dblink_fetch('c',\n U&'\\006b', 1) AS t(a int, b text)",
    "SELECT dblink_close('c'\n'', 'k')",
    'SET escape_string_warning = off',
    'SET standard_conforming_strings = off',
    "SELECT dblink_open('c', '\\x6b', 'SELECT ''it\\'\\'s''')",
    "SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a text)",
  ]),
  shape(
    'E6',
    'cursors, casts',
    [
      open('c'),
      `SELECT dblink_open('c'::text, CAST('k' AS text), '${QUERY}'::text, true::boolean)`,
      "SELECT t.a, t.b FROM dblink_fetch('c'::text, 'k'::text, 2::integer) t(a integer, b text)",
      "SELECT t.a FROM dblink_fetch('c'::varchar, 'k'::name, '1'::int, 'f'::bool) t(a integer, b text)",
      "SELECT dblink_close('c'::text, 'k'::text)::varchar(1)",
      'CREATE VIEW v AS SELECT t.a FROM dblink_fetch($$c$$, $$k$$, 2, false) AS t(a int, b text)',
      "SELECT pg_get_viewdef('v'::regclass)",
    ],
    { local: '' },
  ),
  shape('E7 E8', 'cursors in arguments and conditions', [
    open('c'),
    `SELECT loud(dblink_open('c', 'k', '${QUERY}')), dblink_error_message('c') = 'OK' AS ok`,
    "SELECT CASE WHEN dblink_is_busy('c') = 0 THEN dblink_close('c', 'k') ELSE dblink_cancel_query('c') END",
    "SELECT coalesce('first', dblink_close('c', 'k'))",
    "SELECT CASE WHEN 'd' = ANY (dblink_get_connections()) THEN dblink_close('d', 'k') END",
    "SELECT dblink_open('c', 'l', (SELECT 'SELECT ' || a FROM dblink('c', 'SELECT 5') AS t(a text)))",
    "SELECT * FROM dblink_fetch('c', 'l', 1) AS t(a int)",
  ]),
  cursor('E12 E13', 'in sub-queries', [
    `SELECT (SELECT max(id) FROM ${source(2)})`,
    `SELECT id FROM items WHERE id IN (SELECT id + 1 FROM ${source(1)}) ORDER BY 1`,
    `SELECT id FROM items WHERE EXISTS (SELECT 1 FROM ${source(1)}) ORDER BY 1`,
    `SELECT id = ANY (ARRAY(SELECT id FROM ${source(2)})) FROM items ORDER BY 1`,
    NEXT,
  ]),
  shape(
    'E14',
    'cursors over a dblink of the remote',
    [
      open('c'),
      openCursor(
        'k',
        'c',
        "SELECT a, a::text FROM dblink('{R}', 'SELECT generate_series(1, 3)') AS t(a int)",
      ),
      `SELECT * FROM ${source(2)}`,
      NEXT,
    ],
    { remote: 'CREATE EXTENSION dblink SCHEMA scratch' },
  ),
  cursor(
    'E15 D9 D10',
    'in COPY, EXPLAIN and DECLARE',
    [
      `COPY (SELECT * FROM ${source(2)}) TO STDOUT`,
      `EXPLAIN (COSTS OFF) SELECT * FROM ${source(1)}`,
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM ${source(1)} WHERE id > 0`,
      'BEGIN',
      `DECLARE s CURSOR FOR SELECT * FROM ${source(2)}`,
      'FETCH 1 FROM s',
      'FETCH ALL FROM s',
      'COMMIT',
      NEXT,
    ],
    { contexts: ['autocommit'] },
  ),
];

const joins: readonly Case[] = [
  cursor('J1 J2', 'joined', [
    `SELECT i.name, t.name FROM items i JOIN ${source(2)} ON t.id = i.id ORDER BY i.id`,
    `SELECT i.id, s.name FROM items i LEFT JOIN (SELECT * FROM (SELECT * FROM ${source(2)}) a) s ON s.id = i.id ORDER BY 1`,
    NEXT,
  ]),
  cursor('J3 J4', 'of two connections', [
    open('d'),
    openCursor('k', 'd'),
    `SELECT t.id, u.name FROM ${source(2)} JOIN dblink_fetch('d', 'k', 3) AS u(id int, name text) USING (id) ORDER BY 1`,
    `SELECT id FROM ${source(1)} UNION ALL SELECT id FROM dblink_fetch('d', 'k', 1) AS u(id int, name text)`,
    `(SELECT id FROM ${source(1)} UNION ALL SELECT id FROM dblink_fetch('d', 'k', 1) AS u(id int, name text)) LIMIT 1`,
    NEXT,
    "SELECT id FROM dblink_fetch('d', 'k', 1) AS u(id int, name text)",
  ]),
  cursor('J5', 'in a CTE', [
    `WITH r AS (SELECT * FROM ${source(2)}) SELECT r.id, i.name FROM r JOIN items i USING (id) ORDER BY 1`,
    `WITH r AS MATERIALIZED (SELECT * FROM ${source(1)}) SELECT count(*) FROM r, r s`,
    `WITH r AS (SELECT * FROM ${source(1)}) SELECT 1`,
    NEXT,
  ]),
  cursor('J6 J7', 'of every connection, so many rows for each row', [
    open('d'),
    openCursor('k', 'd'),
    "SELECT s.*, t.id FROM (VALUES (1, 'c', 2), (2, 'd', 1), (3, 'c', 0)) s(n, name, howmany), LATERAL dblink_fetch(s.name, 'k', s.howmany) AS t(id int, name text) ORDER BY 1, 4",
    `SELECT i.id, t.name FROM items i CROSS JOIN LATERAL ${source('i.id - 1')} ORDER BY 1, 2`,
    NEXT,
  ]),
  cursor('J8', 'the difference to local rows', [
    `SELECT id FROM items i WHERE NOT EXISTS (SELECT 1 FROM ${source(2)} WHERE t.id = i.id) ORDER BY 1`,
    `SELECT id FROM ${source(1)} EXCEPT SELECT id FROM items`,
    `SELECT id FROM items INTERSECT SELECT id FROM ${source(1)}`,
    NEXT,
  ]),
  cursor('J9', 'ROWS FROM and recursion', [
    "SELECT * FROM ROWS FROM (dblink_fetch('c', 'k', 2) AS (a int, b text), generate_series(1, 3)) WITH ORDINALITY",
    "WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT t.id FROM r, LATERAL dblink_fetch('c', 'k', sign(r.id)::int) AS t(id int, name text)) SELECT * FROM r",
    NEXT,
  ]),
  cursor('J10', 'json rows', [
    openCursor('j', 'c', "SELECT json_build_object('a', id, 'b', name) FROM people ORDER BY id"),
    `SELECT r.* FROM ${source(2, 'j json', 'j')}, json_to_record(t.j) AS r(a int, b text)`,
    `SELECT j->>'b' FROM ${source(2, 'j jsonb', 'j')}`,
  ]),
  cursor('J11', 'the same call many times', [
    `SELECT ${Array.from({ length: 6 }, (_, n) => `(SELECT count(*) FROM ${source(1)}) AS n${n}`).join(', ')}`,
    CLOSE,
  ]),
];

const changes: readonly Case[] = [
  cursor(
    'D2 C1',
    'in chunks into a local table',
    [
      ...[2, 2, 2].map(
        (n) =>
          `INSERT INTO l SELECT * FROM ${source(n)} ON CONFLICT (id) DO UPDATE SET v = coalesce(l.v, '') || excluded.v RETURNING *`,
      ),
      `INSERT INTO l SELECT * FROM ${source(50000)}`,
      CLOSE,
      SHOW_L,
    ],
    L,
  ),
  cursor(
    'D3 D4 D8',
    'in UPDATE, DELETE and VALUES',
    [
      `UPDATE l SET v = t.name FROM ${source(2)} WHERE t.id = l.id RETURNING l.*`,
      `INSERT INTO l VALUES ((SELECT 10 * id FROM ${source(1)}), 'new')`,
      `DELETE FROM l USING ${source(1)} WHERE l.id = 5 + t.id`,
      `DELETE FROM l WHERE id NOT IN (SELECT 6 * id FROM ${source(1)})`,
      SHOW_L,
      NEXT,
    ],
    L,
  ),
  cursor(
    'D5',
    'in MERGE',
    [
      `MERGE INTO l USING (SELECT * FROM ${source(3)}) s ON s.id = l.id WHEN MATCHED THEN UPDATE SET v = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name)`,
      SHOW_L,
      NEXT,
    ],
    { ...L, minMajor: 15 },
  ),
  cursor(
    'D6 D7 D11',
    'opened and closed for what was written',
    [
      "WITH i AS (INSERT INTO l VALUES (2, 'two'), (3, 'three') RETURNING id) SELECT id, dblink_open('c', 'k' || id, format('SELECT %s', id)) FROM i ORDER BY id",
      "SELECT * FROM dblink_fetch('c', 'k3', 1) AS t(a int)",
      "INSERT INTO l VALUES (4, 'four') RETURNING dblink_close('c', 'k3')",
      "SELECT dblink_close('c', 'k' || id) FROM l WHERE id = 2",
      `SELECT * INTO made FROM ${source(2)}`,
      'SELECT * FROM made ORDER BY 1',
      CLOSE,
    ],
    L,
  ),
];

export const shapeCursorCases: readonly Case[] = [...statements, ...expressions, ...joins, ...changes];
