import {
  bind,
  bound,
  describePortal,
  describeStatement,
  execute,
  fetch,
  flow,
  parse,
  sync,
} from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { plpgsql } from './functionNotation.js';
import { L, SHOW_L, shape } from './shapeNotation.js';
import { CLOSE, cursor, NEXT, openCursor, QUERY, source } from './shapesCursorsNotation.js';

/** The shapes of shapesCursors.ts in what is defined first and run later: tables and views, prepared statements, functions and triggers. */

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

export const shapeCursorStoredCases: readonly Case[] = [...stored, ...prepared, ...functions];
