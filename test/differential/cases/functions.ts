import { bound } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { bridged, calling, ONE_BY_ONE, plpgsql, W } from './functionNotation.js';

/** Functions that call dblink: their statements never pass the proxy. Here: expressions, rows, dynamic SQL. */

const exec = (text: string): string => `dblink_exec('c', '${text.replaceAll("'", "''")}')`;

export const functionCases: readonly Case[] = [
  // PERFORM, assignment, expressions.
  bridged(
    'connect, exec and disconnect with PERFORM',
    [
      plpgsql(
        "BEGIN PERFORM dblink_connect('own', '{R}'); PERFORM dblink_exec('own', 'INSERT INTO w VALUES (1)'); PERFORM dblink_disconnect('own'); RETURN 'done'; END",
      ),
      'SELECT f()',
      'SELECT dblink_get_connections()',
    ],
    { local: '', ...W },
  ),
  calling(
    'PERFORM * FROM dblink sets FOUND',
    plpgsql(
      "DECLARE a text; BEGIN PERFORM * FROM dblink('c', 'SELECT 1 WHERE false') AS p(n int); a := FOUND; PERFORM * FROM dblink('c', 'SELECT 1') AS p(n int); RETURN a || FOUND; END",
    ),
    ['SELECT f()', 'SELECT * FROM f() AS x WHERE x IS NOT NULL'],
  ),
  calling(
    'calls in expressions',
    plpgsql(
      `DECLARE a text := ${exec('SET a.b = 1')}; n int := 0;
       BEGIN
         IF ${exec('SET a.b = 2')} = 'SET' THEN n := n + 1; END IF;
         WHILE (SELECT v FROM dblink('c', 'SELECT nextval(''s'')') AS t(v int)) < 4 LOOP n := n + 10; END LOOP;
         CASE ${exec('SET a.b = 3')} WHEN 'SET' THEN n := n + 100; ELSE n := -1; END CASE;
         ASSERT ${exec('SET a.b = 4')} = 'SET';
         RETURN a || n || ${exec('SET a.b = 5')};
       END`,
      { args: `x text DEFAULT ${exec('SET a.b = 6')}` },
    ),
    ['SELECT f()', "SELECT f('given')"],
    { remote: 'CREATE SEQUENCE s' },
  ),
  calling(
    'conditions inside',
    plpgsql(
      `BEGIN
         IF EXISTS (SELECT 1 FROM dblink('c', 'SELECT 1 WHERE 1 = ' || n) AS t(x int)) THEN RETURN 'there'; END IF;
         IF n > 2 AND ${exec('INSERT INTO w VALUES (1)')} = 'x' THEN RETURN 'never'; END IF;
         RETURN coalesce((SELECT b FROM dblink('c', 'SELECT b FROM w') AS t(b text)), 'none');
       END`,
      { args: 'n int' },
    ),
    ['SELECT f(1), f(2)', 'SELECT f(3)', 'SELECT f(3)'],
    W,
  ),
  calling(
    'fail_on_error off, error_message after it',
    plpgsql(
      "DECLARE v text; BEGIN v := dblink_exec('c', 'selec 1', false); IF v = 'ERROR' THEN RETURN dblink_error_message('c'); END IF; RETURN v; END",
    ),
    ['SELECT f()', "SELECT dblink_error_message('c')"],
  ),
  calling(
    'rows before an error with fail_on_error off',
    plpgsql(
      "BEGIN RETURN QUERY SELECT a FROM dblink('c', 'SELECT 1; SELECT 1/0', false) AS t(a int); RETURN QUERY SELECT count(*)::int FROM dblink('c', 'SELECT 1/0', false) AS t(a int); END",
      { returns: 'SETOF int' },
    ),
    ['SELECT * FROM f()'],
  ),
  calling(
    'NULL arguments',
    plpgsql(
      "DECLARE n int; BEGIN SELECT count(*) INTO n FROM dblink('c', q) AS t(a int); RETURN n || coalesce(dblink_exec('c', q), ' none') || coalesce(dblink_exec(NULL, q, NULL), ' none'); END",
      { args: 'q text' },
    ),
    ['SELECT f(NULL)', bound('SELECT f($1)', [null], [25])],
  ),
  calling(
    'arguments of many kinds',
    plpgsql(
      `DECLARE v text;
       BEGIN
         SELECT a INTO v FROM dblink('c', format('SELECT %L || length(%L)', q, repeat('x', 100000))) AS t(a text);
         RETURN v;
       END`,
      { args: 'q text' },
    ),
    ["SELECT f('it''s \\ \"quoted\" $1 %s')", bound('SELECT f($1)', ['{text}']), "SELECT f(E'a\\tb\\n')"],
    // One more, since in it the client encoding is a third one.
    { transports: [...ONE_BY_ONE, 'pipeline'] },
  ),
  calling(
    'many calls in one function',
    plpgsql(
      "BEGIN FOR n IN 1 .. 25 LOOP PERFORM dblink_exec('c', format('INSERT INTO w VALUES (%s)', n)); END LOOP; RETURN (SELECT n FROM dblink('c', 'SELECT count(*) FROM w') AS t(n int)); END",
    ),
    ['SELECT f()'],
    W,
  ),

  // Rows into variables.
  calling(
    'SELECT INTO',
    plpgsql(
      `DECLARE v int; r record; p items%ROWTYPE;
       BEGIN
         SELECT a INTO v FROM dblink('c', 'SELECT 5') AS t(a int);
         SELECT * INTO r FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text);
         SELECT * INTO p FROM dblink('c', 'SELECT 7, ''apple'', 1.5, date ''2024-01-02''') AS t(a int, b text, c numeric, d date);
         SELECT a INTO v FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int);
         RETURN concat_ws('|', v, FOUND, r, p);
       END`,
    ),
    ['SELECT f()'],
  ),
  calling(
    'SELECT INTO STRICT',
    plpgsql("DECLARE v int; BEGIN SELECT a INTO STRICT v FROM dblink('c', q) AS t(a int); RETURN v; END", {
      args: 'q text',
    }) +
      plpgsql(
        "BEGIN RETURN f(q); EXCEPTION WHEN no_data_found THEN RETURN 'none ' || SQLSTATE || SQLERRM; WHEN too_many_rows THEN RETURN 'many ' || SQLSTATE || SQLERRM; END",
        { name: 'g', args: 'q text' },
      ),
    [
      "SELECT g('SELECT 1 WHERE false'), g('SELECT id FROM people'), g('SELECT 6')",
      "SELECT f('SELECT 1 WHERE false')",
      "SELECT f('SELECT id FROM people')",
    ],
  ),
  calling(
    'loops over rows',
    plpgsql(
      `DECLARE r record; x int; y text; v text := '';
       BEGIN
         FOR r IN SELECT i.name, t.b FROM dblink('c', 'SELECT id, name FROM people ORDER BY id') AS t(a int, b text) LEFT JOIN items i ON i.id = t.a ORDER BY t.a LOOP
           CONTINUE WHEN r.b IS NULL;
           v := v || r.name || r.b;
           EXIT WHEN r.b = 'Bob';
         END LOOP;
         FOR x, y IN SELECT * FROM dblink('c', 'SELECT id, name FROM people ORDER BY id LIMIT 2') AS t(a int, b text) LOOP
           v := v || x || y;
         END LOOP;
         FOR r IN SELECT * FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int) LOOP v := 'never'; END LOOP;
         RETURN v || FOUND;
       END`,
    ),
    ['SELECT f()'],
  ),
  calling(
    'a call for each row of a loop over rows',
    plpgsql(
      `DECLARE r record; BEGIN
         FOR r IN SELECT * FROM dblink('c', 'SELECT id, name FROM people ORDER BY id') AS t(a int, b text) LOOP
           PERFORM dblink_exec('c', format('INSERT INTO w VALUES (%s, %L)', r.a, r.b));
           IF r.a = 3 THEN RETURN 'early'; END IF;
         END LOOP;
       END`,
    ),
    ['SELECT f()'],
    W,
  ),
  calling(
    'FOR … IN EXECUTE',
    plpgsql(
      `DECLARE r record; v text := '';
       BEGIN
         FOR r IN EXECUTE format('SELECT * FROM dblink(%L, %L) AS t(%s)', conn, q, defs) LOOP v := v || r; END LOOP;
         FOR r IN EXECUTE 'SELECT * FROM dblink($1, $2) AS t(a text)' USING conn, 'SELECT name FROM people ORDER BY id LIMIT 2' LOOP v := v || r.a; END LOOP;
         RETURN v;
       END`,
      { args: 'conn text, q text, defs text' },
    ),
    [
      "SELECT f('c', 'SELECT id, born FROM people WHERE id < 3 ORDER BY id', 'a int, b date')",
      "SELECT f('{R}', 'SELECT 1', 'a int')",
      "SELECT f('c', 'SELECT 1', 'a int, b int')",
    ],
  ),
  calling(
    'RETURN QUERY and RETURN QUERY EXECUTE',
    plpgsql(
      `BEGIN
         RETURN QUERY SELECT a, b FROM dblink('c', 'SELECT id, name FROM people ORDER BY id LIMIT 2') AS t(a int, b text);
         RETURN QUERY EXECUTE 'SELECT * FROM dblink(''c'', $1) AS t(a int, b text)' USING 'SELECT 7, NULL';
         x := 9; y := FOUND; RETURN NEXT;
       END`,
      { returns: 'TABLE (x int, y text)' },
    ),
    ['SELECT * FROM f()', 'SELECT f()', 'SELECT count(*) FROM f() WHERE x > 1'],
  ),
  calling(
    'set-returning and OUT parameters',
    plpgsql("BEGIN SELECT * INTO a, b FROM dblink('c', 'SELECT 1, ''x''') AS t(m int, n text); END", {
      args: 'OUT a int, OUT b text',
      returns: 'record',
    }) +
      plpgsql("BEGIN RETURN QUERY SELECT * FROM dblink('c', q) AS t(m int); END", {
        name: 'g',
        args: 'q text',
        returns: 'SETOF int',
      }),
    [
      'SELECT * FROM f()',
      'SELECT (f()).*',
      "SELECT i.id, g FROM items i, g('SELECT ' || i.id * 2) ORDER BY 1",
      "SELECT id, g('SELECT id FROM people WHERE id <= ' || id) FROM items WHERE id < 3",
    ],
  ),
  calling(
    'functions of dblink wrapped as RETURNS SETOF record',
    plpgsql("BEGIN RETURN QUERY SELECT * FROM dblink('c', q) AS t(a int, b text); END", {
      args: 'q text',
      returns: 'SETOF record',
    }) + plpgsql('BEGIN RETURN QUERY EXECUTE q; END', { name: 'g', args: 'q text', returns: 'SETOF record' }),
    [
      "SELECT * FROM f('SELECT 1, ''x''') AS t(a int, b text)",
      "SELECT * FROM f('SELECT 1, ''x''') AS t(a int, b int)",
      "SELECT * FROM g('SELECT * FROM dblink(''c'', ''SELECT 5'') AS t(a int)') AS t(a int)",
    ],
  ),

  // Dynamic SQL.
  calling(
    'EXECUTE format into tables',
    plpgsql(
      `DECLARE n int;
       BEGIN
         EXECUTE format('CREATE TABLE %I (%s)', tab, defs);
         EXECUTE format('INSERT INTO %I SELECT * FROM dblink(%L, %L) AS t(%s)', tab, conn, q, defs);
         GET DIAGNOSTICS n = ROW_COUNT;
         EXECUTE format('CREATE TABLE %I AS SELECT * FROM dblink(%L, %L) AS t(%s)', tab || ' as', conn, q, defs);
         RETURN n;
       END`,
      { args: 'tab text, conn text, q text, defs text' },
    ),
    [
      "SELECT f('copied', 'c', 'SELECT id, name FROM people', 'id int, name text')",
      'SELECT * FROM copied ORDER BY 1',
    ],
  ),
  calling(
    'EXECUTE INTO and USING',
    plpgsql(
      "DECLARE a int; b text; BEGIN EXECUTE 'SELECT t.m, dblink_exec($1, $2) FROM dblink($1, $3) AS t(m int)' INTO a, b USING 'c', 'SET a.b = 1', 'SELECT 5'; RETURN a || b; END",
    ),
    ['SELECT f()'],
  ),
  calling(
    'the caller gives SQL with calls in it',
    plpgsql(
      "DECLARE a refcursor; b refcursor; x record; y record; n int := 0; BEGIN OPEN a FOR EXECUTE p; OPEN b FOR EXECUTE q; LOOP FETCH a INTO x; FETCH b INTO y; EXIT WHEN x IS NULL AND y IS NULL; n := n + 1; IF x IS DISTINCT FROM y THEN RETURN format('not ok %s: %s, %s', n, x, y); END IF; END LOOP; RETURN 'ok ' || n; END",
      { name: 'results_eq', args: 'p text, q text' },
    ),
    [
      "SELECT results_eq('SELECT * FROM dblink(''c'', ''SELECT id FROM people ORDER BY id'') AS t(a int)', 'VALUES (1), (2), (3), (4), (5)')",
      "SELECT results_eq('SELECT * FROM dblink(''c'', ''SELECT id FROM people ORDER BY id'') AS t(a int)', 'SELECT * FROM dblink(''c'', ''SELECT 1'') AS t(a int)')",
      "SELECT results_eq('SELECT * FROM dblink(''c'', ''SELECT nosuch'') AS t(a int)', 'VALUES (1)')",
    ],
  ),
  calling(
    'cursors',
    plpgsql(
      `DECLARE k CURSOR (q text) FOR SELECT * FROM dblink('c', q) AS t(a int); x int; v text := '';
       BEGIN
         OPEN k('SELECT id FROM people ORDER BY id');
         FETCH k INTO x; v := v || x;
         MOVE RELATIVE 2 FROM k; FETCH k INTO x; v := v || x;
         FETCH LAST FROM k INTO x; v := v || x;
         CLOSE k;
         FOR r IN k('SELECT 8') LOOP v := v || r.a; END LOOP;
         RETURN v;
       END`,
    ) +
      plpgsql(
        "BEGIN OPEN k FOR SELECT * FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(a int); RETURN k; END",
        {
          name: 'g',
          args: 'k refcursor',
          returns: 'refcursor',
        },
      ),
    ['SELECT f()', "SELECT g('k')", 'FETCH 2 FROM k', 'FETCH ALL FROM k'],
  ),
];
