import { DBLINK_FUNCTIONS as NAMES, overloadsOf, type ServedOverload } from '../../dblink/functions.js';
import type { ArgumentType, DblinkFunction } from './types.js';

/** Types in the signatures of the dblink functions that the proxy carries out. */
export type DeclaredType = ServedOverload['args'][number]['type'];

interface FunctionFacts {
  readonly overloads: readonly (readonly DeclaredType[])[];
  readonly returns: 'rows' | 'text' | 'textArray';
  /** Reads the session's state and changes nothing, here or on a remote. */
  readonly readsOnly: boolean;
}

const RETURNS: Readonly<Record<ServedOverload['returns'], FunctionFacts['returns']>> = {
  'setof record': 'rows',
  text: 'text',
  'text[]': 'textArray',
};

function factsOf(name: DblinkFunction): FunctionFacts {
  const overloads = overloadsOf(name);
  // The overloads of a function differ in nothing but their arguments.
  const { returns, readsOnly } = overloads[0]!;
  return {
    overloads: overloads.map(({ args }) => args.map(({ type }) => type)),
    returns: RETURNS[returns],
    readsOnly,
  };
}

/** Every function that the proxy carries out, as far as the analysis needs to know it. */
export const DBLINK_FUNCTIONS = Object.fromEntries(NAMES.map((name) => [name, factsOf(name)])) as Readonly<
  Record<DblinkFunction, FunctionFacts>
>;

export const isDblinkFunction = (name: string): name is DblinkFunction =>
  Object.hasOwn(DBLINK_FUNCTIONS, name);

const accepts = (declared: DeclaredType, given: ArgumentType): boolean =>
  given === 'unknown' || given === 'parameter' || given === 'expression' || given === declared;

const overloadsFor = (name: DblinkFunction, types: readonly ArgumentType[]): FunctionFacts['overloads'] =>
  DBLINK_FUNCTIONS[name].overloads.filter(
    (overload) => overload.length === types.length && overload.every((type, i) => accepts(type, types[i]!)),
  );

/** Is there an overload that arguments of these types can call? Without one PostgreSQL raises 42883 by itself. */
export const hasOverload = (name: DblinkFunction, types: readonly ArgumentType[]): boolean =>
  overloadsFor(name, types).length > 0;

/**
 * The declared types of the overload that PostgreSQL chooses for arguments of these types. An argument of unknown type
 * (a literal, an untyped parameter) counts as text where an overload takes text there (func_select_candidate prefers
 * the string category). undefined in a place: it depends on the type of an expression that only PostgreSQL knows.
 */
export function declaredTypes(
  name: DblinkFunction,
  types: readonly ArgumentType[],
): readonly (DeclaredType | undefined)[] {
  const matching = overloadsFor(name, types);
  return types.map((given, i) => {
    const candidates = new Set(matching.map((overload) => overload[i]!));
    if (candidates.size === 1) return [...candidates][0];
    return given === 'expression' ? undefined : 'text';
  });
}
