import {
  bind,
  bound,
  describePortal,
  describeStatement,
  execute,
  fetch,
  flow,
  open,
  parse,
  sync,
} from '../notation.js';
import type { Case } from '../types.js';
import { plpgsql } from './functionNotation.js';
import { L, ONE_QUERY, SHOW_L, shape } from './shapeNotation.js';

/**
 * The shapes with dblink_open, dblink_fetch and dblink_close; dblink_fetch has side effects, so each case tells how far the
 * cursor went.
 *
 * Played as they stand by "cursors: …": T9 "the user's transaction stays open"; T11 "a disconnect loses what was not
 * committed"; T18 "local ROLLBACK closes nothing"; E9 and E10 "for every row"; D1 "in INSERT … SELECT"; V1 "a view over a
 * fetch"; P4 "a query that is a parameter"; F5 "in a function"; F9 "in DO"; and C3 by "cursor on the remote by hand".
 */

const QUERY = 'SELECT id, name FROM people ORDER BY id';
const openCursor = (name = 'k', connection = 'c', sql = QUERY): string =>
  `SELECT dblink_open('${connection}', '${name}', $remote$${sql}$remote$)`;
/** A source of rows in FROM. */
const source = (howMany: number | string, columns = 'id int, name text', name = 'k'): string =>
  `dblink_fetch('c', '${name}', ${howMany}) AS t(${columns})`;
/** Where the cursor stands. */
const NEXT = `SELECT id FROM ${source(1)}`;
const CLOSE = "SELECT dblink_close('c', 'k')";

