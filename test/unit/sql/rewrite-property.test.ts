import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadModule, parseSync } from 'libpg-query';
import { analyze, type DblinkCall, rewrite } from '../../../src/sql/index.js';

before(loadModule);

const SEED = 20260727;
const OPTIONS = { schemas: ['public', 'Ex"t'] };
const bytesAre = { countCharacters: (bytes: Buffer) => bytes.length };

// Everything is made of latin1 characters, one a byte: the text is in some encoding that nobody needs to know.
const character = fc.constantFrom(...`ab1 ,();"'\\$/*-=%\n\t\x80\x9f\xa0\xc3\xa9\xff`);
const anyText = fc.array(character, { maxLength: 8 }).map((parts) => parts.join(''));

const literal = anyText.chain((value) =>
  fc
    .constantFrom(
      `'${value.replaceAll("'", "''")}'`,
      `E'${value.replace(/['\\]/g, (c) => `\\${c}`)}'`,
      `$x\xe9$${value.replaceAll('$', '')}$x\xe9$`,
      `'${value.replaceAll("'", "''")}'::text`,
      `CAST( '${value.replaceAll("'", "''")}' AS pg_catalog . "text" )`,
    )
    .map((sql) => ({ sql, value: sql.startsWith('$') ? value.replaceAll('$', '') : value })),
);

const gap = fc.constantFrom(' ', '\n', ' /* ( */ ', ' -- )\n', ' /* /* , */ \xe9 */ ');
const name = fc.oneof(
  fc.constantFrom('a', 'B1', '_\xe9', 'name', 'text', 'value'),
  anyText.filter((text) => text !== '').map((text) => `"${text.replaceAll('"', '""')}"`),
);
const type = fc.constantFrom(
  'int',
  'varchar(3)',
  'double precision',
  'numeric( 4 , 2 )[]',
  'json',
  'text COLLATE "C"',
  'timestamp(2) with time zone',
  '"S\xe9".t',
);

interface Piece {
  readonly sql: string;
  readonly calls: readonly {
    readonly name: string;
    readonly values: readonly string[];
    readonly columns: readonly string[];
  }[];
}

const qualifier = fc.constantFrom('', 'public.', 'public /* . */ . ', '"Ex""t".', 'PUBLIC.');
const call = (names: readonly string[], arity: readonly number[]) =>
  fc
    .tuple(fc.constantFrom(...names), qualifier, fc.constantFrom(...arity), gap, gap)
    .chain(([fn, schema, n, g, h]) =>
      fc.array(literal, { minLength: n, maxLength: n }).map((args) => ({
        sql: `${schema}${fn}${g}(${args.map((arg) => `${h}${arg.sql}${h}`).join(',')})`,
        name: fn.toLowerCase(),
        values: args.map((arg) => arg.value),
      })),
    );

