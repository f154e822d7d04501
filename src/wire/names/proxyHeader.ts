import { isIP, SocketAddress } from 'node:net';

/**
 * The header with which a balancer tells where a connection comes from (PROXY protocol, versions 1 and 2, of HAProxy). It comes before
 * everything else, and only who is trusted may send one.
 */

/** Where a connection comes from. Undefined for one of the balancer's own, such as a health check: it counts as what it is. */
export interface ProxyHeader {
  readonly address: string | undefined;
  /** How many bytes the header has. */
  readonly length: number;
}

/** It is no header, or a broken one. */
export class NoProxyHeader extends Error {}

const LINE_START = Buffer.from('PROXY ', 'latin1');
/** The longest line of version 1, with its end. */
const MAX_LINE_BYTES = 107;

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIXED_BYTES = SIGNATURE.length + 4;
/** Longer ones would have more than addresses and some small extras. The format allows 65,535. */
const MAX_BODY_BYTES = 2048;

/**
 * Reads a header.
 * @param bytes that have come so far
 * @returns undefined while there have to come more
 * @throws NoProxyHeader
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (begins(bytes, LINE_START)) return readLine(bytes);
  if (begins(bytes, SIGNATURE)) return readBinary(bytes);
  throw new NoProxyHeader('a connection from a trusted balancer begins without a PROXY header');
}

/** Whether the bytes are the beginning of a pattern, or begin with it. */
function begins(bytes: Buffer, pattern: Buffer): boolean {
  const length = Math.min(bytes.length, pattern.length);
  return bytes.subarray(0, length).equals(pattern.subarray(0, length));
}

function readLine(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf('\r\n');
  if (end < 0 && bytes.length < MAX_LINE_BYTES) return undefined;
  const [, family, source, destination, from, to, more] = bytes
    .toString('latin1', 0, Math.max(end, 0))
    .split(' ');
  const length = end + 2;
  if (end >= 0 && family === 'UNKNOWN') return { address: undefined, length };
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0;
  const isWhole = [source, destination].every(
    (address) => version > 0 && isIP(address ?? '') === version && !address?.includes('%'),
  );
  if (end < 0 || !isWhole || ![from, to].every(isPort) || more !== undefined)
    throw new NoProxyHeader('a PROXY header of version 1 cannot be read');
  return { address: canonical(source!), length };
}

const isPort = (text: string | undefined): boolean => /^\d{1,5}$/.test(text ?? '') && Number(text) <= 65_535;

function readBinary(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  const command = bytes[SIGNATURE.length]!;
  const family = bytes[SIGNATURE.length + 1]!;
  const size = bytes.readUInt16BE(SIGNATURE.length + 2);
  if (command !== 0x20 && command !== 0x21)
    throw new NoProxyHeader('a PROXY header has an unknown version or command');
  if (size > MAX_BODY_BYTES)
    throw new NoProxyHeader(`a PROXY header has ${size} bytes of addresses and extras`);
  const length = FIXED_BYTES + size;
  if (bytes.length < length) return undefined;
  // LOCAL: the balancer itself.
  if (command === 0x20) return { address: undefined, length };
  const body = bytes.subarray(FIXED_BYTES, length);
  switch (family) {
    case 0x11:
      if (size < 12) break;
      return { address: body.subarray(0, 4).join('.'), length };
    case 0x21:
      if (size < 36) break;
      return { address: canonical(groupsOf(body.subarray(0, 16))), length };
    default:
      // Sockets and what else there may be have no address that would tell anything.
      return { address: undefined, length };
  }
  throw new NoProxyHeader('a PROXY header is too short for its addresses');
}

/** An address as the system writes it, so that each has one form only. A mapped one is the IPv4 address. */
const canonical = (address: string): string =>
  new SocketAddress({ address, family: isIP(address) === 4 ? 'ipv4' : 'ipv6' }).address.replace(
    /^::ffff:(?=\d+\.)/,
    '',
  );

function groupsOf(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return groups.join(':');
}
