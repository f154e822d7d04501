import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import {
  analyze,
  type DblinkCall,
  loadParser,
  type SourceUse,
  type Statement,
} from '../../../src/sql/index.js';

before(loadParser);

const OPTIONS = { schemas: ['public', 'extensions', 'Public'] };

const statements = (sql: string, encoding: BufferEncoding = 'utf8'): readonly Statement[] =>
  analyze(Buffer.from(sql, encoding), OPTIONS)?.statements ?? [];

function onlyCall(sql: string, encoding: BufferEncoding = 'utf8'): DblinkCall {
  const calls = statements(sql, encoding).flatMap((statement) => statement.calls);
  assert.equal(calls.length, 1, sql);
  return calls[0]!;
}

function source(sql: string): SourceUse {
  const { use } = onlyCall(sql);
  assert.equal(use.kind, 'source');
  return use as SourceUse;
}

const textOf = (sql: string, span: { start: number; end: number }): string =>
  Buffer.from(sql).subarray(span.start, span.end).toString();

describe('sources', () => {
  it('have an alias and columns', () => {
    const sql = `SELECT * FROM LATERAL dblink('x') AS "T t" (a int, "B""b" varchar(3) COLLATE "C", c numeric(4,2)[] /* x */ , d timestamp(2) with time zone) WHERE a = 1`;
    const use = source(sql);
    assert.equal(use.alias, 'T t');
    assert.equal(use.aliasGiven, true);
    assert.equal(textOf(sql, use.item), sql.slice(sql.indexOf('LATERAL'), sql.indexOf(' WHERE')));
    assert.deepEqual(
      use.columns.map(({ name, definition, type }) => ({ name, definition, type })),
      [
        { name: 'a', definition: 'int', type: 'int' },
        { name: 'B"b', definition: 'varchar(3) COLLATE "C"', type: 'varchar(3)' },
        { name: 'c', definition: 'numeric(4,2)[]', type: 'numeric(4,2)[]' },
        { name: 'd', definition: 'timestamp(2) with time zone', type: 'timestamp(2) with time zone' },
      ],
    );
  });

  it('without alias are called like the function', () => {
    const sql = `SELECT * FROM public.dblink('x') AS (a int) JOIN o ON true`;
    const use = source(sql);
    assert.deepEqual([use.alias, use.aliasGiven], ['dblink', false]);
    assert.equal(textOf(sql, use.item), `public.dblink('x') AS (a int)`);
    assert.equal(use.aliasAt, sql.indexOf('(a int)'));
  });

  it('may lack a column list, which PostgreSQL refuses', () => {
    for (const item of [
      `dblink('x')`,
      `dblink('x') t`,
      `dblink('x') AS t(a, b)`,
      `dblink('x') WITH ORDINALITY t`,
    ]) {
      const sql = `SELECT * FROM ${item} WHERE true`;
      const use = source(sql);
      assert.deepEqual(use.columns, []);
      assert.equal(textOf(sql, use.item), item);
      assert.equal(use.ordinality, item.includes('ORDINALITY'));
    }
  });

  it('may be functions of a ROWS FROM', () => {
    const sql = `SELECT * FROM ROWS FROM (dblink('x') AS (a int, b text), generate_series(1, 3)) AS r(x, y, z)`;
    const use = source(sql);
    assert.deepEqual([use.rowsFrom, use.alias, use.columns.length], [true, 'r', 2]);
    assert.equal(textOf(sql, use.item), `dblink('x') AS (a int, b text)`);
  });

  it('know which names are exact', () => {
    const use = source(`SELECT * FROM dblink('x') t(ABC int, ÉA int, "É""A" int)`);
    assert.deepEqual(
      use.columns.map(({ name, nameExact }) => [Buffer.from(name, 'latin1').toString(), nameExact]),
      [
        ['abc', true],
        ['Éa', false],
        ['É"A', false],
      ],
    );
  });

  it('may be scalar functions', () => {
    const sql = `SELECT * FROM dblink_exec('c', 'x') WITH ORDINALITY AS e(tag, n), o`;
    const { use } = onlyCall(sql);
    assert.ok(use.kind === 'scalar' && use.item !== undefined);
    assert.equal(textOf(sql, use.item), `dblink_exec('c', 'x') WITH ORDINALITY AS e(tag, n)`);
  });
});

describe('statements', () => {
  it('of one text have spans without what surrounds them, but with a hint', () => {
    const sql = ` ;; -- c\n SELECT 1 ; /* x */ /*+ SeqScan(t) */ /* y */ SELECT dblink_exec('é', 'x') /* z */ ;\n COMMIT -- end`;
    assert.deepEqual(
      statements(sql).map(({ span, tag }) => [tag, textOf(sql, span)]),
      [
        ['SelectStmt', 'SELECT 1'],
        ['SelectStmt', `/*+ SeqScan(t) */ /* y */ SELECT dblink_exec('é', 'x')`],
        ['TransactionStmt', 'COMMIT'],
      ],
    );
  });

  it('that control transactions say how', () => {
    const sql = `SELECT dblink_exec('c','x'); BEGIN; BEGIN WORK READ ONLY; START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE;
      COMMIT AND CHAIN; ROLLBACK; SAVEPOINT a; RELEASE a; ROLLBACK TO a; PREPARE TRANSACTION 'x'; COMMIT PREPARED 'x'; ROLLBACK PREPARED 'x'; ABORT; END`;
    assert.deepEqual(
      statements(sql)
        .slice(1)
        .map(({ transaction }) => [
          transaction?.kind,
          transaction?.options && textOf(sql, transaction.options),
          transaction?.chain,
        ]),
      [
        ['begin', undefined, undefined],
        ['begin', 'READ ONLY', undefined],
        ['begin', 'ISOLATION LEVEL SERIALIZABLE, READ WRITE', undefined],
        ['commit', undefined, true],
        ['rollback', undefined, undefined],
        ['savepoint', undefined, undefined],
        ['release', undefined, undefined],
        ['rollbackTo', undefined, undefined],
        ['prepare', undefined, undefined],
        ['commitPrepared', undefined, undefined],
        ['rollbackPrepared', undefined, undefined],
        ['rollback', undefined, undefined],
        ['commit', undefined, undefined],
      ],
    );
  });
});
