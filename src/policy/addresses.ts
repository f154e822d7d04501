import { BlockList, isIP } from 'node:net';

/** Where a connection leads once its host has been looked up: an address, or a socket of the proxy's host. */
export type Destination = { readonly address: string } | { readonly socket: string };

/** Networks by name. A connection to the unspecified address ends at the own host. */
const NETWORKS = {
  loopback: ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128'],
  'link-local': ['169.254.0.0/16', 'fe80::/10'],
  // Where clouds tell a machine its credentials. 100.100.100.200 and 192.0.0.192 are those of two that use no link-local address.
  metadata: ['169.254.0.0/16', 'fd00:ec2::254/128', '100.100.100.200/32', '192.0.0.192/32'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'],
} as const;

/** Ways to put an IPv4 address into an IPv6 one, beside `::ffff:0:0/96`: by how many bytes the address begins. */
const EMBEDDED: readonly (readonly [network: string, at: number])[] = [
  ['64:ff9b::/96', 12],
  ['::/96', 12],
  ['2002::/16', 2],
];

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

/** The sixteen bytes of an IPv6 address. */
function bytesOfV6(address: string): readonly number[] {
  const [head = '', tail] = address.split('::') as [string, string?];
  const groups = (text: string): number[] =>
    text === ''
      ? []
      : text.split(':').flatMap((group) => {
          if (!group.includes('.')) return [Number.parseInt(group, 16)];
          const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
          return [a * 256 + b, c * 256 + d];
        });
  const before = groups(head);
  const behind = tail === undefined ? [] : groups(tail);
  const all = [...before, ...new Array<number>(8 - before.length - behind.length).fill(0), ...behind];
  return all.flatMap((group) => [group >> 8, group & 255]);
}

/** The IPv4 address that an IPv6 address leads to, by one of the ways in which networks carry it. */
function embedded(address: string): string | undefined {
  const way = EMBEDDED.find(([network]) => networkOf([network]).check(address, 'ipv6'));
  return way === undefined
    ? undefined
    : bytesOfV6(address)
        .slice(way[1], way[1] + 4)
        .join('.');
}

function networkOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    list.addSubnet(address, Number(prefix), familyOf(address));
  }
  return list;
}

/** The names that networks have in rules. */
export const NETWORK_NAMES: readonly string[] = Object.keys(NETWORKS);

/** Whether a text is an address, or a network such as `10.0.0.0/8`. */
export function isNetwork(text: string): boolean {
  const [address = '', prefix, more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || more !== undefined) return false;
  if (prefix === undefined) return true;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}

/** A set of addresses. However an address is written, it is the same one. */
export class AddressSet {
  readonly #list: BlockList;
  /** Whether sockets of the host are in it: nothing is nearer. */
  readonly #sockets: boolean;

  /** @param members addresses and networks (isNetwork), and names of networks */
  constructor(members: readonly string[]) {
    this.#list = networkOf(
      members.flatMap((member) => {
        const named = (NETWORKS as Readonly<Record<string, readonly string[]>>)[member];
        if (named !== undefined) return named;
        return [member.includes('/') ? member : `${member}/${isIP(member) === 4 ? 32 : 128}`];
      }),
    );
    this.#sockets = members.includes('loopback');
  }

  /** @param how `exactly`: an IPv6 address does not count as the IPv4 one that networks may make of it, unless it is the mapped form */
  has(destination: Destination, how: 'leading to' | 'exactly' = 'leading to'): boolean {
    if ('socket' in destination) return this.#sockets;
    const [address = ''] = destination.address.split('%');
    if (isIP(address) === 0) return false;
    if (this.#list.check(address, familyOf(address))) return true;
    const inside = how === 'leading to' && isIP(address) === 6 ? embedded(address) : undefined;
    return inside !== undefined && this.#list.check(inside, 'ipv4');
  }
}
