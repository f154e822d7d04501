import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PgError } from '../../../src/wire/errors.js';
import { startupMessage } from '../../../src/wire/outbound/startup.js';
import { protocolVersion } from '../../../src/wire/protocol.js';
import { Incomprehensible, parseStartupPacket, refusal, StartupReader } from '../../../src/wire/startup.js';

/** A packet of the phase before the session: its length, a code, and the rest. */
function packet(code: number, rest: Buffer | string = ''): Buffer {
  const body = typeof rest === 'string' ? Buffer.from(rest, 'latin1') : rest;
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + body.length, 0);
  head.writeInt32BE(code, 4);
  return Buffer.concat([head, body]);
}

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

const VERSION_3 = 0x30000;
const SSL = 80877103;
const GSSENC = 80877104;
const CANCEL = 80877102;

function refused(sqlstate: string, message: RegExp) {
  return (error: unknown): true => {
    assert.ok(error instanceof PgError, String(error));
    assert.equal(error.sqlstate, sqlstate);
    assert.equal(error.fields.severity, 'FATAL');
    assert.match(error.message, message);
    return true;
  };
}

describe('startup packets', () => {
  it('reads a startup packet with its parameters and keeps its bytes', () => {
    const raw = packet(VERSION_3, 'user\0alice\0database\0shop\0options\0-c x=\\ y\0\0');
    const startup = parseStartupPacket(raw);
    assert.ok(startup.kind === 'startup');
    assert.deepEqual([startup.major, startup.minor], [3, 0]);
    assert.deepEqual(
      [...startup.parameters],
      [
        ['user', 'alice'],
        ['database', 'shop'],
        ['options', '-c x=\\ y'],
      ],
    );
    assert.deepEqual(startup.raw, raw);
  });

  it('takes every minor version of protocol 3, also the one that clients use to keep servers honest', () => {
    for (const minor of [0, 2, 9999, 65535]) {
      const startup = parseStartupPacket(packet(VERSION_3 + minor, 'user\0u\0_pq_.grease\0x\0\0'));
      assert.ok(startup.kind === 'startup');
      assert.equal(startup.minor, minor);
    }
  });

  it('keeps names and values apart from anything of the language', () => {
    const startup = parseStartupPacket(packet(VERSION_3, 'user\0u\0__proto__\0x\0constructor\0y\0\0'));
    assert.ok(startup.kind === 'startup');
    assert.equal(startup.parameters.get('__proto__'), 'x');
    assert.equal(startup.parameters.get('constructor'), 'y');
    assert.equal(startup.parameters.get('toString'), undefined);
  });

  it('keeps bytes that are not UTF-8', () => {
    const startup = parseStartupPacket(packet(VERSION_3, Buffer.from('user\0M\xfcller\xff\0\0', 'latin1')));
    assert.ok(startup.kind === 'startup');
    assert.deepEqual(
      Buffer.from(startup.parameters.get('user')!, 'latin1'),
      Buffer.from('M\xfcller\xff', 'latin1'),
    );
  });

  it('lets the last of several values count, as PostgreSQL does', () => {
    const startup = parseStartupPacket(packet(VERSION_3, 'user\0first\0user\0second\0\0'));
    assert.ok(startup.kind === 'startup');
    assert.equal(startup.parameters.get('user'), 'second');
  });

  it('refuses packets that end too early or too late', () => {
    for (const rest of ['', 'user', 'user\0', 'user\0u', 'user\0u\0', 'user\0u\0database\0', 'user\0u\0xy']) {
      assert.throws(
        () => parseStartupPacket(packet(VERSION_3, rest)),
        refused('08P01', /./),
        JSON.stringify(rest),
      );
    }
    assert.throws(
      () => parseStartupPacket(packet(VERSION_3, 'user\0u\0\0more')),
      refused('08P01', /expected terminator as last byte/),
    );
  });

  it('refuses a packet without a user', () => {
    for (const rest of ['\0', 'database\0d\0\0', 'user\0\0\0']) {
      assert.throws(
        () => parseStartupPacket(packet(VERSION_3, rest)),
        refused('28000', /no PostgreSQL user name/),
      );
    }
  });

  it('refuses other protocol versions, naming them', () => {
    for (const [code, name] of [
      [0x10000, '1.0'],
      [0x20000, '2.0'],
      [0x40000, '4.0'],
      [-1, '65535.65535'],
    ] as const) {
      assert.throws(
        () => parseStartupPacket(packet(code, 'user\0u\0\0')),
        refused('0A000', new RegExp(`unsupported frontend protocol ${name.replace('.', '\\.')}:`)),
      );
    }
  });

  it('reads encryption requests, with or without something behind the code, as PostgreSQL does', () => {
    for (const rest of ['', 'x']) {
      assert.deepEqual(parseStartupPacket(packet(SSL, rest)), { kind: 'ssl' });
      assert.deepEqual(parseStartupPacket(packet(GSSENC, rest)), { kind: 'gssenc' });
    }
  });

  it('reads cancel requests with keys of 1 to 256 bytes', () => {
    for (const length of [1, 4, 32, 256]) {
      const key = Buffer.alloc(length, 7);
      const request = parseStartupPacket(packet(CANCEL, Buffer.concat([int32(-5), key])));
      assert.deepEqual(request, { kind: 'cancel', processId: -5, key });
    }
    for (const rest of [
      Buffer.alloc(0),
      Buffer.alloc(3),
      Buffer.alloc(4),
      Buffer.alloc(4 + 257),
      Buffer.alloc(9000),
    ]) {
      assert.throws(() => parseStartupPacket(packet(CANCEL, rest)), Incomprehensible, `${rest.length} bytes`);
    }
  });

  it('writes a packet that it reads back', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.tuple(
            fc.stringMatching(/^[a-z_.]{1,10}$/),
            fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)) }),
          ),
          { selector: ([name]) => name },
        ),
        fc.integer({ min: 0, max: 9999 }),
        (others, minor) => {
          const parameters: [string, string][] = [
            ['user', 'u'],
            ...others.filter(([name]) => name !== 'user'),
          ];
          const startup = parseStartupPacket(startupMessage(parameters, protocolVersion(3, minor)));
          assert.ok(startup.kind === 'startup');
          assert.deepEqual([...startup.parameters], parameters);
          assert.equal(startup.minor, minor);
        },
      ),
    );
  });

  it('never fails otherwise than with an error for the client or the log', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(VERSION_3, SSL, GSSENC, CANCEL, 0, -1, 0x20000),
        fc.uint8Array({ maxLength: 60 }),
        (code, rest) => {
          try {
            parseStartupPacket(packet(code, Buffer.from(rest)));
          } catch (error) {
            assert.ok(error instanceof PgError || error instanceof Incomprehensible, String(error));
          }
        },
      ),
      { numRuns: 3000, seed: 11 },
    );
  });

  it('are refused in the form that the client can read', () => {
    const error = new PgError('0A000', 'unsupported', { severity: 'FATAL' });
    assert.deepEqual(refusal(error, packet(0x20000, 'user\0u\0\0')), Buffer.from('EFATAL:  unsupported\n\0'));
    for (const bytes of [undefined, packet(VERSION_3), packet(0x40000), packet(SSL), packet(CANCEL)]) {
      const answer = refusal(error, bytes);
      assert.equal(answer.readInt32BE(1), answer.length - 1);
      assert.match(answer.toString('latin1'), /^E....SFATAL\0VFATAL\0C0A000\0Munsupported\0\0$/s);
    }
  });
});

