import { frontend } from '../../support/wire.js';
import type { Named } from './refusedMessages.js';

/** What no client sends before its session begins, each with a name: all that it sends, one answer of a byte after the other. */

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

const packet = (code: number, rest: string | Buffer = ''): Buffer =>
  Buffer.concat([int32(8 + rest.length), int32(code), Buffer.from(rest as string, 'latin1')]);

const PROTOCOL = 0x30000;
const SSL = packet(80877103);
const GSSENC = packet(80877104);
const cancel = (rest: number): Buffer => packet(80877102, Buffer.alloc(rest));
const STARTUP = frontend.startup({ user: 'postgres' });

const one = (name: string, bytes: Buffer) => [name, [bytes]] as const;

/** Each flight but the last one is answered by a byte. */
export const refusedStartups: Named<readonly Buffer[]> = [
  ...[0, 1, 3, 4, 7, 8, -1, -0x80000000, 10_001, 10_005, 0x7fffffff].map((length) =>
    one(`length ${length}`, Buffer.concat([int32(length), Buffer.alloc(8)])),
  ),
  one('nothing', Buffer.alloc(0)),
  one('a part of a length', Buffer.from('00', 'hex')),
  one('a part of a packet', STARTUP.subarray(0, 12)),
  one('a Terminate', frontend.terminate()),
  one('a Query', frontend.query('SELECT 1')),
  one('a request of another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
  one('a TLS handshake', Buffer.from('160301006c010000680303', 'hex')),
  one('garbage that begins like TLS', Buffer.from('16161616161616161616161616', 'hex')),
  ...[0, 1, 0x10000, 0x1ffff, 0x20000, 0x40000, 0x90009, 1234 << 16, 0x7fffffff, -1].map((code) =>
    one(`version ${code >>> 16}.${code & 0xffff}`, packet(code, 'user\0postgres\0\0')),
  ),
  one('a version and nothing else', packet(0x40000)),
  one('a version, and no end', packet(0x40000, 'user')),
  one('no user', packet(PROTOCOL, '\0')),
  one('no user, but a database', packet(PROTOCOL, 'database\0postgres\0\0')),
  one('no user, of a minor version that there is not', packet(PROTOCOL + 9999, 'database\0postgres\0\0')),
  one('no user, and an option of the protocol', packet(PROTOCOL, '_pq_.x\0y\0\0')),
  one('an empty user', packet(PROTOCOL, 'user\0\0\0')),
  one('parameters without an end', packet(PROTOCOL, 'user\0postgres\0')),
  one('nothing at all', packet(PROTOCOL)),
  one('a name without a value', packet(PROTOCOL, 'user\0postgres\0database\0')),
  one('a letter in the place of the end', packet(PROTOCOL, 'user\0nobody\0x')),
  one('more behind the end', packet(PROTOCOL, 'user\0postgres\0\0more')),
  one('a replication that is none', packet(PROTOCOL, 'user\0postgres\0replication\0maybe\0\0')),
  one(
    'replication of no database',
    packet(PROTOCOL, 'user\0postgres\0replication\0database\0database\0no\0\0'),
  ),
  one('an option of the command line', packet(PROTOCOL, 'user\0postgres\0options\0--nothing=1\0\0')),
  one('a setting that is none', packet(PROTOCOL, 'user\0postgres\0nothing\0x\0\0')),
  one('a long name', packet(PROTOCOL, `user\0${'x'.repeat(9000)}\0\0`)),
  ...[0, 3, 4, 5, 7, 9, 32, 256 + 4, 257 + 4].map((rest) =>
    one(`a cancel request of ${rest} bytes`, cancel(rest)),
  ),
  ['encryption twice', [SSL, SSL]],
  ['encryption by GSSAPI twice', [GSSENC, GSSENC]],
  ['encryption of both kinds, and again', [SSL, GSSENC, SSL]],
  ['encryption of both kinds, and GSSAPI again', [GSSENC, SSL, GSSENC]],
  ['encryption, then a version', [SSL, packet(0x40000)]],
  ['encryption, then no user', [SSL, packet(PROTOCOL, '\0')]],
  ['encryption, then a cancel request', [SSL, cancel(8)]],
  ['encryption, then TLS', [SSL, Buffer.from('160301006c010000680303', 'hex')]],
  one('encryption with a body', packet(80877103, 'x')),
  one('encryption with a startup packet behind it', Buffer.concat([SSL, STARTUP])),
  one('GSSAPI with a startup packet behind it', Buffer.concat([GSSENC, STARTUP])),
];