/** `k` is open on `c`. */
const cursor = (
  codes: string,
  text: string,
  steps: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case => shape(codes, `cursors, ${text}`, [open('c'), openCursor(), ...steps], more);

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

const stored: readonly Case[] = [
  cursor(
    'V3 V4',
    'in tables and materialized views',
    [
      `CREATE TEMP TABLE x AS SELECT * FROM ${source(1)}`,
      'SELECT * FROM x',
      `CREATE MATERIALIZED VIEW m AS SELECT * FROM ${source(2)} WITH NO DATA`,
      'SELECT * FROM m',
      'REFRESH MATERIALIZED VIEW m',
      'SELECT * FROM m ORDER BY id',
      'REFRESH MATERIALIZED VIEW m',
      'SELECT * FROM m ORDER BY id',
    ],
    { local: '' },
  ),
  cursor(
    'V5 F12',
    'in functions that are wrappers',
    [
      "CREATE FUNCTION next_rows(int) RETURNS TABLE (a int, b text) LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$ SELECT * FROM public.dblink_fetch('c', 'k', $1) AS t(a int, b text) $$",
      "CREATE FUNCTION last() RETURNS text LANGUAGE sql AS $$ SELECT dblink_close('c', 'k') $$",
      'SELECT * FROM next_rows(2)',
      'SELECT (next_rows(1)).b',
      'SELECT last()',
      "CREATE FUNCTION bad() RETURNS int LANGUAGE sql AS $$ SELECT b FROM dblink_fetch('c', 'k', 1) AS t(a int, b text) $$",
    ],
    { local: '' },
  ),
  cursor(
    'V6',
    'in a rule',
    [
      "CREATE RULE r AS ON INSERT TO l DO INSTEAD SELECT dblink_open('c', NEW.v, format('SELECT %s', NEW.id))",
      "INSERT INTO l VALUES (5, 'k5'), (6, 'k6')",
      "SELECT * FROM dblink_fetch('c', 'k6', 1) AS t(a int)",
    ],
    L,
  ),
];

const prepared: readonly Case[] = [
  cursor('P1 P6', 'described before they are bound, in binary', [
    openCursor(
      'b',
      'c',
      "SELECT 5::int8, timestamptz '2024-02-03 04:05:06+00', uuid '00000000-0000-0000-0000-000000000001', jsonb '[1]', ARRAY[1, 2]",
    ),
    flow(
      parse(
        'SELECT * FROM dblink_fetch($1, $2, $3) AS t(a int8, b timestamptz, c uuid, d jsonb, e int[])',
        's',
        [25, 25, 23],
      ),
      describeStatement('s'),
      bind({ statement: 's', params: ['c', 'b', '1'], resultFormats: [1] }),
      describePortal(),
      execute(),
      sync,
    ),
    flow(
      parse('SELECT dblink_open($1, $2, $3, $4)', 'o'),
      describeStatement('o'),
      parse('SELECT dblink_close($1, $2)', 'x'),
      describeStatement('x'),
      sync,
    ),
  ]),
  cursor('P2 P3', 'parameters in expressions and beside them', [
    bound(
      "SELECT i.name, t.name FROM items i JOIN dblink_fetch(lower($1), 'k' || $2, $3) AS t(id int, name text) USING (id) WHERE i.id >= $4 ORDER BY i.id",
      ['C', '', 3, 2],
      [25, 25, 23, 23],
    ),
    NEXT,
  ]),
  cursor('P5', 'in PREPARE', [
    'PREPARE p(int) AS SELECT * FROM dblink_fetch($$c$$, $$k$$, $1) AS t(a int, b text)',
    'EXECUTE p(2)',
    'EXECUTE p(1)',
    'PREPARE q(text) AS SELECT dblink_close($$c$$, $1)',
    "EXECUTE q('k')",
    'EXECUTE p(1)',
    'DEALLOCATE ALL',
  ]),
  cursor('P7', 'taken two rows at a time', [
    flow(parse(`SELECT * FROM ${source(5)}`), bind(), execute(2), execute(2), execute(2), sync),
    NEXT,
  ]),
  cursor('P8', 'in the middle of a pipeline', [
    flow(
      parse('SELECT 1'),
      bind(),
      execute(),
      parse(`SELECT * FROM ${source(2)}`),
      bind(),
      execute(),
      parse(`SELECT * FROM ${source(1, 'a int')}`),
      bind(),
      execute(),
      parse(CLOSE),
      bind(),
      execute(),
      sync,
    ),
    NEXT,
  ]),
];

const functions: readonly Case[] = [
  cursor(
    'F6 F7',
    'into variables, as a result',
    ['SELECT one(2)', 'SELECT one(1)', 'SELECT one(0)', 'SELECT * FROM many(1)', 'SELECT * FROM many(5)'],
    {
      local:
        plpgsql(
          "DECLARE v text; BEGIN SELECT name INTO STRICT v FROM dblink_fetch('c', 'k', n) AS t(id int, name text); RETURN v; EXCEPTION WHEN too_many_rows OR no_data_found THEN RETURN SQLERRM; END",
          { name: 'one', args: 'n int' },
        ) +
        plpgsql(
          "BEGIN RETURN QUERY SELECT * FROM dblink_fetch('c', 'k', n) AS t(id int, name text); RETURN QUERY EXECUTE 'SELECT * FROM dblink_fetch($1, $2, 1) AS t(id int, name text)' USING 'c', 'k'; END",
          { name: 'many', args: 'n int', returns: 'TABLE (id int, name text)' },
        ),
    },
  ),
  cursor(
    'F8 V7',
    'in dynamic SQL',
    [
      "SELECT f('copied', 2, 'id int, name text')",
      "SELECT f('copied 2', 2, 'id int, name varchar(2)')",
      'SELECT * FROM copied ORDER BY 1',
      NEXT,
    ],
    {
      local: plpgsql(
        `DECLARE n int; BEGIN
           EXECUTE format('CREATE TABLE %I (%s)', tab, defs);
           EXECUTE format('INSERT INTO %I SELECT * FROM dblink_fetch(%L, %L, %s) AS t(%s)', tab, 'c', 'k', howmany, defs);
           GET DIAGNOSTICS n = ROW_COUNT; RETURN n;
         END`,
        { args: 'tab text, howmany int, defs text' },
      ),
    },
  ),
  shape(
    'F1 F2 F11 C1',
    'cursors, a whole copy that cleans up after itself',
    [
      `SELECT f('${QUERY}')`,
      "SELECT f('SELECT 1 / (3 - id), name FROM people ORDER BY id')",
      "SELECT f('selec')",
      'SELECT dblink_get_connections()',
      SHOW_L,
    ],
    {
      local:
        L.local +
        `; ${plpgsql(
          `DECLARE n int; total int := 0; BEGIN
             PERFORM dblink_connect('own', '{R}');
             PERFORM dblink_open('own', 'k', q);
             LOOP
               INSERT INTO l SELECT 10 + id, name FROM dblink_fetch('own', 'k', 2) AS t(id int, name text) ON CONFLICT DO NOTHING;
               GET DIAGNOSTICS n = ROW_COUNT;
               EXIT WHEN n = 0;
               total := total + n;
             END LOOP;
             PERFORM dblink_close('own', 'k'); PERFORM dblink_disconnect('own');
             RETURN total;
           EXCEPTION WHEN OTHERS THEN
             PERFORM dblink_exec('{R}', format('INSERT INTO w VALUES (%L)', SQLERRM));
             IF 'own' = ANY (dblink_get_connections()) THEN PERFORM dblink_disconnect('own'); END IF;
             RETURN SQLERRM;
           END`,
          { args: 'q text' },
        )}`,
      remote: 'CREATE TABLE w (a text)',
    },
  ),
  cursor(
    'F4',
    'in a trigger',
    ['INSERT INTO l (id) VALUES (2), (3) RETURNING *', "UPDATE l SET v = 'x' WHERE id = 9", SHOW_L],
    {
      local: `${L.local}; CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN SELECT name INTO NEW.v FROM dblink_fetch('c', 'k', 1) AS t(id int, name text); RETURN NEW; END $body$;
        CREATE TRIGGER t BEFORE INSERT OR UPDATE ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
    },
  ),
  shape('C2', 'cursors of the unnamed connection, one row at a time', [
    "SELECT dblink_connect('{R}')",
    `SELECT dblink_open('k', '${QUERY}')`,
    ...Array.from({ length: 3 }, () => "SELECT * FROM dblink_fetch('k', 1) AS t(a int, b text)"),
    "SELECT * FROM dblink_fetch('k', 1, false) AS t(a int, b text)",
    "SELECT * FROM dblink_fetch('k', 1) AS t(a int, b text)",
    "SELECT * FROM dblink_fetch('k', 1) AS t(a int, b text)",
    "SELECT dblink_close('k')",
    fetch('SELECT now() = statement_timestamp()', 'idle bool', ''),
  ]),
];

export const shapeCursorCases: readonly Case[] = [
  ...statements,
  ...expressions,
  ...joins,
  ...changes,
  ...stored,
  ...prepared,
  ...functions,
];
