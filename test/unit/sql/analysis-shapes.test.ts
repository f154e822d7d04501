import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import {
  analyze,
  isPlainlyReadOnly,
  loadParser,
  readRemoteTextNow,
  type Statement,
} from '../../../src/sql/index.js';

before(loadParser);

const OPTIONS = { schemas: ['public', 'extensions'] };

function only(sql: string): Statement {
  const statements = analyze(Buffer.from(sql), OPTIONS)?.statements ?? [];
  assert.equal(statements.length, 1, sql);
  return statements[0]!;
}

function shapes(kind: string, statements: readonly string[]): void {
  for (const sql of statements) assert.equal(only(sql).shape.kind, kind, sql);
}

const SOURCE = `dblink('c', 'select 1') AS t(a int, b text)`;

describe('the shape of a statement', () => {
  it('is answer for nothing but scalar calls', () => {
    shapes('answer', [
      `SELECT dblink_connect('c', 'host=h')`,
      `SELECT dblink_connect('c', 'x') AS a, public.dblink_exec('c', 'y'), dblink_get_connections()`,
      `SELECT dblink_exec('c', my_sql())`,
      `SELECT dblink_exec($1, $2, $3)`,
      `SELECT ALL dblink_disconnect()`,
      `SELECT dblink('c', 'create table t()')`,
    ]);
    const { shape } = only(`SELECT dblink_connect('c') AS "A b", dblink_error_message('c')`);
    assert.deepEqual(shape, { kind: 'answer', columns: ['A b', 'dblink_error_message'] });
    // The primary must fold and truncate this name.
    shapes('splice', [`SELECT dblink_connect('c') AS É`]);
  });

  it('is stream for the columns of one source', () => {
    shapes('stream', [
      `SELECT * FROM ${SOURCE}`,
      `SELECT t.a AS x, b FROM ${SOURCE}`,
      `SELECT t.* FROM ${SOURCE}`,
      `SELECT dblink.a FROM dblink(my_conninfo(), $1) AS (a int)`,
      `SELECT * FROM dblink((SELECT connstr FROM conf WHERE k = 'erp'), 'x') t(a int)`,
    ]);
    shapes('splice', [
      `SELECT t FROM ${SOURCE}`,
      `SELECT b, a FROM ${SOURCE}`,
      `SELECT a FROM ${SOURCE}`,
      `SELECT *, a FROM ${SOURCE}`,
      `SELECT t.c FROM ${SOURCE}`,
      `SELECT a + 1 FROM ${SOURCE}`,
      `SELECT a FROM ${SOURCE} WHERE a = 1`,
      `SELECT a FROM ${SOURCE} ORDER BY 1`,
      `SELECT a FROM ${SOURCE} LIMIT 1`,
      `SELECT DISTINCT a FROM ${SOURCE}`,
      `SELECT FROM ${SOURCE}`,
      `SELECT * FROM dblink('c', 'x') t`,
      `SELECT * FROM dblink('c', 'x') t(a int, a int)`,
      `SELECT é FROM dblink('c', 'x') t(é int)`,
    ]);
  });

  it('is splice where the primary finishes the statement', () => {
    shapes('splice', [
      `SELECT n, count(*) FROM dblink('c', 'x') AS t(n text) WHERE n <> '' GROUP BY 1 ORDER BY 2 LIMIT 5`,
      `SELECT * FROM orders o JOIN ${SOURCE} ON t.a = o.id WHERE o.cat = $1`,
      `SELECT * FROM o LEFT JOIN (SELECT * FROM ${SOURCE}) s ON s.a = o.id`,
      `SELECT * FROM ${SOURCE} UNION ALL SELECT * FROM ${SOURCE}`,
      `WITH r AS MATERIALIZED (SELECT * FROM ${SOURCE}) SELECT * FROM r JOIN o USING (a)`,
      `SELECT (SELECT max(a) FROM ${SOURCE})`,
      `SELECT * FROM o WHERE id IN (SELECT a FROM ${SOURCE})`,
      `SELECT * FROM o WHERE NOT EXISTS (SELECT 1 FROM ${SOURCE} WHERE t.a = o.id)`,
      `SELECT * FROM o, LATERAL ${SOURCE}`,
      `SELECT * FROM dblink('c', 'x') t(j json), json_to_record(t.j) r(a int)`,
      `INSERT INTO l SELECT * FROM ${SOURCE} ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *`,
      `INSERT INTO l VALUES ((SELECT a FROM ${SOURCE}), 1)`,
      `UPDATE l SET v = r.b FROM (SELECT * FROM ${SOURCE}) r WHERE r.a = l.id`,
      `DELETE FROM l USING ${SOURCE} WHERE t.a = l.id`,
      `MERGE INTO l USING (SELECT * FROM ${SOURCE}) s ON s.a = l.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)`,
      `CREATE TEMP TABLE x AS SELECT * FROM ${SOURCE}`,
      `SELECT 'c' = ANY(dblink_get_connections())`,
      `SELECT n FROM unnest(dblink_get_connections()) n`,
      `SELECT * FROM ${SOURCE} WHERE 'c' = ANY(dblink_get_connections())`,
      `SELECT * FROM dblink_connect('c', 'x')`,
      `SELECT dblink_exec('c', 'x', false), dblink_error_message('c') = 'OK'`,
      `SELECT * FROM ROWS FROM (dblink('c', 'x') AS (a int), generate_series(1, 3)) r`,
    ]);
  });

  it('is bridge, with a reason, where it cannot be exact', () => {
    const reasons: readonly [string, RegExp][] = [
      [`SELECT * FROM s, LATERAL dblink(s.connstr, 'x') t(a int)`, /LATERAL/],
      [`SELECT * FROM s CROSS JOIN dblink('c', format('x %L', s.id)) t(a int)`, /LATERAL/],
      [`SELECT * FROM o WHERE EXISTS (SELECT 1 FROM dblink('c', o.q) t(a int))`, /LATERAL/],
      // A table's bare name could be a column of the surrounding query, which would win.
      [`SELECT * FROM o, dblink((SELECT conf FROM conf LIMIT 1)::text, 'x') t(a int)`, /LATERAL/],
      [`SELECT dblink_exec(n, 'begin') FROM unnest(ARRAY['a']) n`, /each row/],
      [`SELECT dblink_exec('c', 'x') FROM o`, /each row/],
      [`SELECT CASE WHEN 'c' = ANY(dblink_get_connections()) THEN dblink_disconnect('c') END`, /skip/],
      [`SELECT dblink_exec('c', dblink_exec('d', 'x'))`, /arguments of another/],
      [
        `SELECT a FROM dblink('c', (SELECT b FROM dblink('d', 'y') u(b text))) t(a int)`,
        /arguments of another/,
      ],
      [`WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT a FROM r, ${SOURCE}) SELECT * FROM r`, /recursive/],
      [`WITH c AS (SELECT 'x' AS s) SELECT * FROM dblink((SELECT s FROM c), 'x') t(a int)`, /common table/],
      [`SELECT dblink_exec('c', format('%s', count(*)))`, /aggregate/],
      [`SELECT dblink_exec(unnest(ARRAY['a']), 'x')`, /set-returning/],
      [`SELECT 1 FROM ${SOURCE} GROUP BY dblink_get_connections()`, /GROUP BY/],
      [`INSERT INTO l VALUES (1) RETURNING dblink_exec('c', 'x')`, /data-modifying/],
      [`WITH i AS (INSERT INTO l VALUES (1)) SELECT dblink_exec('c', 'x')`, /data-modifying/],
      [`SELECT dblink_get_connections(), * FROM dblink_connect('c', 'x') d`, /beside/],
      [`SELECT dblink('c', 'x'), 1`, /outside a FROM/],
      [`SELECT * FROM o JOIN dblink(my_conninfo(), 'x') t(a int) ON true`, /computed/],
      [`SELECT * INTO n FROM ${SOURCE}`, /SELECT INTO/],
      [`CREATE VIEW v AS SELECT * FROM ${SOURCE}`, /CREATE VIEW/],
      [`CREATE MATERIALIZED VIEW v AS SELECT * FROM ${SOURCE}`, /MATERIALIZED/],
      [`EXPLAIN SELECT * FROM ${SOURCE}`, /EXPLAIN/],
      [`DECLARE k CURSOR FOR SELECT * FROM ${SOURCE}`, /DECLARE/],
      [`COPY (SELECT * FROM ${SOURCE}) TO STDOUT`, /COPY/],
      [`PREPARE p AS SELECT * FROM ${SOURCE}`, /PREPARE/],
      [`CREATE RULE r AS ON INSERT TO v DO INSTEAD SELECT dblink_exec('c', 'x')`, /CREATE RULE/],
      [`CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT dblink_exec('c', 'x'); END`, /CREATE FUNCTION/],
      [`ALTER TABLE t ADD CHECK (dblink_exec('c', 'x') = 'y')`, /ALTER TABLE/],
      [`SELECT * FROM ROWS FROM (dblink('c', 'x') AS (a int))`, /without an alias/],
      [`SELECT * FROM ${SOURCE} FOR UPDATE OF t`, /FOR UPDATE/],
      [`SELECT dblink_exec('c', 'x' COLLATE "C") < 'a'`, /COLLATE/],
      [`VALUES (dblink_exec('c', 'x'))`, /skip/],
    ];
    for (const [sql, reason] of reasons) {
      const { shape } = only(sql);
      assert.ok(shape.kind === 'bridge', sql);
      assert.match(shape.reason, reason, sql);
    }
  });
});

