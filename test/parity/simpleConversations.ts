import {
  type Conversation,
  extended,
  latin1,
  parse,
  queries,
  query,
  say,
  sync,
  text,
} from './conversation.js';

const simple: readonly Conversation[] = [
  queries('one value', 'SELECT 1'),
  queries(
    'values of many types',
    "SELECT 1::int2, 2::int8, 1.5::numeric, 'x'::text, true, NULL, '\\x00ff'::bytea, ARRAY[1,2]",
  ),
  queries('columns of a table', 'SELECT * FROM item ORDER BY id'),
  queries('no columns, no rows', 'SELECT', 'SELECT * FROM item WHERE false', 'TABLE deferred'),
  queries('empty queries', '', ' ', ';', ';;', '-- nothing'),
  queries('several statements', 'SELECT 1; SELECT 2; SELECT 3', 'SELECT 1;;SELECT 2;'),
  queries('several statements, one fails', 'SELECT 1; SELECT 1/0; SELECT 3', 'SELECT 4'),
  queries('several statements, one is not SQL', 'SELECT 1; SELEC 2', 'SELECT 3'),
  queries('a thousand rows', 'SELECT n, repeat(chr(65 + n % 26), n % 50) FROM generate_series(1, 1000) n'),
  queries('one long value', "SELECT repeat('x', 300000)"),
  queries('many columns', `SELECT ${Array.from({ length: 1600 }, (_, n) => n).join(',')}`),
  queries(
    'changes',
    'BEGIN',
    "INSERT INTO item VALUES (9, 'n') RETURNING *",
    'UPDATE item SET price = 1',
    'DELETE FROM item',
    'ROLLBACK',
  ),
  queries(
    'blocks and savepoints',
    'BEGIN',
    'SAVEPOINT a',
    'SELECT 1/0',
    'SELECT 1',
    'ROLLBACK TO a',
    'SELECT 1',
    'COMMIT',
    'COMMIT',
  ),
  queries('a block in one query', 'BEGIN; SELECT 1; COMMIT', 'BEGIN; SELECT 1/0; COMMIT', 'ROLLBACK'),
  queries('an error at COMMIT', 'BEGIN', 'INSERT INTO deferred VALUES (1), (1)', 'COMMIT', 'SELECT 1'),
  queries(
    'errors with all their fields',
    'SELECT fail(3)',
    "INSERT INTO item VALUES (1, 'x')",
    'INSERT INTO item VALUES (8, NULL)',
    "INSERT INTO item VALUES (8, 'x', -1)",
    'SELECT 101::percent',
    "SELECT 'froh'::mood",
    'SELECT * FROM missing',
    'SELECT missing FROM item',
    "SELECT 'äöü' FRON item",
  ),
  queries(
    'notices',
    'SELECT complain()',
    "DO $$ BEGIN RAISE NOTICE '%', repeat('n', 100000); END $$",
    'SET client_min_messages = error',
    'SELECT complain()',
  ),
  queries(
    'settings that are reported',
    "SET application_name = 'other'",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET DateStyle = 'German, DMY'",
    'BEGIN',
    "SET LOCAL IntervalStyle = 'iso_8601'",
    'ROLLBACK',
    'RESET ALL',
    'SET standard_conforming_strings = off',
    "SELECT 'a\\'b'",
    'DISCARD ALL',
  ),
  queries(
    'cursors',
    'BEGIN',
    'DECLARE c SCROLL CURSOR FOR SELECT n FROM generate_series(1, 10) n',
    'FETCH 3 FROM c',
    'MOVE 2 IN c',
    'FETCH BACKWARD 2 FROM c',
    'FETCH ALL FROM c',
    'CLOSE c',
    'FETCH 1 FROM c',
    'ROLLBACK',
  ),
  queries(
    'a binary cursor',
    'BEGIN',
    'DECLARE c BINARY CURSOR FOR SELECT id, name, price, data FROM item ORDER BY id',
    'FETCH ALL FROM c',
    'COMMIT',
  ),
  queries(
    'statements prepared under SQL',
    'PREPARE p (int) AS SELECT $1 + 1',
    'EXECUTE p(41)',
    'EXECUTE p',
    'DEALLOCATE p',
    'EXECUTE p(1)',
  ),
  queries(
    'LISTEN and NOTIFY',
    'LISTEN here',
    "NOTIFY here, 'payload'",
    "BEGIN; NOTIFY here, 'a'; NOTIFY here, 'b'; SELECT 1; COMMIT",
    'UNLISTEN *',
    'NOTIFY here',
  ),
  queries(
    'large objects',
    'BEGIN',
    "SELECT lo_from_bytea(471147, '\\x0001ff')",
    'SELECT lo_open(471147, 393216)',
    'SELECT loread(0, 10)',
    "SELECT lowrite(0, '\\xabcd')",
    'SELECT lo_get(471147)',
    'ROLLBACK',
  ),
  queries('EXPLAIN and SHOW', 'EXPLAIN (COSTS off) SELECT 1', 'SHOW search_path', 'SHOW missing'),
  {
    name: 'bytes behind the NUL of a Query',
    steps: [say(query(latin1('SELECT 1\0SELECT 2'))), say(query('SELECT 3'))],
  },
  {
    name: 'a pipeline of queries',
    steps: [
      say(
        query('SELECT 1'),
        query('SELECT 1/0'),
        query(''),
        query('SELECT 2; SELECT 3'),
        query('BEGIN'),
        query('COMMIT'),
      ),
    ],
  },
  {
    name: 'a Query over the limit of inspection',
    steps: [say(query(`SELECT length('${'y'.repeat(1_200_000)}') -- dblink('`)), say(query('SELECT 1'))],
  },
];

