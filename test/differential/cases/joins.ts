import { fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** dblink beside local tables: joins, CTEs, set operations, DML, CREATE TABLE AS. */

const on = (name: string, ...statements: readonly string[]): Case =>
  testCase(`with local tables: ${name}`, [open('c'), ...statements]);
const LOCAL =
  'CREATE TABLE l (id int PRIMARY KEY, v text DEFAULT $$d$$); INSERT INTO l VALUES (1, $$one$$), (2, $$two$$), (9, $$nine$$)';
const writing = (name: string, ...statements: readonly string[]): Case =>
  testCase(`with local tables: ${name}`, [open('c'), ...statements, 'SELECT * FROM l ORDER BY id'], {
    local: LOCAL,
  });
const PEOPLE = "dblink('c', 'SELECT id, name FROM people') AS p(id int, name text)";

export const joinCases: readonly Case[] = [
  on(
    'join',
    `SELECT i.name, p.name FROM items i JOIN ${PEOPLE} ON p.id = i.id ORDER BY i.id`,
    `SELECT * FROM ${PEOPLE} JOIN items USING (id) ORDER BY id`,
    `SELECT i.name, p.name FROM items i, ${PEOPLE} WHERE p.id = i.id ORDER BY 1, 2`,
    `SELECT * FROM items i NATURAL JOIN dblink('c', 'SELECT id FROM people') AS p(id int) ORDER BY id`,
  ),
  on(
    'outer joins',
    `SELECT i.id, p.name FROM items i LEFT JOIN ${PEOPLE} ON p.id = i.id + 2 ORDER BY 1`,
    `SELECT i.id, p.id FROM items i RIGHT JOIN ${PEOPLE} ON p.id = i.id ORDER BY 2`,
    `SELECT i.id, p.id FROM items i FULL JOIN ${PEOPLE} ON p.id = i.id + 2 ORDER BY 1, 2`,
    `SELECT i.id, s.a FROM items i LEFT JOIN (SELECT * FROM dblink('c', 'SELECT id FROM people') AS d(a int)) s ON s.a = i.id ORDER BY 1`,
  ),
  on(
    'cross join reads the remote once',
    `SELECT count(*), count(DISTINCT p.t) FROM items i CROSS JOIN dblink('c', 'SELECT clock_timestamp()') AS p(t text)`,
  ),
  on(
    'two remotes',
    open('d'),
    `SELECT a.id, b.name FROM dblink('c', 'SELECT id FROM people') AS a(id int) JOIN dblink('d', 'SELECT id, name FROM people') AS b(id int, name text) USING (id) ORDER BY 1`,
    `SELECT a FROM dblink('c', 'SELECT 1') AS t(a int) UNION ALL SELECT a FROM dblink('d', 'SELECT 2') AS t(a int)`,
  ),
  on(
    'twice the same connection',
    `SELECT a.id, b.id FROM dblink('c', 'SELECT id FROM people WHERE id < 3') AS a(id int), dblink('c', 'SELECT id FROM people WHERE id > 3') AS b(id int) ORDER BY 1, 2`,
  ),
  on(
    'UNION, EXCEPT, INTERSECT',
    `SELECT id FROM items UNION SELECT id FROM ${PEOPLE} ORDER BY 1`,
    `SELECT id FROM dblink('c', 'SELECT id FROM people') AS p(id int) EXCEPT SELECT id FROM items`,
    `SELECT id FROM items INTERSECT SELECT a FROM dblink('c', 'SELECT 2') AS p(a int)`,
    `SELECT name FROM items UNION ALL SELECT name FROM ${PEOPLE} ORDER BY 1`,
  ),
  on(
    'CTE',
    `WITH x AS (SELECT * FROM dblink('c', 'SELECT 42') AS t(a int)) SELECT * FROM x, x y`,
    `WITH x AS MATERIALIZED (SELECT * FROM ${PEOPLE}) SELECT i.id, x.name FROM items i JOIN x USING (id) ORDER BY 1`,
    `WITH x AS NOT MATERIALIZED (SELECT * FROM ${PEOPLE}) SELECT count(*) FROM x`,
    `WITH x(b) AS (SELECT a FROM dblink('c', 'SELECT 1') AS t(a int)), y AS (SELECT b + 1 AS c FROM x) SELECT * FROM y`,
  ),
  on(
    'sub-selects in FROM',
    `SELECT s.n FROM (SELECT count(*) AS n FROM ${PEOPLE}) s`,
    `SELECT * FROM (SELECT * FROM (SELECT id FROM ${PEOPLE}) a WHERE id > 1) b ORDER BY 1 LIMIT 2`,
    `SELECT s.* FROM (VALUES (1), (2)) v(n) JOIN (SELECT id, name FROM ${PEOPLE}) s ON s.id = v.n ORDER BY 1`,
  ),
  on(
    'NOT EXISTS against the remote',
    `SELECT id FROM items i WHERE NOT EXISTS (SELECT 1 FROM ${PEOPLE} WHERE p.id = i.id + 3) ORDER BY 1`,
  ),
  on(
    'json rows',
    `SELECT r.a, r.b FROM dblink('c', $$SELECT json_build_object('a', id, 'b', name) FROM people ORDER BY id$$) AS t(j json), json_to_record(t.j) AS r(a int, b text)`,
    `SELECT j->>'a' FROM dblink('c', $$SELECT json_build_object('a', 1)$$) AS t(j jsonb)`,
  ),
  on(
    'LATERAL without a reference',
    `SELECT * FROM items i, LATERAL dblink('c', 'SELECT 1') AS t(a int) ORDER BY i.id`,
  ),
  on(
    'with generate_series',
    `SELECT g, a FROM generate_series(1, 2) g, dblink('c', 'SELECT 7') AS t(a int) ORDER BY 1`,
  ),
  on(
    'an error in one of two sources',
    `SELECT * FROM dblink('c', 'SELECT 1') AS a(x int), dblink('c', 'SELECT 1/0') AS b(y int)`,
    fetch('SELECT 1', 'a int'),
  ),
  on(
    'a missing connection in a join',
    `SELECT * FROM items i JOIN dblink('nosuch_connection', 'SELECT 1') AS a(x int) ON i.id = a.x`,
  ),
  on(
    'a source that is never reached: empty table',
    `SELECT * FROM nothing n JOIN dblink('c', 'SELECT 1/0') AS a(x int) ON n.id = a.x`,
  ),
  on(
    'a source that is never reached: ON false',
    `SELECT i.id, a.x FROM items i LEFT JOIN dblink('c', 'SELECT 1/0') AS a(x int) ON false ORDER BY 1`,
  ),
  on(
    'a source that is never reached: LIMIT',
    `SELECT x FROM dblink('c', 'SELECT 1') AS a(x int) UNION ALL SELECT x FROM dblink('c', 'SELECT 1/0') AS b(x int) LIMIT 1`,
  ),
  on(
    'a source that is never reached: unused CTE',
    `WITH w AS (SELECT * FROM dblink('c', 'SELECT 1/0') AS a(x int)) SELECT 1`,
  ),
  on(
    'a source that is never reached: OR',
    `SELECT EXISTS (SELECT 1 FROM items) OR EXISTS (SELECT 1 FROM dblink('c', 'SELECT 1/0') AS a(x int)) AS yes`,
  ),
  on(
    'a source that is never reached: WHERE false',
    `SELECT * FROM dblink('c', 'SELECT 1/0') AS a(x int) WHERE false`,
    `SELECT * FROM dblink('c', 'SELECT 1/0') AS a(x int) WHERE 1 = 2 AND x > 0`,
  ),
  on(
    'a source that is never reached: COALESCE',
    `SELECT coalesce((SELECT count(*) FROM items), (SELECT x FROM dblink('c', 'SELECT 1/0') AS a(x int)))`,
  ),
  on(
    'a source that is never reached: CASE',
    `SELECT CASE WHEN true THEN 1 ELSE (SELECT x FROM dblink('c', 'SELECT 1/0') AS a(x int)) END`,
  ),
  on(
    'many rows joined',
    `SELECT count(*), sum(i.id) FROM dblink('c', 'SELECT g % 4 + 1 FROM generate_series(1, 5000) g') AS t(k int) JOIN items i ON i.id = t.k`,
  ),
  on(
    'large values through the primary',
    `SELECT length(a), md5(a) FROM dblink('c', 'SELECT repeat(''{text}'', 50000)') AS t(a text)`,
  ),
  on(
    'privileges are those of the caller',
    'SET ROLE plain_user',
    `SELECT i.id FROM items i JOIN ${PEOPLE} USING (id) ORDER BY 1`,
    `SELECT * FROM secret, ${PEOPLE}`,
    'SELECT * FROM secret',
    `INSERT INTO items SELECT id, name FROM ${PEOPLE}`,
  ),
  on('an unknown local table', `SELECT * FROM nosuch n JOIN ${PEOPLE} USING (id)`),
  on('an ambiguous column', `SELECT id FROM items i, ${PEOPLE}`),
  on('a type mismatch', `SELECT * FROM items i JOIN ${PEOPLE} ON i.id = p.name`),
  on('the alias is missing in an outer clause', `SELECT q.id FROM ${PEOPLE}`),
  on(
    'two sources without an alias',
    `SELECT * FROM dblink('c', 'SELECT 1') AS (a int), dblink('c', 'SELECT 2') AS (b int)`,
  ),
  on(
    'values of every kind through the primary',
    "SELECT * FROM dblink('c', $$SELECT 1, 'x', NULL, ''::text, '{1,NULL}'::int[], '(1,\"a b\")', '{\"k\": [1, \"é\"]}', '\\x00ff', 'ok'$$) AS t(a int, b varchar(5), c text, d text, e int[], f pair, g json, h bytea, i mood) WHERE a = 1",
  ),
  on(
    'jsonb and json through the primary',
    "SELECT a, b FROM dblink('c', $$VALUES ('{\"b\": 1,  \"a\": null}', '{\"b\": 1,  \"a\": null}'), ('null', 'null'), ('\"s\"', '\"s\"'), (NULL, NULL)$$) AS t(a json, b jsonb) WHERE true OR a IS NULL",
  ),
  on(
    'typmods through the primary',
    "SELECT v || 'x', pg_typeof(n) FROM dblink('c', $$SELECT 'abc', 1.234$$) AS t(v varchar(3), n numeric(5,1)) WHERE n > 0",
    "SELECT v FROM dblink('c', $$SELECT 'abcd'$$) AS t(v varchar(3)) WHERE v <> ''",
  ),

  writing('INSERT … SELECT', `INSERT INTO l SELECT id + 100, name FROM ${PEOPLE}`),
  writing(
    'INSERT … SELECT with columns and RETURNING',
    `INSERT INTO l (id) SELECT id + 100 FROM ${PEOPLE} WHERE p.id < 3 RETURNING *`,
    `INSERT INTO l (v, id) SELECT name, id + 200 FROM ${PEOPLE} WHERE p.id = 1 RETURNING id AS "New", upper(v)`,
  ),
  writing(
    'INSERT of nothing',
    `INSERT INTO l SELECT * FROM dblink('c', 'SELECT 1, $$x$$ WHERE false') AS t(a int, b text)`,
  ),
  writing('INSERT that violates a constraint', `INSERT INTO l SELECT id, name FROM ${PEOPLE}`),
  writing(
    'INSERT that cannot convert',
    `INSERT INTO l SELECT * FROM dblink('c', $$SELECT 'x', 'y'$$) AS t(a int, b text)`,
  ),
  writing(
    'INSERT of a remote error',
    `INSERT INTO l SELECT * FROM dblink('c', 'SELECT 1/0, 1') AS t(a int, b text)`,
  ),
  writing(
    'ON CONFLICT DO UPDATE',
    `INSERT INTO l SELECT id, name FROM ${PEOPLE} WHERE p.name IS NOT NULL ON CONFLICT (id) DO UPDATE SET v = excluded.v || '!' RETURNING id, v`,
  ),
  writing('ON CONFLICT DO NOTHING', `INSERT INTO l SELECT id, name FROM ${PEOPLE} ON CONFLICT DO NOTHING`),
  writing(
    'INSERT … VALUES with a scalar sub-query',
    "INSERT INTO l VALUES ((SELECT a FROM dblink('c', 'SELECT 77') AS t(a int)), 'x'), (78, (SELECT b FROM dblink('c', 'SELECT ''y''') AS t(b text)))",
  ),
  writing(
    'INSERT WITH',
    `WITH x AS (SELECT id + 300 AS id FROM ${PEOPLE}) INSERT INTO l (id) SELECT id FROM x`,
  ),
  writing(
    'UPDATE … FROM',
    `UPDATE l SET v = p.name FROM ${PEOPLE} WHERE p.id = l.id`,
    `UPDATE l SET v = r.v FROM (SELECT * FROM dblink('c', 'SELECT 2, ''b''') AS t(id int, v text)) r WHERE r.id = l.id RETURNING l.*, r.v`,
  ),
  writing(
    'UPDATE with a scalar sub-query',
    "UPDATE l SET v = (SELECT a FROM dblink('c', 'SELECT ''same''') AS t(a text))",
  ),
  writing('UPDATE of nothing', `UPDATE l SET v = p.name FROM ${PEOPLE} WHERE p.id = l.id AND false`),
  writing(
    'DELETE … USING',
    `DELETE FROM l USING ${PEOPLE} WHERE p.id = l.id`,
    "DELETE FROM l WHERE id NOT IN (SELECT id FROM dblink('c', 'SELECT 5') AS t(id int)) RETURNING id",
  ),
  writing('DELETE WHERE EXISTS', `DELETE FROM l WHERE EXISTS (SELECT 1 FROM ${PEOPLE} WHERE p.id = l.id)`),
  writing(
    'MERGE',
    `MERGE INTO l USING (SELECT * FROM ${PEOPLE}) s ON s.id = l.id WHEN MATCHED THEN UPDATE SET v = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name)`,
  ),
  writing(
    'a data-modifying CTE beside dblink',
    `WITH gone AS (DELETE FROM l RETURNING id) SELECT g.id, p.name FROM gone g LEFT JOIN ${PEOPLE} ON p.id = g.id ORDER BY 1`,
  ),
  writing(
    'CREATE TABLE AS',
    "CREATE TABLE made AS SELECT * FROM dblink('c', 'SELECT id, name, born FROM people ORDER BY id') AS t(id int, name varchar(20), born date)",
    'SELECT * FROM made ORDER BY id',
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0 ORDER BY attnum",
  ),
  writing(
    'CREATE TABLE AS, other forms',
    "CREATE TEMP TABLE tmp AS SELECT a * 2 AS b FROM dblink('c', 'SELECT 4') AS t(a int)",
    'SELECT * FROM tmp',
    "CREATE TABLE IF NOT EXISTS l AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)",
    "CREATE TABLE empty_one AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int) WITH NO DATA",
    "CREATE UNLOGGED TABLE u (x, y) AS SELECT a, a FROM dblink('c', 'SELECT 4') AS t(a int)",
    'SELECT * FROM u',
  ),
  writing(
    'CREATE TABLE AS that exists',
    "CREATE TABLE l AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)",
  ),
  writing(
    'TRUNCATE between',
    'TRUNCATE l',
    "INSERT INTO l SELECT * FROM dblink('c', 'SELECT 5, $$five$$') AS t(a int, b text)",
  ),
  writing(
    'a trigger fires',
    "CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', NEW.id; NEW.v := NEW.v || '?'; RETURN NEW; END $$",
    'CREATE TRIGGER t BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()',
    "INSERT INTO l SELECT * FROM dblink('c', 'SELECT 50 + g, g::text FROM generate_series(1, 2) g') AS t(a int, b text)",
  ),
];
