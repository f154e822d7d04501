/** How PostgreSQL chooses among the signatures of the functions that the proxy carries out (catalogue.ts). */

import { CATALOGUE, isServed, type Role, type ServedFunction, type ServedOverload } from './catalogue.js';

export type { Role, ServedFunction as DblinkFunction, ServedOverload } from './catalogue.js';

const SERVED: readonly ServedOverload[] = CATALOGUE.filter(isServed);

/** The names of the functions that the proxy carries out. */
export const DBLINK_FUNCTIONS: readonly ServedFunction[] = [...new Set(SERVED.map(({ name }) => name))];

const OVERLOADS: ReadonlyMap<string, readonly ServedOverload[]> = new Map(
  DBLINK_FUNCTIONS.map((name) => [name, SERVED.filter((overload) => overload.name === name)]),
);

/** The overloads of a function that the proxy carries out: at least one. */
export const overloadsOf = (name: ServedFunction): readonly ServedOverload[] => OVERLOADS.get(name)!;

/**
 * The type of an argument as overload resolution sees it: `unknown` for string literals, NULL and parameters without a
 * declared type; `other` for a type that converts to none of the argument types by itself.
 */
export type ArgumentKind = 'unknown' | 'text' | 'boolean' | 'other';

/**
 * The signature that PostgreSQL chooses: candidates that every argument fits; unknown ones prefer text, because it is
 * the string category's preferred type (PostgreSQL documentation, "Function Type Resolution").
 * @returns undefined when no signature fits (42883)
 */
export function chooseSignature(
  name: ServedFunction,
  kinds: readonly ArgumentKind[],
): readonly Role[] | undefined {
  const fits = overloadsOf(name).filter(
    ({ args }) =>
      args.length === kinds.length &&
      args.every(({ type }, i) => kinds[i] === 'unknown' || kinds[i] === type),
  );
  const preferred = fits.find(({ args }) =>
    args.every(({ type }, i) => kinds[i] !== 'unknown' || type === 'text'),
  );
  return (preferred ?? fits[0])?.args.map(({ role }) => role);
}

/** Type OIDs that convert to text by an implicit cast: text, varchar, bpchar, name, "char". */
const TEXT_OIDS: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 18]);
const BOOL_OID = 16;
const UNKNOWN_OID = 705;

/** How a type takes part in overload resolution. */
export function kindOfType(oid: number): ArgumentKind {
  if (oid === 0 || oid === UNKNOWN_OID) return 'unknown';
  if (oid === BOOL_OID) return 'boolean';
  return TEXT_OIDS.has(oid) ? 'text' : 'other';
}
