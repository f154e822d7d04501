import { bound, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Views, materialized views, rules: calls that are stored. And what the catalogue says about the functions. */

const W = { remote: 'CREATE TABLE w (a int PRIMARY KEY, b text)' };
const PEOPLE = "dblink('c', 'SELECT id, name FROM people') AS t(id int, name text)";
/** Empty, so that a materialized view over it is populated before the session begins, without a call. */
const SOURCE = 'CREATE TABLE source (conn text);';
const local = (sql: string): { readonly local: string } => ({ local: sql });

const bridged = (name: string, steps: Case['steps'], more: Omit<Case, 'name' | 'steps'> = {}): Case =>
  testCase(`views: ${name}`, steps, { ...more, bridged: true });

export const viewCases: readonly Case[] = [
  bridged(
    'a view made by the client',
    [
      open('c'),
      `CREATE VIEW v AS SELECT * FROM ${PEOPLE}`,
      'SELECT * FROM v ORDER BY id',
      "CREATE OR REPLACE VIEW v AS SELECT t.id, t.name, 1 AS n FROM dblink('c'::text, 'SELECT 1, NULL'::text) t(id int, name text)",
      'SELECT * FROM v',
      'CREATE TEMP VIEW tv (x) AS SELECT id FROM v',
      'SELECT x FROM tv',
      bound('SELECT name FROM v WHERE id = $1', [1]),
      "SELECT pg_get_viewdef('v'::regclass), pg_get_viewdef('v', true)",
    ],
    local(''),
  ),
  bridged(
    'the connection is opened and closed by the application',
    [
      'SELECT * FROM v',
      "SELECT dblink_connect('x', '{R}')",
      'SELECT count(*) FROM v WHERE id > 2',
      'SELECT i.id, v.name FROM items i LEFT JOIN v USING (id) ORDER BY 1',
      "SELECT dblink_disconnect('x')",
      'SELECT * FROM v',
    ],
    local(
      "CREATE VIEW v AS SELECT * FROM dblink('x', 'SELECT id, name FROM people') AS t(id int, name text)",
    ),
  ),
  bridged(
    'nested, with what a query can have',
    [
      'SELECT * FROM c ORDER BY id',
      'SELECT count(*) FROM c, c AS d WHERE c.id = d.id',
      'SELECT * FROM r ORDER BY 1; SELECT * FROM l ORDER BY 1, 2',
      'SELECT * FROM e',
      'SELECT x.* FROM (SELECT * FROM c LIMIT 0) x',
      'EXPLAIN (COSTS OFF) SELECT * FROM c WHERE id = 1',
    ],
    {
      ...local(`
      CREATE VIEW a AS SELECT * FROM dblink('{R}', 'SELECT id, name FROM people') AS t(id int, name text);
      CREATE VIEW b WITH (security_barrier) AS SELECT id, upper(name) AS name FROM a WHERE id > 1;
      CREATE VIEW c AS SELECT b.id, b.name, i.price FROM b LEFT JOIN items i USING (id);
      CREATE VIEW l AS SELECT i.id, t.n FROM items i, LATERAL dblink('{R}', 'SELECT generate_series(1, ' || i.id || ')') AS t(n int);
      CREATE RECURSIVE VIEW r (n) AS SELECT a FROM dblink('{R}', 'SELECT 1') AS t(a int) UNION ALL SELECT n + 1 FROM r WHERE n < 3;
      CREATE VIEW e AS SELECT id, CASE WHEN id > 3 THEN dblink_exec('{R}', 'SET a.b = 1') END AS x FROM items ORDER BY id`),
      transports: ['simple', 'multi'],
    },
  ),
  bridged(
    'errors inside of them',
    [
      open('c'),
      'SELECT * FROM missing',
      'SELECT * FROM columns',
      'SELECT * FROM input',
      'SELECT * FROM computed',
      'SELECT id FROM computed',
      'INSERT INTO missing VALUES (1)',
    ],
    local(`
      CREATE VIEW missing AS SELECT * FROM dblink('c', 'SELECT a FROM nosuch') AS t(a int);
      CREATE VIEW columns AS SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(a int);
      CREATE VIEW input AS SELECT * FROM dblink('c', 'SELECT ''x''') AS t(a int);
      CREATE VIEW computed AS SELECT id, dblink_exec('c', 'selec') FROM items`),
  ),
  bridged(
    'the role that owns one, and the role that asks',
    [
      'SELECT * FROM v',
      'SET ROLE plain_user',
      'SELECT * FROM v',
      open('c'),
      'RESET ROLE',
      open('c'),
      'SET ROLE plain_user',
      'SELECT a FROM w',
    ],
    local(`
      CREATE VIEW v AS SELECT * FROM dblink('{R}', 'SELECT current_user') AS t(a text); GRANT SELECT ON v TO PUBLIC;
      CREATE VIEW w AS SELECT * FROM dblink('c', 'SELECT current_user') AS t(a text); GRANT SELECT ON w TO PUBLIC`),
  ),
  bridged(
    'security_invoker and row security over rows of a remote',
    [open('c'), 'SET ROLE plain_user', 'SELECT * FROM v ORDER BY id'],
    {
      ...local(`
      CREATE TABLE l (id int); INSERT INTO l VALUES (1), (2), (3); ALTER TABLE l ENABLE ROW LEVEL SECURITY;
      CREATE POLICY p ON l USING (id IN (SELECT a FROM dblink('c', 'SELECT 2') AS t(a int)));
      CREATE VIEW v WITH (security_invoker) AS SELECT l.id, t.name FROM l JOIN ${PEOPLE} USING (id);
      GRANT SELECT ON l, v TO PUBLIC`),
      minMajor: 15,
    },
  ),
  bridged(
    'what they depend on',
    [
      'DROP VIEW v',
      "SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE refclassid = 'pg_proc'::regclass AND refobjid = 'dblink(text,text)'::regprocedure AND deptype = 'n' ORDER BY 1",
      "SELECT pg_describe_object(refclassid, refobjid, 0) FROM pg_depend d JOIN pg_rewrite r ON r.oid = objid WHERE classid = 'pg_rewrite'::regclass AND ev_class = 'v'::regclass AND d.deptype = 'n' ORDER BY 1",
      "SELECT viewname, definition FROM pg_views WHERE schemaname = 'scratch' ORDER BY 1",
      "SELECT pg_get_viewdef('u')",
      'DROP VIEW v CASCADE',
    ],
    local(`
      CREATE VIEW v AS SELECT t.name::varchar(5) AS n FROM dblink('c', 'SELECT id, name' || ' FROM people', false) AS t(id int, name text) WHERE id > 1;
      CREATE VIEW u AS SELECT n, dblink_exec('c', format('SET a.b = %L', n)) FROM v;
      CREATE VIEW s AS SELECT * FROM ROWS FROM (dblink('c', 'SELECT 1') AS (a int), generate_series(1, 2)) WITH ORDINALITY AS r(x, y, z)`),
  ),
  bridged(
    'EXECUTE makes one',
    [
      open('c'),
      "DO $$ BEGIN EXECUTE 'CREATE VIEW ' || quote_ident('made') || ' AS SELECT * FROM dblink(' || quote_literal('c') || ', ' || quote_literal('SELECT name FROM people') || ') AS t(name text)'; END $$",
      'SELECT * FROM made ORDER BY 1',
    ],
    local(''),
  ),

  bridged(
    'a materialized view made by the client',
    [
      open('c'),
      `CREATE MATERIALIZED VIEW m AS SELECT * FROM ${PEOPLE} WITH DATA`,
      'SELECT * FROM m ORDER BY id',
      'CREATE UNIQUE INDEX ON m (id)',
      'REFRESH MATERIALIZED VIEW CONCURRENTLY m',
      'SELECT count(*) FROM m',
      "SELECT dblink_disconnect('c')",
      'SELECT count(*) FROM m',
      'REFRESH MATERIALIZED VIEW m',
    ],
    local(''),
  ),
  bridged(
    'REFRESH',
    [
      open('c'),
      "INSERT INTO source VALUES ('c')",
      'SELECT * FROM m',
      'REFRESH MATERIALIZED VIEW m',
      "SELECT dblink_exec('c', 'INSERT INTO w VALUES (2, ''two''); UPDATE w SET b = ''new'' WHERE a = 1')",
      'SELECT * FROM m ORDER BY a',
      'REFRESH MATERIALIZED VIEW CONCURRENTLY m',
      'SELECT * FROM m ORDER BY a',
      'REFRESH MATERIALIZED VIEW m WITH NO DATA',
      'SELECT * FROM m',
      'REFRESH MATERIALIZED VIEW m',
    ],
    {
      remote: "CREATE TABLE w (a int PRIMARY KEY, b text); INSERT INTO w VALUES (1, 'one')",
      ...local(`${SOURCE} CREATE MATERIALIZED VIEW m AS
        SELECT t.* FROM source, LATERAL dblink(conn, 'SELECT a, b FROM w') AS t(a int, b text); CREATE UNIQUE INDEX ON m (a)`),
    },
  ),
  bridged(
    'REFRESH that fails',
    [
      open('c'),
      "INSERT INTO source VALUES ('c')",
      'REFRESH MATERIALIZED VIEW m',
      "SELECT dblink_exec('c', 'UPDATE w SET b = ''x''')",
      'REFRESH MATERIALIZED VIEW m',
      "SELECT dblink_exec('c', 'DROP TABLE w')",
      'REFRESH MATERIALIZED VIEW m',
      'SELECT * FROM m',
    ],
    {
      remote: "CREATE TABLE w (a int PRIMARY KEY, b text); INSERT INTO w VALUES (1, '1')",
      ...local(`${SOURCE} CREATE MATERIALIZED VIEW m AS
        SELECT t.* FROM source, LATERAL dblink(conn, 'SELECT a, b FROM w') AS t(a int, b int)`),
    },
  ),
  bridged(
    'a materialized view that calls per row',
    ["INSERT INTO source VALUES ('{R}'), ('{R}')", 'REFRESH MATERIALIZED VIEW m', 'SELECT * FROM m'],
    {
      remote: 'CREATE TABLE w (a serial)',
      ...local(`${SOURCE} CREATE MATERIALIZED VIEW m AS
        SELECT dblink_exec(conn, 'INSERT INTO scratch.w DEFAULT VALUES') FROM source`),
    },
  ),

  bridged(
    'rules made by the client',
    [
      open('c'),
      "CREATE RULE r AS ON INSERT TO v DO INSTEAD SELECT dblink_exec('c', format('INSERT INTO w VALUES (%L, %L)', NEW.a, NEW.b))",
      "INSERT INTO v VALUES (1, 'x')",
      "CREATE RULE s AS ON DELETE TO v DO INSTEAD SELECT dblink_exec('c', format('DELETE FROM w WHERE a = %L', OLD.a))",
      'INSERT INTO v SELECT id, name FROM items WHERE id > 1',
      'DELETE FROM v WHERE a = 1',
      'SELECT * FROM v ORDER BY a',
      "SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = 'v'::regclass AND rulename IN ('r', 's') ORDER BY rulename",
    ],
    {
      ...local("CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT a, b FROM w') AS t(a int, b text)"),
      ...W,
    },
  ),
  bridged(
    'rules that run as well',
    [
      open('c'),
      'INSERT INTO l VALUES (1), (2)',
      'UPDATE l SET a = a + 1 WHERE a = 2',
      'DELETE FROM l',
      'INSERT INTO l VALUES (3) RETURNING a',
    ],
    {
      ...local(`
      CREATE TABLE l (a int); CREATE TABLE log (a text);
      CREATE RULE i AS ON INSERT TO l DO ALSO INSERT INTO log VALUES (dblink_exec('c', format('INSERT INTO w VALUES (%s)', NEW.a)));
      CREATE RULE u AS ON UPDATE TO l DO ALSO INSERT INTO log SELECT x FROM dblink('c', format('SELECT %s', OLD.a)) AS t(x text);
      CREATE RULE d AS ON DELETE TO l DO ALSO SELECT dblink_exec('c', 'DELETE FROM w')`),
      ...W,
    },
  ),

  bridged('what pg_proc says about the functions', [
    "SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), provolatile, proisstrict, prosecdef, proretset, proleakproof, procost, prorows, prokind FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'dblink%' ORDER BY 1, 2",
    "SELECT 'dblink(text,text)'::regprocedure::text, to_regprocedure('dblink(int)'), 'public.dblink_exec(text,text,boolean)'::regprocedure::text",
  ]),
  bridged(
    'privileges on the functions',
    [
      'BEGIN',
      "SELECT has_function_privilege('plain_user', 'dblink_connect_u(text,text)', 'execute'), has_function_privilege('plain_user', 'dblink_connect(text,text)', 'execute')",
      'SET ROLE plain_user',
      'SAVEPOINT s',
      "DO $$ BEGIN PERFORM dblink_connect_u('u', '{R}'); END $$",
      'ROLLBACK TO s',
      'RESET ROLE',
      'GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO plain_user',
      "SELECT has_function_privilege('plain_user', 'dblink_connect_u(text,text)', 'execute')",
      'SET ROLE plain_user',
      "DO $$ BEGIN PERFORM dblink_connect_u('u', '{R}'); END $$",
      "SELECT n FROM generate_series(1, 2) n, LATERAL dblink('u', 'SELECT ' || n) AS t(a int)",
      'RESET ROLE',
      'REVOKE EXECUTE ON FUNCTION dblink_exec(text, text) FROM PUBLIC',
      'SET ROLE plain_user',
      "DO $$ BEGIN PERFORM dblink_exec('u', 'SET a.b = 1'); END $$",
      'ROLLBACK',
    ],
    { contexts: ['autocommit'] },
  ),
  bridged(
    'search_path decides what the names mean',
    [
      open('c'),
      'SET search_path = scratch, pg_catalog',
      "SELECT id FROM public.items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(a int)",
      "DO $$ BEGIN PERFORM dblink_exec('c', 'SET a.b = 1'); END $$",
      "SELECT i.id, a FROM public.items i, LATERAL public.dblink('c', 'SELECT ' || i.id) AS t(a int) ORDER BY 1",
      'SELECT * FROM v',
      "SELECT set_config('search_path', 'scratch, public', false)",
      "SELECT i.id, a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(a int) ORDER BY 1",
    ],
    local("CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT 5') AS t(a int)"),
  ),
  bridged(
    'a function of the user with the name of one of dblink',
    [
      open('c'),
      "SELECT dblink_exec('c', 'SET a.b = 1'), id FROM items ORDER BY id",
      'SELECT * FROM v ORDER BY 1',
    ],
    local(
      "CREATE VIEW v AS SELECT dblink_exec('c', 'SET a.b = 1'), id FROM items; CREATE FUNCTION dblink_exec(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine: ' || $2 $$",
    ),
  ),
];
