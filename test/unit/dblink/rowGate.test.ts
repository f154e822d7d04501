import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MalformedResult } from '../../../src/dblink/errors.js';
import { type RowForm, RowGate } from '../../../src/dblink/remote/rowGate.js';
import type { ValueCheck } from '../../../src/dblink/remote/valueCheck.js';
import { PgError } from '../../../src/wire/errors.js';
import { MessageWriter } from '../../../src/wire/writer.js';

/** A DataRow that contains what it says. */
function row(values: readonly (Uint8Array | null)[], count = values.length): Buffer {
  const writer = new MessageWriter(0x44).int16(count);
  for (const value of values) {
    writer.int32(value?.length ?? -1);
    if (value !== null) writer.bytes(Buffer.from(value));
  }
  return writer.end();
}

/** A gate whose rows, whole ones and pieces, all go to one function. */
const gateTo = (form: Partial<RowForm>, take: (bytes: Buffer, rows: number) => void): RowGate =>
  new RowGate(
    { columns: 1, maxRowBytes: 1 << 20, each: false, ...form },
    { row: (message) => take(message, 1), raw: take, strange: () => assert.fail('a value was strange') },
  );

/** Pushes the bytes in pieces that end at these places. */
function push(gate: RowGate, bytes: Buffer, cuts: readonly number[]): void {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const place of [...places, bytes.length]) {
    gate.push(bytes.subarray(from, place));
    from = place;
  }
}

const value = fc.option(fc.uint8Array({ maxLength: 20 }), { nil: null });
const longValue = fc.option(fc.uint8Array({ minLength: 3000, maxLength: 9000 }), { nil: null });
const rows = (of: typeof value) =>
  fc.integer({ min: 0, max: 4 }).chain((columns) =>
    fc.record({
      columns: fc.constant(columns),
      rows: fc.array(fc.array(of, { minLength: columns, maxLength: columns }), { maxLength: 12 }),
    }),
  );
const cuts = fc.array(fc.nat(), { maxLength: 30 });

for (const [name, of] of [
  ['short', value],
  ['long', longValue],
] as const) {
  test(`${name} rows come out as they went in, whatever the pieces`, () => {
    fc.assert(
      fc.property(rows(of), cuts, fc.boolean(), (input, places, each) => {
        const messages = input.rows.map((values) => row(values));
        const taken: Buffer[] = [];
        let count = 0;
        const gate = gateTo({ columns: input.columns, each }, (bytes, many) => {
          taken.push(Buffer.from(bytes));
          count += many;
        });
        push(gate, Buffer.concat(messages), places);
        assert.deepEqual(Buffer.concat(taken), Buffer.concat(messages));
        assert.equal(count, messages.length);
        if (each) assert.deepEqual(taken, messages);
      }),
    );
  });
}

test('a part of a row never comes out', () => {
  fc.assert(
    fc.property(rows(value), cuts, fc.nat(), (input, places, end) => {
      const bytes = Buffer.concat(input.rows.map((values) => row(values)));
      const part = bytes.subarray(0, end % (bytes.length + 1));
      let taken = 0;
      const gate = gateTo({ columns: input.columns, each: false }, (piece) => {
        taken += piece.length;
      });
      push(gate, part, places);
      let whole = 0;
      for (const message of input.rows.map((values) => row(values))) {
        if (whole + message.length > part.length) break;
        whole += message.length;
      }
      assert.equal(taken, whole);
    }),
  );
});

test('a damaged row ends it, however it is cut: nothing of it comes out', () => {
  const big = Buffer.alloc(6000, 'x');
  const damaged: readonly (readonly [Buffer, RegExp])[] = [
    [row([big], 2), /insufficient data/],
    [row([big, big, big]), /unexpected field count/],
    [row([big], 1), /unexpected field count/],
    [row([big, null], 65535), /unexpected field count/],
    [new MessageWriter(0x44).int16(2).int32(5).bytes(Buffer.from('x')).end(), /insufficient data/],
    [new MessageWriter(0x44).int16(2).int32(-1).int32(-2).end(), /insufficient data/],
    [new MessageWriter(0x44).int16(2).int32(0x7fffffff).bytes(big).end(), /insufficient data/],
    [new MessageWriter(0x44).int16(2).int32(-1).end(), /insufficient data/],
    [new MessageWriter(0x44).int16(2).int32(big.length).bytes(big).int32(9).end(), /insufficient data/],
    [new MessageWriter(0x44).int16(2).int32(-1).int32(-1).bytes(big).end(), /do not agree/],
    [new MessageWriter(0x44).end(), /insufficient data/],
    [new MessageWriter(0x44).bytes(Buffer.from([0])).end(), /insufficient data/],
  ];
  const good = row([Buffer.from('a'), null]);
  fc.assert(
    fc.property(fc.nat(damaged.length - 1), cuts, fc.boolean(), (which, places, each) => {
      const [bytes, message] = damaged[which]!;
      let taken = 0;
      const gate = gateTo({ columns: 2, each }, (piece) => {
        taken += piece.length;
      });
      assert.throws(
        () => push(gate, Buffer.concat([good, bytes]), places),
        (error: unknown) => error instanceof MalformedResult && message.test(error.message),
      );
      assert.ok(taken <= good.length);
    }),
  );
});

const isOne: ValueCheck = {
  maxBytes: 10,
  whole: (bytes, start, end) => bytes.toString('latin1', start, end) === '1',
  pieces: undefined,
};

test('a value that does not pass its check is told before its row, however the bytes are cut', () => {
  const long = fc.constantFrom('', 'x'.repeat(5000));
  fc.assert(
    fc.property(fc.nat(6), fc.nat(6), long, cuts, (good, more, padding, places) => {
      const lines = [...Array(good).fill('1'), 'lie', ...Array(more).fill('lie')] as string[];
      const messages = lines.map((line) => row([Buffer.from(padding), null, Buffer.from(line)]));
      const events: string[] = [];
      const gate = new RowGate(
        {
          columns: 3,
          maxRowBytes: 1 << 20,
          each: false,
          checks: [undefined, { ...isOne, whole: () => assert.fail('NULL') }, isOne],
        },
        {
          raw: (_, rows) => events.push(...(Array(rows).fill('raw') as string[])),
          strange: (column, value) => events.push(`${column} ${value.toString()}`),
          row: (message) => {
            assert.deepEqual(message, messages.at(-1));
            events.push('row');
          },
        },
      );
      push(gate, Buffer.concat(messages), places);
      assert.deepEqual(events, [...Array(good).fill('raw'), '2 lie', ...Array(more + 1).fill('row')]);
    }),
  );
});

test('a row that is too long is refused at its header', () => {
  const gate = gateTo({ columns: 1, each: false, maxRowBytes: 1000 }, () => assert.fail('a row came out'));
  const header = Buffer.from([0x44, 0x7f, 0xff, 0xff, 0xff]);
  assert.throws(
    () => push(gate, header, [1, 2, 3, 4]),
    (error: unknown) => error instanceof PgError && error.sqlstate === '54000',
  );
});
