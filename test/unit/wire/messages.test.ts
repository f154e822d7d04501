import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PgError } from '../../../src/wire/errors.js';
import * as messages from '../../../src/wire/messages.js';
import { MessageReader } from '../../../src/wire/reader.js';
import { MessageWriter } from '../../../src/wire/writer.js';
import { frontend } from '../../support/wire.js';

/** Messages of the proxy's own are compared with the encoder of the tests, which shares no code with them. */
describe('messages', () => {
  it('a Bind in parts is the Bind in one piece, its large values not copied', () => {
    const large = (fill: string, more = 0): Buffer => Buffer.alloc(messages.LARGE_VALUE_BYTES + more, fill);
    const small = Buffer.from('small');
    for (const values of [
      [],
      [small, null],
      [large('a')],
      [small, large('a', 3), null, large('b'), large('c', 1), small],
      [null, large('a'), null],
    ]) {
      for (const formats of [[], [1], values.map((_, i) => i % 2)]) {
        const fields = {
          portal: Buffer.from('portal'),
          statement: Buffer.from('s'),
          formats,
          values,
          resultFormats: [0, 1],
        };
        const parts = messages.bindParts(fields);
        assert.ok(Buffer.concat(parts).equals(messages.bind(fields)));
        for (const value of values.filter((v) => (v?.length ?? 0) >= messages.LARGE_VALUE_BYTES)) {
          assert.ok(parts.includes(value as Buffer));
        }
      }
    }
    const huge = Buffer.alloc(400 << 20);
    const tooLong = {
      portal: small,
      statement: small,
      formats: [],
      values: [huge, huge, huge],
      resultFormats: [],
    };
    assert.throws(
      () => messages.bindParts(tooLong),
      (error) => error instanceof PgError && error.sqlstate === '54000',
    );
  });

  it('are encoded as the protocol says', () => {
    assert.deepEqual(messages.SYNC, frontend.sync());
    assert.deepEqual(messages.FLUSH, frontend.flush());
    assert.deepEqual(messages.TERMINATE, frontend.terminate());
    for (const sql of ['', 'SELECT 1', 'SELECT $$äöü €😀$$', 'x'.repeat(5000)]) {
      assert.deepEqual(messages.query(sql), frontend.query(sql));
      assert.deepEqual(messages.query(Buffer.from(sql)), frontend.query(sql));
      assert.deepEqual(
        messages.parse('s', sql, [0, 23, 4294967295 | 0]),
        frontend.parse('s', sql, [0, 23, -1]),
      );
    }
    assert.deepEqual(messages.describe('S', 'statement'), frontend.describe('S', 'statement'));
    assert.deepEqual(messages.describe('P', ''), frontend.describe('P', ''));
    assert.deepEqual(messages.close('P', 'portal'), frontend.close('P', 'portal'));
    assert.deepEqual(messages.execute('portal', 5), frontend.execute('portal', 5));
    assert.deepEqual(messages.execute(''), frontend.execute('', 0));
  });

  it('of the backend are encoded as the protocol says', () => {
    const hex = (bytes: Buffer): string => bytes.toString('latin1');
    assert.equal(hex(messages.PARSE_COMPLETE), '1\0\0\0\x04');
    assert.equal(hex(messages.BIND_COMPLETE), '2\0\0\0\x04');
    assert.equal(hex(messages.commandComplete('SELECT 1')), 'C\0\0\0\x0dSELECT 1\0');
    assert.equal(hex(messages.readyForQuery('T'.charCodeAt(0))), 'Z\0\0\0\x05T');
    assert.equal(
      hex(messages.dataRow([Buffer.from('a'), null])),
      'D\0\0\0\x0f\0\x02\0\0\0\x01a\xff\xff\xff\xff',
    );
    assert.equal(hex(messages.parameterStatus('a', 'b')), 'S\0\0\0\x08a\0b\0');
    assert.equal(hex(messages.backendKeyData(1, Buffer.from('key!'))), 'K\0\0\0\x0c\0\0\0\x01key!');
    assert.equal(hex(messages.authentication(0)), 'R\0\0\0\x08\0\0\0\0');
    assert.equal(
      hex(messages.rowDescription([{ name: 'n', typeOid: 23, typeLength: 4 }])),
      'T\0\0\0\x1a\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0',
    );
  });

  const name = fc.stringMatching(/^[a-z]{0,8}$/);
  const value = fc.option(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    { nil: null },
  );
  const formats = fc.array(fc.constantFrom(0, 1), { maxLength: 4 });

  it('Bind is read as it was written, by either encoder', () => {
    fc.assert(
      fc.property(
        name,
        name,
        formats,
        fc.array(value, { maxLength: 6 }),
        formats,
        (portal, statement, f, values, r) => {
          const bytes = frontend.bind({ portal, statement, valueFormats: f, values, resultFormats: r });
          const fields = messages.readBind(bytes);
          assert.equal(fields.portal.toString(), portal);
          assert.equal(fields.statement.toString(), statement);
          assert.deepEqual([fields.formats, fields.values, fields.resultFormats], [f, values, r]);
          assert.deepEqual(messages.bind(fields), bytes);
        },
      ),
    );
  });

  it('Bind takes 65,535 parameters', () => {
    const values = new Array<Buffer>(65_535).fill(Buffer.from('1'));
    const bytes = messages.bind({
      portal: Buffer.alloc(0),
      statement: Buffer.alloc(0),
      formats: [],
      values,
      resultFormats: [],
    });
    assert.equal(messages.readBind(bytes).values.length, 65_535);
  });

  it('Parse, Describe, Close and Execute are read as they were written', () => {
    assert.deepEqual(messages.readParse(frontend.parse('s', 'SELECT $1', [23, -1])), {
      name: Buffer.from('s'),
      sql: Buffer.from('SELECT $1'),
      types: [23, 0xffffffff],
    });
    assert.deepEqual(messages.readTarget(frontend.describe('S', 's')), {
      target: 'S',
      name: Buffer.from('s'),
    });
    assert.deepEqual(messages.readTarget(frontend.close('P', '')), { target: 'P', name: Buffer.alloc(0) });
    assert.deepEqual(messages.readExecute(frontend.execute('p', 7)), {
      portal: Buffer.from('p'),
      maxRows: 7,
    });
  });

  it('that are damaged fail with 08P01 and nothing else', () => {
    const samples = [
      frontend.bind({ portal: 'p', statement: 's', valueFormats: [1], values: [Buffer.from('v'), null] }),
      frontend.parse('s', 'SELECT 1', [23]),
    ];
    const readers = [messages.readBind, messages.readParse];
    samples.forEach((sample, index) => {
      for (let length = 5; length < sample.length; length += 1) {
        assert.throws(
          () => readers[index]!(sample.subarray(0, length)),
          (error: unknown) => error instanceof PgError && error.sqlstate === '08P01',
          `cut after ${length} bytes`,
        );
      }
      assert.throws(() => readers[index]!(Buffer.concat([sample, Buffer.from([0])])), { name: 'PgError' });
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (body) => {
        const bytes = Buffer.concat([Buffer.from('B\0\0\0\0', 'latin1'), body]);
        for (const read of [
          messages.readBind,
          messages.readParse,
          messages.readTarget,
          messages.readExecute,
        ]) {
          try {
            read(bytes);
          } catch (error) {
            assert.ok(error instanceof PgError && error.sqlstate === '08P01', String(error));
          }
        }
      }),
      { numRuns: 2000, seed: 3 },
    );
  });

  it('read beyond their end fail, also by lengths that are negative or absurd', () => {
    for (const length of [-2, -0x80000000, 5, 0x7fffffff]) {
      const bytes = new MessageWriter(0x44).int32(length).bytes(Buffer.from('four')).end();
      assert.throws(() => new MessageReader(bytes).value(), { name: 'PgError' });
    }
    assert.equal(new MessageReader(new MessageWriter(0x44).int32(-1).end()).value(), null);
    assert.throws(
      () => new MessageReader(new MessageWriter(0x44).bytes(Buffer.from('no end')).end()).cbytes(),
      {
        message: 'invalid string in message',
      },
    );
  });
});
