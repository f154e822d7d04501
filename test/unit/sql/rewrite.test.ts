import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import {
  analyze,
  arrayLiteralOf,
  CannotRewrite,
  loadParser,
  type RewriteOptions,
  type Rewritten,
  rewrite,
} from '../../../src/sql/index.js';

before(loadParser);

const ANALYSIS = { schemas: ['public'] };
const utf8: RewriteOptions = { countCharacters: (bytes) => [...bytes.toString()].length };

/** Columns declared json or jsonb are json columns. */
const withJson: RewriteOptions = {
  ...utf8,
  sourceColumns: (call) =>
    call.use.kind === 'source'
      ? call.use.columns.map(({ type }) => ({ jsonText: /^jsonb?$/.test(type) }))
      : [],
};

function rewritten(sql: string, options = utf8, index = 0): Rewritten {
  const text = Buffer.from(sql);
  const statement = analyze(text, ANALYSIS)!.statements[index]!;
  return rewrite(text, statement, statement.parameters + 1, options);
}

const DECODED = (parameter: string) =>
  `pg_catalog.convert_from(${parameter}, pg_catalog.getdatabaseencoding())`;
const VOLATILE = (value: string) => `CASE WHEN pg_catalog.clock_timestamp() IS NOT NULL THEN ${value} END`;
const ROWS = (parameter: string) =>
  `pg_catalog.json_to_recordset(${VOLATILE(`${DECODED(parameter)}::pg_catalog.json`)})`;
const ONE = '$1::pg_catalog.bytea';
/** A source in its sub-select; the function beside it has the planner expect as many rows as of dblink(). */
const SOURCE = (targets: string, definitions: string, names: string, parameter = ONE) =>
  `(SELECT ${targets} FROM ROWS FROM (${ROWS(parameter)} AS (${definitions}), ` +
  `pg_catalog.generate_subscripts('{}'::pg_catalog.int4[], 1)) AS "dblink"(${names}))`;

