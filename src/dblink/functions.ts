/** How PostgreSQL chooses among the signatures of the dblink functions (catalogue.ts). */

import {
  type ArgumentRole,
  CATALOGUE,
  type DblinkFunction,
  type DeclaredType,
  type Overload,
} from './catalogue.js';

export type { ArgumentRole, DblinkFunction, DeclaredType, Overload } from './catalogue.js';

const OVERLOADS: ReadonlyMap<DblinkFunction, readonly Overload[]> = new Map(
  CATALOGUE.map(({ name }) => [name, CATALOGUE.filter((other) => other.name === name)]),
);

/** The names of the functions. */
export const FUNCTION_NAMES: readonly DblinkFunction[] = [...OVERLOADS.keys()];

/** The overloads of a function: at least one. */
export const overloadsOf = (name: DblinkFunction): readonly Overload[] => OVERLOADS.get(name)!;

/**
 * The type of an argument as overload resolution sees it. `unknown`: a string literal, NULL, or a parameter without a
 * declared type. `other`: a type that PostgreSQL converts to none of the argument types implicitly.
 */
export type ArgumentKind = 'unknown' | 'text' | 'boolean' | 'integer' | 'other';

/** The types of a call's arguments. `open`: the type is not known yet. */
type Kinds = readonly (ArgumentKind | DeclaredType | 'open')[];

/**
 * Chooses among candidates as PostgreSQL does (PostgreSQL documentation, "Function Type Resolution", rules 4.a and 4.e).
 * A candidate must fit every argument. Where the type of an argument is unknown, a candidate that takes text is
 * preferred: text is the preferred type of the string category.
 * @param typesOf gives the declared types of a candidate's arguments
 * @param known the types of the call's arguments
 * @returns one candidate; several when some argument's type is not known yet; none when no candidate fits (42883) or the
 * call is ambiguous (42725)
 */
export function resolve<Candidate>(
  candidates: readonly Candidate[],
  typesOf: (candidate: Candidate) => readonly DeclaredType[],
  known: Kinds,
): readonly Candidate[] {
  const fitting = candidates.filter((candidate) => fits(typesOf(candidate), known));
  if (fitting.length < 2 || known.includes('open')) return fitting;
  const wanted = known.map((kind, i): DeclaredType | 'other' => {
    if (kind !== 'unknown') return kind as DeclaredType | 'other';
    const types = new Set(fitting.map((candidate) => typesOf(candidate)[i]!));
    return types.has('text') ? 'text' : types.size === 1 ? [...types][0]! : 'other';
  });
  return fitting.filter((candidate) => typesOf(candidate).every((type, i) => type === wanted[i]));
}

/** Whether arguments of these kinds can be given for these types. */
const fits = (types: readonly DeclaredType[], kinds: readonly string[]): boolean =>
  types.length === kinds.length && types.every((type, i) => isOpen(kinds[i]) || kinds[i] === type);

const isOpen = (kind: string | undefined): boolean => kind === 'unknown' || kind === 'open';

/**
 * The signature that PostgreSQL chooses. Where the type of an argument is `open`, it is only one that PostgreSQL may
 * choose.
 * @returns the roles of its arguments; undefined when no signature fits (42883), or more than one (42725)
 */
export function chooseSignature(name: DblinkFunction, kinds: Kinds): readonly ArgumentRole[] | undefined {
  if (kinds.length > MOST_ARGUMENTS) return undefined;
  const key = `${name} ${kinds.join()}`;
  let roles = SIGNATURES.get(key);
  if (roles === undefined) {
    roles = signatureFor(name, kinds) ?? 'none';
    if (SIGNATURES.size === MOST_SIGNATURES) SIGNATURES.clear();
    SIGNATURES.set(key, roles);
  }
  return roles === 'none' ? undefined : roles;
}

const MOST_SIGNATURES = 1000;
const MOST_ARGUMENTS = Math.max(...CATALOGUE.map(({ args }) => args.length));

/** What has been found. Programs use a few of the many possibilities. */
const SIGNATURES = new Map<string, readonly ArgumentRole[] | 'none'>();

function signatureFor(name: DblinkFunction, kinds: Kinds): readonly ArgumentRole[] | undefined {
  const [chosen] = resolve(overloadsOf(name), ({ args }) => args.map(({ type }) => type), kinds);
  return chosen?.args.map(({ role }) => role);
}

/** What PostgreSQL makes of a call: it chooses a signature, several are equally good (42725), or none fits (42883). */
export type Resolution = 'chosen' | 'ambiguous' | 'none';

/**
 * How PostgreSQL resolves a call. Where the type of an argument is `open`: the best resolution that any type leads to.
 */
export function resolutionOf(name: DblinkFunction, kinds: Kinds): Resolution {
  const open = kinds.indexOf('open');
  if (open >= 0) {
    const types = new Set(overloadsOf(name).flatMap(({ args }) => args[open]?.type ?? []));
    const found = new Set([...types].map((type) => resolutionOf(name, kinds.with(open, type))));
    return RESOLUTIONS.find((resolution) => found.has(resolution)) ?? 'none';
  }
  if (chooseSignature(name, kinds) !== undefined) return 'chosen';
  const candidates = overloadsOf(name).map(({ args }) => args.map(({ type }) => type));
  return candidates.some((types) => fits(types, kinds)) ? 'ambiguous' : 'none';
}

/** From the best to the worst. */
const RESOLUTIONS: readonly Resolution[] = ['chosen', 'ambiguous', 'none'];

/** Type OIDs that convert to text by an implicit cast: text, varchar, bpchar, name, "char". */
const TEXT_OIDS: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 18]);
/** Type OIDs that convert to integer by an implicit cast: int4, int2. */
const INTEGER_OIDS: ReadonlySet<number> = new Set([23, 21]);
const BOOL_OID = 16;
const UNKNOWN_OID = 705;

/** How a type takes part in overload resolution. @param oid of the type; 0 when none is declared */
export function kindOfType(oid: number): ArgumentKind {
  if (oid === 0 || oid === UNKNOWN_OID) return 'unknown';
  if (oid === BOOL_OID) return 'boolean';
  if (INTEGER_OIDS.has(oid)) return 'integer';
  return TEXT_OIDS.has(oid) ? 'text' : 'other';
}