describe('certainty', () => {
  const certain = (sql: string): string =>
    only(sql)
      .calls.map((call) => (call.certain ? 'yes' : 'no'))
      .join(' ');
  const exec = (tag: string) => `dblink_exec('k', '${tag}')`;

  // Each of these was counted on a server: how often PostgreSQL runs the call.
  it('holds for calls that PostgreSQL always runs once', () => {
    for (const sql of [
      `SELECT ${exec('1')}, ${exec('2')}`,
      `SELECT ${exec('1')} || 'x'`,
      `SELECT upper(${exec('1')}) = 'x'`,
      `SELECT ${exec('1')} IS NULL`,
      `SELECT ARRAY[${exec('1')}, ${exec('2')}]`,
      `SELECT ${exec('1')}::varchar, ${exec('2')} COLLATE "C" < 'a', ${exec('3')}::int`,
      `SELECT 'x', $1, current_user, ${exec('1')}, my_function()`,
      `SELECT 1 FROM ${SOURCE}`,
      `SELECT count(*), sum(a) OVER () FROM ${SOURCE} WHERE a = 1 AND b = 'x' GROUP BY a`,
      `SELECT 1 FROM ${SOURCE} WHERE NOT (a = 1 OR b LIKE 'y%')`,
      `SELECT 1 FROM ${SOURCE} WHERE a IN (1, 2) AND b IS NOT NULL ORDER BY my_function(a) LIMIT 1 OFFSET 5`,
      `SELECT DISTINCT (SELECT a) FROM ${SOURCE} LIMIT NULL`,
      `SELECT 1 FROM dblink_exec('k', '1') x WHERE x <> ''`,
    ]) {
      assert.match(certain(sql), /^yes( yes)*$/, sql);
    }
  });

  it('does not hold where PostgreSQL may run it never, twice, or after something else', () => {
    for (const sql of [
      `SELECT ${exec('1')} || NULL`,
      `SELECT NULL || ${exec('1')}`,
      `SELECT ${exec('1')} || $1`,
      `SELECT strict_function(${exec('1')}, nullif('a', 'a'))`,
      `SELECT ${exec('1')} IN ('a', my_function())`,
      `SELECT ${exec('1')} BETWEEN 'a' AND 'b'`,
      `SELECT coalesce(${exec('1')}, 'x')`,
      `SELECT nullif(${exec('1')}, 'x')`,
      `SELECT greatest(${exec('1')}, 'x')`,
      `SELECT ${exec('1')} = 'x' AND false`,
      `SELECT ROW(${exec('1')}, 2) IS NULL`,
      `SELECT ${exec('1')}, generate_series(1, 3)`,
      `SELECT ${exec('1')}, count(*)`,
      `SELECT ${exec('1')} WHERE false`,
      `SELECT ${exec('1')} LIMIT 0`,
      `SELECT DISTINCT ${exec('1')}`,
      `SELECT my_function(), ${exec('1')}`,
      `SELECT (SELECT x FROM o), ${exec('1')}`,
      `SELECT 1 / 0, ${exec('1')}`,
      `SELECT (SELECT ${exec('1')})`,
      `SELECT ${exec('1')} UNION SELECT 'x'`,
      `WITH x AS (SELECT 1) SELECT ${exec('1')}`,
      `SELECT 1 FROM ${SOURCE} WHERE false`,
      `SELECT 1 FROM ${SOURCE} WHERE a = NULL`,
      `SELECT 1 FROM ${SOURCE} WHERE a = $1`,
      `SELECT 1 FROM ${SOURCE} WHERE a > 1 AND a < 0`,
      `SELECT 1 FROM ${SOURCE} WHERE a = 1 AND EXISTS (SELECT 1 FROM o)`,
      `SELECT 1 FROM ${SOURCE} WHERE my_function(a)`,
      `SELECT 1 FROM ${SOURCE} LIMIT 0`,
      `SELECT 1 FROM ${SOURCE} LIMIT $1`,
      `SELECT 1 FROM ${SOURCE} OFFSET -1`,
      `SELECT 1 FROM ${SOURCE} GROUP BY ()`,
      `SELECT 1 FROM ${SOURCE} HAVING false`,
      `SELECT 1 FROM ${SOURCE}, o`,
      `SELECT 1 FROM o LEFT JOIN ${SOURCE} ON true`,
      `SELECT 1 FROM (SELECT * FROM ${SOURCE}) s`,
      `INSERT INTO l SELECT * FROM ${SOURCE}`,
      `CREATE TABLE l AS SELECT * FROM ${SOURCE}`,
    ]) {
      assert.match(certain(sql), /^no( no)*$/, sql);
    }
    // What the first call's arguments evaluate comes before everything; the second's comes between the calls.
    assert.equal(
      certain(`SELECT dblink_exec(my_function(), 'x'), dblink_exec('c', my_function())`),
      'yes no',
    );
    assert.equal(certain(`SELECT ${exec('1')}::int, ${exec('2')}`), 'yes no');
  });

  it('names what it takes for granted about functions that the text cannot know', () => {
    assert.deepEqual(only(`SELECT is(${exec('1')}, 'BEGIN', 'x'), my.f(), upper('x')`).assumptions, [
      { name: 'is', surrounds: true },
      { schema: 'my', name: 'f', surrounds: false },
    ]);
    assert.deepEqual(only(`SELECT upper(${exec('1')}), format('%s', ${exec('2')}), now()`).assumptions, []);
  });
});

