import type { AccessRule } from './access.js';
import { AddressSet } from './addresses.js';
import { namePattern } from './namePattern.js';
import type { Conditions, NamedPlace, Policy } from './rules.js';

/** Rules as they are written: plain data, which can go to another process. Lists have at least one entry. */
export interface WrittenConditions {
  /** Networks (isNetwork), names of networks, and names of places. */
  readonly address?: readonly string[];
  readonly host?: readonly string[];
  readonly port?: readonly number[];
  readonly database?: readonly string[];
  readonly user?: readonly string[];
  readonly server?: readonly string[];
  readonly from?: readonly string[];
  readonly client?: readonly string[];
  readonly roles?: readonly string[];
}

export interface WrittenRule {
  readonly action: 'allow' | 'deny';
  readonly conditions: WrittenConditions;
  readonly readOnly: boolean;
  /** Where it stands, as its author finds it. */
  readonly place: string;
}

export type WrittenPolicy = Omit<Policy, 'rules'> & { readonly rules: readonly WrittenRule[] };

export interface WrittenAccess extends Pick<WrittenConditions, 'client' | 'user' | 'database'> {
  readonly action: 'allow' | 'deny';
  readonly tls?: boolean;
}

/** What is known at run time only. */
export const PLACES: readonly NamedPlace[] = ['self', 'primary'];
const isPlace = (name: string): name is NamedPlace => (PLACES as readonly string[]).includes(name);

export const readPolicy = (written: WrittenPolicy): Policy => ({
  ...written,
  rules: written.rules.map((rule) => ({ ...rule, conditions: readConditions(rule.conditions) })),
});

export const readAccess = (written: readonly WrittenAccess[]): readonly AccessRule[] =>
  written.map(({ action, tls, ...written }) => {
    const { client, user, database } = readConditions(written);
    return { action, ...present({ client, user, database, tls }) };
  });

function readConditions({ address, port, roles, client, ...names }: WrittenConditions): Conditions {
  const { host, database, user, server, from } = names;
  return present({
    address: address && {
      networks: new AddressSet(address.filter((name) => !isPlace(name))),
      places: address.filter(isPlace),
    },
    host: host && namePattern(host, true),
    port,
    database: database && namePattern(database),
    user: user && namePattern(user),
    server: server && namePattern(server),
    from: from && namePattern(from),
    client: client && new AddressSet(client),
    roles,
  });
}

/** The members that are there. */
export const present = <T extends object>(members: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
