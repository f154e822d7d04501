import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NoProxyHeader, readProxyHeader } from '../../../../src/wire/names/proxyHeader.js';

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1');

function binary(command: number, family: number, body: readonly number[]): Buffer {
  const size = Buffer.alloc(2);
  size.writeUInt16BE(body.length);
  return Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([command, family]),
    size,
    Buffer.from(body),
  ]);
}

const V4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 0x19, 0x20];
const V6 = [
  0x20,
  0x01,
  0x0d,
  0xb8,
  ...new Array<number>(11).fill(0),
  7,
  ...new Array<number>(16).fill(1),
  1,
  2,
  3,
  4,
];

const GOOD: readonly (readonly [string, Buffer, string | undefined])[] = [
  ['TCP4', line('PROXY TCP4 203.0.113.7 10.0.0.1 12345 6432'), '203.0.113.7'],
  ['TCP6', line('PROXY TCP6 2001:db8::7 ::1 1 65535'), '2001:db8::7'],
  ['UNKNOWN', line('PROXY UNKNOWN'), undefined],
  ['UNKNOWN with more', line('PROXY UNKNOWN ffff:: ffff:: 1 2'), undefined],
  ['version 2, IPv4', binary(0x21, 0x11, V4), '203.0.113.7'],
  ['version 2, IPv4 with extras', binary(0x21, 0x11, [...V4, 3, 0, 4, 1, 2, 3, 4]), '203.0.113.7'],
  ['version 2, IPv6', binary(0x21, 0x21, V6), '2001:db8::7'],
  ['TCP6, written at length', line('PROXY TCP6 2001:0DB8:0:0:0:0:0:7 ::1 1 2'), '2001:db8::7'],
  ['TCP6, a mapped address', line('PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2'), '203.0.113.7'],
  ['version 2, LOCAL', binary(0x20, 0x00, []), undefined],
  ['version 2, LOCAL with addresses', binary(0x20, 0x11, V4), undefined],
  ['version 2, a socket', binary(0x21, 0x31, new Array<number>(216).fill(0)), undefined],
];

describe('the PROXY header', () => {
  for (const [name, header, address] of GOOD)
    it(`tells where a connection comes from: ${name}, whatever it is split into and whatever follows`, () => {
      for (let length = 0; length < header.length; length++)
        assert.equal(readProxyHeader(header.subarray(0, length)), undefined, String(length));
      for (const rest of ['', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n'])
        assert.deepEqual(readProxyHeader(Buffer.concat([header, Buffer.from(rest)])), {
          address,
          length: header.length,
        });
    });

  it('is refused if it is none, or broken', () => {
    for (const bytes of [
      Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]),
      Buffer.from('GET / HTTP/1.1\r\n'),
      line('PROXY TCP4 203.0.113.7 10.0.0.1 12345'),
      line('PROXY TCP4 203.0.113.7 10.0.0.1 12345 65536'),
      line('PROXY TCP4 203.0.113.7 10.0.0.1 1 2 3'),
      line('PROXY TCP4 ::1 10.0.0.1 1 2'),
      line('PROXY TCP6 fe80::1%eth0 ::1 1 2'),
      line('PROXY TCP5 203.0.113.7 10.0.0.1 1 2'),
      Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`),
      binary(0x22, 0x11, V4),
      binary(0x11, 0x11, V4),
      binary(0x21, 0x11, V4.slice(0, 11)),
      binary(0x21, 0x21, V6.slice(0, 35)),
      binary(0x21, 0x11, new Array<number>(2049).fill(0)),
    ])
      assert.throws(() => readProxyHeader(bytes), NoProxyHeader, bytes.toString('latin1'));
  });

  it('makes nothing of other bytes than more, an address or a refusal', () => {
    const start = fc.constantFrom(
      Buffer.from('PROXY '),
      Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
      Buffer.alloc(0),
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (head, tail) => {
        const bytes = Buffer.concat([head, tail]);
        try {
          const header = readProxyHeader(bytes);
          if (header !== undefined) assert.ok(header.length <= bytes.length);
        } catch (error) {
          assert.ok(error instanceof NoProxyHeader);
        }
      }),
    );
  });
});
