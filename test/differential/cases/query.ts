import { fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** dblink(): shapes of results, status rows, several statements in one string, column lists. */

/** Opens `c` and runs the statements. */
const on = (name: string, ...statements: readonly string[]): Case =>
  testCase(name, [open('c'), ...statements]);
/** The same for cases that write on the remote. */
const writing = (name: string, ...statements: readonly string[]): Case =>
  testCase(name, [open('c'), ...statements], {
    remote: 'CREATE TABLE w (a int PRIMARY KEY, b text DEFAULT $$d$$); INSERT INTO w VALUES (1), (2)',
  });

export const queryCases: readonly Case[] = [
  on(
    'all rows and types of a table',
    fetch(
      'SELECT * FROM people ORDER BY id',
      'id int, name text, born date, height real, tags text[], card jsonb',
    ),
  ),
  on('no rows', fetch('SELECT id FROM people WHERE false', 'id int')),
  on(
    'one thousand rows',
    fetch('SELECT g, repeat($$x$$, g % 50) FROM generate_series(1, 1000) g', 'g int, x text'),
  ),
  on('wide values', fetch("SELECT length(repeat('x', 200000)), repeat('é', 100000)", 'n int, x text')),
  on(
    'many columns',
    fetch(
      `SELECT ${Array.from({ length: 300 }, (_, i) => i).join(', ')}`,
      Array.from({ length: 300 }, (_, i) => `c${i} int`).join(', '),
    ),
  ),
  on('too few declared columns', fetch('SELECT 1, 2', 'a int')),
  on('too many declared columns', fetch('SELECT 1', 'a int, b int')),
  on('wrong count and no rows', fetch('SELECT 1, 2 WHERE false', 'a int')),
  on('wrong count, then work goes on', fetch('SELECT 1, 2', 'a int'), fetch('SELECT 3', 'a int')),
  on('no columns at all', fetch('SELECT', 'a int')),
  on('no columns at all but rows', fetch('SELECT FROM people', 'a int')),
  on('duplicate column names', fetch('SELECT 1, 2', 'a int, a int')),
  on('duplicate column names, referenced', "SELECT a FROM dblink('c', 'SELECT 1, 2') AS t(a int, a int)"),
  on(
    'quoted column names',
    fetch('SELECT 1, 2, 3, 4', '"A b" int, "sel""ect" int, "select" int, "ключ" int').replace(
      'ключ',
      '{text}',
    ),
  ),
  on('remote names do not matter', fetch('SELECT 1 AS x, 2 AS a', 'a int, b int')),
  {
    ...on('long column names are cut', fetch('SELECT 1', `${'n'.repeat(70)} int`)),
    // In a Query of several statements the lexer's NOTICE comes in front of all of them: docs/compatibility.md.
    transports: ['simple', 'extended', 'binary', 'describe-first', 'row-limit', 'pipeline', 'pipeline-syncs'],
  },
  on(
    'no alias',
    "SELECT * FROM dblink('c', 'SELECT 1') AS (a int)",
    "SELECT dblink.a FROM dblink('c', 'SELECT 1') AS (a int)",
  ),
  on(
    'alias without AS',
    "SELECT t.a FROM dblink('c', 'SELECT 1') t(a int)",
    'SELECT "T x"."A" FROM dblink(\'c\', \'SELECT 1\') "T x"("A" int)',
  ),
  on(
    'whole row',
    "SELECT t FROM dblink('c', 'SELECT 1, $$x y$$') AS t(a int, b text)",
    "SELECT (t).b FROM dblink('c', 'SELECT 1, $$x y$$') AS t(a int, b text)",
    "SELECT row_to_json(t) FROM dblink('c', 'SELECT 1, $$x y$$') AS t(a int, b text)",
  ),
  on(
    'columns by star, name and expression',
    "SELECT t.*, a + 1 AS next, upper(b) FROM dblink('c', 'SELECT 1, $$x$$') AS t(a int, b text)",
    "SELECT b, a, b FROM dblink('c', 'SELECT 1, $$x$$') AS t(a int, b text)",
  ),
  on(
    'target list of constants',
    "SELECT 'k' FROM dblink('c', 'SELECT id FROM people') AS t(a int)",
    "SELECT count(*) FROM dblink('c', 'SELECT id FROM people') AS t(a int)",
  ),
  on('no target', "SELECT FROM dblink('c', 'SELECT id FROM people') AS t(a int)"),
  on(
    'grouped, ordered, limited',
    "SELECT n, count(*) FROM dblink('c', 'SELECT coalesce(name, $$none$$) FROM people') AS t(n text) WHERE n <> '' GROUP BY 1 ORDER BY 2, 1 LIMIT 5",
  ),
  on(
    'having',
    "SELECT a % 2, sum(a) FROM dblink('c', 'SELECT id FROM people') AS t(a int) GROUP BY 1 HAVING sum(a) > 6 ORDER BY 1",
  ),
  on(
    'where on a column',
    "SELECT * FROM dblink('c', 'SELECT id, name FROM people') AS t(a int, b text) WHERE a > 3 ORDER BY a",
  ),
  on(
    'where that fails',
    "SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(a int) WHERE 1 / (a - 3) > 0",
  ),
  on(
    'limit and offset',
    "SELECT * FROM dblink('c', 'SELECT g FROM generate_series(1, 10) g') AS t(a int) LIMIT 2 OFFSET 3",
    "SELECT * FROM dblink('c', 'SELECT g FROM generate_series(1, 10) g') AS t(a int) OFFSET 8",
    "SELECT * FROM dblink('c', 'SELECT g FROM generate_series(1, 10) g') AS t(a int) FETCH FIRST ROW ONLY",
  ),
  on('limit zero', "SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(a int) LIMIT 0"),
  on(
    'distinct and window',
    "SELECT DISTINCT a % 2 FROM dblink('c', 'SELECT id FROM people') AS t(a int) ORDER BY 1",
    "SELECT a, sum(a) OVER (ORDER BY a) FROM dblink('c', 'SELECT id FROM people') AS t(a int)",
  ),
  on(
    'set-returning function in the targets',
    "SELECT a, generate_series(1, a) FROM dblink('c', 'SELECT id FROM people WHERE id < 4') AS t(a int)",
  ),
  on(
    'WITH ORDINALITY',
    "SELECT * FROM ROWS FROM (dblink('c', 'SELECT id FROM people ORDER BY id') AS (a int)) WITH ORDINALITY AS t(a, n)",
  ),
  on(
    'WITH ORDINALITY and a column list',
    "SELECT * FROM dblink('c', 'SELECT 1') WITH ORDINALITY AS t(a int, n int)",
  ),
  on('locking clause', "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int) FOR UPDATE"),
  on('no column list', "SELECT * FROM dblink('c', 'SELECT 1')"),
  on('no column list but an alias', "SELECT * FROM dblink('c', 'SELECT 1') AS t"),
  on('column list without types', "SELECT * FROM dblink('c', 'SELECT 1') AS t(a)"),
  on('column list with an unknown type', "SELECT * FROM dblink('c', 'SELECT 1') AS t(a nosuchtype)"),
  on('column list with a pseudo-type', "SELECT * FROM dblink('c', 'SELECT 1') AS t(a anyelement)"),
  on('column list with a bad typmod', "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int(3))"),
  on('unknown column', "SELECT nosuch FROM dblink('c', 'SELECT 1') AS t(a int)"),
  on('unknown column beyond the call', "SELECT a, t.nosuch + 1 FROM dblink('c', 'SELECT 1') AS t(a int)"),
  on('a local error behind the call', "SELECT a, 1 / 0 FROM dblink('c', 'SELECT 1') AS t(a int)"),
  on(
    'collation',
    "SELECT a FROM dblink('c', 'SELECT name FROM people WHERE id < 3') AS t(a text COLLATE \"C\") ORDER BY a DESC",
  ),
  on(
    'schema-qualified types',
    fetch("SELECT 1, 'x', 'ok'", 'a pg_catalog.int4, b pg_catalog."varchar"(5), c public.mood'),
  ),
  on(
    'the connection as text expressions',
    "SELECT * FROM dblink('c'::text, 'SELECT 1'::text) t(a int)",
    "SELECT * FROM dblink(CAST('c' AS text), CAST('SELECT 1' AS text)) t(a int)",
    "SELECT * FROM dblink('c'::varchar, 'SELECT 1'::varchar(50)) t(a int)",
    "SELECT * FROM dblink('c'::name, 'SELECT 1') t(a int)",
  ),
  on(
    'string syntaxes',
    "SELECT * FROM dblink($$c$$, $q$SELECT 'a''b'$q$) AS t(a text)",
    "SELECT * FROM dblink('c', E'SELECT \\'x\\\\ty\\'') AS t(a text)",
    "SELECT * FROM dblink('c', 'SELECT '\n '''joined''') AS t(a text)",
    "SELECT * FROM dblink('c', U&'SELECT ''\\0041''') AS t(a text)",
    "SELECT * FROM dblink('c', E'SELECT ''\\x41\\u0042\\103''') AS t(a text)",
  ),
  on(
    'non-ASCII data',
    "SELECT * FROM dblink('c', 'SELECT ''{text}''') AS t(a text)",
    "SELECT a, '{text}' || a FROM dblink('c', 'SELECT ''{text}''') AS t(a text) WHERE a LIKE '%{text}%'",
  ),
  on('non-ASCII through E strings', "SELECT * FROM dblink('c', 'SELECT U&''caf\\00E9''') AS t(a text)"),
  on(
    'comments around and inside',
    "/* dblink('x') */ SELECT /* dblink */ * FROM -- dblink('y')\n dblink(/* a */ 'c' /* b */ , -- c\n 'SELECT /* in */ 1 -- end') AS t(a int) -- tail",
  ),
  on(
    'several statements: the last wins',
    fetch('SELECT 1; SELECT 2', 'a int'),
    fetch('SELECT 1; SELECT 2 WHERE false', 'a int'),
  ),
  on('several statements: an earlier one has another count', fetch('SELECT 1, 2; SELECT 3', 'a int')),
  on('several statements: an earlier one cannot be converted', fetch("SELECT 'x'; SELECT 1", 'a int')),
  on(
    'several statements: the first is a command',
    fetch("SET application_name = 'x'; SHOW application_name", 'a text'),
  ),
  on('several statements: the last is a command', fetch("SELECT 1; SET application_name = 'x'", 'a text')),
  on('several statements: an error at the end', fetch('SELECT 1; SELECT 1/0', 'a int')),
  on('several statements: an error at the start', fetch('SELECT 1/0; SELECT 1', 'a int')),
  on(
    'several statements: trailing semicolons',
    fetch('SELECT 1;;', 'a int'),
    fetch(';SELECT 1', 'a int'),
    fetch('SELECT 1; -- end', 'a int'),
  ),
  on('status row', fetch("SET application_name = 'x'", 'status text'), fetch('LISTEN ch', 's varchar')),
  on('status row of the wrong type', fetch("SET application_name = 'x'", 'a int')),
  on('status row of a binary-compatible type', fetch("SET application_name = 'x'", 'a varchar(2)')),
  on('status row as name', fetch("SET application_name = 'x'", 'a name')),
  on('status row of the wrong width', fetch("SET application_name = 'x'", 'a text, b text')),
  on('status row as a domain', fetch("SET application_name = 'x'", 'a required')),
  on(
    'SHOW, VALUES, TABLE, EXPLAIN',
    fetch('SHOW server_encoding', 'a text'),
    fetch("VALUES (1, 'x'), (2, NULL)", 'a int, b text'),
    fetch('TABLE people LIMIT 0', 'id int, name text, born date, height real, tags text[], card jsonb'),
    fetch('EXPLAIN (COSTS OFF) SELECT 1', 'plan text'),
  ),
  on('WITH on the remote', fetch('WITH x AS (SELECT 1 AS a) SELECT * FROM x', 'a int')),
  on(
    'EXECUTE on the remote',
    "SELECT dblink_exec('c', 'PREPARE p AS SELECT id FROM people WHERE id = $1')",
    fetch('EXECUTE p(2)', 'a int'),
    "SELECT dblink_exec('c', 'DEALLOCATE p')",
  ),
  on(
    'cursor on the remote by hand',
    "SELECT dblink_exec('c', 'BEGIN')",
    "SELECT dblink_exec('c', 'DECLARE k CURSOR FOR SELECT id FROM people ORDER BY id')",
    fetch('FETCH 2 FROM k', 'a int'),
    fetch('FETCH ALL FROM k', 'a int'),
    fetch('FETCH 1 FROM k', 'a int'),
    "SELECT dblink_exec('c', 'CLOSE k; COMMIT')",
  ),
  on('CALL', fetch('CALL proc(1)', 'a text'), fetch('CALL proc_out(21)', 'n int')),
  writing('INSERT as a status row', fetch('INSERT INTO w VALUES (3), (4)', 's text')),
  writing(
    'INSERT as a status row of the wrong type',
    fetch('INSERT INTO w VALUES (3)', 's int'),
    fetch('SELECT count(*) FROM w', 'n int'),
  ),
  writing(
    'INSERT … RETURNING',
    fetch("INSERT INTO w VALUES (3, 'x'), (4, DEFAULT) RETURNING a, b", 'a int, b text'),
  ),
  writing(
    'INSERT … RETURNING, limit one',
    "SELECT * FROM dblink('c', 'INSERT INTO w VALUES (3), (4) RETURNING a') AS t(a int) LIMIT 1",
    fetch('SELECT a FROM w ORDER BY a', 'a int'),
  ),
  writing(
    'INSERT … RETURNING that cannot be converted',
    fetch('INSERT INTO w VALUES (3) RETURNING b', 'a int'),
    fetch('SELECT count(*) FROM w', 'n int'),
  ),
  writing(
    'UPDATE and DELETE',
    fetch("UPDATE w SET b = 'u'", 's text'),
    fetch('DELETE FROM w WHERE a = 1 RETURNING *', 'a int, b text'),
    fetch('DELETE FROM w', 's text'),
  ),
  writing(
    'a write in a CTE on the remote',
    fetch('WITH i AS (INSERT INTO w VALUES (9) RETURNING a) SELECT a FROM i', 'a int'),
  ),
  writing(
    'DDL as a status row',
    fetch('CREATE TABLE made (a int)', 's text'),
    fetch('TRUNCATE w', 's text'),
    fetch('DROP TABLE made', 's text'),
  ),
  writing('COPY between the remote and its files', fetch("COPY w TO PROGRAM 'cat > /dev/null'", 's text')),
  on('empty string', fetch('', 'a int')),
  on('only a semicolon', fetch(';', 'a int')),
  on('only blanks', fetch('  \n ', 'a int')),
  on('only a comment', fetch('-- nothing', 'a int')),
  on(
    'empty string, errors off',
    "SELECT * FROM dblink('c', '', false) AS t(a int)",
    "SELECT dblink_error_message('c')",
  ),
  on('in the select list: a command', "SELECT dblink('c', 'SET application_name = ''x''')"),
  on('in the select list: rows', "SELECT dblink('c', 'SELECT 1')"),
  on('in the select list: no rows', "SELECT dblink('c', 'SELECT 1 WHERE false')"),
  on('in the select list: an error', "SELECT dblink('c', 'SELECT 1/0')"),
  on(
    'NULL arguments',
    "SELECT * FROM dblink('c', NULL) AS t(a int)",
    "SELECT * FROM dblink(NULL, 'SELECT 1') AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT 1', NULL) AS t(a int)",
    'SELECT * FROM dblink(NULL) AS t(a int)',
    "SELECT * FROM dblink('c', NULL, false) AS t(a int, b text)",
  ),
  on('two literals are connection and query', "SELECT * FROM dblink('SELECT 1', 'false') AS t(a int)"),
  testCase('query and boolean without a name', [
    "SELECT dblink_connect('{R}')",
    "SELECT * FROM dblink('SELECT 1', false) AS t(a int)",
    "SELECT * FROM dblink('SELECT 1/0', false) AS t(a int)",
    "SELECT * FROM dblink('SELECT 1'::text, true) AS t(a int)",
    "SELECT * FROM dblink('SELECT 1', 'f'::bool) AS t(a int)",
  ]),
  on(
    'boolean spellings',
    "SELECT * FROM dblink('c', 'SELECT 1', 'f') AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT 1/0', 'off') AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT 1/0', 1 > 2) AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT 1', 'maybe') AS t(a int)",
  ),
  on(
    'a connection console: nothing is sent but the query',
    fetch(
      "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() AND query LIKE 'SELECT count%'",
      'n int',
    ),
  ),
  on(
    'nested dblink on the remote is only text',
    fetch("SELECT 'SELECT * FROM dblink(''d'', ''x'') AS t(a int)'", 'a text'),
  ),
  on('one hundred queries in a row', ...Array.from({ length: 20 }, (_, i) => fetch(`SELECT ${i}`, 'a int'))),
];
