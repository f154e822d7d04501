/** The slowest remote statements of these tests take longer than any test may. */
export const FOREVER = 600;

/** What a statement is while it is stopped, and how one sees on the remote that it runs. */
export const CASES: readonly { readonly name: string; readonly sql: string; readonly runs: string }[] = [
  {
    name: 'dblink_exec',
    sql: `SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(${FOREVER}); END$$')`,
    runs: 'pg_sleep',
  },
  {
    name: 'a stream before its first row',
    sql: `SELECT * FROM dblink('c', 'SELECT pg_sleep(${FOREVER})::text') AS t(a text)`,
    runs: 'pg_sleep',
  },
  {
    name: 'a stream in mid-flow',
    sql: `SELECT * FROM dblink('c', 'SELECT repeat(''x'', 1000), generate_series(1, 2000000000)') AS t(a text, b int)`,
    runs: 'generate_series',
  },
  {
    name: 'a splice',
    sql: `SELECT count(*), sum(a) FROM dblink('c', 'SELECT i FROM generate_series(1, 3) i, pg_sleep(${FOREVER})') AS t(a int)`,
    runs: 'pg_sleep',
  },
  {
    name: 'a splice that collects rows',
    sql: `SELECT count(*) FROM dblink('c', 'SELECT i, pg_sleep(0.01)::text FROM generate_series(1, 100000) i') AS t(a int, b text)`,
    runs: 'pg_sleep',
  },
  {
    name: 'a source that the primary may skip',
    sql: `SELECT * FROM (VALUES (1)) v(x) LEFT JOIN dblink('c', 'SELECT a FROM held') AS t(a int) ON a = x`,
    runs: 'held',
  },
];
