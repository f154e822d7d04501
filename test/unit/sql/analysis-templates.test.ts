import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { Templates } from '../../../src/sql/analysis/offload/template.js';
import { analyze, loadParser, withoutFreeLiterals } from '../../../src/sql/index.js';

before(loadParser);

const SEED = 20261130;
const OPTIONS = { schemas: ['public'] };
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** What an analysis is after it was made of that of another text. */
function fromTemplate(first: string, second: string): ReturnType<typeof analyze> {
  const templates = new Templates(1 << 20);
  templates.add(bytes(first), OPTIONS, analyze(bytes(first), OPTIONS), 1000);
  return templates.find(bytes(second), OPTIONS);
}

const assertSame = (first: string, second: string): void =>
  assert.deepEqual(fromTemplate(first, second), analyze(bytes(second), OPTIONS), second);

/** Statements in which a text stands in the place of X, and another one in that of Y. */
const STATEMENTS = [
  'SELECT * FROM dblink(X, Y) AS t(n int, "b ""c" text)',
  'select t.* from public.dblink(Y) t(a numeric(4,2)), dblink(X,Y,true) AS u(n int) where t.a = u.n',
  'SELECT dblink_exec(X, Y), dblink_connect(Y)',
  'SELECT dblink_exec(X, Y, false) -- it\'s /* a "comment"',
  'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT dblink_exec(X); COMMIT',
  "SELECT 'é', dblink_exec(X, Y) || 'it''s' || E'\\n' || U&'\\0041' || $q$'$q$",
  'INSERT INTO t SELECT * FROM dblink(X, Y) AS t(n int) WHERE n > 1 RETURNING *',
  "SELECT * FROM dblink('c', Y) WITH ORDINALITY AS t(n int)",
  'SELECT * FROM ROWS FROM (dblink(X, Y) AS (n int), dblink(Y) AS (m text)) AS r',
  'SELECT (SELECT n FROM dblink(X, Y) AS t(n int)), dblink_get_connections()',
  "/*+ hint 'x */ SELECT dblink_fetch(X, Y, 5) FROM generate_series(1, 3)",
  'SELECT $1, * FROM dblink(X, Y) AS t(n int) WHERE n = $2',
];

const content = fc
  .array(
    fc.constantFrom(
      ...`ab e\\u0&"();$-/*,\n\t\x80\xe9\xff`,
      "'",
      "u&'",
      "E'",
      '$$',
      '--',
      '/*',
      '*/',
      'dblink(',
    ),
    {
      maxLength: 8,
    },
  )
  .map((parts) => parts.join(''));
const literal = fc
  .tuple(content, fc.constantFrom('quoted', 'dollars', 'tag', 'escape', 'cast', 'continued'))
  .map(([value, how]) => {
    const quoted = `'${value.replaceAll("'", "''")}'`;
    if (how === 'dollars') return `$$${value.replaceAll('$', '')}$$`;
    if (how === 'tag') return `$x1$${value.replaceAll('$', '')}$x1$`;
    if (how === 'escape') return `E'${value.replace(/['\\]/g, (c) => `\\${c}`)}'`;
    if (how === 'cast') return `${quoted}::text`;
    if (how === 'continued') return `${quoted}\n ${quoted}`;
    return quoted;
  });
const filled = (statement: string, x: string, y: string): string =>
  statement.replace(/\b[XY]\b/g, (place) => (place === 'X' ? x : y));

describe('a text that differs from another one in arguments of calls only', () => {
  it('gets the analysis that it would get by itself', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...STATEMENTS),
        fc.array(literal, { minLength: 4, maxLength: 4 }),
        (statement, [a, b, c, d]) => {
          const [first, second] = [filled(statement, a!, b!), filled(statement, c!, d!)];
          const found = fromTemplate(first, second);
          if (found !== undefined) assert.deepEqual(found, analyze(bytes(second), OPTIONS));
        },
      ),
      { numRuns: 3000, seed: SEED },
    );
  });

  it('gets it without being parsed', () => {
    for (const statement of STATEMENTS) {
      const second = filled(statement, "'it''s x'", '$$select 1$$');
      const first = filled(statement, "''", '$$$$');
      assert.notEqual(fromTemplate(first, second), undefined, statement);
      assertSame(first, second);
    }
  });

  it('is parsed when something else differs, too', () => {
    const first = "SELECT dblink_exec('c', 'x', 'true'), 'a', 'c'::text";
    for (const second of [
      "SELECT dblink_exec('c', 'x', 'false'), 'a', 'c'::text",
      "SELECT dblink_exec('c', 'x', 'true'), 'b', 'c'::text",
      "SELECT dblink_exec('c', 'x', 'true'), 'a', 'd'::text",
      "SELECT dblink_exec('c', E'x', 'true'), 'a', 'c'::text",
      "SELECT dblink_exec('c', 'x'\n'y', 'true'), 'a', 'c'::text",
      "SELECT dblink_exec('c', 'a u&''b''', 'true'), 'a', 'c'::text",
    ])
      assert.equal(fromTemplate(first, second), undefined, second);
    for (const second of [
      "SELECT dblink_exec('d', 'y''', 'true'), 'a', 'c'::text",
      "SELECT dblink_exec('d', $a$'$$'$a$, 'true'), 'a', 'c'::text",
    ])
      assertSame(first, second);
  });

  it('has the same text without them, however they are quoted', () => {
    const key = (text: string): string =>
      withoutFreeLiterals(bytes(text), analyze(bytes(text), OPTIONS)!.statements[0]!);
    const one = key("SELECT n FROM dblink('c', 'SELECT 1') AS t(n int) WHERE n = '1'");
    assert.equal(key("SELECT n FROM dblink('other', $$SELECT 22$$) AS t(n int) WHERE n = '1'"), one);
    assert.notEqual(key("SELECT n FROM dblink('c', 'SELECT 1') AS t(n int) WHERE n = '2'"), one);
    assert.notEqual(key("SELECT n FROM dblink('c', 'SELECT 1'::text) AS t(n int) WHERE n = '1'"), one);
  });
});
