import { backend } from '../support/fakePrimary.js';
import { decode, type Piece } from './pieces.js';

const ID = '00000000-0000-0000-0000-000000000000';
const info = (message: string, more = ''): Buffer =>
  backend('N', `SINFO\0VINFO\0C00000\0M${message}\0${more}\0`);
const error = (severity: string, code: string, more = ''): Buffer =>
  backend('E', `S${severity}\0V${severity}\0C${code}\0Mfuzzed\0${more}\0`);
const authentication = (code: number, more = ''): Buffer => {
  const body = Buffer.alloc(4);
  body.writeInt32BE(code);
  return backend('R', Buffer.concat([body, Buffer.from(more, 'latin1')]));
};

/** What a server could say at the wrong time, or should never say. */
export const BACKEND_DONORS: readonly Piece[] = decode(
  Buffer.concat([
    ...[0, 1, 2, 3, 6, 7, 8, 9, 12, 99, -1].map((code) => authentication(code)),
    authentication(5, 'salt'),
    authentication(10, 'SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0'),
    authentication(10, 'NOSUCH\0\0'),
    authentication(10, 'unterminated'),
    authentication(11, 'r=abc,s=AAAA,i=4096'),
    authentication(11, `r=abc,s=AAAA,i=${'9'.repeat(400)}`),
    authentication(12, 'v=AAAA'),
    ...['I', 'T', 'E', 'x', '', 'IT'].map((status) => backend('Z', status)),
    backend('K', '\0\0\0\x05key!'),
    backend('K', '\0\0'),
    backend('K', `\0\0\0\x05${'k'.repeat(256)}`),
    backend('v', '\0\x03\0\0\0\0\0\0'),
    backend('v', '\0\x03\0\0\x7f\xff\xff\xff_pq_.x\0'),
    ...['SELECT 1', 'INSERT 0 4000000000', 'COPY', '', 'SELECT 99999999999999999999'].map((tag) =>
      backend('C', `${tag}\0`),
    ),
    backend('C', 'unterminated'),
    backend('D', '\0\x01\0\0\0\x011'),
    backend('D', '\xff\xff'),
    backend('D', '\0\x02\x7f\xff\xff\xff1'),
    backend('D', '\0\x01\xff\xff\xff\xfe'),
    backend('T', '\0\0'),
    backend('T', '\xff\xff'),
    backend('T', '\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0'),
    backend('t', '\0\x01\0\0\0\x17'),
    backend('t', '\xff\xff'),
    ...['1', '2', '3', 'n', 'I', 's', 'c'].map((type) => backend(type)),
    backend('G', '\0\0\x01\0\0'),
    backend('H', '\0\0\x01\0\0'),
    backend('W', '\0\0\x01\0\0'),
    backend('W', '\0\xff\xff'),
    backend('d', 'copied\tdata\n'),
    backend('V', '\0\0\0\x011'),
    backend('A', '\0\0\0\x01chan\0payload\0'),
    backend('A', '\0'),
    backend('S', 'client_encoding\0NOSUCH\0'),
    backend('S', 'client_encoding\0SQL_ASCII\0'),
    backend('S', 'server_version\x0099999999999999999\0'),
    backend('S', 'server_version\0nine\0'),
    backend('S', 'standard_conforming_strings\0off\0'),
    backend('S', 'DateStyle\0\0'),
    backend('S', '__proto__\0x\0'),
    backend('S', 'unterminated'),
    error('ERROR', '42601'),
    error('ERROR', 'DBPRX', 'Wdblink-proxy\0'),
    error('ERROR', '42804', 'Dwrong row type\0'),
    error('ERROR', '42601', 'P999999999999999\0'),
    error('ERROR', '42601', 'P-1\0p\0qSELECT 1\0'),
    error('ERROR', 'XX000', `W${'PL/pgSQL function '.repeat(3000)}\0`),
    error('ERROR', 'XX000', `W${'SQL statement "dblink-proxy '.repeat(3000)}\0`),
    error('ERROR', 'XX000', `D${' '.repeat(60_000)}x\0`),
    error('FATAL', '57P01'),
    error('PANIC', 'XX000'),
    backend('E'),
    backend('E', '\0'),
    backend('E', 'Munterminated'),
    backend('N'),
    backend('N', 'Munterminated'),
    ...['dblink_connect(text,text)', 'next', 'types', 'server', 'proved', 'again', 'vouch', 'nosuch'].map(
      (name) => info(`dblink-proxy:${ID}:${ID}:a:row:1:${name}:706f737467726573:63,-,64`),
    ),
    info('dblink-proxy:'),
    info(`dblink-proxy:${'x:'.repeat(5000)}`),
    info(`dblink-proxy:${ID}:${ID}:none:table:1:next:${'00'.repeat(40_000)}:${'-,'.repeat(20_000)}`),
    info('hello', `W${'PL/pgSQL function f() line 1 at RAISE\n'.repeat(2000)}\0`),
  ]),
).pieces;
