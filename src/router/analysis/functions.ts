import type { ArgumentType, DblinkFunction } from './types.js';

/** Types in the signatures of the dblink functions that this table holds. */
export type DeclaredType = 'text' | 'boolean';

interface FunctionFacts {
  readonly overloads: readonly (readonly DeclaredType[])[];
  readonly returns: 'rows' | 'text' | 'textArray';
  /** Reads the session's state and changes nothing, here or on a remote. */
  readonly readsOnly: boolean;
}

const TEXT = ['text'] as const;
const TEXT_TEXT = ['text', 'text'] as const;
/** dblink and dblink_exec share their four overloads; the boolean is fail_on_error. */
const WITH_FAIL_ON_ERROR = [TEXT, ['text', 'boolean'], TEXT_TEXT, ['text', 'text', 'boolean']] as const;

/** Every function that the proxy carries out (behaviour reference, section 1). */
export const DBLINK_FUNCTIONS: Readonly<Record<DblinkFunction, FunctionFacts>> = {
  dblink: { overloads: WITH_FAIL_ON_ERROR, returns: 'rows', readsOnly: false },
  dblink_connect: { overloads: [TEXT, TEXT_TEXT], returns: 'text', readsOnly: false },
  dblink_connect_u: { overloads: [TEXT, TEXT_TEXT], returns: 'text', readsOnly: false },
  dblink_disconnect: { overloads: [[], TEXT], returns: 'text', readsOnly: false },
  dblink_exec: { overloads: WITH_FAIL_ON_ERROR, returns: 'text', readsOnly: false },
  dblink_get_connections: { overloads: [[]], returns: 'textArray', readsOnly: true },
  dblink_error_message: { overloads: [TEXT], returns: 'text', readsOnly: true },
};

export const isDblinkFunction = (name: string): name is DblinkFunction =>
  Object.hasOwn(DBLINK_FUNCTIONS, name);

const accepts = (declared: DeclaredType, given: ArgumentType): boolean =>
  given === 'unknown' || given === 'parameter' || given === 'expression' || given === declared;

/** Is there an overload that arguments of these types can call? Without one PostgreSQL raises 42883 by itself. */
export function hasOverload(name: DblinkFunction, types: readonly ArgumentType[]): boolean {
  return DBLINK_FUNCTIONS[name].overloads.some(
    (overload) => overload.length === types.length && overload.every((type, i) => accepts(type, types[i]!)),
  );
}

/**
 * The declared types of the overload that PostgreSQL chooses for arguments of these types. An argument of unknown type
 * (a literal, an untyped parameter) counts as text where an overload takes text there (func_select_candidate prefers
 * the string category). undefined in a place: it depends on the type of an expression that only PostgreSQL knows.
 */
export function declaredTypes(
  name: DblinkFunction,
  types: readonly ArgumentType[],
): readonly (DeclaredType | undefined)[] {
  const matching = DBLINK_FUNCTIONS[name].overloads.filter(
    (overload) => overload.length === types.length && overload.every((type, i) => accepts(type, types[i]!)),
  );
  return types.map((given, i) => {
    const candidates = new Set(matching.map((overload) => overload[i]!));
    if (candidates.size === 1) return [...candidates][0];
    return given === 'expression' ? undefined : 'text';
  });
}
