import { bind, bound, describeStatement, execute, flow, open, parse, sync } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { plpgsql } from './functionNotation.js';
import { L, SHOW_L, shape } from './shapeNotation.js';
import { NEXT, pending, send, sent, source } from './shapesAsyncNotation.js';

/** The shapes of shapesAsync.ts in what is defined first and run later: tables and views, prepared statements, functions and triggers. */

const stored: readonly Case[] = [
  pending(
    'V3 V4',
    'in tables and materialized views',
    3,
    [
      `CREATE TEMP TABLE x AS SELECT * FROM ${source()}`,
      'SELECT * FROM x ORDER BY id',
      `CREATE MATERIALIZED VIEW m AS SELECT * FROM ${source()} WITH NO DATA`,
      'SELECT * FROM m',
      'REFRESH MATERIALIZED VIEW m',
      'SELECT * FROM m ORDER BY id',
      'REFRESH MATERIALIZED VIEW m',
      'REFRESH MATERIALIZED VIEW m',
      'SELECT * FROM m ORDER BY id',
    ],
    { local: '' },
  ),
  pending(
    'V5 F12',
    'in functions that are wrappers',
    3,
    [
      "CREATE FUNCTION next_result() RETURNS TABLE (a int, b text) LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$ SELECT * FROM public.dblink_get_result('c') AS t(a int, b text) $$",
      "CREATE FUNCTION busy() RETURNS int LANGUAGE sql AS $$ SELECT dblink_is_busy('c') $$",
      'SELECT * FROM next_result()',
      'SELECT count(*) FROM (SELECT (next_result()).b) s',
      'SELECT * FROM next_result()',
      'SELECT busy()',
      "CREATE FUNCTION bad() RETURNS int LANGUAGE sql AS $$ SELECT b FROM dblink_get_result('c') AS t(a int, b text) $$",
    ],
    { local: '' },
  ),
  shape(
    'V6 V7',
    'async, in a rule and a view made by EXECUTE',
    [
      open('c'),
      "CREATE RULE r AS ON INSERT TO l DO INSTEAD SELECT dblink_send_query('c', format('SELECT %s, %L', NEW.id, NEW.v))",
      "DO $$ BEGIN EXECUTE format('CREATE VIEW %I AS SELECT * FROM dblink_get_result(%L) AS t(id int, name text)', 'v', 'c'); END $$",
      "INSERT INTO l VALUES (5, 'five')",
      'SELECT * FROM v',
      'SELECT * FROM v',
      SHOW_L,
    ],
    L,
  ),
];

const prepared: readonly Case[] = [
  shape('P1 P6', 'async, described before they are bound, in binary', [
    open('c'),
    send(
      "SELECT 5::int8, timestamptz '2024-02-03 04:05:06+00', uuid '00000000-0000-0000-0000-000000000001', jsonb '[1]', ARRAY[1, 2]",
    ),
    flow(
      parse(
        'SELECT * FROM dblink_get_result($1, $2) AS t(a int8, b timestamptz, c uuid, d jsonb, e int[])',
        's',
      ),
      describeStatement('s'),
      bind({ statement: 's', params: ['c', 'false'], resultFormats: [1] }),
      execute(),
      sync,
    ),
    flow(
      parse('SELECT dblink_send_query($1, $2), dblink_is_busy($1), dblink_cancel_query($1)', 'o'),
      describeStatement('o'),
      sync,
    ),
  ]),
  pending('P2 P3', 'parameters in expressions and beside them', 2, [
    bound(
      'SELECT i.name, t.name FROM items i JOIN dblink_get_result(lower($1), $2) AS t(id int, name text) USING (id) WHERE i.id >= $3 ORDER BY i.id',
      ['C', true, 2],
      [25, 16, 23],
    ),
    NEXT,
    NEXT,
  ]),
  shape('P5', 'async, in PREPARE', [
    open('c'),
    'PREPARE s(text) AS SELECT dblink_send_query($$c$$, $1)',
    "EXECUTE s('SELECT 1; SELECT 2')",
    'PREPARE r(bool) AS SELECT * FROM dblink_get_result($$c$$, $1) AS t(a int)',
    'EXECUTE r(true)',
    'EXECUTE r(false)',
    'EXECUTE r(false)',
    "EXECUTE s('SELECT 1/0')",
    'EXECUTE r(false)',
    'DEALLOCATE ALL',
  ]),
  pending('P7', 'taken two rows at a time', 2, [
    flow(parse(`SELECT * FROM ${source()}`), bind(), execute(2), execute(2), sync),
    flow(parse(`SELECT * FROM ${source()}`), bind(), execute(2), sync),
    NEXT,
  ]),
  shape('P8', 'async, in the middle of a pipeline', [
    open('c'),
    flow(
      ...['SELECT 1', sent(2), `SELECT * FROM ${source()}`, `SELECT * FROM ${source('a int')}`, NEXT].flatMap(
        (sql) => [parse(sql), bind(), execute()],
      ),
      sync,
    ),
    NEXT,
  ]),
];