const untouched: readonly Conversation[] = [
  queries(
    'the word dblink where it is no call',
    "SELECT 'dblink(''a'', ''b'')'",
    "SELECT 1 AS dblink -- dblink('x')",
    "SELECT /* dblink_connect('x') */ 2",
    'SELECT $dblink$ dblink_exec(1) $dblink$',
    'SELECT "dblink".x FROM (SELECT 1) AS "dblink"(x)',
    'SELECT * FROM dblink',
    'SELECT dblink.id FROM item AS dblink ORDER BY 1',
  ),
  queries(
    'the word dblink in what is not SQL',
    'SELEC dblink(',
    "SELECT dblink('unterminated",
    'dblink',
    "SELECT 'DbLink",
  ),
  {
    name: 'the word dblink in the extended protocol',
    steps: [
      say(extended("SELECT 'dblink', $1::text AS dblink", [text('dblink(1)')]), sync()),
      say(extended('SELECT dblink FROM nowhere'), sync()),
      say(parse('dblink', "SELECT 'dblink' || $1"), sync()),
    ],
  },
];

const encodings: readonly Conversation[] = [
  {
    name: 'LATIN1',
    parameters: { client_encoding: 'LATIN1' },
    steps: [
      say(query(latin1('SELECT \'äöü\xff\' AS "sp\xe4t"'))),
      say(query('SELECT name FROM item WHERE id = 2')),
      say(query('SELECT name FROM item WHERE id = 3')),
      say(extended(latin1('SELECT $1::text'), [latin1('\xe4\xf6')]), sync()),
      say(query(latin1('SELECT f\xfcnf'))),
    ],
  },
  {
    name: 'UTF-8, valid and not',
    steps: [
      say(query('SELECT \'😀 € 日本\' AS "größe"')),
      say(query(latin1("SELECT '\xff\xfe'"))),
      say(query(latin1("SELECT '\xc3'"))),
      say(extended('SELECT $1::text', [latin1('\xed\xa0\x80')]), sync()),
    ],
  },
  {
    name: 'a client encoding that changes',
    steps: [
      say(query("SET client_encoding = 'EUC_JP'")),
      say(query(Buffer.concat([text("SELECT '"), Buffer.from('c6fccbdc', 'hex'), text("'")]))),
      say(query("SET NAMES 'LATIN1'")),
      say(query(latin1("SELECT '\xe9'"))),
      say(query('RESET client_encoding')),
    ],
  },
  {
    name: 'a database without an encoding',
    parameters: { database: 'parity_ascii' },
    steps: [
      say(query(latin1("SELECT '\xff\xfe\x80 any bytes'"))),
      say(query(latin1("SELECT length('\xc3\xa4'), '\xc3'"))),
      say(extended(latin1('SELECT $1::text AS "\xe4"'), [latin1('\x80\x81')]), sync()),
    ],
  },
  {
    name: 'a LATIN1 database',
    parameters: { database: 'parity_latin1', client_encoding: 'UTF8' },
    steps: [
      say(query("SELECT 'äöü'")),
      say(query("SELECT '€'")),
      say(query("SELECT convert_from('\\xe4', 'LATIN1'), chr(228)")),
    ],
  },
];

const walsender: readonly Conversation[] = [
  {
    name: 'a replication connection',
    parameters: { replication: 'database' },
    steps: [
      say(query('SHOW server_version_num')),
      say(query('SELECT 1')),
      say(query('NO_SUCH_COMMAND')),
      say(query('CREATE_REPLICATION_SLOT "x" LOGICAL missing_plugin')),
      say(query('SHOW wal_segment_size')),
    ],
  },
];

/** Conversations of simple queries. */
export const simpleConversations: readonly Conversation[] = [
  ...simple,
  ...untouched,
  ...encodings,
  ...walsender,
];