describe('startup reader', () => {
  /** A socket that gives these chunks, one after another, and then ends. */
  function socketOf(chunks: readonly Buffer[], end = true): Socket {
    const stream = new PassThrough();
    void (async () => {
      for (const chunk of chunks) {
        stream.write(chunk);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (end) stream.end();
    })();
    return stream as unknown as Socket;
  }

  const first = packet(SSL);
  const second = packet(VERSION_3, 'user\0u\0\0');

  it('gives the packets however they are split', async () => {
    const bytes = Buffer.concat([first, second, Buffer.from('rest')]);
    for (let at = 0; at <= bytes.length; at += 1) {
      const pieces = [bytes.subarray(0, at), bytes.subarray(at)].filter(({ length }) => length > 0);
      const reader = new StartupReader(socketOf(pieces));
      assert.deepEqual(await reader.next(), first);
      assert.deepEqual(await reader.next(), second);
      // What comes behind belongs to somebody else; it may still be in the socket.
      assert.ok('rest'.startsWith(reader.rest.toString()));
    }
  });

  it('gives packets that come one byte at a time', async () => {
    const bytes = Buffer.concat([first, second]);
    const reader = new StartupReader(socketOf([...bytes].map((byte) => Buffer.from([byte]))));
    assert.deepEqual(await reader.next(), first);
    assert.deepEqual(await reader.next(), second);
    assert.equal(await reader.next(), undefined);
  });

  it('gives nothing when the client leaves, also in the middle of a packet', async () => {
    assert.equal(await new StartupReader(socketOf([])).next(), undefined);
    assert.equal(await new StartupReader(socketOf([second.subarray(0, 3)])).next(), undefined);
    assert.equal(await new StartupReader(socketOf([second.subarray(0, 12)])).next(), undefined);
  });

  it('refuses lengths that no packet can have, before the rest has come', async () => {
    for (const length of [0, 1, 3, 4, 7, -1, -0x80000000, 10_005, 0x7fffffff]) {
      const reader = new StartupReader(socketOf([int32(length)], false));
      await assert.rejects(reader.next(), Incomprehensible, `${length}`);
    }
    const longest = packet(VERSION_3, `user\0${'u'.repeat(10_004 - 8 - 7)}\0\0`);
    assert.equal(longest.length, 10_004);
    assert.deepEqual(await new StartupReader(socketOf([longest])).next(), longest);
  });

  it('recognises a TLS handshake by its first byte and leaves it whole', async () => {
    const hello = Buffer.from([0x16, 3, 1, 2, 0, 1]);
    const reader = new StartupReader(socketOf([hello], false));
    assert.equal(await reader.next((byte) => byte === 0x16), 'tls');
    assert.deepEqual(reader.rest, hello);
    assert.deepEqual(await new StartupReader(socketOf([second])).next((byte) => byte === 0x16), second);
  });
});