const functions: readonly Case[] = [
  shape(
    'F1 F3 F6 F7',
    'async, PERFORM, into variables, as a result',
    [
      "SELECT f('SELECT 7')",
      "SELECT f('SELECT 7 WHERE false')",
      "SELECT f('SELECT 1/0')",
      'SELECT * FROM g()',
      'SELECT dblink_get_connections()',
    ],
    {
      local:
        plpgsql(
          `DECLARE v int; BEGIN
             PERFORM dblink_connect('own', '{R}'); PERFORM dblink_send_query('own', q);
             BEGIN
               SELECT a INTO STRICT v FROM dblink_get_result('own') AS t(a int);
             EXCEPTION WHEN no_data_found OR division_by_zero THEN v := -1;
             END;
             PERFORM * FROM dblink_get_result('own') AS t(a int);
             v := v + CASE WHEN FOUND THEN 100 ELSE 0 END;
             PERFORM dblink_disconnect('own');
             RETURN v;
           END`,
          { args: 'q text' },
        ) +
        plpgsql(
          "BEGIN PERFORM dblink_connect('own', '{R}'); PERFORM dblink_send_query('own', 'SELECT 1; SELECT 2'); RETURN QUERY SELECT * FROM dblink_get_result('own') AS t(a int); RETURN QUERY EXECUTE 'SELECT * FROM dblink_get_result($1) AS t(a int)' USING 'own'; END",
          { name: 'g', returns: 'SETOF int' },
        ),
    },
  ),
  shape(
    'F2 F10 F11 S3 S7',
    'async, refusals, messages and cleaning up in a handler',
    [
      "SELECT f('SELECT 5')",
      "SELECT f('SET lock_timeout = 50; LOCK TABLE w')",
      "SELECT f('SELECT pg_sleep(20)')",
      'SELECT dblink_get_connections()',
    ],
    {
      local: plpgsql(
        `DECLARE v text; BEGIN
           PERFORM dblink_connect('b', '{R}'); PERFORM dblink_connect('lock', '{R}');
           PERFORM dblink_exec('lock', 'BEGIN; LOCK TABLE w');
           IF dblink_is_busy('b') <> 0 THEN RAISE EXCEPTION 'busy at once'; END IF;
           PERFORM dblink_send_query('b', q);
           IF q LIKE '%sleep%' THEN PERFORM pg_sleep(0.5); END IF;
           IF q LIKE '%sleep%' AND dblink_is_busy('b') = 1 THEN RAISE EXCEPTION 'still busy'; END IF;
           SELECT a INTO v FROM dblink_get_result('b', false) AS t(a text);
           SELECT coalesce(a, v) INTO v FROM dblink_get_result('b', false) AS t(a text);
           IF dblink_error_message('b') LIKE '%lock timeout%' THEN RAISE EXCEPTION 'locked'; END IF;
           IF dblink_error_message('b') <> 'OK' THEN RAISE EXCEPTION 'failed'; END IF;
           PERFORM dblink_disconnect(n) FROM unnest(dblink_get_connections()) n;
           RETURN v;
         EXCEPTION WHEN OTHERS THEN
           IF 'b' = ANY (dblink_get_connections()) THEN
             IF dblink_is_busy('b') = 1 THEN PERFORM dblink_cancel_query('b'); END IF;
             PERFORM * FROM dblink_get_result('b', false) AS t(a text);
             PERFORM * FROM dblink_get_result('b', false) AS t(a text);
             PERFORM dblink_disconnect('b');
           END IF;
           IF 'lock' = ANY (dblink_get_connections()) THEN PERFORM dblink_disconnect('lock'); END IF;
           PERFORM dblink_connect('log', '{R}'); PERFORM dblink_send_query('log', format('INSERT INTO log VALUES (%L)', SQLERRM));
           PERFORM * FROM dblink_get_result('log') AS t(s text); PERFORM dblink_disconnect('log');
           RETURN 'cleaned up after ' || SQLERRM;
         END`,
        { args: 'q text' },
      ),
      remote: 'CREATE TABLE w (a int); CREATE TABLE log (a text)',
    },
  ),
  shape(
    'F4 F8 F9',
    'async, in a trigger, dynamic SQL and DO',
    [
      open('c'),
      "INSERT INTO l VALUES (3, 'three')",
      "DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE format('SELECT * FROM dblink_get_result(%L) AS t(%s)', 'c', 's text') LOOP RAISE NOTICE '%', r.s; END LOOP; END $$",
      "INSERT INTO l VALUES (4, 'four')",
      "DO $$ BEGIN EXECUTE format('INSERT INTO %I SELECT 5, s FROM dblink_get_result(%L) AS t(s text)', 'l', 'c'); END $$",
      SHOW_L,
    ],
    {
      local: `${L.local}; CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN PERFORM dblink_send_query('c', format('INSERT INTO w VALUES (%s)', NEW.id)); RETURN NEW; END $body$;
        CREATE TRIGGER t BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
      remote: 'CREATE TABLE w (a int)',
    },
  ),
];

export const shapeAsyncStoredCases: readonly Case[] = [...stored, ...prepared, ...functions];