describe('readRemoteTextNow', () => {
  it('tells what SQL may do at most', () => {
    for (const [effect, texts] of Object.entries({
      reads: ['SELECT 1', 'VALUES (1)', 'SHOW work_mem'],
      calls: ['SELECT f()', "SELECT nextval('s')", 'SELECT 1 WHERE EXISTS (SELECT my.f(a) FROM t)'],
      writes: [
        'DELETE FROM t',
        'SELECT * FROM t FOR UPDATE',
        'WITH w AS (INSERT INTO t VALUES (1)) SELECT 1',
      ],
      stays: [
        'SELECT 1; SELECT f()',
        'DELETE FROM t WHERE f(a)',
        'SELECT 1 INTO n',
        'BEGIN',
        'BEGIN; SELECT f()',
        'BEGIN READ ONLY',
        'SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE',
        'COMMIT AND CHAIN',
        'SET work_mem = 1',
        'SET LOCAL x.y TO 1; SELECT 1',
        'RESET ALL',
        'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, DEFERRABLE',
        'PREPARE p AS SELECT f()',
        'EXECUTE p',
        'EXPLAIN ANALYZE SELECT f()',
        'DECLARE c CURSOR FOR SELECT f()',
        'FETCH 1 FROM c',
        'LISTEN l',
      ],
      anything: [
        '',
        'selec',
        'BEGIN READ WRITE',
        'START TRANSACTION READ WRITE',
        'SET TRANSACTION READ WRITE',
        'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
        'SET transaction_read_only = off',
        'SET LOCAL "transaction_read_only" = off',
        'SET Default_Transaction_Read_Only = off',
        'RESET default_transaction_read_only',
        'SELECT f(); COMMIT',
        'SET transact\u0130on_read_only = off',
        'BEGIN; COMMIT',
        'COMMIT; SELECT 1',
        'ROLLBACK; SELECT 1',
        'SAVEPOINT s; SELECT 1',
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        'DO $$BEGIN END$$',
        'CALL p()',
        'DISCARD ALL',
        'CREATE TABLE t ()',
        "ALTER SYSTEM SET work_mem = '1MB'",
        'VACUUM',
        'NOTIFY n',
        "SELECT E'\\'; COMMIT; --'",
      ],
    }))
      for (const sql of texts) assert.equal(readRemoteTextNow(Buffer.from(sql)), effect, sql);
  });
});

