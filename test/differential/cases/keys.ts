import { bound, onLocal, testCase } from '../compare/notation.js';
import type { Case, Step } from '../play/types.js';

/** dblink_get_pkey(), the statement that a client sent, and how all helpers find the relation that they are given. */

const TABLES = `
CREATE TABLE two (c text, a int, d int, b int, PRIMARY KEY (b, a));
CREATE TABLE included (y int, x int, z int, PRIMARY KEY (x, z) INCLUDE (y));
CREATE TABLE keyless (a int UNIQUE NOT NULL);
CREATE TABLE "Mixed ""Case"" T" ("Ü b" int, "end" int PRIMARY KEY);
CREATE TABLE dropped (a int, b int, c int, d int, PRIMARY KEY (d, b));
ALTER TABLE dropped DROP a, DROP c;
CREATE TABLE parted (a int, b int, PRIMARY KEY (b)) PARTITION BY HASH (b);
CREATE TABLE part PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE INDEX ix ON keyless (a);
CREATE VIEW v AS SELECT * FROM two;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM two;
CREATE TYPE pair AS (a int, b int);
CREATE SEQUENCE sq;`;

const keys = (name: string, steps: readonly Step[] | Step, more: Partial<Case> = {}): Case =>
  testCase(`primary keys: ${name}`, [...(Array.isArray(steps) ? steps : [steps]), 'SELECT 1'], {
    bridged: true,
    local: TABLES,
    ...more,
  });

const of = (relation: string): string => `SELECT * FROM dblink_get_pkey('${relation}')`;

/** What is accepted as the name of a relation; what is not gives an error each. */
const ACCEPTED: readonly string[] = [
  'two',
  'TWO',
  ' two ',
  'scratch.two',
  'SCRATCH . Two',
  'app.scratch.two',
  '"two"',
  '"scratch"."two"',
  '"Mixed ""Case"" T"',
  'v',
  'sq',
  'mv',
  'parted',
  'part',
  'keyless',
  'pg_class',
  'pg_catalog.pg_attribute',
  'information_schema.tables',
];
const REFUSED: readonly string[] = [
  'nosuch',
  'scratch.nosuch',
  'nosuch.two',
  'elsewhere.scratch.two',
  'a.b.c.d',
  '"TWO"',
  'a b',
  'two two',
  '',
  ' ',
  '.',
  'two.',
  '.two',
  '"two',
  'two"',
  '""',
  '"".two',
  '1two',
  '123',
  '-',
  'two;',
  'two(a)',
  'ix',
  'parted_pkey',
  'pair',
  '{text}',
  `${'x'.repeat(70)}`,
];

const GRANTS = `
CREATE SCHEMA closed;
CREATE TABLE closed.t (a int PRIMARY KEY);
GRANT SELECT ON closed.t TO plain_user;`;

