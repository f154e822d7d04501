import { bind, bound, execute, flow, open, parse, sync, testCase } from '../compare/notation.js';
import type { Case, Step } from '../play/types.js';

const LATERAL =
  "SELECT i.id, t.n FROM items i, LATERAL dblink('c', format('SELECT %s * 2', i.id)) AS t(n int) ORDER BY 1";

/** A source that PostgreSQL may skip, for all that is known. */
const FETCH_JOINED =
  "SELECT i.id, t.name FROM items i JOIN dblink_fetch('c', 'k', 3) AS t(id int, name text) USING (id) ORDER BY 1";

/**
 * A primary without functions of the bridge: outside of transactions the session makes itself temporary ones for what no
 * other plan serves. What is refused then is in refusals.test.ts, since the extension refuses nothing.
 */
const bare = (name: string, sql: Step | readonly Step[], more: Partial<Case> = {}): Case =>
  testCase(`without functions: ${name}`, [open('c'), ...(Array.isArray(sql) ? sql : [sql]), 'SELECT 1'], {
    sessions: ['bare'],
    contexts: ['autocommit'],
    transports: ['simple', 'extended', 'binary', 'row-limit', 'pipeline-syncs'],
    ...more,
  });

/** A call that fits several signatures: the primary knows none of them. */
const ambiguous = (name: string, steps: readonly Step[], more: Partial<Case> = {}): Case =>
  bare(`ambiguous, ${name}`, steps, {
    contexts: ['autocommit', 'block', 'savepoint'],
    transports: ['simple', 'multi', 'extended', 'describe-first'],
    differs: 'own-error',
    ...more,
  });

export const bareCases: readonly Case[] = [
  bare('a lateral call', LATERAL),
  bare('twice', [LATERAL, LATERAL]),
  bare('with a schema', LATERAL.replace('dblink(', 'public.dblink(')),
  bare('other overloads', [
    "SELECT dblink_exec('c', 'SET a.b = ' || id) FROM items",
    "SELECT dblink_exec('c', 'SET a.b = ' || id, false) FROM items",
  ]),
  bare(
    'an error of the remote',
    "SELECT dblink_exec('c', 'SELECT 1/(' || id || ' - 2)') FROM items ORDER BY id",
  ),
  bare(
    'an error of the statement behind the call',
    "SELECT dblink_exec('c', 'SET a.b = ' || id), nosuch FROM items",
  ),
  bare(
    'an error of the statement between calls',
    "SELECT dblink_exec('c', 'SET a.b = ' || id), nosuch(1), dblink_exec('c', 'SET a.b = ' || id) FROM items",
  ),
  bare('CASE', "SELECT CASE WHEN 1 = 2 THEN dblink_exec('c', 'INSERT INTO w VALUES (1)') ELSE 'no' END", {
    remote: 'CREATE TABLE w (a int)',
  }),
  bare(
    'COPY',
    "COPY (SELECT i.id, t.n FROM items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(n int)) TO STDOUT",
    {
      transports: ['simple', 'extended'],
    },
  ),
  bare('EXPLAIN', "EXPLAIN (COSTS OFF) SELECT dblink_exec('c', 'SET a.b = ' || id) FROM items"),
  bare(
    'INSERT … RETURNING',
    "INSERT INTO l VALUES (1), (2) RETURNING dblink_exec('c', format('INSERT INTO w VALUES (%s)', a))",
    {
      local: 'CREATE TABLE l (a int)',
      remote: 'CREATE TABLE w (a int)',
    },
  ),
  bare('CREATE TABLE AS', [`CREATE TABLE copied AS ${LATERAL}`, 'SELECT * FROM copied ORDER BY 1'], {
    local: '',
  }),
  bare('PREPARE', [`PREPARE ps AS ${LATERAL}`, 'EXECUTE ps', 'EXECUTE ps', 'DEALLOCATE ps']),
  bare(
    'parameters',
    bound(
      "SELECT i.id, t.n FROM items i, LATERAL dblink($1, format('SELECT %s', i.id)) AS t(n int) WHERE i.id > $2 ORDER BY 1",
      ['c', 1],
    ),
  ),
  bare(
    'a named statement',
    flow(
      parse(LATERAL, 's'),
      sync,
      bind({ statement: 's' }),
      execute(),
      sync,
      bind({ statement: 's' }),
      execute(),
      sync,
    ),
  ),
  bare(
    'a statement that was first prepared inside of a batch',
    [
      "SELECT dblink_open('c', 'k', 'SELECT id, name FROM people ORDER BY id')",
      flow(parse('SELECT 1'), parse(FETCH_JOINED), sync, parse(FETCH_JOINED), bind(), execute(), sync),
    ],
    { transports: ['extended'] },
  ),
  ambiguous('a cursor or a connection', ["SELECT * FROM dblink_fetch('m', 'x', '1') AS t(a int)"]),
  ambiguous('a schema, and a NULL', ["SELECT 'é', * FROM public.dblink_fetch(NULL, 'x', '1') AS t(a int)"]),
  ambiguous('an argument that is computed', [
    "SELECT * FROM dblink_fetch(lower('M'), 'x', '1') AS t(a int)",
    bound("SELECT * FROM dblink_fetch($1 || 'm', 'x', '1') AS t(a int)", ['c']),
  ]),
  ambiguous('parameters without a type', [
    bound('SELECT * FROM dblink_fetch($1, $2, $3) AS t(a int)', ['c', 'k', '1']),
    bound('SELECT * FROM dblink_fetch($1, $2, $3) AS t(a int)', ['c', 'k', '1'], [25, 25, 23]),
    bound("SELECT * FROM dblink_fetch($1, 'k', '1') AS t(a int)", ['c'], [25]),
  ]),
  ambiguous('between others', [
    "SELECT nosuch(1), dblink_fetch('m', 'x', '1')",
    "SELECT dblink_fetch('m', 'x', '1'), nosuch(1)",
    "SELECT dblink_fetch('m', 'x', 1.5)",
  ]),
  // With the extended protocol a command is refused when it is executed, in the primary's own words (docs/compatibility.md).
  ambiguous(
    'in a command',
    [
      "CREATE VIEW v AS SELECT * FROM dblink_fetch('m', 'x', '1') AS t(a int)",
      "EXPLAIN SELECT * FROM dblink_fetch('m', 'x', '1') AS t(a int)",
    ],
    { transports: ['simple', 'multi'] },
  ),
  bare(
    'many rows',
    "SELECT g, count(*) FROM generate_series(1, 2) g, LATERAL dblink('c', 'SELECT n, repeat(''x'', 120) FROM generate_series(1, 900) n WHERE n > ' || g) AS t(n int, pad text) GROUP BY g ORDER BY g",
  ),
];
