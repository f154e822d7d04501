import { bound, onLocal, testCase } from '../compare/notation.js';
import type { Case, Step } from '../play/types.js';

/** dblink_build_sql_insert, _update and _delete (behaviour reference, section 7). */

const TABLES = `
CREATE TABLE t1 (a int, b text, c text[], d numeric(8,2), e timestamptz, f bool, PRIMARY KEY (a, b));
INSERT INTO t1 VALUES (1, E'x''y\\\\z', '{"p q",r}', 1.5, '2024-01-02 03:04:05+00', true), (2, 'q', NULL, NULL, NULL, NULL),
  (3, '', '{}', 0, 'infinity', false), (7, 'one', NULL, 7, NULL, NULL), (7, 'two', NULL, 7, NULL, NULL);
CREATE TABLE holes (a int, b int, c int, d text);
INSERT INTO holes VALUES (1, 2, 3, 'four');
ALTER TABLE holes DROP a, DROP c;
CREATE TABLE "Mixed ""Case"" T" ("Ü b" int, "end" int, position int, name text, "value" int, "a""b" int, "user" int);
INSERT INTO "Mixed ""Case"" T" VALUES (1, 2, 3, 'n', 5, 6, 7);
CREATE TABLE empty ();
CREATE TABLE nulls (a int, b int);
INSERT INTO nulls VALUES (NULL, 1), (2, NULL);
CREATE VIEW v AS SELECT a, b, 1 / (a - 2) AS q FROM t1;
CREATE VIEW noisy AS SELECT a, shout(b) AS b FROM t1;
CREATE SEQUENCE sq;
CREATE TYPE pair AS (a int, b int);
CREATE INDEX ix ON nulls (a);`;

const building = (name: string, steps: readonly Step[] | Step, more: Partial<Case> = {}): Case =>
  testCase(`build_sql: ${name}`, [...(Array.isArray(steps) ? steps : [steps]), 'SELECT 1'], {
    bridged: true,
    local: TABLES,
    ...more,
  });