export const keyCases: readonly Case[] = [
  keys('in the order of the index', [of('two'), of('included'), of('dropped')], {}),
  keys('names as they are', of('"Mixed ""Case"" T"')),
  ...ACCEPTED.map((relation) =>
    keys(`the relation ${relation}`, of(relation), { sessions: ['utf8', 'styles'] }),
  ),
  ...REFUSED.map((relation) => keys(`not the relation ${relation}`, of(relation))),
  keys('NULL', ['SELECT * FROM dblink_get_pkey(NULL)', 'SELECT dblink_get_pkey(NULL)']),
  keys('in a select list', [
    "SELECT dblink_get_pkey('two')",
    "SELECT (dblink_get_pkey('two')).*, 1 AS one",
    "SELECT (dblink_get_pkey('two')).colname",
    "SELECT 1 AS n, dblink_get_pkey('keyless')",
    "SELECT pg_typeof(k)::text FROM dblink_get_pkey('two') AS k",
  ]),
  keys('an error in a select list', "SELECT dblink_get_pkey('nosuch')"),
  keys('of many relations', [
    "SELECT r, k.* FROM unnest(ARRAY['two', 'included', 'keyless']) AS r, dblink_get_pkey(r) AS k ORDER BY 1, 2",
    "SELECT relname, (SELECT string_agg(colname, '+' ORDER BY position) FROM dblink_get_pkey(relname)) FROM pg_class WHERE relnamespace = 'scratch'::regnamespace AND relkind = 'r' ORDER BY 1",
  ]),
  keys('aliases, ordinality, limits', [
    "SELECT * FROM dblink_get_pkey('two') AS k(p, c)",
    "SELECT * FROM dblink_get_pkey('two') WITH ORDINALITY",
    "SELECT colname FROM dblink_get_pkey('two') WHERE position = 2",
    "SELECT * FROM dblink_get_pkey('two') LIMIT 1",
    "SELECT * FROM dblink_get_pkey('nosuch') LIMIT 0",
  ]),
  keys('parameters', [
    bound('SELECT * FROM dblink_get_pkey($1)', ['two']),
    bound('SELECT * FROM dblink_get_pkey($1)', [null]),
    bound('SELECT * FROM dblink_get_pkey($1)', ['nosuch']),
  ]),
  keys('of a relation of another type', 'SELECT * FROM dblink_get_pkey(1)'),
  keys('in a function', [
    `CREATE FUNCTION f(r text) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE k text; BEGIN SELECT string_agg(colname, ',') INTO k FROM dblink_get_pkey(r); RETURN k;
EXCEPTION WHEN undefined_table THEN RETURN SQLSTATE || SQLERRM; END $f$`,
    "SELECT f('two'), f('nosuch')",
    "SELECT f('a b')",
  ]),
  keys('an error in a function', [
    `CREATE FUNCTION f(r text) RETURNS bigint LANGUAGE plpgsql AS $f$
BEGIN RETURN (SELECT count(*) FROM dblink_get_pkey(r)); END $f$`,
    "SELECT f('nosuch')",
  ]),
  // An error leaves the function's expressions in a state in which PostgreSQL evaluates them otherwise.
  ...['nosuch', 'a b', 'ix'].map((relation) =>
    keys(
      `the same error again in the transaction, ${relation}`,
      [
        'BEGIN',
        'SAVEPOINT s',
        of(relation),
        'ROLLBACK TO s',
        of(relation),
        'ROLLBACK TO s',
        of(relation),
        'ROLLBACK',
      ],
      { contexts: ['autocommit'], transports: ['simple', 'extended', 'pipeline-syncs'] },
    ),
  ),
  keys('a table of this transaction', [
    'BEGIN',
    'CREATE TEMP TABLE two (q int PRIMARY KEY)',
    of('two'),
    of('pg_temp.two'),
    of('scratch.two'),
    'ROLLBACK',
    of('two'),
  ]),
  keys('a key that was dropped and made again', [
    'ALTER TABLE two DROP CONSTRAINT two_pkey',
    of('two'),
    'ALTER TABLE two ADD PRIMARY KEY (c, d)',
    of('two'),
  ]),
  keys(
    'made elsewhere',
    [of('keyless'), onLocal('ALTER TABLE scratch.keyless ADD PRIMARY KEY (a)'), of('keyless')],
    {
      contexts: ['autocommit'],
      transports: ['simple', 'extended', 'binary'],
    },
  ),
  keys('search paths', [
    "SET search_path = ''",
    `SELECT * FROM public.dblink_get_pkey('scratch.two')`,
    `SELECT * FROM public.dblink_get_pkey('two')`,
  ]),
  keys(
    'operators of somebody else',
    ['SET search_path = hostile, pg_catalog, public, scratch', of('two'), of('nosuch'), 'RESET search_path'],
    {
      local: `${TABLES}
DROP SCHEMA IF EXISTS hostile CASCADE;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION hostile.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION hostile.no(int2, int2) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION hostile.no(int4, int4) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (LEFTARG = oid, RIGHTARG = oid, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.= (LEFTARG = int2, RIGHTARG = int2, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.<= (LEFTARG = int4, RIGHTARG = int4, PROCEDURE = hostile.no);
CREATE OPERATOR hostile.> (LEFTARG = int4, RIGHTARG = int4, PROCEDURE = hostile.no);
GRANT USAGE ON SCHEMA hostile TO PUBLIC;`,
    },
  ),
  keys('no privilege on a schema', ['SET ROLE plain_user', of('closed.t')], {
    local: `DROP SCHEMA IF EXISTS closed CASCADE;${TABLES}${GRANTS}`,
  }),
  ...['two', 'v', 'mv', 'sq', 'parted', '"Mixed ""Case"" T"', 'ix', 'pair'].map((relation) =>
    keys(`no privilege on ${relation}`, ['SET ROLE plain_user', of(relation)]),
  ),
  keys('privileges on columns', ['SET ROLE plain_user', of('two')], {
    local: `${TABLES} GRANT SELECT (a, b, c, d) ON two TO plain_user;`,
  }),
  keys('the privilege', ['SET ROLE plain_user', of('two'), of('v')], {
    local: `${TABLES} GRANT SELECT ON two, v TO plain_user;`,
  }),
  keys('rights of a function', [
    "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.dblink_get_pkey(''scratch.two'')'",
    'SET ROLE plain_user',
    'SELECT f()',
  ]),
  keys('messages in the language of the server', ["SET lc_messages = 'C'", of('nosuch')]),
  testCase(
    'the current query',
    ['SELECT dblink_current_query()', 'SELECT /* so */ dblink_current_query() , 1'],
    {
      bridged: true,
      transports: ['simple', 'multi', 'extended', 'binary'],
    },
  ),
  testCase(
    'the current query in a function',
    [
      'CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN dblink_current_query(); END $f$',
      'SELECT f(), n FROM generate_series(1, 2) AS n',
    ],
    { bridged: true, local: '', transports: ['simple', 'extended', 'binary'] },
  ),
  ...[
    of('two'),
    // In a select list its type would show, whose schema is pg_temp there.
    "SELECT (dblink_get_pkey('two')).*",
    "SELECT r, k.* FROM unnest(ARRAY['two', 'included']) AS r, dblink_get_pkey(r) AS k ORDER BY 1, 2",
    of('nosuch'),
    of('ix'),
  ].map((sql, i) =>
    testCase(`without functions: primary keys ${i + 1}`, [sql, 'SELECT 1'], {
      sessions: ['bare'],
      contexts: ['autocommit'],
      transports: ['simple', 'extended', 'binary', 'row-limit', 'pipeline-syncs'],
      local: TABLES,
    }),
  ),
];
