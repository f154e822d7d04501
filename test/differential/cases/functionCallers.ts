import { open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { bridged, calling, plpgsql, sql, W } from './functionNotation.js';

/** Who calls a function that calls dblink, and as whom: roles, other languages and kinds of functions, DO, procedures. */

export const functionCallerCases: readonly Case[] = [
  // Who calls, and as whom.
  calling(
    'SECURITY DEFINER with an empty search_path',
    plpgsql(
      `DECLARE v text;
       BEGIN
         SELECT a INTO v FROM public.dblink('c', 'SELECT current_user || ''/'' || current_setting(''search_path'')') AS t(a text);
         RETURN v || '/' || current_user || '/' || public.dblink_exec('c', 'SET a.b = 1') || '/' || current_setting('search_path');
       END`,
      { attributes: "SECURITY DEFINER SET search_path = ''" },
    ) +
      plpgsql("BEGIN RETURN dblink_exec('c', 'SET a.b = 1'); END", {
        name: 'g',
        attributes: "SECURITY DEFINER SET search_path = ''",
      }),
    ['SELECT f()', 'SET ROLE plain_user', 'SELECT f()', 'SELECT g()'],
  ),
  calling(
    'SECURITY DEFINER lends the superuser',
    plpgsql("BEGIN RETURN dblink_connect('d', '{R}'); END", { attributes: 'SECURITY DEFINER' }) +
      plpgsql("BEGIN RETURN dblink_connect('e', '{R}'); END", { name: 'g' }) +
      plpgsql(
        "BEGIN SET LOCAL ROLE plain_user; RETURN dblink_connect('h', '{R}'); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || SQLERRM; END",
        { name: 'h' },
      ),
    ['SELECT h()', 'SET ROLE plain_user', 'SELECT f()', 'SELECT g()', 'RESET ROLE', 'SELECT g()'],
  ),
  calling(
    'LANGUAGE sql',
    sql(
      "SELECT dblink_exec('c', 'INSERT INTO w VALUES (' || $1 || ')'); SELECT t.t FROM dblink('c', 'SELECT count(*) FROM w') AS t(t text);",
      {
        args: 'n int',
      },
    ) +
      sql(
        "SELECT * FROM dblink('c', 'SELECT id, name FROM people ORDER BY id LIMIT ' || $1) AS t(a int, b text)",
        {
          name: 'g',
          args: 'n int',
          returns: 'TABLE (x int, y text)',
        },
      ) +
      sql("SELECT dblink_exec('c', $1)", { name: 'h', args: 'text', attributes: 'STABLE' }),
    [
      'SELECT f(1), f(2)',
      'SELECT * FROM g(2)',
      'SELECT g(2)',
      'SELECT i.id, x, y FROM items i, g(i.id) WHERE i.id < 3 ORDER BY 1, 2',
      "SELECT h('SET a.b = 1')",
      "SELECT h('selec')",
      'SELECT * FROM f(1)',
    ],
    W,
  ),
  calling(
    'LANGUAGE sql with a body that is parsed once',
    "CREATE FUNCTION f(n int) RETURNS TABLE (x int) BEGIN ATOMIC SELECT * FROM dblink('c', 'SELECT ' || n) AS t(a int); END;" +
      "CREATE FUNCTION g(n int) RETURNS text RETURN dblink_exec('c', 'INSERT INTO w VALUES (' || n || ')');",
    ['SELECT * FROM f(5)', 'SELECT g(1), g(2)', "SELECT pg_get_functiondef('f'::regproc)"],
    { ...W, minMajor: 14 },
  ),
  calling(
    'STABLE and IMMUTABLE',
    'CREATE TABLE l (a int);' +
      plpgsql("BEGIN RETURN dblink_exec('c', 'INSERT INTO w VALUES (' || n || ')'); END", {
        args: 'n int',
        attributes: 'STABLE',
      }) +
      plpgsql("BEGIN RETURN (SELECT a FROM dblink('c', 'SELECT 7 + ' || n) AS t(a int)); END", {
        name: 'g',
        args: 'n int',
        returns: 'int',
        attributes: 'IMMUTABLE',
      }) +
      plpgsql("BEGIN INSERT INTO l VALUES (1); RETURN dblink_exec('c', 'SET a.b = 1'); END", {
        name: 'h',
        attributes: 'STABLE',
      }),
    [
      'SELECT f(id) FROM items ORDER BY id',
      'SELECT id FROM items WHERE id < g(-5) ORDER BY id',
      'EXPLAIN (COSTS OFF) SELECT g(1)',
      'SELECT h()',
    ],
    W,
  ),
  calling(
    'recursion',
    plpgsql(
      `DECLARE r record; v text := '';
       BEGIN
         IF n = 0 THEN RETURN dblink_exec('c', 'SET a.b = 1'); END IF;
         FOR r IN SELECT * FROM dblink('c', 'SELECT g FROM generate_series(1, ' || n || ') g') AS t(a int) LOOP
           v := v || r.a || f(r.a - 1);
         END LOOP;
         RETURN v;
       END`,
      { args: 'n int' },
    ),
    ['SELECT f(3)'],
  ),
  calling(
    'in arguments of each other',
    plpgsql("BEGIN RETURN dblink_exec('c', x) || y; END", { args: 'x text, y text' }),
    [
      "SELECT f('SET a.b = 1', f('INSERT INTO w VALUES (1)', dblink_exec('c', 'DELETE FROM w')))",
      "SELECT shout(f('SET a.b = ' || (SELECT a FROM dblink('c', 'SELECT 5') AS t(a text)), loud(dblink_exec('c', 'SET a.b = 2'))))",
      "SELECT f('SET a.b = 1', v) FROM (SELECT dblink_exec('c', 'SET a.b = ' || id) AS v FROM items) s",
    ],
    W,
  ),
  calling(
    'dblink in the text for dblink',
    plpgsql(
      "BEGIN RETURN QUERY SELECT a FROM dblink('c', $$SELECT * FROM dblink('{R}', 'SELECT id FROM public.people ORDER BY id') AS t(a int)$$) AS t(a int); PERFORM dblink_exec('c', $$DO 'BEGIN PERFORM dblink_connect(''x'', ''nosuch''); END'$$); END",
      { returns: 'SETOF int' },
    ),
    [
      "SELECT dblink_exec('c', 'SET search_path = scratch, public')",
      "SELECT i.id, t.n FROM items i, LATERAL dblink('c', format('SELECT * FROM dblink(''{R}'', ''SELECT %s'') AS t(n int)', i.id)) AS t(n int) ORDER BY 1",
      'SELECT * FROM f()',
    ],
    { remote: 'CREATE EXTENSION dblink SCHEMA scratch' },
  ),
  calling(
    'defaults, casts, operators and aggregates',
    plpgsql("BEGIN RETURN s || (SELECT a FROM dblink('c', 'SELECT ' || n) AS t(a text)); END", {
      args: 's text, n int',
    }) +
      "CREATE AGGREGATE agg(int) (SFUNC = f, STYPE = text, INITCOND = '');" +
      'CREATE OPERATOR ### (FUNCTION = f, LEFTARG = text, RIGHTARG = int);' +
      plpgsql("BEGIN RETURN dblink_exec('c', 'SET a.b = 1'); END", { name: 'g', args: 'p pair' }) +
      "CREATE TABLE l (a int, b text DEFAULT dblink_exec('c', 'SET a.b = 1'), CHECK (f('x', a) = 'x1'))",
    [
      'SELECT agg(id ORDER BY id) FROM items',
      "SELECT 'x' ### 5",
      "SELECT g(ROW(1, 'x')), (ROW(1, 'x')::pair).g",
      'INSERT INTO l (a) VALUES (1)',
      'SELECT * FROM l',
      'INSERT INTO l (a) VALUES (2)',
    ],
  ),
  calling(
    'domains whose check calls dblink',
    `${plpgsql("BEGIN RETURN (SELECT a FROM dblink('d', 'SELECT ' || n || ' > 1') AS t(a bool)); END", {
      args: 'n int',
      returns: 'bool',
    })}CREATE DOMAIN remote_checked AS int CHECK (f(VALUE))`,
    [
      open('d'),
      'SELECT 2::remote_checked',
      "SELECT * FROM dblink('c', 'SELECT id FROM people WHERE id > 1 ORDER BY id') AS t(a remote_checked)",
      "SELECT * FROM dblink('c', 'SELECT 1') AS t(a remote_checked)",
    ],
  ),

  // DO, procedures.
  bridged(
    'DO blocks',
    [
      "DO $$ BEGIN PERFORM dblink_connect('c', '{R}'); PERFORM dblink_exec('c', 'INSERT INTO w VALUES (1)'); RAISE NOTICE 'open: %', dblink_get_connections(); END $$",
      "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(a int) LOOP RAISE NOTICE 'row %', r.a; END LOOP; END $$",
      "DO $$ BEGIN PERFORM dblink_exec('dbname=' || current_database(), 'CREATE DATABASE app'); EXCEPTION WHEN duplicate_database THEN RAISE WARNING '%', SQLERRM; END $$",
      "DO $$ BEGIN IF 'c' = ANY (dblink_get_connections()) THEN PERFORM dblink_disconnect('c'); END IF; IF 'c' = ANY (dblink_get_connections()) THEN RAISE 'still there'; END IF; END $$",
      "DO $$ BEGIN PERFORM dblink_exec('c', 'INSERT INTO w VALUES (2)'); END $$",
    ],
    { local: '', ...W },
  ),
  bridged(
    'cleaning up in every handler',
    [
      "SELECT f('SELECT 1')",
      "SELECT f('SELECT 1/0')",
      "SELECT f('SELECT ''x''')",
      'SELECT dblink_get_connections()',
    ],
    {
      local: plpgsql(
        `DECLARE v text;
         BEGIN
           PERFORM dblink_connect('own', '{R}');
           SELECT a INTO v FROM dblink('own', q) AS t(a int);
           PERFORM dblink_disconnect('own');
           RETURN v;
         EXCEPTION WHEN OTHERS THEN
           IF 'own' = ANY (dblink_get_connections()) THEN PERFORM dblink_disconnect('own'); END IF;
           RETURN 'cleaned up after ' || SQLERRM;
         END`,
        { args: 'q text' },
      ),
    },
  ),
  calling(
    'commands barred in transactions, by way of the database itself',
    'CREATE TABLE l (a int);' +
      plpgsql(
        `DECLARE db text; v text := '';
         BEGIN
           v := dblink_exec('user=postgres dbname=' || current_database(), 'VACUUM scratch.l');
           FOR db IN SELECT datname FROM pg_database WHERE datname LIKE 'app%' ORDER BY 1 LOOP
             v := v || ' ' || (SELECT t.d FROM dblink('dbname=' || db || ' user=' || current_user, 'SELECT current_database()') AS t(d text));
           END LOOP;
           RETURN v;
         END`,
      ),
    ['SELECT f()'],
  ),
  calling(
    'views made of a remote catalogue',
    plpgsql(
      `DECLARE r record; n int := 0;
       BEGIN
         FOR r IN SELECT * FROM dblink('c', $$SELECT table_name, string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name IN ('people', 'w') GROUP BY 1 ORDER BY 1$$) AS t(tab name, defs text) LOOP
           EXECUTE 'CREATE VIEW ' || quote_ident('r_' || r.tab) || ' AS SELECT * FROM dblink(' || quote_literal('c') || ', ' || quote_literal('SELECT * FROM ' || r.tab) || ') AS t(' || replace(r.defs, 'ARRAY', 'text[]') || ')';
           n := n + 1;
         END LOOP;
         RETURN n;
       END`,
    ),
    ['SELECT f()', 'SELECT * FROM r_people ORDER BY id', 'SELECT * FROM r_w'],
    W,
  ),
  bridged(
    'procedures that commit',
    [
      'CALL p(3)',
      'SELECT * FROM l ORDER BY a',
      'CALL q()',
      'SELECT * FROM l ORDER BY a',
      'SELECT dblink_get_connections()',
    ],
    {
      local: `CREATE TABLE l (a int);
        CREATE PROCEDURE p(n int) LANGUAGE plpgsql AS $body$
        BEGIN
          PERFORM dblink_connect('c', '{R}');
          FOR i IN 1 .. n LOOP
            INSERT INTO l SELECT a FROM dblink('c', 'SELECT ' || i) AS t(a int);
            PERFORM dblink_exec('c', 'INSERT INTO w VALUES (' || i || ')');
            IF i % 2 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
          END LOOP;
        END $body$;
        CREATE PROCEDURE q() LANGUAGE plpgsql AS $body$
        DECLARE r record;
        BEGIN
          FOR r IN SELECT * FROM dblink('c', 'SELECT a FROM w ORDER BY a') AS t(a int) LOOP
            INSERT INTO l VALUES (r.a * 10);
            COMMIT;
            PERFORM dblink_exec('c', 'INSERT INTO w VALUES (' || CASE r.a WHEN 2 THEN 1 ELSE r.a * 10 END || ')');
          END LOOP;
        END $body$`,
      ...W,
    },
  ),
  calling(
    'INOUT of a procedure, CALL in a function',
    `CREATE PROCEDURE p(INOUT n int, INOUT t text DEFAULT NULL) LANGUAGE plpgsql AS $body$
     BEGIN SELECT a, b INTO n, t FROM dblink('c', format('SELECT %s * 2, version() <> ''''', n)) AS x(a int, b text); END $body$;` +
      plpgsql('DECLARE a int := 4; b text; BEGIN CALL p(a, b); RETURN a || b; END') +
      "CREATE PROCEDURE s(n int) LANGUAGE sql AS $body$ SELECT dblink_exec('c', 'INSERT INTO w VALUES (' || n || ')') $body$;",
    ['CALL p(3)', 'SELECT f()', 'CALL s(1)', 'CALL s(1)'],
    W,
  ),
  calling(
    'an event trigger',
    `CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS $body$ BEGIN PERFORM dblink_exec('c', format('INSERT INTO w (b, a) VALUES (%L, 1)', TG_TAG)); END $body$;
     CREATE EVENT TRIGGER tell_remote ON ddl_command_end WHEN TAG IN ('CREATE SEQUENCE') EXECUTE FUNCTION e()`,
    ['CREATE SEQUENCE s', 'CREATE SEQUENCE s2'],
    W,
  ),
  bridged('dblink_current_query', ['SELECT f()', 'SELECT f() /* comment */, 1'], {
    local: plpgsql(
      "DECLARE v text := dblink_exec('{R}', 'SET a.b = 1'); BEGIN RETURN v || dblink_current_query(); END",
    ),
  }),
];
