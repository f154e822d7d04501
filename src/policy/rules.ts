import { isIP } from 'node:net';
import type { AddressSet, Destination } from './addresses.js';
import { guardOf } from './guards.js';
import type { NamePattern } from './namePattern.js';

/** A connection to a remote that somebody wants. Names are text. */
export interface Wanted {
  /** The name by which a foreign or declared server was asked for. Undefined for a connection string. */
  readonly server: string | undefined;
  /**
   * As it was written, or the directory of a socket. There are two where `hostaddr` says where the host is: a rule that allows has to mean both
   * of them, and one that denies only one.
   */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Of the client. */
  readonly from: string;
  /** The client's address; undefined for one that has come by a socket. */
  readonly client: string | undefined;
}

/** The proxy's own listeners, and the primary. */
export type NamedPlace = 'self' | 'primary';

/** What a rule wants of a connection. What is not given does not matter. */
export interface Conditions {
  /** Networks, and what is known at run time only. */
  readonly address?: { readonly networks: AddressSet; readonly places: readonly NamedPlace[] };
  readonly host?: NamePattern;
  readonly port?: readonly number[];
  readonly database?: NamePattern;
  readonly user?: NamePattern;
  readonly server?: NamePattern;
  readonly from?: NamePattern;
  readonly client?: AddressSet;
  /** Roles of the primary; one whose members the role of the call is among is enough. */
  readonly roles?: readonly string[];
}

export interface Rule {
  readonly action: 'allow' | 'deny';
  readonly conditions: Conditions;
  /** Sessions of what it allows stay read-only. */
  readonly readOnly: boolean;
  /** Where it stands, as its author finds it. */
  readonly place: string;
}

/** Who may reach what. */
export interface Policy {
  readonly rules: readonly Rule[];
  /** What holds where no rule fits. */
  readonly fallback: 'allow' | 'deny';
  /** Whether connection strings may be used, or only servers by name. */
  readonly connectionStrings: boolean;
  /** Whether a remote may be written to while the client's transaction is read-only. */
  readonly remoteWritesInReadOnly: 'allow' | 'deny';
}

/** What decides where no rule does. */
export const FALLBACK = 'policy.default';
export const CONNECTION_STRINGS = 'policy.connection_strings';

/** What a policy is asked about, beside the connection that is wanted. */
export interface PolicyFacts {
  /**
   * Whether the role whose rights count is a member of one of these. Undefined when no role is proven: then a rule that denies fits, and one
   * that allows does not.
   */
  readonly isMember: (roles: readonly string[]) => Promise<boolean | undefined>;
  /** Whether an address and port are the proxy's own, or the primary's. */
  readonly isAt: (place: NamedPlace, destination: Destination, port: number) => boolean;
}

export interface Ruling {
  /** `later`: that depends on the address, which is not known yet. */
  readonly action: 'allow' | 'deny' | 'later';
  /** What decided: the place of a rule, of a setting, or what is built in. */
  readonly by: string;
  readonly readOnly: boolean;
  /** The rules in front of that, and of each the condition that does not hold. */
  readonly passedOver: readonly { readonly place: string; readonly condition: keyof Conditions }[];
}

/**
 * Says whether a connection may be made. The first rule that fits decides.
 * @param destination where the connection would lead; undefined before the host is looked up
 */
export async function judge(
  { rules, fallback, connectionStrings }: Policy,
  wanted: Wanted,
  facts: PolicyFacts,
  destination?: Destination,
): Promise<Ruling> {
  const passedOver: { place: string; condition: keyof Conditions }[] = [];
  const ruling = (action: Ruling['action'], by: string, readOnly = false): Ruling => ({
    action,
    by,
    readOnly,
    passedOver,
  });
  if (!connectionStrings && wanted.server === undefined) return ruling('deny', CONNECTION_STRINGS);
  const guarded = ({ action, place, readOnly, conditions }: Rule): Ruling => {
    // A rule that allows what leads to a guarded place has to name it by its address.
    if (action === 'deny' || conditions.address !== undefined) return ruling(action, place, readOnly);
    if (destination === undefined) return ruling('later', place);
    const guard = guardOf(destination, wanted.port, facts.isAt);
    return guard === undefined ? ruling(action, place, readOnly) : ruling('deny', guard);
  };
  for (const rule of rules) {
    const condition = await unmet(rule, wanted, facts, destination);
    if (condition !== undefined) passedOver.push({ place: rule.place, condition });
    else if (rule.conditions.address === undefined || destination !== undefined) return guarded(rule);
    // It depends on the address. Nothing has to be looked up if the answer is a denial whichever it is.
    else if (rule.action === 'allow') return ruling('later', rule.place);
  }
  return guarded({ action: fallback, place: FALLBACK, readOnly: false, conditions: {} });
}

/**
 * The condition of a rule that does not hold; undefined when all hold, that of the address aside while that is not known. Those that cost
 * nothing come first, and the question to the primary last.
 */
async function unmet(
  { action, conditions }: Rule,
  wanted: Wanted,
  { isMember, isAt }: PolicyFacts,
  destination: Destination | undefined,
): Promise<keyof Conditions | undefined> {
  const { address, port, server, client, roles } = conditions;
  const { host } = conditions;
  const hosts = wanted.hosts.flatMap(spellings);
  if (host !== undefined && !(action === 'allow' ? hosts.every(host) : hosts.some(host))) return 'host';
  for (const name of ['database', 'user', 'from'] as const)
    if (conditions[name]?.(wanted[name]) === false) return name;
  if (port?.includes(wanted.port) === false) return 'port';
  if (server !== undefined && (wanted.server === undefined || !server(wanted.server))) return 'server';
  const how = action === 'allow' ? 'exactly' : 'leading to';
  if (client?.has(wanted.client === undefined ? { socket: '' } : { address: wanted.client }, how) === false)
    return 'client';
  if (address !== undefined && destination !== undefined) {
    const { networks, places } = address;
    const isThere =
      networks.has(destination, how) || places.some((place) => isAt(place, destination, wanted.port));
    if (!isThere) return 'address';
  }
  const isOneOf = (): Promise<boolean | undefined> | boolean => roles!.includes('public') || isMember(roles!);
  if (roles !== undefined && !((await isOneOf()) ?? action === 'deny')) return 'roles';
  return undefined;
}

/** Behind an address there may be a zone, in which anything can stand: what is meant is the address, too. */
const spellings = (host: string): readonly string[] => {
  const [address = ''] = host.split('%');
  return address !== host && isIP(address) !== 0 ? [host, address] : [host];
};
