import { bound, fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * Results that do not fit an answer of the bridge and come by way of a side table. The calls are lateral, so that no
 * other plan serves them.
 */

const ROWS = 600;

/** A column of a large result: its type here, and what the remote selects for row `n`. */
interface Column {
  readonly type: string;
  readonly value: string;
}

const PADDING = "repeat('x', 120)";

/** A lateral call for each of two rows; the fingerprint of every value, and some rows as they are. */
function large(columns: readonly Column[], remoteRows = ROWS): string {
  const values = columns.map(({ value }, i) => `${value} AS v${i}`).join(', ');
  const definitions = columns.map(({ type }, i) => `v${i} ${type}`).join(', ');
  const source = `generate_series(1, 2) g, LATERAL dblink('c', 'SELECT n, ${values.replaceAll("'", "''")}, ${PADDING.replaceAll("'", "''")} FROM generate_series(1, ${remoteRows}) n WHERE n > ' || g) AS t(n int, ${definitions}, pad text)`;
  return (
    `SELECT g, NULL::int AS n, md5(string_agg(t::text, ',' ORDER BY n)), ${columns.map(({ type }) => `NULL::${type}`).join(', ')} FROM ${source} GROUP BY g ` +
    `UNION ALL SELECT g, n, NULL, ${columns.map((_, i) => `v${i}`).join(', ')} FROM ${source} WHERE n IN (3, 4, ${remoteRows}) ORDER BY 1, 2`
  );
}

const types = (name: string, columns: readonly (readonly [type: string, value: string])[], more = {}): Case =>
  testCase(`large: ${name}`, [open('c'), large(columns.map(([type, value]) => ({ type, value })))], {
    bridged: true,
    ...more,
  });

/** Some rows are NULL. */
const some = (value: string): string => `CASE WHEN n % 7 <> 0 THEN ${value} END`;

const DATES = [
  ['date', some("DATE '2024-01-02' + n")],
  ['timestamp', some("TIMESTAMP '2024-01-02 03:04:05.678' + n * interval '1 hour'")],
  ['timestamptz', some("TIMESTAMPTZ '2024-03-01 00:00+00' + n * interval '1 hour'")],
  ['timestamptz(0)', some("TIMESTAMPTZ '2024-03-01 00:00:00.6+00' + n * interval '1 hour'")],
  ['timetz', some("TIMETZ '12:34:56-05' + n * interval '1 min'")],
  ['interval', some("n * interval '1 mon -1 day 02:03:04.5'")],
  ['date[]', some("ARRAY[DATE '2024-01-02' + n, NULL]")],
  ['timestamptz[]', some("ARRAY[TIMESTAMPTZ '2024-03-01 00:00+00' + n * interval '1 hour']")],
  ['interval[]', some("ARRAY[n * interval '1 mon -1 day 02:03:04.5']")],
  ['tstzrange', some("tstzrange(TIMESTAMPTZ '2024-03-01 00:00+00', NULL)")],
] as const;

/** More than a page holds, and not compressible: kept beside the table's rows. */
const LONG = "(SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 400) i)";

const BIG = fetch(`SELECT n, ${PADDING} FROM generate_series(1, ${ROWS}) n`, 'n int, pad text');
const lateral = (sql: string, columns: string, select = 'g, count(*)'): string =>
  `SELECT ${select} FROM generate_series(1, 2) g, LATERAL dblink('c', $remote$${sql}$remote$ || CASE g WHEN 1 THEN '' ELSE ' ' END) AS t(${columns})`;
const MANY = `SELECT n, ${PADDING} FROM generate_series(1, ${ROWS}) n`;
const MANY_COLUMNS = 'n int, pad text';
const BY_G = ' GROUP BY g ORDER BY g';

const readOnly = (name: string, begin: string): Case =>
  testCase(`large: ${name}`, [open('c'), begin, large([{ type: 'int', value: 'n' }]), 'COMMIT'], {
    bridged: true,
    // It begins its own transaction.
    contexts: ['autocommit'],
  });

/** One that has no value to convert, or too many: the whole string fails. */
const several = (name: string, sql: string, columns: string, select?: string): Case =>
  testCase(
    `large: several statements: ${name}`,
    [open('c'), lateral(sql, columns, select) + (select === undefined ? BY_G : ''), 'SELECT 1'],
    {
      bridged: true,
    },
  );

const failing = (name: string, sql: string, columns: string, more: Partial<Case> = {}): Case =>
  testCase(`large: ${name}`, [open('c'), lateral(sql, columns) + BY_G, fetch('SELECT 1', 'a int')], {
    bridged: true,
    ...more,
  });

export const bridgeLargeCases: readonly Case[] = [
  types('numbers', [
    ['int2', some('n::int2')],
    ['int8', some('n::int8 * 1000000007')],
    ['numeric', some('n / 7.0')],
    ['numeric(8,3)', some('n / 7.0')],
    ['float4', some('n / 7.0::float4')],
    ['float8', some('n / 7.0::float8')],
    ['bool', some('n % 2 = 0')],
    ['oid', some('n::oid')],
    ['int[]', some('ARRAY[n, NULL, -n]')],
    ['bit(3)', some('n::bit(3)')],
    ['varbit', some('n::bit(9)::varbit')],
    ['int4range', some('int4range(n, n + 5)')],
    ['point', some('point(n, n / 7.0::float8)')],
  ]),
  types('strings', [
    ['text', some("E'\\\\t \\\\\\\\N \\\\n\\\\r \\\\\\\\' || chr(1 + n % 120)")],
    ['text', some("E'\\\\\\\\.'")],
    ['varchar(4)', some("left('ab' || n, 4)")],
    ['char(5)', some("left('ab' || n, 4)")],
    ['char', some("'x'")],
    ['"char"', some('chr(1 + n % 120)::"char"')],
    ['name', some("('n' || n)::name")],
    ['bytea', some('decode(lpad(to_hex(n), 8, chr(48)), chr(104) || chr(101) || chr(120))')],
    ['text[]', some("ARRAY['a,b', 'NULL', NULL, '\"', E'\\\\\\\\', '']")],
    ['varchar(3)[]', some("ARRAY['abc', '']")],
    ['uuid', some('md5(n::text)::uuid')],
    ['inet', some("'10.0.0.1'::inet + n")],
    ['tsvector', some("('w' || n || ':1A b')::tsvector")],
  ]),
  types('text beyond ASCII', [
    ['text', some("'{text}' || n")],
    ['varchar(40)', some("'{text}'")],
    ['name', some("'{text}'::name")],
    ['text[]', some("ARRAY['{text}', NULL]")],
    ['json', some("json_build_object('k', '{text}', 'n', n)")],
  ]),
  types('times', DATES),
  testCase(
    'large: times in another style of the remote',
    [
      open('c'),
      "SELECT dblink_exec('c', 'SET datestyle = ''SQL, DMY''')",
      "SELECT dblink_exec('c', 'SET intervalstyle = ''sql_standard''')",
      large(DATES.map(([type, value]) => ({ type, value }))),
      "SELECT DATE '2024-01-02', interval '1 day'",
    ],
    { bridged: true },
  ),
  types('types of the user', [
    ['mood', some("(CASE n % 3 WHEN 0 THEN 'sad' WHEN 1 THEN 'ok' ELSE 'happy' END)::mood")],
    ['pair', some("ROW(n, 'a,\"b')::pair")],
    ['positive', some('n')],
    ['short', some("left('ab' || n, 4)")],
    ['mood[]', some("ARRAY['sad', NULL]::mood[]")],
    ['pair[]', some("ARRAY[ROW(n, 'a,\"b')::pair, NULL]")],
    ['positive[]', some('ARRAY[n]')],
    ['floatrange', some('floatrange(n, n + 0.5)')],
  ]),
  types(
    'types of odd input',
    [
      ['json', some("json_build_object('a', n, 'b', NULL, 'c', E'\\\\\\\\ \"')")],
      ['jsonb', some("jsonb_build_object('a', n, 'b', NULL, 'c', E'\\\\\\\\ \"')")],
      ['json[]', some("ARRAY[json_build_object('a', n)]")],
      ['document', some("json_build_object('a', n)")],
      ['small_document', some("jsonb_build_object('a', n)")],
      ['document[]', some("ARRAY[json_build_object('a', n)]")],
      ['money', some('n::money')],
      ['money[]', some('ARRAY[n::money]')],
      ['xml', some("('<a>' || n || '</a>')::xml")],
      ['regclass', some("'pg_class'::regclass")],
      ['regtype', some("'int4'::regtype")],
      ['regproc', some("'now'")],
      ['regnamespace', some("'public'")],
      ['aclitem', some("'postgres=r/postgres'")],
    ],
    {
      local: 'CREATE DOMAIN document AS json; CREATE DOMAIN small_document AS jsonb CHECK (VALUE ? $$a$$)',
    },
  ),
  testCase('large: one column of each row is long', [open('c'), large([{ type: 'text', value: LONG }], 20)], {
    bridged: true,
  }),
  testCase(
    'large: long values outlive what they came in',
    [
      open('c'),
      `SELECT a.n, md5(a.v), length(a.b), b.n, pg_sleep(CASE WHEN a.n = 2 THEN 1.2 ELSE 0 END) FROM dblink('c', $r$SELECT n, ${LONG}, convert_to(${LONG}, 'UTF8') FROM generate_series(1, 9) n$r$) AS a(n int, v text, b bytea) JOIN LATERAL dblink('c', $r$SELECT n, ${LONG} FROM generate_series(1, 9) n$r$ || CASE WHEN a.n > 0 THEN '' END) AS b(n int, v text) USING (n) ORDER BY a.n`,
    ],
    { bridged: true, transports: ['simple', 'extended', 'binary'] },
  ),
  readOnly('REPEATABLE READ, READ ONLY', 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'),
  readOnly('SERIALIZABLE', 'BEGIN ISOLATION LEVEL SERIALIZABLE'),
  readOnly('READ ONLY', 'BEGIN READ ONLY'),
  testCase('large: all rows', [open('c'), BIG]),
  several('both large', `${MANY}; ${MANY}`, MANY_COLUMNS),
  several('five large', `${MANY}; ${MANY}; ${MANY}; ${MANY}; ${MANY}`, MANY_COLUMNS),
  several('an earlier one is large', `${MANY}; SELECT 7, 'x'`, MANY_COLUMNS),
  several('the last one is large', `SELECT 7, 'x'; ${MANY}`, MANY_COLUMNS),
  several('a command comes last', `${MANY}; SET a.b = 1`, MANY_COLUMNS),
  several(
    'a command comes last, one column',
    `SELECT ${PADDING} FROM generate_series(1, ${ROWS}); SET a.b = 1`,
    'tag text',
    '*',
  ),
  several(
    'a large one of other columns',
    `SELECT n FROM generate_series(1, 20000) n; SELECT 7, 'x'`,
    MANY_COLUMNS,
  ),
  several(
    'an earlier large one that cannot be converted',
    `SELECT 'sad' || CASE WHEN n > 500 THEN 'der' ELSE '' END, ${PADDING} FROM generate_series(1, ${ROWS}) n; SELECT 'sad', 'x'`,
    'a mood, pad text',
  ),
  several(
    'a large one that cannot be converted, then another',
    `SELECT 'sad' || CASE WHEN n > 500 THEN 'der' ELSE '' END, ${PADDING} FROM generate_series(1, ${ROWS}) n; SELECT 'sad', ${PADDING} FROM generate_series(1, ${ROWS}) n`,
    'a mood, pad text',
  ),
  failing(
    'a conversion fails in the middle',
    `SELECT CASE WHEN n = 500 THEN 'x' ELSE n::text END, ${PADDING} FROM generate_series(1, ${ROWS}) n`,
    'n int, pad text',
    { differs: 'own-error' },
  ),
  failing(
    'a conversion fails in the middle, of an enum',
    `SELECT CASE WHEN n = 500 THEN 'x' ELSE 'sad' END, ${PADDING} FROM generate_series(1, ${ROWS}) n`,
    'n mood, pad text',
  ),
  failing(
    'too long in the middle',
    `SELECT CASE WHEN n = 500 THEN 'abcd' ELSE 'abc' END, ${PADDING} FROM generate_series(1, ${ROWS}) n`,
    'n varchar(3), pad text',
    { differs: 'own-error' },
  ),
  failing(
    'a domain is violated in the middle',
    `SELECT 500 - n, ${PADDING} FROM generate_series(1, ${ROWS}) n`,
    'n positive, pad text',
  ),
  failing(
    'the remote fails in the middle',
    `SELECT 1 / (500 - n), ${PADDING} FROM generate_series(1, ${ROWS}) n`,
    'n int, pad text',
  ),
  failing('fewer columns are wanted', MANY, 'n int'),
  failing('more columns are wanted', MANY, 'n int, pad text, x int'),
  testCase(
    'large: the remote fails in the middle, errors off',
    [
      open('c'),
      `SELECT g, n FROM generate_series(1, 2) g LEFT JOIN LATERAL dblink('c', 'SELECT 1 / (500 - n), ${PADDING.replaceAll("'", "''")} FROM generate_series(1, ${ROWS}) n WHERE n > ' || g, false) AS t(n int, pad text) ON true`,
    ],
    { bridged: true },
  ),
  testCase(
    'large: a cursor over two calls',
    [
      open('c'),
      'BEGIN',
      `DECLARE k CURSOR FOR SELECT a.n, b.n FROM dblink('c', $r$${MANY}$r$) AS a(n int, pad text) JOIN dblink('c', $r$${MANY} $r$) AS b(n int, pad text) ON a.n = b.n ORDER BY 1`,
      'FETCH 2 FROM k',
      'FETCH 2 FROM k',
      'CLOSE k',
      'COMMIT',
    ],
    { bridged: true, contexts: ['autocommit'] },
  ),
  testCase(
    'large: parameters of a lateral call',
    [
      open('c'),
      bound(
        `SELECT g, count(*), max(n) FROM generate_series(1, $1) g, LATERAL dblink($2, $3 || ' WHERE n > ' || g) AS t(n int, pad text) GROUP BY g ORDER BY g`,
        [2, 'c', MANY],
      ),
    ],
    { bridged: true },
  ),
  testCase(
    'large: inside a function that goes on after an error',
    [
      open('c'),
      `CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $body$ DECLARE s text := ''; r record; BEGIN
        FOR i IN 1..3 LOOP
          BEGIN
            SELECT count(*), max(n) INTO r FROM dblink('c', format($r$SELECT CASE WHEN n = 500 AND %s = 2 THEN 'x' ELSE n::text END, ${PADDING} FROM generate_series(1, ${ROWS}) n$r$, i)) AS t(n int, pad text);
            s := s || r::text;
          EXCEPTION WHEN OTHERS THEN s := s || sqlerrm;
          END;
        END LOOP;
        RETURN s; END $body$`,
      'SELECT f()',
    ],
    { local: '', bridged: true },
  ),
];