describe('rewriting', () => {
  it('puts rows in the place of a source and leaves its alias and columns', () => {
    const { sql, keys, asArray } = rewritten(
      `SELECT t FROM o, public.dblink('x') /* c */ AS T (a int, "B c" varchar(3) COLLATE "C") -- end\n WHERE true`,
    );
    assert.equal(
      sql.toString(),
      `SELECT t FROM o, ${SOURCE('"a", "B c"', '"a" int, "B c" varchar(3) COLLATE "C"', '"a", "B c"')}  /* c */ AS T (a, "B c") -- end\n WHERE true`,
    );
    assert.deepEqual([keys, asArray], [[['a', 'B c']], [[false, false]]]);
  });

  it('gives a source without alias the name of the function', () => {
    const on = (item: string) => rewritten(`SELECT * FROM ${item} WHERE true`).sql.toString();
    assert.equal(
      on(`dblink('x') AS (a int)`),
      `SELECT * FROM ${SOURCE('"a"', '"a" int', '"a"')} AS "dblink"(a) WHERE true`,
    );
    assert.equal(on(`dblink('x')`), `SELECT * FROM ${ROWS(ONE)} AS "dblink" WHERE true`);
    assert.equal(on(`dblink('x') t`), `SELECT * FROM ${ROWS(ONE)} t WHERE true`);
  });

  it('reads json columns as arrays of one element, under names of its own', () => {
    const { sql, keys, asArray } = rewritten(
      `SELECT * FROM LATERAL dblink('x') AS T (a int, "J""j" jsonb, c text COLLATE "C") WHERE true`,
      withJson,
    );
    assert.equal(
      sql.toString(),
      `SELECT * FROM LATERAL ${SOURCE('"1", "2"[1], "3"', '"1" int, "2" jsonb[], "3" text COLLATE "C"', '"1", "2", "3"')}  AS T (a, "J""j", c) WHERE true`,
    );
    assert.deepEqual([keys, asArray], [[['1', '2', '3']], [[false, true, false]]]);
    assert.match(
      rewritten(`SELECT j FROM dblink('x') AS (j json)`, withJson).sql.toString(),
      / AS \("j" json\[\]\), .* AS "dblink"\("j"\)\) AS "dblink"\(j\)$/,
    );
  });

  it('uses names of its own where a key could be another name in another encoding', () => {
    for (const name of ['é', '"a\\b"', '"a""b"']) {
      assert.deepEqual(rewritten(`SELECT 1 FROM dblink('x') t(${name} int)`).keys, [['1']], name);
    }
    assert.deepEqual(rewritten(`SELECT 1 FROM dblink('x') t(${'n'.repeat(70)} int)`).keys, [
      ['n'.repeat(63)],
    ]);
    // Two of one name are an error that only the same form raises.
    assert.match(
      rewritten(`SELECT 1 FROM dblink('x') t(a int, a json)`, withJson).sql.toString(),
      / t\(a int, a json\)$/,
    );
  });

  it('does not do what ROWS FROM cannot', () => {
    const sql = `SELECT * FROM ROWS FROM (dblink('x') AS (j json), generate_series(1, 3)) r`;
    assert.throws(() => rewritten(sql, withJson), CannotRewrite);
    assert.match(
      rewritten(sql).sql.toString(),
      /ROWS FROM \(pg_catalog.json_to_recordset\(.*\) AS \(j json\), gen/,
    );
  });

  it('puts values in the place of scalar calls, and keeps the names of columns', () => {
    const text = `CAST((SELECT ${VOLATILE(DECODED(ONE))} AS "dblink_exec") AS pg_catalog.text)`;
    const call = `dblink_exec('c', 'x')`;
    const plain = VOLATILE(DECODED(ONE));
    for (const [sql, expected] of [
      [`SELECT ${call}`, `SELECT ${text}`],
      [`SELECT ${call} AS x`, `SELECT ${plain} AS x`],
      [`SELECT ${call}::varchar COLLATE "C"`, `SELECT ${text}::varchar COLLATE "C"`],
      [`SELECT upper(${call})`, `SELECT upper(${plain})`],
      [`SELECT * FROM ${call}`, `SELECT * FROM ${DECODED(VOLATILE(ONE))} AS "dblink_exec"`],
      [`SELECT * FROM ${call} AS x(y)`, `SELECT * FROM ${DECODED(VOLATILE(ONE))} AS x(y)`],
    ] as const) {
      assert.equal(rewritten(sql).sql.toString(), expected);
    }
    const array = VOLATILE(`${DECODED(ONE)}::pg_catalog.text[]`);
    assert.equal(
      rewritten(`SELECT 'c' = ANY(dblink_get_connections())`).sql.toString(),
      `SELECT 'c' = ANY(${array})`,
    );
    for (const target of [
      '(dblink_get_connections())[1]',
      'CASE WHEN $1 THEN 1 ELSE dblink_get_connections() END',
    ]) {
      assert.match(
        rewritten(`SELECT ${target}`).sql.toString(),
        /AS "dblink_get_connections"\) AS pg_catalog.text\[\]\)/,
      );
    }
    assert.match(
      rewritten(`SELECT (SELECT dblink_get_connections())`).sql.toString(),
      /^SELECT \(SELECT CAST\(\(SELECT .* AS "dblink_get_connections"\)/,
    );
    assert.match(
      rewritten(`SELECT * FROM dblink_get_connections() c, unnest(c)`).sql.toString(),
      /FROM CAST\(pg_catalog.convert_from\(.* AS pg_catalog.text\[\]\) c, unnest\(c\)$/,
    );
    assert.equal(
      rewritten(`SELECT dblink('c', 'x')`).sql.toString(),
      `SELECT (SELECT ROW(${plain}) AS "dblink")`,
    );
  });

  it('keeps arguments that are not constant, unevaluated, for their types and errors', () => {
    const kept = (sql: string, options = utf8) =>
      /CASE WHEN true THEN \$\d+::pg_catalog.bytea(.*?) END, pg_catalog.getdb/.exec(
        rewritten(sql, options).sql.toString().replaceAll('getdatabase', 'getdb'),
      )?.[1];
    assert.equal(kept(`SELECT dblink_exec('c', 'x')`), undefined);
    assert.equal(
      kept(`SELECT dblink_exec('é' || $2, $1, $3)`),
      ` WHEN false THEN pg_catalog.textsend(('é' || $2)) WHEN false THEN pg_catalog.textsend(($1)) WHEN false THEN pg_catalog.boolsend(($3))`,
    );
    assert.equal(
      kept(`SELECT dblink_exec($1, $2 = 5)`),
      ` WHEN false THEN pg_catalog.textsend(($1)) WHEN ($2 = 5) IS NULL THEN NULL`,
    );
    assert.equal(
      kept(`SELECT dblink_exec($1, $2)`, { ...utf8, argumentTypes: () => ['text', 'boolean'] }),
      ` WHEN false THEN pg_catalog.textsend(($1)) WHEN false THEN pg_catalog.boolsend(($2))`,
    );
    assert.match(kept(`SELECT dblink_exec('c', 'x', 'maybe')`)!, /boolsend\(\('maybe'\)\)$/);
  });

  it('numbers the parameters in the order of the calls', () => {
    const { sql, keys } = rewritten(
      `SELECT $2, * FROM dblink('x') a(i int), dblink('y') b(j int, k text) WHERE 'c' = ANY(dblink_get_connections())`,
    );
    assert.deepEqual(sql.toString().match(/\$\d/g), ['$2', '$3', '$4', '$5']);
    assert.deepEqual(keys, [['i'], ['j', 'k'], []]);
  });

  it('of one statement of several, takes that statement alone', () => {
    const sql = `SELECT 'é'; SELECT * FROM dblink('x') t(a int) ; SELECT 2`;
    const { sql: own, mapPosition } = rewritten(sql, utf8, 1);
    assert.equal(own.toString(), `SELECT * FROM ${SOURCE('"a"', '"a" int', '"a"')}  t(a)`);
    assert.equal(mapPosition(1), sql.indexOf('SELECT *') + 1);
  });

  it('maps positions: outside of calls to the same character, inside to the beginning of the call', () => {
    const sql = `SELECT 'ü😀', nosuch FROM dblink($1, 'é') AS t(a int, é nosuchtype), other`;
    const { sql: bytes, mapPosition } = rewritten(sql, utf8);
    const characters = [...bytes.toString()];
    const original = [...sql];
    const at = (word: string) => {
      const index = characters.join('').lastIndexOf(word);
      return [...characters.join('').slice(0, index)].length + 1;
    };
    for (const word of ['nosuch FROM', 'nosuchtype', 'other']) {
      const mapped = mapPosition(at(word));
      assert.equal(original.slice(mapped - 1, mapped - 1 + word.length).join(''), word);
    }
    const start = original.indexOf('d', original.join('').indexOf('FROM')) + 1;
    assert.equal(mapPosition(at('json_to_recordset')), start);
    // The arguments are copies: errors in them have their own place.
    const argument = mapPosition(at('$1'));
    assert.equal(original[argument - 1], '$');
    assert.equal(mapPosition(characters.length + 1), original.length + 1);
    const latin1 = rewrite(Buffer.from(sql), analyze(Buffer.from(sql), ANALYSIS)!.statements[0]!, 2, {
      countCharacters: (b) => b.length,
    });
    assert.equal(latin1.mapPosition(bytes.length + 1), Buffer.from(sql).length + 1);
  });

  it('writes array literals of one element', () => {
    assert.equal(arrayLiteralOf(null), '{NULL}');
    assert.equal(arrayLiteralOf(''), '{""}');
    assert.equal(arrayLiteralOf(' {"a\\n": [1, "NULL"]}'), '{" {\\"a\\\\n\\": [1, \\"NULL\\"]}"}');
  });
});
