import { CONNECT, type Flow, flow } from './types.js';

/** Every column of the remote's table `kinds` by its type. */
const KINDS: readonly (readonly [column: string, type: string])[] = [
  ['n', 'int'],
  ['i2', 'smallint'],
  ['i4', 'int'],
  ['i8', 'bigint'],
  ['f4', 'real'],
  ['f8', 'double precision'],
  ['num', 'numeric'],
  ['num2', 'numeric(8,3)'],
  ['t', 'text'],
  ['vc', 'varchar(12)'],
  ['ch', 'char(5)'],
  ['nm', 'name'],
  ['b', 'bool'],
  ['d', 'date'],
  ['tm', 'time'],
  ['tmz', 'timetz'],
  ['ts', 'timestamp'],
  ['tsz', 'timestamptz'],
  ['iv', 'interval'],
  ['u', 'uuid'],
  ['j', 'json'],
  ['jb', 'jsonb'],
  ['ba', 'bytea'],
  ['ia', 'int[]'],
  ['ta', 'text[]'],
  ['na', 'numeric[]'],
  ['ip', 'inet'],
  ['r', 'int4range'],
  ['bits', 'bit(4)'],
  ['o', 'oid'],
  ['pt', 'point'],
];

/** A query of some columns of `kinds`. */
function kinds(names: readonly string[], rows = 'TRUE'): string {
  const list = KINDS.filter(([name]) => names.includes(name));
  const columns = list.map(([name]) => name).join(', ');
  const definitions = list.map(([name, type]) => `${name} ${type}`).join(', ');
  return `SELECT * FROM dblink('c', 'SELECT ${columns} FROM kinds WHERE ${rows} ORDER BY n') AS t(${definitions})`;
}

/** Values, names and shapes of results. */
export const queryFlows: readonly Flow[] = [
  flow(
    'columns of every type',
    CONNECT,
    kinds(['n', 'i2', 'i4', 'i8', 'f4', 'f8']),
    kinds(['num', 'num2']),
    kinds(['t', 'vc', 'ch', 'nm']),
    kinds(['b', 'u', 'ba']),
    // Drivers have no value for infinity and for years before our era: those of the first row only.
    kinds(['d', 'tm', 'ts', 'tsz', 'iv'], 'n <> 2'),
    kinds(['tmz']),
    kinds(['j', 'jb']),
    kinds(['ia', 'ta', 'na'], 'n < 3'),
    kinds(['ia'], 'n = 3'),
    kinds(['ip', 'r', 'bits', 'o', 'pt'], 'n < 3'),
    kinds(['i8', 'tsz', 'u', 'jb', 'ia', 'num'], 'n = 1'),
    `${kinds(['i8', 'tsz', 'u', 'jb', 'ia', 'num', 'vc', 'j'], 'n = 1')} WHERE num > 0`,
  ),
  flow(
    'columns of another type than the remote’s',
    CONNECT,
    "SELECT * FROM dblink('c', 'SELECT 1, 2.5, ''2024-01-02''::date, true') AS t(a bigint, b float8, c timestamp, d text)",
    "SELECT * FROM dblink('c', 'SELECT ''abcdef''') AS t(a varchar(6))",
    "SELECT * FROM dblink('c', 'SELECT ''abcdef''') AS t(a varchar(3))",
    "SELECT * FROM dblink('c', 'SELECT 1.23456') AS t(a numeric(4,2))",
    "SELECT * FROM dblink('c', 'SELECT ''2024-01-02 03:04:05.678901+00''::timestamptz') AS t(a timestamptz(3))",
    "SELECT * FROM dblink('c', 'SELECT ARRAY[1,2,3]') AS t(a bigint[])",
    "SELECT * FROM dblink('c', 'INSERT INTO log (line) VALUES (''x'')') AS t(status text)",
    "SELECT * FROM dblink('c', 'SELECT 1 AS a, 2 AS a') AS t(a int, a int)",
    "SELECT * FROM dblink('c', 'SELECT NULL, NULL') AS t(a int, b text)",
    "SELECT * FROM dblink('c', 'SELECT 1 WHERE false') AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT g, repeat(''x'', g) FROM generate_series(1, 200) g') AS t(g int, x text)",
  ),
  flow(
    'columns of types of the user’s',
    CONNECT,
    "SELECT * FROM dblink('c', 'SELECT ''ok''::mood, NULL::mood') AS t(a mood, b mood)",
    "SELECT * FROM dblink('c', 'SELECT ARRAY[''ok'', ''sad'']::mood[]') AS t(a mood[])",
    "SELECT * FROM dblink('c', 'SELECT ''bad''') AS t(a short)",
    "SELECT a, b FROM dblink('c', 'SELECT ''good'', ''fine''') AS t(a short, b mood)",
    "SELECT (a).x, (a).y FROM dblink('c', 'SELECT ROW(1, ''a b'')::pair') AS t(a pair)",
    "SELECT * FROM dblink('c', 'SELECT ROW(1, ''a b'')::pair') AS t(a pair)",
    "SELECT t FROM dblink('c', 'SELECT 1, ''x''') AS t(a int, b text)",
  ),
  flow(
    'with local tables',
    CONNECT,
    "WITH r AS (SELECT * FROM dblink('c', 'SELECT id, customer_id FROM orders') AS t(id int, customer_id int)) SELECT c.name, r.id FROM r JOIN customers c ON c.id = r.customer_id ORDER BY r.id",
    "SELECT name FROM customers WHERE id IN (SELECT a FROM dblink('c', 'SELECT customer_id FROM orders') AS t(a int)) ORDER BY 1",
    "SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM dblink('c', 'SELECT customer_id FROM orders') AS t(a int) WHERE t.a = c.id)",
    "SELECT (SELECT max(a) FROM dblink('c', 'SELECT amount FROM orders') AS t(a numeric)) AS most, count(*) FROM customers",
    "SELECT a FROM dblink('c', 'SELECT 1') AS t(a int) UNION ALL SELECT a FROM dblink('{R}', 'SELECT 2') AS t(a int)",
    "CREATE TEMP TABLE copy AS SELECT * FROM dblink('c', 'SELECT id, item FROM orders') AS t(id int, item text)",
    "UPDATE copy SET item = r.item FROM (SELECT * FROM dblink('c', 'SELECT id, upper(item) FROM orders') AS t(id int, item text)) r WHERE r.id = copy.id AND copy.id < 3",
    "DELETE FROM copy USING dblink('c', 'SELECT 5') AS t(id int) WHERE t.id = copy.id",
    'SELECT * FROM copy ORDER BY id',
    "INSERT INTO log (line) VALUES ((SELECT v FROM dblink('c', 'SELECT ''scalar''') AS t(v text))) RETURNING line",
    'DELETE FROM log',
    "SELECT t.j->>'item' AS item, r.amount FROM dblink('c', 'SELECT row_to_json(o) FROM orders o ORDER BY id') AS t(j json), json_to_record(t.j) AS r(amount numeric)",
  ),
];
