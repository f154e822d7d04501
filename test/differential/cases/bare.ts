import { bind, bound, execute, flow, open, parse, sync, testCase } from '../notation.js';
import type { Case, Step } from '../types.js';

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

const LATERAL =
  "SELECT i.id, t.n FROM items i, LATERAL dblink('c', format('SELECT %s * 2', i.id)) AS t(n int) ORDER BY 1";

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
    'many rows',
    "SELECT g, count(*) FROM generate_series(1, 2) g, LATERAL dblink('c', 'SELECT n, repeat(''x'', 120) FROM generate_series(1, 900) n WHERE n > ' || g) AS t(n int, pad text) GROUP BY g ORDER BY g",
  ),
];
