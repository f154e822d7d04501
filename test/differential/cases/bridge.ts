import { open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Shapes that only the primary's executor can drive: per row, lateral, conditional, or inside of other statements. */

/** Opens `c`; the next step is the one that needs the bridge. */
const shape = (
  name: string,
  sql: string,
  after: readonly string[] = [],
  more: Omit<Case, 'name' | 'steps' | 'bridged'> = {},
): Case => testCase(`bridge: ${name}`, [open('c'), sql, ...after], { ...more, bridged: true });

const REMOTE = { remote: 'CREATE TABLE w (a int)' };

export const bridgeCases: readonly Case[] = [
  shape(
    'lateral call',
    "SELECT i.id, t.n FROM items i, LATERAL dblink('c', format('SELECT %s * 2', i.id)) AS t(n int) ORDER BY 1",
  ),
  shape(
    'cross join lateral',
    "SELECT i.id, t.n FROM items i CROSS JOIN LATERAL dblink('c', 'SELECT ' || i.id) AS t(n int) ORDER BY 1",
  ),
  shape(
    'lateral connection strings',
    "SELECT s.n, t.d FROM (VALUES (1, '{R}'), (2, '{URI}')) s(n, dsn), LATERAL dblink(s.dsn, 'SELECT current_database()') AS t(d text) ORDER BY 1",
  ),
  shape(
    'lateral sub-select',
    "SELECT i.id, s.n FROM items i LEFT JOIN LATERAL (SELECT * FROM dblink('c', 'SELECT ' || i.id) AS t(n int)) s ON true ORDER BY 1",
  ),
  shape(
    'correlated sub-query',
    "SELECT i.id, (SELECT n FROM dblink('c', 'SELECT ' || i.id) AS t(n int)) FROM items i ORDER BY 1",
  ),
  shape(
    'per row in the select list',
    "SELECT id, dblink_exec('c', 'INSERT INTO w VALUES (' || id || ')') FROM items ORDER BY id",
    [],
    REMOTE,
  ),
  shape(
    'per row, no reference',
    "SELECT dblink_exec('c', 'INSERT INTO w VALUES (0)') FROM items",
    [],
    REMOTE,
  ),
  shape('connect per row', "SELECT dblink_connect('w' || n, '{R}') FROM generate_series(1, 3) n", [
    'SELECT dblink_get_connections()',
  ]),
  shape('disconnect per row', 'SELECT dblink_disconnect(n) FROM unnest(dblink_get_connections()) n', [
    'SELECT dblink_get_connections()',
  ]),
  shape('in WHERE per row', "SELECT id FROM items WHERE dblink_exec('c', 'SET a.b = 1') = 'SET' ORDER BY id"),
  shape(
    'CASE',
    "SELECT CASE WHEN 1 = 1 THEN dblink_exec('c', 'INSERT INTO w VALUES (1)') ELSE dblink_exec('c', 'INSERT INTO w VALUES (2)') END",
    [],
    REMOTE,
  ),
  shape(
    'CASE on get_connections',
    "SELECT CASE WHEN 'c' = ANY (coalesce(dblink_get_connections(), '{}')) THEN dblink_disconnect('c') END",
    ['SELECT dblink_get_connections()'],
  ),
  shape('COALESCE', "SELECT coalesce('first', dblink_exec('c', 'INSERT INTO w VALUES (1)'))", [], REMOTE),
  shape(
    'AND and OR',
    "SELECT true OR dblink_exec('c', 'INSERT INTO w VALUES (1)') = 'x', false AND dblink_exec('c', 'INSERT INTO w VALUES (2)') = 'x'",
    [],
    REMOTE,
  ),
  shape('EXPLAIN', "EXPLAIN (COSTS OFF) SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)"),
  shape(
    'EXPLAIN ANALYZE',
    "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(a int)",
    [],
    { minMajor: 18 },
  ),
  shape(
    'DECLARE',
    "DECLARE k CURSOR WITH HOLD FOR SELECT * FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(a int)",
    ['FETCH 2 FROM k', 'FETCH ALL FROM k', 'CLOSE k'],
  ),
  shape(
    'COPY (query)',
    "COPY (SELECT * FROM dblink('c', 'SELECT id, name FROM people ORDER BY id') AS t(a int, b text)) TO STDOUT",
  ),
  shape('PREPARE', "PREPARE ps(text) AS SELECT * FROM dblink('c', $1) AS t(a text)", [
    "EXECUTE ps('SELECT 5')",
    "EXECUTE ps('SET a.b = 1')",
    'DEALLOCATE ps',
  ]),
  shape(
    'SELECT INTO',
    "SELECT * INTO newt FROM dblink('c', 'SELECT id FROM people') AS t(id int)",
    ['SELECT count(*) FROM newt'],
    { local: '' },
  ),
  shape(
    'CREATE VIEW',
    "CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(id int)",
    ['SELECT * FROM v ORDER BY id'],
    { local: '' },
  ),
  shape(
    'CREATE MATERIALIZED VIEW',
    "CREATE MATERIALIZED VIEW m AS SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(id int)",
    ['SELECT * FROM m ORDER BY id', 'REFRESH MATERIALIZED VIEW m'],
    { local: '' },
  ),
  shape(
    'CREATE RULE',
    "CREATE RULE r AS ON INSERT TO l DO INSTEAD SELECT dblink_exec('c', 'INSERT INTO w VALUES (1)')",
    ['INSERT INTO l VALUES (1)'],
    { local: 'CREATE TABLE l (a int)', ...REMOTE },
  ),
  shape('DO', "DO $$ BEGIN PERFORM dblink_exec('c', 'INSERT INTO w VALUES (1)'); END $$", [], REMOTE),
  shape(
    'DO that connects',
    "DO $$ BEGIN PERFORM dblink_connect('inner', '{R}'); PERFORM dblink_disconnect('inner'); END $$",
  ),
  shape(
    'INSERT … RETURNING a call',
    "INSERT INTO l VALUES (1), (2) RETURNING dblink_exec('c', format('INSERT INTO w VALUES (%s)', a))",
    [],
    { local: 'CREATE TABLE l (a int)', ...REMOTE },
  ),
  shape(
    'INSERT … VALUES with calls',
    "INSERT INTO l VALUES (dblink_exec('c', 'INSERT INTO w VALUES (1)'))",
    [],
    { local: 'CREATE TABLE l (a text)', ...REMOTE },
  ),
  shape('UPDATE SET to a call', "UPDATE l SET a = dblink_exec('c', 'INSERT INTO w VALUES (1)')", [], {
    local: 'CREATE TABLE l (a text); INSERT INTO l VALUES (NULL), (NULL)',
    ...REMOTE,
  }),
  shape(
    'CTE that writes, then a call per row',
    "WITH i AS (INSERT INTO l VALUES (1), (2) RETURNING a) SELECT dblink_exec('c', format('INSERT INTO w VALUES (%s)', a)) FROM i",
    [],
    { local: 'CREATE TABLE l (a int)', ...REMOTE },
  ),
  shape(
    'recursive term',
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT t.n FROM r, LATERAL dblink('c', 'SELECT ' || r.n + 1) AS t(n int) WHERE r.n < 3) SELECT * FROM r",
  ),
  shape(
    'writes joined with local tables',
    "SELECT i.id, t.a FROM items i JOIN dblink('c', 'INSERT INTO w VALUES (1), (2) RETURNING a') AS t(a int) ON t.a = i.id ORDER BY 1",
    [],
    REMOTE,
  ),
  shape(
    'writes in a sub-select',
    "SELECT (SELECT max(a) FROM dblink('c', 'INSERT INTO w VALUES (1), (2) RETURNING a') AS t(a int))",
    [],
    REMOTE,
  ),
  shape(
    'INSERT of a remote write',
    "INSERT INTO l SELECT * FROM dblink('c', 'DELETE FROM w RETURNING a') AS t(a int)",
    [],
    { local: 'CREATE TABLE l (a int)', remote: 'CREATE TABLE w (a int); INSERT INTO w VALUES (1), (2)' },
  ),
  shape(
    'a VOLATILE function of the remote in a join',
    "SELECT i.id FROM items i JOIN dblink('c', 'SELECT noise(1)') AS t(a int) ON t.a = i.id",
  ),
  shape('dblink in the select list per row', "SELECT dblink('c', 'SET a.b = 1') FROM generate_series(1, 2)"),
  shape(
    'aggregate over calls',
    "SELECT count(dblink_exec('c', 'INSERT INTO w VALUES (1)')) FROM generate_series(1, 3)",
    [],
    REMOTE,
  ),
  shape('ORDER BY a call', "SELECT id FROM items ORDER BY dblink_exec('c', 'SET a.b = 1'), id"),
  shape(
    'a write that is limited to nothing',
    "SELECT * FROM dblink('c', 'INSERT INTO w VALUES (3) RETURNING a') AS t(a int) LIMIT 0",
    [],
    REMOTE,
  ),
  shape(
    'a write under WHERE false',
    "SELECT * FROM dblink('c', 'INSERT INTO w VALUES (3) RETURNING a') AS t(a int) WHERE false",
    [],
    REMOTE,
  ),
  shape(
    'dblink in the select list of many rows',
    "SELECT dblink('c', 'SELECT n, repeat(''x'', 120) FROM generate_series(1, 900) n WHERE n > ' || n) FROM generate_series(1, 2) n",
  ),
  shape(
    'dblink in the select list, errors off',
    "SELECT n, dblink('c', CASE n WHEN 2 THEN 'SELECT 1/0' ELSE 'SET a.b = 1' END, false) FROM generate_series(1, 3) n",
  ),
  shape(
    'dblink in the select list, an error behind it',
    "SELECT 'é', dblink('c', 'SET a.b = ' || n), nosuch FROM generate_series(1, 2) n",
  ),
  shape(
    'dblink in the select list, prepared',
    "PREPARE ps(int) AS SELECT public.dblink('c', 'SET a.b = ' || n) FROM generate_series(1, $1) n",
    ['EXECUTE ps(2)', 'DEALLOCATE ps'],
  ),
  shape(
    'several statements, an earlier json that is none',
    "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ''{bad'' WHERE ' || i.id || ' > 0; SELECT ''{}''') AS t(a json)",
  ),
  shape(
    'several statements, a command behind rows that cannot be converted',
    "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ''x'' WHERE ' || i.id || ' > 0; SET a.b = 1') AS t(a int)",
  ),
  shape(
    'several statements, a command behind rows of another type',
    "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT 5 WHERE ' || i.id || ' > 0; SET a.b = 1') AS t(a varchar(2)) ORDER BY 1",
  ),
  shape('dblink in the select list, expanded', "SELECT (dblink('c', 'SET application_name = ''x''')).*"),
  shape('dblink in the select list, NULL', "SELECT dblink('c', NULL)"),
  // The planner may put the body of an SQL function in the call's place, with the call in it twice or not at all.
  shape('inside a function of the user in SQL', "SELECT shout(dblink_exec('c', 'set a.b = 1'))"),
  shape('inside COALESCE', "SELECT coalesce(dblink_exec('c', 'SET a.b = 1'), 'none')"),
  shape(
    'dblink inside an argument',
    "SELECT dblink_exec('c', 'SET a.b = ' || (SELECT a FROM dblink('c', 'SELECT 5') AS t(a text)))",
  ),
  shape(
    'error_message inside an argument',
    "SELECT dblink_exec('c', 'SET a.b = ' || quote_literal(dblink_error_message('c')))",
  ),
  shape(
    'ROWS FROM with a function of rows',
    "SELECT i.id, r.* FROM items i, ROWS FROM (dblink('c', 'SELECT ' || i.id) AS (a int), generate_series(1, 2)) AS r(a, g) ORDER BY 1, 3",
  ),
];
