import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Any port would do, because nothing is sent there. */
const DISCARD_PORT = 9;

/** Writes an IPv4 address at the end of an IPv6 address (`::ffff:192.0.2.1`) as two groups of hexadecimal digits. */
function withDottedEnd(address: string): string {
  const start = address.lastIndexOf(':') + 1;
  const end = address.slice(start);
  if (!end.includes('.')) return address;
  const [a = 0, b = 0, c = 0, d = 0] = end.split('.').map(Number);
  return `${address.slice(0, start)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** An address as 16 bytes. An IPv4 address becomes the IPv6 address that stands for it (`::ffff:0:0/96`). */
function addressBytes(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  if (isIP(address) === 4) {
    bytes.set([0xff, 0xff, ...address.split('.').map(Number)], 10);
    return bytes;
  }
  const [withoutZone = ''] = address.split('%', 1);
  const [head = '', tail] = withDottedEnd(withoutZone).split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const before = groups(head);
  const behind = groups(tail ?? '');
  const all = [
    ...before,
    ...new Array<number>(Math.max(0, 8 - before.length - behind.length)).fill(0),
    ...behind,
  ];
  for (const [index, group] of all.slice(0, 8).entries()) bytes.set([group >> 8, group & 0xff], index * 2);
  return bytes;
}

/** The default policy table (RFC 6724, section 2.1): prefix, its length in bits, precedence, label. The longest come first. */
const POLICY = (
  [
    ['::1', 128, 50, 0],
    ['::ffff:0:0', 96, 35, 4],
    ['2002::', 16, 30, 2],
    ['2001::', 32, 5, 5],
    ['fc00::', 7, 3, 13],
    ['::', 96, 1, 3],
    ['fec0::', 10, 1, 11],
    ['3ffe::', 16, 1, 12],
    ['::', 0, 40, 1],
  ] as const
)
  .map(([prefix, length, precedence, label]) => ({ prefix: addressBytes(prefix), length, precedence, label }))
  .sort((a, b) => b.length - a.length);

const policyOf = (address: Uint8Array): (typeof POLICY)[number] =>
  POLICY.find(({ prefix, length }) => commonBits(address, prefix) >= length)!;

function commonBits(a: Uint8Array, b: Uint8Array): number {
  for (let index = 0; index < 16; index++) {
    const difference = a[index]! ^ b[index]!;
    if (difference !== 0) return index * 8 + Math.clz32(difference) - 24;
  }
  return 128;
}

/** The scope of an address (RFC 6724, section 3.1): 2 link-local, 5 site-local, 14 global. */
function scopeOf(bytes: Uint8Array): number {
  const [a = 0, b = 0] = bytes;
  if (commonBits(bytes, IPV4) >= 96) {
    const [first, second] = bytes.subarray(12);
    return first === 127 || (first === 169 && second === 254) ? 2 : 14;
  }
  if (a === 0xff) return b & 0xf;
  if (a === 0xfe && (b & 0xc0) === 0x80) return 2;
  if (a === 0xfe && (b & 0xc0) === 0xc0) return 5;
  return commonBits(bytes, LOOPBACK) === 128 ? 2 : 14;
}

const IPV4 = addressBytes('::ffff:0:0');
const LOOPBACK = addressBytes('::1');

/** A destination, and the address of this host that a connection to it would come from. */
export interface Candidate {
  readonly address: string;
  /** Undefined when this host cannot reach the address. */
  readonly source: string | undefined;
}

interface Ranked extends Candidate {
  readonly scope: number;
  readonly precedence: number;
  readonly sameScope: boolean;
  readonly sameLabel: boolean;
  readonly prefix: number;
  readonly family: number;
}

function rank({ address, source }: Candidate, netmaskOf: (source: string) => string | undefined): Ranked {
  const bytes = addressBytes(address);
  const scope = scopeOf(bytes);
  const { precedence, label } = policyOf(bytes);
  const family = isIP(address);
  const from = source === undefined ? undefined : addressBytes(source);
  let prefix = 0;
  if (from !== undefined) {
    const common = commonBits(bytes, from);
    const netmask = family === 4 ? netmaskOf(source!) : undefined;
    // As in the C library: for IPv4 the common prefix only counts if the destination is in the network of the source.
    if (
      family === 6 ||
      (netmask !== undefined && common >= commonBits(addressBytes(netmask), addressBytes('255.255.255.255')))
    ) {
      prefix = common;
    }
  }
  return {
    address,
    source,
    scope,
    precedence,
    sameScope: from !== undefined && scopeOf(from) === scope,
    sameLabel: from !== undefined && policyOf(from).label === label,
    prefix,
    family,
  };
}

/**
 * Compares by the rules of RFC 6724, section 6. Those about mobile and deprecated addresses are left out.
 * @returns negative when a comes first, positive when b does
 */
function compare(a: Ranked, b: Ranked): number {
  const usable = Number(b.source !== undefined) - Number(a.source !== undefined);
  if (usable !== 0) return usable;
  if (a.sameScope !== b.sameScope) return a.sameScope ? -1 : 1;
  if (a.sameLabel !== b.sameLabel) return a.sameLabel ? -1 : 1;
  if (a.precedence !== b.precedence) return b.precedence - a.precedence;
  if (a.scope !== b.scope) return a.scope - b.scope;
  return a.family === b.family ? b.prefix - a.prefix : 0;
}

/**
 * Sorts addresses into the order in which to try them (RFC 6724, section 6), as getaddrinfo() does.
 * @param netmaskOf returns the netmask of an IPv4 address of this host
 */
export const ordered = (
  candidates: readonly Candidate[],
  netmaskOf: (source: string) => string | undefined = ownNetmask,
): readonly string[] =>
  candidates
    .map((candidate) => rank(candidate, netmaskOf))
    .sort(compare)
    .map(({ address }) => address);

function ownNetmask(source: string): string | undefined {
  for (const addresses of Object.values(networkInterfaces())) {
    const own = addresses?.find(({ address }) => address === source);
    if (own !== undefined) return own.netmask;
  }
  return undefined;
}

/**
 * Sorts addresses into the order in which to try them. The system is asked which address of this host a connection would come
 * from, for one destination after the other.
 */
export async function inOrder(addresses: readonly string[]): Promise<readonly string[]> {
  if (addresses.length < 2) return addresses;
  const candidates: Candidate[] = [];
  for (const address of addresses) candidates.push({ address, source: await sourceOf(address) });
  return ordered(candidates);
}

/** The address of this host from which it would reach another one, if it can. No packet is sent. */
function sourceOf(address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
    let settled = false;
    const settle = (source: string | undefined): void => {
      if (settled) return;
      settled = true;
      try {
        socket.close();
      } catch {
        // The socket was never open.
      }
      resolve(source);
    };
    socket.on('error', () => settle(undefined));
    try {
      socket.connect(DISCARD_PORT, address, (...[error]: unknown[]) =>
        settle(error ? undefined : socket.address().address),
      );
    } catch {
      settle(undefined);
    }
  });
}
