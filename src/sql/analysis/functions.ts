import {
  type ArgumentKind,
  type DblinkFunction,
  type DeclaredType,
  FUNCTION_NAMES,
  type Overload,
  overloadsOf,
  type Resolution,
  resolutionOf,
  resolve,
} from '../../dblink/functions.js';
import type { ArgumentType } from '../types.js';

export type { DeclaredType } from '../../dblink/functions.js';

interface FunctionFacts {
  readonly overloads: readonly (readonly DeclaredType[])[];
  /** `rows`: rows with whichever columns the caller gives. `table`: rows with columns of its own. */
  readonly returns: 'rows' | 'table' | 'text' | 'integer' | 'textArray' | 'void';
  /** Reads the session's state and changes nothing, here or on a remote. */
  readonly readsOnly: boolean;
  /** No plan except the bridge serves it. */
  readonly bridgeOnly: boolean;
}

function returnsOf({ returns, columns }: Overload): FunctionFacts['returns'] {
  switch (returns) {
    case 'setof record':
      return columns === undefined ? 'rows' : 'table';
    case 'setof dblink_pkey_results':
      return 'table';
    case 'text[]':
      return 'textArray';
    default:
      return returns;
  }
}

function factsOf(name: DblinkFunction): FunctionFacts {
  const overloads = overloadsOf(name);
  // The overloads of a function differ in nothing but their arguments.
  const first = overloads[0]!;
  return {
    overloads: overloads.map(({ args }) => args.map(({ type }) => type)),
    returns: returnsOf(first),
    readsOnly: first.readsOnly,
    bridgeOnly: first.runs !== 'everywhere',
  };
}

/** Every function, as far as the analysis needs to know it. */
export const FUNCTION_FACTS = Object.fromEntries(
  FUNCTION_NAMES.map((name) => [name, factsOf(name)]),
) as Readonly<Record<DblinkFunction, FunctionFacts>>;

/** Whether this is the name of a dblink function. */
export const isDblinkFunction = (name: string): name is DblinkFunction => Object.hasOwn(FUNCTION_FACTS, name);

/** The OID of the type of a function's value, by what the function returns. dblink() in a select list returns record. */
export const TYPE_OIDS: Readonly<Record<FunctionFacts['returns'], number>> = {
  rows: 2249,
  table: 2249,
  text: 25,
  integer: 23,
  textArray: 1009,
  void: 2278,
};

/**
 * Whether a function returns rows with the columns that its caller gives: dblink(), dblink_fetch(), dblink_get_result().
 */
export const returnsRows = ({ name }: { readonly name: DblinkFunction }): boolean =>
  FUNCTION_FACTS[name].returns === 'rows';

const kindsOf = (types: readonly ArgumentType[]): (ArgumentKind | 'open')[] =>
  types.map((type) =>
    type === 'parameter' || type === 'expression' ? 'open' : type === 'number' ? 'other' : type,
  );

const overloadsFor = (name: DblinkFunction, types: readonly ArgumentType[]): FunctionFacts['overloads'] =>
  resolve(FUNCTION_FACTS[name].overloads, (overload) => overload, kindsOf(types));

/** What PostgreSQL makes of a call whose arguments are of these types, as far as they are known. */
export const resolutionFor = (name: DblinkFunction, types: readonly ArgumentType[]): Resolution =>
  resolutionOf(name, kindsOf(types));

/**
 * The declared types of the overload that PostgreSQL chooses for arguments of these types. An argument of unknown type (a
 * literal, an untyped parameter) counts as text where an overload takes text there.
 * @returns a type for each argument; undefined where it depends on the type of an expression that only PostgreSQL knows
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