const source: fc.Arbitrary<Piece> = fc
  .tuple(
    call(['dblink', 'DBLink'], [1, 2]),
    gap,
    name,
    fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
    fc.array(type, { minLength: 3, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([made, g, alias, names, types, as]) => ({
    sql: `${made.sql}${g}${as ? `AS${g}` : ''}${/^["_aB]/.test(alias) || as ? alias : 't'}${g}(${names.map((column, i) => `${g}${column}${g}${types[i]}`).join(` ,${g}`)})`,
    calls: [{ ...made, columns: types.slice(0, names.length) }],
  }));

const scalar: fc.Arbitrary<Piece> = call(['dblink_exec', 'dblink_connect'], [1, 2]).map((made) => ({
  sql: made.sql,
  calls: [{ ...made, columns: [] }],
}));
const reading: fc.Arbitrary<Piece> = call(['dblink_get_connections'], [0]).map((made) => ({
  sql: made.sql,
  calls: [{ ...made, columns: [] }],
}));

/** Statements around pieces; a hole is a piece's place. */
const FRAMES: readonly [string, ...fc.Arbitrary<Piece>[]][] = [
  ['SELECT * FROM ? WHERE true', source],
  ['SELECT \xe9, "?\xe9" FROM o JOIN ? ON true LEFT JOIN ? ON false', source, source],
  [
    'WITH r AS (SELECT 1 FROM ?) SELECT (SELECT 1 FROM ?), * FROM r WHERE a IN (SELECT 2 FROM ?)',
    source,
    source,
    source,
  ],
  ['INSERT INTO "\xff" SELECT * FROM ? ON CONFLICT DO NOTHING RETURNING ?, \'\xe9\'', source, reading],
  ['UPDATE u SET a = 1 FROM (SELECT * FROM ?) s WHERE ? IS NULL', source, reading],
  ['CREATE TEMP TABLE x AS SELECT 1 FROM ? UNION ALL SELECT 2 FROM ?', source, source],
  ['SELECT ?, ? AS "\xe9 ?"', scalar, scalar],
  ['SELECT $1, \'\xe9\' || ?::varchar COLLATE "C"', scalar],
  ['SELECT * FROM ? LIMIT 1', scalar],
  ["SELECT (?)[1], 'x' = ANY(?), coalesce(?, '{}') FROM o", reading, reading, reading],
];

const statement = fc.constantFrom(...FRAMES).chain(([frame, ...pieces]) =>
  fc
    .tuple(
      fc.tuple(...pieces),
      anyText.map((text) => text.replaceAll('?', '')),
    )
    .map(([made, text]) => {
      const around = [`/* \xe9 ${text.replaceAll('/', '').replaceAll('*', '')} */ `, ' -- \xe9 \n'];
      const parts = frame.replaceAll('"?', '"\0').replaceAll(' ?"', ' \0"').split('?');
      const sql = parts.map((part, i) => part + (i < made.length ? made[i]!.sql : '')).join('');
      return {
        sql: `${around[0]}${sql.replaceAll('\0', '?')}${around[1]}`,
        calls: made.flatMap((piece) => piece.calls),
      };
    }),
);

/** What a call's replacement stands for, with its alias and columns. */
const regionOf = ({ span, use }: DblinkCall) => ({ start: span.start, end: use.item?.end ?? span.end });

describe('any statement made of dblink calls', () => {
  it('is read as it was made, and rewriting changes nothing outside its calls', () => {
    fc.assert(
      fc.property(fc.array(statement, { minLength: 1, maxLength: 3 }), (made) => {
        const sql = made.map((one) => one.sql).join(';');
        const text = Buffer.from(sql, 'latin1');
        const analysis = analyze(text, OPTIONS);
        assert.ok(analysis, 'it is understood');
        assert.equal(analysis.statements.length, made.length);
        for (const [i, found] of analysis.statements.entries()) {
          assert.deepEqual(
            found.calls.map(({ name: fn, args, use }) => ({
              name: fn,
              values: args.map(({ constant }) => constant?.kind === 'string' && constant.value),
              columns: use.kind === 'source' ? use.columns.map((column) => column.definition) : [],
            })),
            made[i]!.calls.map(({ name: fn, values, columns }) => ({ name: fn, values, columns })),
          );
          assert.notEqual(found.shape.kind, 'none');
          if (found.shape.kind === 'bridge') continue;
          for (const jsonText of [false, true]) {
            const sourceColumns = (call: DblinkCall) =>
              call.use.kind === 'source'
                ? call.use.columns.map((column) => ({ jsonText: jsonText && column.type === 'json' }))
                : [];
            const rewritten = rewrite(text, found, found.parameters + 1, { ...bytesAre, sourceColumns });
            const result = rewritten.sql.toString('latin1');
            assert.equal(parseSync(result).stmts?.length, 1);
            assert.deepEqual(
              rewritten.keys.map((keys) => keys.length),
              made[i]!.calls.map(({ columns }) => columns.length),
            );
            // Every character outside of the calls is there, in its order, and known by its position.
            const regions = found.calls.map(regionOf);
            let next = found.span.start;
            for (let position = 1; position <= result.length; position++) {
              const origin = rewritten.mapPosition(position) - 1;
              if (regions.some((region) => origin >= region.start && origin < region.end)) continue;
              while (regions.some((region) => next >= region.start && next < region.end)) next++;
              assert.equal(origin, next++);
              assert.equal(result[position - 1], sql[origin]);
            }
            while (regions.some((region) => next >= region.start && next < region.end)) next++;
            assert.equal(next, found.span.end);
          }
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('however it is broken, is either read or left alone', () => {
    const token = fc.constantFrom(
      'dblink(',
      ')',
      '(',
      "'",
      '"',
      '$$',
      ',',
      ' FROM ',
      ' AS ',
      '[',
      ']',
      ';',
      '--',
      '/*',
      '\xe9',
      '::',
      ' dblink_exec() ',
      ' LATERAL ',
    );
    fc.assert(
      fc.property(
        statement,
        fc.array(fc.tuple(fc.nat(), fc.nat(12), token), { maxLength: 3 }),
        ({ sql }, cuts) => {
          let broken = sql;
          for (const [at, length, inserted] of cuts) {
            const start = at % (broken.length + 1);
            broken = broken.slice(0, start) + inserted + broken.slice(start + length);
          }
          const text = Buffer.from(broken, 'latin1');
          for (const found of analyze(text, OPTIONS)?.statements ?? []) {
            if (found.shape.kind === 'none' || found.shape.kind === 'bridge') continue;
            const { sql: result } = rewrite(text, found, found.parameters + 1, bytesAre);
            assert.equal(parseSync(result.toString('latin1')).stmts?.length, 1);
          }
        },
      ),
      { seed: SEED, numRuns: 1000 },
    );
  });
});