/** Text in quotes as an SQL literal; NULL and expressions as they are. */
const given = (value: string): string => (/^(?:NULL$|ARRAY\[|'|\$|E')/.test(value) ? value : `'${value}'`);
/** The arguments of a call; `count` is the only one that is a number. */
const list = (relation: string, keys: string, count: string, ...arrays: readonly string[]): string =>
  [given(relation), given(keys), count, ...arrays.map(given)].join(', ');

const insert = (relation: string, keys: string, count: string, source: string, target: string): string =>
  `SELECT dblink_build_sql_insert(${list(relation, keys, count, source, target)})`;
const update = (...args: Parameters<typeof insert>): string =>
  insert(...args).replace('sql_insert', 'sql_update');
const remove = (relation: string, keys: string, count: string, target: string): string =>
  `SELECT dblink_build_sql_delete(${list(relation, keys, count, target)})`;

/** All three with these keys; the first argument of each as the source's. */
const all = (
  relation: string,
  keys: string,
  count: string,
  source: string,
  target: string,
): readonly string[] => [
  insert(relation, keys, count, source, target),
  update(relation, keys, count, source, target),
  remove(relation, keys, count, target),
];

/** The three functions as one case each, for what raises an error. */
const each = (name: string, ...args: Parameters<typeof insert>): readonly Case[] =>
  all(...args).map((sql, i) => building(`${name}, ${['insert', 'update', 'delete'][i]}`, sql));

const FIRST = "ARRAY['1', E'x''y\\\\z']";

/** Values that are written differently by every setting, and types whose text is not what a cast gives. */
const VALUES = `
CREATE TABLE vals (k int, ch char(5), vc varchar(9), bo bool, by bytea, fl float8, re real, iv interval, da date, ts timestamp, tz timestamptz,
  ti timetz, ip inet, ci cidr, js json, jb jsonb, xy point, ra int4range, ar text[], na name, co pair2, en mood2, bi bit(4), mo money, vb varbit,
  ol regclass, id uuid, sp text, em text, dm dom2);
INSERT INTO vals VALUES (1, 'ab', ' c ', false, '\\x00ff5c27', 0.1 + 0.2, 1.1, '1 year -2 days 03:04:05.6', '2024-12-31', '2024-12-31 23:59:59.5',
  '2024-12-31 23:59:59+02', '04:05:06-07', '10.0.0.1', '10.0.0.0/8', '{"a" :  1}', '{"b": [1,  null]}', '(1,2)', '[1,5)',
  ARRAY['a,b', NULL, '', 'q"u', E'b\\\\s'], 'nm', ROW(1, 'x,"y"'), 'sad', '1010', 12.5, '101',
  'pg_class', '00000000-0000-0000-0000-000000000001', E'line\\nbreak\\t(tab), "quoted", \\\\ back''s', '', 'inside');`;
const TYPES = `
CREATE TYPE pair2 AS (x int, y text);
CREATE TYPE mood2 AS ENUM ('sad', 'ok');
CREATE DOMAIN dom2 AS text;`;

const RLS = `${TABLES}
CREATE TABLE guarded (a int, b text);
INSERT INTO guarded VALUES (1, 'seen'), (2, 'hidden');
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (b = 'seen');
GRANT SELECT ON guarded TO plain_user;`;

const functionOf = (body: string): string =>
  `CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ ${body} $f$`;

export const buildSqlCases: readonly Case[] = [
  building('the examples', [
    insert('t1', '1 2', '2', FIRST, "ARRAY['9', NULL]"),
    remove('t1', '1 2', '2', "ARRAY['9', E'a''b\\\\c']"),
    update('t1', '1 1', '2', "ARRAY['1', '1']", "ARRAY['2', '3']"),
  ]),
  building('keys of all kinds', [
    ...all('t1', '1', '1', '{2}', '{20}'),
    ...all('t1', '2 1', '2', '{q,2}', '{r,5}'),
    ...all('t1', '6 4', '2', '{t,1.50}', '{NULL,2}'),
    ...all('t1', '1 1 2', '3', '{2,2,q}', '{4,5,6}'),
    ...all('t1', '1', '1', '{2}', '{NULL}'),
    ...all('t1', '1', '1', '{2}', '{" "}'),
    ...all('t1', '1', '1', '{2}', '{"not a number"}'),
  ]),
  building('keys that are NULL', [
    ...all('nulls', '1', '1', '{NULL}', '{NULL}'),
    ...all('nulls', '2 1', '2', '{NULL,2}', '{1,NULL}'),
  ]),
  building('an empty string', [...all('t1', '2', '1', '{""}', '{""}')]),
  building('fewer than the vector has', [
    ...all('t1', '1 2 3', '1', '{2}', '{20}'),
    ...all('t1', '1 99', '1', '{2}', '{20}'),
  ]),
  building('more than the vector has', [
    ...all('t1', '1', '5', '{2}', '{20}'),
    ...all('t1', '1', '2147483647', '{2}', '{20}'),
  ]),
  building('arrays of other dimensions and bounds', [
    ...all('t1', '1 2', '2', '{{2},{q}}', '{{3},{4}}'),
    ...all('t1', '1 2', '2', '[5:6]={2,q}', '[-1:0]={3,4}'),
    ...all('t1', '1 2', '2', '{{2,q}}', '{{NULL,NULL}}'),
  ]),
  building('dropped columns', [
    ...all('holes', '1', '1', '{2}', '{20}'),
    ...all('holes', '2 1', '2', '{four,2}', '{five,NULL}'),
  ]),
  ...each('an attribute beyond the live ones', 'holes', '3', '1', '{2}', '{20}'),
  ...each('an attribute beyond all', 'holes', '5', '1', '{2}', '{20}'),
  ...each('attribute 0', 't1', '0', '1', '{2}', '{20}'),
  ...each('a negative attribute', 't1', '1 -7', '2', '{2,3}', '{20,3}'),
  ...each('two wrong attributes', 't1', '88 77', '2', '{2,3}', '{20,3}'),
  ...each('a relation without columns', 'empty', '1', '1', '{2}', '{2}'),
  ...each('no keys', 't1', '1', '0', '{1}', '{1}'),
  ...each('fewer than no keys', 't1', '1', '-3', '{1}', '{1}'),
  ...each('an empty vector', 't1', '', '1', '{1}', '{1}'),
  ...each('an empty vector and arrays', 't1', '', '1', '{}', '{}'),
  ...each('no keys and a wrong attribute', 't1', '99', '0', '{}', '{}'),
  ...each('a wrong attribute and a wrong length', 't1', '99', '1', '{}', '{}'),
  ...each('both arrays too short', 't1', '1 2', '2', '{1}', '{1}'),
  ...each('the target too short', 't1', '1 2', '2', '{2,q}', '{1}'),
  ...each('the target too long', 't1', '1 2', '2', '{2,q}', '{1,2,3}'),
  ...each('the source too long', 't1', '1', '1', '{2,q}', '{1}'),
  ...each('empty arrays', 't1', '1', '1', '{}', '{}'),
  ...each('no such relation', 'nosuch', '99', '0', '{}', '{}'),
  ...each('not the name of one', 'a b', '1', '1', '{1}', '{1}'),
  ...each('another database', 'elsewhere.public.items', '1', '1', '{1}', '{1}'),
  ...each('an index', 'ix', '1', '1', '{1}', '{1}'),
  ...each('a composite type', 'pair', '1', '1', '{1}', '{1}'),
  ...each('no vector at all', 't1', 'x', '1', '{1}', '{1}'),
  building('no such row', insert('t1', '1', '1', '{99}', '{1}')),
  building('no such row to update', update('t1', '1 2', '2', '{1,q}', '{1,2}')),
  building('two rows', insert('t1', '1', '1', '{7}', '{1}')),
  building('two rows to update', update('t1', '4', '1', '{7}', '{1}')),
  building('deleting what is not there', remove('t1', '1', '1', '{99}')),
  building('a value that the type does not take', insert('t1', '1', '1', '{x}', '{1}')),
  building('a value out of range', update('t1', '4', '1', '{12345678901234567890e999999}', '{1}')),
  building('a type without equality', insert('vals', '15', '1', '{"{}"}', '{1}'), {
    local: `${TYPES}${VALUES}`,
  }),
  building('an operator that fails', insert('v', '3', '1', '{1}', '{1}')),
  building('what a view calculates', insert('v', '1', '1', '{1}', '{5}')),
  building('an error of what a view calculates', insert('v', '1', '1', '{2}', '{5}')),
  building('a view with functions', [
    insert('noisy', '1', '1', '{2}', '{5}'),
    update('noisy', '2', '1', '{Q!}', '{5}'),
  ]),
  building('a sequence', [...all('sq', '3', '1', '{f}', '{t}')]),
  building(
    'a catalog',
    `${insert('pg_language', '2', '1', '{sql}', '{x}').replace('SELECT ', 'SELECT length(')}) > 0`,
  ),
  building('a materialized view', insert('mv', '1', '1', '{2}', '{5}'), {
    local: `${TABLES} CREATE MATERIALIZED VIEW mv AS SELECT * FROM t1;`,
  }),
  // Not in scratch, whose contents are compared.
  building('a materialized view without rows', insert('unfilled.mv', '1', '1', '{2}', '{5}'), {
    local: `${TABLES} DROP SCHEMA IF EXISTS unfilled CASCADE; CREATE SCHEMA unfilled;
CREATE MATERIALIZED VIEW unfilled.mv AS SELECT 1 AS a WITH NO DATA;`,
  }),
  building('a partitioned table', [...all('parted', '1', '1', '{2}', '{5}')], {
    local: `CREATE TABLE parted (a int, b text) PARTITION BY LIST (a);
CREATE TABLE part (b text, a int); ALTER TABLE parted ATTACH PARTITION part FOR VALUES IN (2); INSERT INTO parted VALUES (2, 'b');`,
  }),
  building('identity and generated columns', [...all('made', '2', '1', '{2}', '{5}')], {
    local: `CREATE TABLE made (i int GENERATED ALWAYS AS IDENTITY, a int, g int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO made (a) VALUES (2);`,
  }),
  building('virtual columns', [...all('made', '1', '1', '{2}', '{5}')], {
    local: `CREATE TABLE made (a int, g int GENERATED ALWAYS AS (a * 2) VIRTUAL); INSERT INTO made (a) VALUES (2);`,
    minMajor: 18,
  }),
  building('names that need quotes', [
    ...all('"Mixed ""Case"" T"', '1 2 3 4 5 6 7', '7', '{1,2,3,n,5,6,7}', '{1,2,3,n,5,6,7}'),
    'SET quote_all_identifiers = on',
    ...all('"Mixed ""Case"" T"', '4', '1', '{n}', '{m}'),
    'RESET quote_all_identifiers',
  ]),
  building('an error with names that need quotes', insert('"Mixed ""Case"" T"', '1', '1', '{x}', '{1}')),
  building('values of many types', [...all('vals', '1', '1', '{1}', '{2}')], { local: `${TYPES}${VALUES}` }),
  building('text beyond ASCII', [
    ...all('items', '2', '1', '{café}', '{{text}}'.replace('{{text}}', '{"{text}"}')),
    insert('items', '1', '1', '{4}', '{5}'),
  ]),
  building('text beyond ASCII, not found', insert('items', '2', '1', '{"{text}"}', '{x}')),
  building('strings that do not conform', [
    'SET standard_conforming_strings = off',
    'SET escape_string_warning = off',
    ...all('t1', '1 2', '2', FIRST, "ARRAY['9', E'a\\\\b']"),
    'RESET standard_conforming_strings',
    'RESET escape_string_warning',
  ]),
  building('schemas in the search path', [
    ...all('scratch.t1', '1', '1', '{2}', '{5}'),
    'SET search_path = public',
    ...all('scratch.t1', '1', '1', '{2}', '{5}'),
    ...all('scratch."Mixed ""Case"" T"', '1', '1', '{1}', '{5}'),
    'RESET search_path',
  ]),
  building('an error in a schema that is not in the search path', [
    'SET search_path = public',
    insert('scratch.t1', '1', '1', '{x}', '{5}'),
  ]),
  building('an empty search path', [
    "SET search_path = ''",
    ...all('scratch.t1', '1', '1', '{2}', '{5}').map((sql) => sql.replace('dblink', 'public.dblink')),
    ...all('pg_catalog.pg_class', '1', '1', '{0}', '{5}')
      .slice(2)
      .map((sql) => sql.replace('dblink', 'public.dblink')),
    'RESET search_path',
  ]),
  building('a table that another one hides', [
    'CREATE TEMP TABLE t1 (z int)',
    remove('t1', '1', '1', '{5}'),
    ...all('scratch.t1', '1', '1', '{2}', '{5}'),
    'DROP TABLE pg_temp.t1',
  ]),
  building(
    'operators of somebody else',
    [
      'SET search_path = hostile, pg_catalog, public, scratch',
      ...all('t1', '1', '1', '{2}', '{5}').slice(2),
      insert('t1', '1', '1', '{2}', '{5}'),
      'RESET search_path',
    ],
    {
      local: `${TABLES}
DROP SCHEMA IF EXISTS hostile CASCADE;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(int4, int4) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION hostile.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION hostile.concat(text, text) RETURNS text LANGUAGE sql AS 'SELECT ''no''';
CREATE FUNCTION hostile.quote_ident(text) RETURNS text LANGUAGE sql AS 'SELECT ''no''';
CREATE OPERATOR hostile.= (LEFTARG = int4, RIGHTARG = int4, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.<= (LEFTARG = int4, RIGHTARG = int4, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.> (LEFTARG = int4, RIGHTARG = int4, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.|| (LEFTARG = text, RIGHTARG = text, PROCEDURE = hostile.concat);
GRANT USAGE ON SCHEMA hostile TO PUBLIC;`,
    },
  ),
  building(
    'collations of the arguments',
    [
      `SELECT dblink_build_sql_insert('t1' COLLATE nd, '1 2', 2, ARRAY['1', E'x''y\\\\z' COLLATE "C"], '{a,b}')`,
      `SELECT dblink_build_sql_insert('t1', '1 2', 2, ARRAY['1', E'x''y\\\\z'] COLLATE nd, '{a,b}')`,
      `SELECT dblink_build_sql_update(n COLLATE "C", '1', 1, ARRAY['2'] COLLATE nd, '{a}') FROM (VALUES ('t1')) AS x(n)`,
    ],
    {
      local: `${TABLES} CREATE COLLATION nd (provider = icu, locale = 'und', deterministic = false);`,
      sessions: ['utf8', 'styles'],
    },
  ),
  ...[
    "NULL, '1', 1, '{1}', '{1}'",
    "'t1', NULL, 1, '{1}', '{1}'",
    "'t1', '1', NULL, '{1}', '{1}'",
    "'nosuch', '1', 1, NULL, '{1}'",
    "'nosuch', '1', 1, '{1}', NULL",
  ].map((args, i) =>
    building(`NULL as argument ${i + 1}`, [
      `SELECT dblink_build_sql_insert(${args}) IS NULL, dblink_build_sql_insert(${args})`,
      `SELECT dblink_build_sql_update(${args})`,
      `SELECT * FROM dblink_build_sql_insert(${args})`,
    ]),
  ),
  ...["NULL, '1', 1, '{1}'", "'t1', NULL, 1, '{1}'", "'t1', '1', NULL, '{1}'", "'nosuch', '1', 1, NULL"].map(
    (args, i) => building(`NULL as argument ${i + 1} of delete`, `SELECT dblink_build_sql_delete(${args})`),
  ),
  building('over many rows', [
    "SELECT a, dblink_build_sql_update('t1', '1 2', 2, ARRAY[a::text, b], ARRAY[(a + 1)::text, b]) FROM t1 ORDER BY a, b",
    "SELECT i.id, s FROM items i, LATERAL dblink_build_sql_insert('items', '1', 1, ARRAY[i.id::text], ARRAY['0' || i.id]) AS s ORDER BY 1",
    "SELECT * FROM dblink_build_sql_delete('t1', '1', 1, '{5}')",
    "SELECT id FROM items WHERE dblink_build_sql_delete('items', '1', 1, ARRAY[id::text]) LIKE '%3%'",
  ]),
  building('parameters', [
    bound('SELECT dblink_build_sql_insert($1, $2, $3, $4, $5)', ['t1', '1 2', 2, '{2,q}', '{3,NULL}']),
    bound('SELECT dblink_build_sql_update($1, $2, $3, $4, $5)', ['t1', '1', 1, '{2}', '{"a\\\\b"}']),
    bound('SELECT dblink_build_sql_delete($1, $2, $3, $4)', ['t1', '1', 1, '{2}']),
    bound('SELECT dblink_build_sql_delete($1, $2, $3, $4)', ['t1', '1', 1, null]),
    bound('SELECT dblink_build_sql_delete($1, $2, $3, $4)', ['t1', '3', 1, '{}']),
  ]),
  building(
    'parameters of other types',
    bound("SELECT dblink_build_sql_delete('t1', $1, 1, $2)", ['1', '{2}'], [22, 1009]),
  ),
  building('no such overload', 'SELECT dblink_build_sql_delete(1, 2, 3, 4)'),
  building(
    'an array in place of the vector',
    "SELECT dblink_build_sql_delete('t1', ARRAY[1, 2], 2, '{1,2}')",
  ),
  building('in a function', [
    functionOf(
      "BEGIN RETURN dblink_build_sql_insert('t1', '1', 1, '{99}', '{1}'); EXCEPTION WHEN cardinality_violation THEN RETURN SQLSTATE || ' ' || SQLERRM; END",
    ),
    'SELECT f()',
  ]),
  building('an error in a function', [
    functionOf("BEGIN RETURN dblink_build_sql_insert('t1', '1', 1, '{99}', '{1}'); END"),
    'SELECT f()',
  ]),
  building('an error of PostgreSQL in a function', [
    functionOf(
      "DECLARE s text; BEGIN s := dblink_build_sql_insert('t1', '1', 1, '{x}', '{1}'); RETURN s; END",
    ),
    'SELECT f()',
  ]),
  building('an error of the row in a function', [
    functionOf(
      "DECLARE s text; BEGIN SELECT dblink_build_sql_insert('v', '1', 1, '{2}', '{1}') INTO s; RETURN s; END",
    ),
    'SELECT f()',
  ]),
  building('a notice on the way', [insert('told', '1', '1', '{1}', '{2}')], {
    local: `CREATE FUNCTION tell(int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RAISE NOTICE 'told %', $1; RETURN $1; END $f$;
CREATE TABLE one (a int); INSERT INTO one VALUES (1); CREATE VIEW told AS SELECT tell(a) AS a FROM one;`,
  }),
  building('its own rows', [
    'CREATE TABLE fresh (a int, b text)',
    "INSERT INTO fresh VALUES (1, 'x')",
    insert('fresh', '1', '1', '{1}', '{2}'),
    'ALTER TABLE fresh ADD c int DEFAULT 5',
    insert('fresh', '1', '1', '{1}', '{2}'),
    'ALTER TABLE fresh DROP a, ALTER c TYPE text',
    insert('fresh', '1', '1', '{x}', '{2}'),
  ]),
  building(
    'what changed elsewhere',
    [
      insert('t1', '1', '1', '{2}', '{5}'),
      onLocal('UPDATE scratch.t1 SET d = 8 WHERE a = 2'),
      insert('t1', '1', '1', '{2}', '{5}'),
    ],
    { transports: ['simple', 'extended', 'binary'] },
  ),
  ...(['insert', 'update', 'delete'] as const).flatMap((which, i) => [
    building(`no privilege, ${which}`, ['SET ROLE plain_user', all('t1', '1', '1', '{2}', '{5}')[i]!]),
    building(`no privilege and wrong arguments, ${which}`, [
      'SET ROLE plain_user',
      all('v', '99', '0', '{}', '{}')[i]!,
    ]),
    building(
      `privileges on columns, ${which}`,
      ['SET ROLE plain_user', all('nulls', '1', '1', '{2}', '{5}')[i]!],
      {
        local: `${TABLES} GRANT SELECT (a, b) ON nulls TO plain_user;`,
      },
    ),
    building(`the privilege, ${which}`, ['SET ROLE plain_user', all('nulls', '1', '1', '{2}', '{5}')[i]!], {
      local: `${TABLES} GRANT SELECT ON nulls TO plain_user;`,
    }),
  ]),
  building(
    'a view of what its owner may not read',
    ['SET ROLE plain_user', insert('lent', '1', '1', '{2}', '{5}')],
    {
      local: `${TABLES} CREATE VIEW lent AS SELECT * FROM nulls; ALTER VIEW lent OWNER TO plain_user;`,
    },
  ),
  building('row security', ['SET ROLE plain_user', ...all('guarded', '1', '1', '{1}', '{5}'), 'RESET ROLE'], {
    local: RLS,
  }),
  building(
    'a row that row security hides',
    ['SET ROLE plain_user', insert('guarded', '1', '1', '{2}', '{5}')],
    {
      local: RLS,
    },
  ),
  building(
    'row security switched off',
    ['SET ROLE plain_user', 'SET row_security = off', insert('guarded', '1', '1', '{1}', '{5}')],
    {
      local: RLS,
    },
  ),
  building(
    'after an error',
    [
      'BEGIN',
      insert('t1', '1', '1', '{99}', '{5}'),
      remove('t1', '1', '1', '{5}'),
      'ROLLBACK',
      remove('t1', '1', '1', '{5}'),
    ],
    {
      contexts: ['autocommit'],
      transports: ['simple', 'extended', 'pipeline-syncs'],
    },
  ),
  ...[
    insert('t1', '1', '1', '{x}', '{5}'),
    insert('t1', '1', '1', '{99}', '{5}'),
    insert('t1', '9', '1', '{1}', '{5}'),
    insert('v', '1', '1', '{2}', '{5}'),
    remove('nosuch', '1', '1', '{5}'),
  ].map((sql, i) =>
    building(
      `the same error again in the transaction, ${i + 1}`,
      ['BEGIN', 'SAVEPOINT s', sql, 'ROLLBACK TO s', sql, 'ROLLBACK TO s', sql, 'ROLLBACK'],
      { contexts: ['autocommit'], transports: ['simple', 'extended', 'pipeline-syncs'] },
    ),
  ),
  building('a time limit', ["SET statement_timeout = '200ms'", insert('slow', '1', '1', '{1}', '{5}')], {
    local:
      'CREATE TABLE one (a int); INSERT INTO one VALUES (1); CREATE VIEW slow AS SELECT a, pg_sleep(30)::text AS s FROM one;',
  }),
  building('a long value', ["SELECT md5(dblink_build_sql_insert('long', '1', 1, '{1}', '{2}'))"], {
    local: `CREATE TABLE long (a int, b text, c bytea); INSERT INTO long SELECT 1, repeat(E'a"\\\\\\\\,'')é\\n', 100000), decode(repeat('00ff', 100000), 'hex');`,
    sessions: ['utf8', 'styles'],
  }),
  ...[
    ...all('t1', '1', '1', '{2}', '{5}'),
    insert('t1', '1', '1', '{99}', '{5}'),
    insert('t1', '1', '1', '{x}', '{5}'),
    "SELECT a, dblink_build_sql_delete('t1', '1', 1, ARRAY[a::text]) FROM t1 ORDER BY 1",
  ].map((sql, i) =>
    testCase(`without functions: build_sql ${i + 1}`, [sql, 'SELECT 1'], {
      sessions: ['bare'],
      contexts: ['autocommit'],
      transports: ['simple', 'extended', 'binary', 'pipeline-syncs'],
      local: TABLES,
    }),
  ),
];
