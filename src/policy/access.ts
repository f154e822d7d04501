import type { AddressSet } from './addresses.js';
import type { NamePattern } from './namePattern.js';

/** A client that wants a session, before it has authenticated. Names are text. */
export interface Visitor {
  /** Its address; undefined for one that has come by a socket. */
  readonly client: string | undefined;
  readonly user: string;
  readonly database: string;
  /** Whether its connection is encrypted. */
  readonly tls: boolean;
}

/** Whom a rule means. What is not given does not matter. */
export interface AccessRule {
  readonly action: 'allow' | 'deny';
  readonly client?: AddressSet;
  readonly user?: NamePattern;
  readonly database?: NamePattern;
  readonly tls?: boolean;
}

/** Whether a client may enter. */
export interface Entry {
  readonly allowed: boolean;
  /** The rule that decided, or the setting where none fits. */
  readonly by: string;
}

/** Whether a client may ask the primary for a session. The first rule that fits decides; where there are rules and none fits, it may not. */
export function mayEnter(rules: readonly AccessRule[], visitor: Visitor): Entry {
  const i = rules.findIndex((one) => fits(one, visitor));
  return i < 0
    ? { allowed: rules.length === 0, by: 'access' }
    : { allowed: rules[i]!.action === 'allow', by: `access[${i}]` };
}

function fits(rule: AccessRule, { client, user, database, tls }: Visitor): boolean {
  if (rule.tls !== undefined && rule.tls !== tls) return false;
  const how = rule.action === 'allow' ? 'exactly' : 'leading to';
  if (rule.client?.has(client === undefined ? { socket: '' } : { address: client }, how) === false)
    return false;
  return rule.user?.(user) !== false && rule.database?.(database) !== false;
}
