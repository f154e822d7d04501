import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { JsonRows, jsonKeys } from '../../../src/primary/jsonRows.js';
import { PgError } from '../../../src/wire/errors.js';
import { dataRow } from '../../../src/wire/messages.js';

const build = (keys: readonly string[], rows: readonly (readonly (Buffer | null)[])[]): Buffer => {
  const json = new JsonRows(jsonKeys(keys), [], 1 << 24);
  for (const row of rows) json.addRow(dataRow(row));
  return json.end();
};

test('any values and keys come back from a JSON parser as they went in', () => {
  const value = fc.option(fc.string({ unit: 'binary' }), { nil: null });
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ unit: 'binary-ascii', minLength: 1 }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.array(value, { minLength: 4, maxLength: 4 }), { maxLength: 20 }),
      (keys, rows) => {
        const cut = rows.map((row) => row.slice(0, keys.length));
        const bytes = build(
          keys,
          cut.map((row) => row.map((v) => (v === null ? null : Buffer.from(v)))),
        );
        const parsed: unknown = JSON.parse(bytes.toString('utf8'));
        const expected = cut.map((row) => Object.fromEntries(keys.map((key, i) => [key, row[i]])));
        assert.deepEqual(parsed, JSON.parse(JSON.stringify(expected)));
      },
    ),
  );
});

test('bytes of other encodings are left alone', () => {
  const latin1 = Buffer.from([0xe9, 0x22, 0xff]);
  assert.deepEqual(build(['a'], [[latin1]]), Buffer.from('[{"a":"\xe9\\"\xff"}]', 'latin1'));
});

test('a result over the limit is 54000', () => {
  const json = new JsonRows(jsonKeys(['a']), [], 10_000);
  const row = dataRow([Buffer.alloc(1000, 'x')]);
  assert.throws(
    () => {
      for (let i = 0; i < 20; i++) json.addRow(row);
    },
    (error) => error instanceof PgError && error.sqlstate === '54000',
  );
});

test('a value for a json column is the one element of an array', () => {
  const json = new JsonRows(jsonKeys(['j']), [true], 10_000);
  json.addRow(dataRow([Buffer.from('{"a":"x\\\\y"}')]));
  json.addRow(dataRow([null]));
  assert.deepEqual(JSON.parse(json.end().toString()), [
    { j: String.raw`{"{\"a\":\"x\\\\y\"}"}` },
    { j: '{NULL}' },
  ]);
});
