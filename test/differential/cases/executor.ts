import {
  bind,
  bound,
  describePortal,
  execute,
  flow,
  open,
  parse,
  sync,
  testCase,
} from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { ONE_BY_ONE } from './functionNotation.js';

/**
 * What only the executor decides: how often, in which order and whether at all a call is made. Remote tables count the
 * calls.
 */

const W = { remote: 'CREATE TABLE w (n serial, a text)' };
/** A call in a select list that leaves a trace, and one in FROM that does. */
const put = (what: string): string => `dblink_exec('c', format('INSERT INTO w (a) VALUES (%L)', ${what}))`;
const rows = (what: string, columns = 'a int'): string =>
  `dblink('c', format('INSERT INTO w (a) VALUES (%L) RETURNING n', ${what})) AS t(${columns})`;

/** `c` is open. What the remote table holds is compared at the end. */
function executed(name: string, statements: Case['steps'], more: Omit<Case, 'name' | 'steps'> = {}): Case {
  return testCase(`executor: ${name}`, [open('c'), ...statements], {
    ...W,
    transports: ONE_BY_ONE,
    ...more,
    bridged: true,
  });
}

export const executorCases: readonly Case[] = [
  executed('rows in their order', [
    `SELECT id, ${put('id')} FROM items ORDER BY id DESC`,
    `SELECT ${put("'left ' || n")}, ${put("'right ' || n")} FROM generate_series(1, 2) n`,
    `SELECT ${put('n')} FROM unnest(ARRAY['a', NULL, 'b']) n`,
    `SELECT ${put('n')}, count(*) FROM (VALUES ('x'), ('y'), ('x')) v(n) GROUP BY n ORDER BY n`,
    "SELECT dblink_exec(n, 'SET a.b = 1') FROM unnest(ARRAY['c', 'nosuch', 'c']) n",
  ]),
  executed('connections made and ended per row', [
    "SELECT dblink_connect('w' || n, '{R}') FROM generate_series(1, 3) n",
    "SELECT n, t.p FROM generate_series(1, 3) n, LATERAL dblink('w' || n, 'SELECT current_setting(''application_name'') || ' || n) AS t(p text) ORDER BY n",
    "SELECT dblink_connect(n, '{R}') FROM unnest(ARRAY['x', 'c', 'y']) n",
    "SELECT dblink_disconnect(n) FROM unnest(dblink_get_connections()) n WHERE n <> 'c'",
    'SELECT dblink_get_connections()',
  ]),
  executed('a fan-out by connection string', [
    "SELECT s.k, t.d, t.n FROM conf s, LATERAL dblink(s.v, 'SELECT current_database(), count(*) FROM public.people') AS t(d text, n int)",
    "SELECT s.n, t.a FROM (VALUES (1, '{R}'), (2, 'host=127.0.0.1 port=1'), (3, '{R}')) s(n, dsn), LATERAL dblink(s.dsn, 'SELECT 1') AS t(a int)",
    "SELECT s.n, t.a FROM (VALUES (1, 'c'), (2, '{R}')) s(n, dsn) LEFT JOIN LATERAL dblink(s.dsn, 'SELECT 1 WHERE ' || s.n || ' = 1') AS t(a int) ON true ORDER BY 1",
  ]),
  executed('LIMIT cuts off', [
    `SELECT ${put('n')} FROM generate_series(1, 5) n LIMIT 2`,
    `SELECT n, t.a FROM generate_series(10, 15) n, LATERAL ${rows('n')} LIMIT 2`,
    `SELECT ${put('n')} FROM generate_series(20, 25) n OFFSET 1 LIMIT 1`,
    `SELECT ${put("'one'")} LIMIT 0`,
    `SELECT * FROM (SELECT ${put('n')} FROM generate_series(30, 33) n OFFSET 0) s LIMIT 1`,
  ]),
  executed('branches that are not taken', [
    `SELECT CASE WHEN id = 2 THEN ${put("'case ' || id")} WHEN id > 3 THEN 'none' END FROM items ORDER BY id`,
    `SELECT coalesce(name, ${put("'coalesce'")}), coalesce(price::text, ${put("'price ' || id")}) FROM items ORDER BY id`,
    `SELECT nullif(${put("'nullif'")}, 'x'), greatest(${put("'greatest'")}, NULL)`,
    `SELECT id FROM items WHERE id > 2 AND ${put("'and ' || id")} = 'INSERT 0 1' ORDER BY id`,
    `SELECT id FROM items WHERE id > 2 OR ${put("'or ' || id")} = 'x' ORDER BY id`,
    `SELECT count(*) FILTER (WHERE ${put("'filter ' || id")} = 'x') FROM items WHERE id < 2`,
  ]),
  executed('sub-queries', [
    `SELECT i.id FROM items i WHERE EXISTS (SELECT 1 FROM ${rows("'exists ' || i.id")} WHERE t.a > 0) ORDER BY 1`,
    `SELECT i.id FROM items i WHERE NOT EXISTS (SELECT 1 FROM ${rows("'not exists'")} WHERE t.a = i.id + 100) ORDER BY 1`,
    `SELECT i.id, (SELECT max(a) FROM ${rows("'scalar ' || i.id")}) IS NOT NULL FROM items i ORDER BY 1`,
    `SELECT (SELECT a FROM dblink('c', 'SELECT generate_series(1, 2)') AS t(a int))`,
    `SELECT ARRAY(SELECT t.a FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(a int)), id = ANY (ARRAY(SELECT t.a FROM ${rows("'array'")})) IS NULL FROM items WHERE id = 1`,
    `SELECT i.id FROM items i WHERE i.id IN (SELECT t.a FROM dblink('c', 'SELECT ' || i.id || ' WHERE ' || i.id || ' > 2') AS t(a int)) ORDER BY 1`,
  ]),
  executed('joins that need no rows', [
    `SELECT i.id, t.a FROM items i LEFT JOIN ${rows("'on false'")} ON false ORDER BY 1`,
    `SELECT n.id, t.a FROM nothing n, LATERAL ${rows("'empty outer'")}`,
    `SELECT n.id, t.a FROM nothing n LEFT JOIN ${rows("'empty left'")} ON true`,
    `SELECT t.a FROM ${rows("'where false'")} WHERE false`,
    `SELECT t.a IS NULL FROM items i LEFT JOIN LATERAL (SELECT * FROM ${rows("'lateral ' || i.id")} LIMIT CASE WHEN i.id = 2 THEN 1 ELSE 0 END) t ON true ORDER BY i.id`,
  ]),
  executed('CTEs', [
    `WITH x AS (SELECT * FROM ${rows("'unreferenced'")}) SELECT 1`,
    `WITH x AS (SELECT * FROM ${rows("'twice'")}) SELECT count(*) FROM x, x y`,
    `WITH x AS MATERIALIZED (SELECT ${put('n')} AS r FROM generate_series(1, 4) n) SELECT * FROM x LIMIT 2`,
    `WITH x AS NOT MATERIALIZED (SELECT id, dblink_error_message('c') AS m FROM items) SELECT * FROM x WHERE id = 1`,
    `WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT r.n + t.m FROM r, LATERAL dblink('c', 'SELECT ' || r.n) AS t(m int) WHERE r.n < 10) SELECT n, ${put('n')} FROM r ORDER BY n`,
  ]),
  executed(
    'a CTE that writes here, calls for what it wrote',
    [
      `WITH i AS (INSERT INTO l SELECT id FROM items RETURNING a) SELECT a, ${put("'new ' || a")} FROM i ORDER BY a`,
      `WITH u AS (UPDATE l SET a = t.b FROM dblink('c', 'SELECT 1, 100') AS t(a int, b int) WHERE t.a = l.a RETURNING l.a) SELECT ${put('u.a')} FROM u`,
      `INSERT INTO l VALUES (7), (8) RETURNING a, ${put("'returning ' || a")}`,
      `UPDATE l SET a = a + 1 WHERE a = 8 RETURNING ${put("'updated ' || a")}`,
      `DELETE FROM l WHERE ${put("'delete ' || a")} = 'INSERT 0 1' AND a > 6`,
      `INSERT INTO l SELECT 1 FROM generate_series(1, 2) WHERE dblink_exec('c', 'selec') = 'x'`,
    ],
    { local: 'CREATE TABLE l (a int)' },
  ),
  executed(
    'pushing rows',
    [
      "SELECT dblink_exec('c', format('INSERT INTO w (a) VALUES (%L), (%L)', name, price)) FROM items WHERE price IS NOT NULL ORDER BY id",
      "SELECT count(*) FROM (SELECT dblink_exec('c', format('UPDATE w SET a = %L WHERE n = %s', name, id)) FROM items OFFSET 0) s",
      "INSERT INTO l SELECT a, dblink_exec('c', format('INSERT INTO w (a) VALUES (%L)', a)) FROM l2 ORDER BY a",
      "INSERT INTO l VALUES (1, dblink_exec('c', 'SET a.b = 1')) ON CONFLICT (a) DO UPDATE SET b = dblink_exec('c', 'INSERT INTO w (a) VALUES (''conflict'')')",
      'SELECT * FROM l ORDER BY a',
    ],
    {
      local:
        'CREATE TABLE l (a int PRIMARY KEY, b text); CREATE TABLE l2 (a int); INSERT INTO l2 VALUES (1), (2)',
    },
  ),
  executed('UNION, EXCEPT, INTERSECT', [
    `(SELECT ${put("'first'")} UNION ALL SELECT ${put("'second'")}) LIMIT 1`,
    `SELECT a FROM ${rows("'p'")} UNION ALL SELECT a FROM ${rows("'q'")} LIMIT 1`,
    `SELECT ${put("'u'")} UNION SELECT ${put("'v'")}`,
    `SELECT id FROM items EXCEPT SELECT t.a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id || ' WHERE ' || i.id || ' < 3') AS t(a int) ORDER BY 1`,
  ]),
  executed('GROUP BY, DISTINCT, ORDER BY, windows', [
    `SELECT ${put("'group'")} AS g, count(*) FROM items GROUP BY g`,
    `SELECT DISTINCT ${put("'distinct'")} FROM items`,
    `SELECT id FROM items ORDER BY ${put("'order ' || id")}, id LIMIT 2`,
    `SELECT id, count(*) OVER (PARTITION BY ${put("'window'")}) FROM items WHERE id < 3 ORDER BY id`,
    `SELECT max(${put("'aggregate ' || id")}), string_agg(dblink_exec('c', 'SET a.b = 1'), ',' ORDER BY id) FROM items`,
    `SELECT count(*) FROM items HAVING ${put("'having'")} = 'INSERT 0 1'`,
    `SELECT DISTINCT ON (t.a > 0) t.a > 0 FROM items i, LATERAL ${rows('i.id')}`,
  ]),
  executed('ROWS FROM, WITH ORDINALITY', [
    "SELECT * FROM ROWS FROM (dblink('c', 'SELECT id, name FROM people ORDER BY id') AS (a int, b text), generate_series(1, 6)) WITH ORDINALITY",
    "SELECT i.id, r.* FROM items i, ROWS FROM (dblink('c', 'SELECT generate_series(1, ' || i.id || ')') AS (a int), unnest(ARRAY['x'])) WITH ORDINALITY AS r(a, b, n) WHERE i.id < 3 ORDER BY 1, n",
    "SELECT * FROM ROWS FROM (dblink('c', 'SELECT 1') AS (a int), dblink('c', 'SELECT 2, 3') AS (b int, c text))",
    "SELECT * FROM dblink('c', 'SELECT 1') WITH ORDINALITY AS t(a int)",
  ]),
  executed('set-returning and scalar calls in a select list', [
    `SELECT generate_series(1, 3), ${put("'once a row'")}`,
    `SELECT ${put('generate_series(1, 2)')}`,
    "SELECT dblink('c', 'SELECT 1')",
  ]),
  executed(
    'MERGE',
    [
      `MERGE INTO l USING (SELECT t.a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(a int)) s ON s.a = l.a
     WHEN MATCHED AND ${put("'matched ' || s.a")} = 'x' THEN DELETE
     WHEN MATCHED THEN UPDATE SET b = ${put("'update ' || s.a")}
     WHEN NOT MATCHED AND s.a > 3 THEN DO NOTHING
     WHEN NOT MATCHED THEN INSERT VALUES (s.a, ${put("'insert ' || s.a")})`,
      'SELECT * FROM l ORDER BY a',
    ],
    { local: 'CREATE TABLE l (a int, b text); INSERT INTO l VALUES (1), (2)', minMajor: 15 },
  ),
  executed(
    'tables made of calls',
    [
      "SELECT i.id, t.b INTO made FROM items i, LATERAL dblink('c', 'SELECT ' || i.id || ' * 2') AS t(b int)",
      `CREATE TABLE made2 AS SELECT id, ${put('id')} FROM items`,
      `CREATE TEMP TABLE made3 ON COMMIT DROP AS SELECT ${put("'temp'")} AS r`,
      `CREATE TABLE made4 AS SELECT ${put("'no data'")} AS r WITH NO DATA`,
      "CREATE TABLE IF NOT EXISTS made AS SELECT dblink_exec('c', 'INSERT INTO w (a) VALUES (''exists'')')",
      'SELECT * FROM made ORDER BY 1',
    ],
    { local: '' },
  ),
  executed(
    'COPY (query) TO',
    [
      `COPY (SELECT id, ${put('id')} FROM items ORDER BY id) TO STDOUT`,
      "COPY (SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ''a,\"b\"'', ' || i.id) AS t(a text, b int) ORDER BY 1) TO STDOUT WITH (FORMAT csv, HEADER)",
      'COPY (SELECT * FROM v) TO STDOUT',
      `COPY (INSERT INTO l VALUES (1) RETURNING ${put("'copy'")}) TO STDOUT`,
      "COPY (SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT 1/(2 - ' || i.id || ')') AS t(a int)) TO STDOUT",
    ],
    {
      local:
        "CREATE TABLE l (a int); CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT id, name FROM people ORDER BY id') AS t(a int, b text)",
    },
  ),
  executed(
    'cursors of SQL',
    [
      'BEGIN',
      `DECLARE k CURSOR FOR SELECT n, ${put('n')} FROM generate_series(1, 5) n`,
      'FETCH 2 FROM k',
      "SELECT * FROM dblink('c', 'SELECT count(*) FROM w') AS t(n int)",
      'MOVE 1 FROM k',
      'FETCH NEXT FROM k',
      'CLOSE k',
      "DECLARE s SCROLL CURSOR FOR SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(a int) ORDER BY 1",
      'FETCH LAST FROM s',
      'FETCH PRIOR FROM s',
      'FETCH ABSOLUTE 1 FROM s',
      'FETCH BACKWARD ALL FROM s',
      "DECLARE e CURSOR FOR SELECT n, t.a FROM generate_series(1, 3) n, LATERAL dblink('c', 'SELECT 1/(2 - ' || n || ')') AS t(a int)",
      'FETCH 1 FROM e',
      'FETCH 1 FROM e',
      'COMMIT',
    ],
    { contexts: ['autocommit'] },
  ),
  executed('cursors held over the transaction', [
    `DECLARE k CURSOR WITH HOLD FOR SELECT n, ${put('n')} FROM generate_series(1, 3) n`,
    'FETCH 2 FROM k',
    'FETCH ALL FROM k',
    'CLOSE k',
  ]),
  executed('PREPARE and EXECUTE', [
    "PREPARE p(int) AS SELECT i.id, t.a FROM items i, LATERAL dblink('c', format('SELECT %s * %s', i.id, $1)) AS t(a int) ORDER BY 1",
    'EXECUTE p(2)',
    'EXECUTE p(3)',
    `PREPARE q(text) AS SELECT ${put('$1')} FROM generate_series(1, 2)`,
    "EXECUTE q('x')",
    "EXECUTE q((SELECT a FROM dblink('c', 'SELECT 5') AS t(a text)))",
    'EXPLAIN (COSTS OFF) EXECUTE p(1)',
    "EXPLAIN (COSTS OFF) SELECT dblink_exec('c', $$INSERT INTO w (a) VALUES (1)$$) FROM items",
    'EXECUTE p(4)',
    'EXECUTE p(5)',
    'EXECUTE p(6)',
    'EXECUTE p(7)',
    'DEALLOCATE ALL',
  ]),
  executed(
    'EXPLAIN runs nothing',
    [
      `EXPLAIN (COSTS OFF, VERBOSE) SELECT ${put('id')} FROM items`,
      `EXPLAIN (COSTS OFF) SELECT * FROM items i, LATERAL ${rows('i.id')} WHERE t.a = i.id`,
      `EXPLAIN (COSTS OFF) SELECT * FROM ${rows("'x'")}, nothing`,
      `EXPLAIN (COSTS OFF, FORMAT JSON) SELECT * FROM ${rows("'x'")} ORDER BY 1`,
      `EXPLAIN (COSTS OFF) INSERT INTO l SELECT a FROM ${rows("'x'")} RETURNING a`,
      `EXPLAIN (COSTS OFF) CREATE TABLE never AS SELECT * FROM ${rows("'x'")}`,
      `EXPLAIN (COSTS OFF) DECLARE k CURSOR FOR SELECT * FROM ${rows("'x'")}`,
      'EXPLAIN (COSTS OFF) SELECT * FROM v',
      `EXPLAIN SELECT * FROM ${rows("'x'")}`,
    ],
    { local: "CREATE TABLE l (a int); CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)" },
  ),
  executed(
    'EXPLAIN ANALYZE',
    [
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT ${put('id')} FROM items WHERE id < 3`,
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM items i, LATERAL ${rows('i.id')} WHERE t.a > 0`,
      'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM v LIMIT 2',
      `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM dblink('c', 'selec') AS t(a int)`,
    ],
    { local: "CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(a int)" },
  ),
  executed('an error in the middle of the rows', [
    "SELECT n, t.a FROM generate_series(1, 3) n, LATERAL dblink('c', 'SELECT 1/(2 - ' || n || ')') AS t(a int)",
    "SELECT n, dblink_exec('c', 'SELECT fail(''ZZ00' || n || ''', ''m'', ''d'', ''h'')', n > 1) FROM generate_series(1, 3) n",
    "SELECT n, t.a FROM generate_series(1, 3) n, LATERAL dblink('c', 'SELECT ' || n || ' WHERE 1/(2 - ' || n || ') < 5', false) AS t(a int)",
    "SELECT n, t.a FROM generate_series(1, 3) n, LATERAL dblink('c', CASE n WHEN 2 THEN 'SELECT ''x''' ELSE 'SELECT 1' END) AS t(a int)",
    "SELECT n, t.a FROM generate_series(1, 3) n, LATERAL dblink('c', CASE n WHEN 2 THEN 'SET a.b = 1' ELSE 'SELECT 1' END) AS t(a int)",
  ]),
  executed(
    'parameters',
    [
      bound(
        'SELECT i.id, t.n FROM items i, LATERAL dblink($1, format($2, i.id)) AS t(n int) WHERE i.id > $3 ORDER BY 1',
        ['c', 'SELECT %s', 1],
      ),
      bound(`SELECT ${put('$1::text')} FROM generate_series(1, $2)`, ['x', 2], [0, 23]),
      bound("SELECT CASE WHEN $1 THEN dblink_exec('c', $2) END", [false, 'selec']),
      bound("SELECT n, dblink_exec('c', $1, $2) FROM generate_series(1, 2) n", ['SELECT 1/0', false]),
      bound('INSERT INTO l SELECT t.a FROM items i, LATERAL dblink($1, $2 || i.id) AS t(a int) RETURNING a', [
        'c',
        'SELECT ',
      ]),
    ],
    { local: 'CREATE TABLE l (a int)' },
  ),
  executed(
    'a portal fetched in parts',
    [
      flow(
        parse(`SELECT n, ${put('n')} FROM generate_series(1, 5) n`),
        bind(),
        describePortal(),
        execute(2),
        execute(1),
        sync,
      ),
      "SELECT * FROM dblink('c', 'SELECT count(*) FROM w') AS t(n int)",
      flow(
        parse(
          "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT generate_series(1, 3)') AS t(a int)",
        ),
        bind({ resultFormats: [1] }),
        execute(4),
        execute(0),
        sync,
      ),
    ],
    { transports: ['simple'] },
  ),
  executed('types of all kinds, per row', [
    "SELECT i.id, t.* FROM items i, LATERAL dblink('c', 'SELECT id, name, born, height, tags, card FROM people WHERE id = ' || i.id) AS t(id int, name text, born date, height real, tags text[], card jsonb) ORDER BY 1",
    "SELECT t.* FROM (VALUES (1)) v(n), LATERAL dblink('c', 'SELECT ' || v.n || ', ''happy'', ''(1,x)'', ''abcd'', 1.23456, ''\\x01ff'', interval ''1 day 2:03'', timestamptz ''2024-02-03 04:05:06+00'', ''[1,2)'', ''{1,2}''') AS t(a positive, b mood, c pair, d varchar(2), e numeric(4,2), f bytea, g interval, h timestamptz, i int4range, j int[])",
    "SELECT t.* FROM (VALUES (1)) v(n), LATERAL dblink('c', 'SELECT ' || v.n || ', ''happy'', ''(1,x)'', ''abcd'', 1.23456, ''\\x01ff'', interval ''1 day 2:03'', timestamptz ''2024-02-03 04:05:06+00'', ''[1,2)'', ''{1,2}''') AS t(a positive, b mood, c pair, d text, e numeric(4,2), f bytea, g interval, h timestamptz, i int4range, j int[])",
    "SELECT t.a FROM (VALUES ('{text}')) v(n), LATERAL dblink('c', format('SELECT %L', n)) AS t(a text)",
  ]),
  executed(
    'more rows than an answer holds, per row and joined',
    [
      "SELECT n, count(*), sum(t.a), min(t.b), max(length(t.b)), count(t.c) FROM generate_series(1, 2) n, LATERAL dblink('c', 'SELECT g, repeat(g::text, 20), nullif(g % 3, 0), ''2024-01-01''::date + g FROM generate_series(1, 4000 * ' || n || ') g') AS t(a int, b text, c int, d date) GROUP BY n ORDER BY n",
      "SELECT * FROM dblink('c', 'SELECT g, ''x'' FROM generate_series(1, 4000) g') AS t(a int, b date) LIMIT 1",
    ],
    { differs: 'own-error' },
  ),
];