describe('isPlainlyReadOnly', () => {
  it('accepts one statement that only reads', () => {
    for (const sql of [
      `select 1`,
      `SELECT count(*), max(lower(a)) FROM t WHERE b ~ '\\d+' GROUP BY 2;`,
      `values (1, 2)`,
      `table t`,
      `show server_version`,
      `with x as (select * from generate_series(1, 3) g) select row_number() over () from x`,
      `select pg_catalog.now(), 'x; delete from t'`,
      `select pg_sleep(1), random(), clock_timestamp()`,
    ]) {
      assert.equal(isPlainlyReadOnly(Buffer.from(sql)), true, sql);
    }
  });

  it('refuses everything else', () => {
    for (const sql of [
      ``,
      `;`,
      `selec`,
      `select 1; select 2`,
      `delete from t`,
      `with d as (delete from t returning *) select * from d`,
      `select * from t for update`,
      `select * from (select * from t for share) s`,
      `select * into n from t`,
      `select nextval('s')`,
      `select set_config('a.b', 'c', false)`,
      `select setseed(0.5)`,
      `select my_function()`,
      `select my.lower('x')`,
      `select * from dblink('c', 'x') t(a int)`,
      `select query_to_xml('delete from t', true, true, '')`,
      `explain analyze delete from t`,
      `call p()`,
      `copy t to stdout`,
      `select 'a\\'' ; delete from t; --'`,
    ]) {
      assert.equal(isPlainlyReadOnly(Buffer.from(sql)), false, sql);
    }
  });
});
