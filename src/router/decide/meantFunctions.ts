import { kindOfType, overloadsOf } from '../../dblink/functions.js';
import { isTemporary, type NamedFunction } from '../../primary/functions/foundFunctions.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { DblinkCall, Statement } from '../../sql/index.js';

/**
 * Whether a function of the user's that takes this type as its i-th argument may be preferred to dblink's. It is not when
 * dblink's functions do not take the type there (PostgreSQL documentation, "Function Type Resolution").
 */
function mayWin({ name }: DblinkCall, oid: number, i: number): boolean {
  const kind = kindOfType(oid);
  if (kind === 'integer') return overloadsOf(name).some(({ args }) => args[i]?.type === 'integer');
  return kind !== 'other' || POLYMORPHIC.has(oid);
}

/** anyelement, "any", anynonarray, anycompatible. */
const POLYMORPHIC: ReadonlySet<number> = new Set([2283, 2276, 2776, 5077]);

/** Whether PostgreSQL would find the function for the call, by the schema that the call names or by the search path. */
const isFound = (found: NamedFunction, call: DblinkCall): boolean =>
  found.name === call.name &&
  found.argumentTypes.length === call.args.length &&
  (call.schema === undefined ? found.visible : found.schema === call.schema);

/**
 * Whether one of the statement's calls may mean a function of the user's own. Such a function has the call's name and number of
 * arguments, and PostgreSQL would find it.
 */
export function isShadowed(statement: Statement, functions: readonly NamedFunction[]): boolean {
  if (functions.length === 0) return false;
  return statement.calls.some((call) =>
    functions.some((own) => isFound(own, call) && own.argumentTypes.every((oid, i) => mayWin(call, oid, i))),
  );
}

/** Whether all calls are calls of the extension's own functions. */
export const isNative = (statement: Statement, native: readonly NamedFunction[]): boolean =>
  native.length > 0 && statement.calls.every((call) => native.some((own) => isFound(own, call)));

/**
 * What the names of the statement's calls mean, as far as the bridge is concerned.
 * `bridged`: each is a function of the bridge, which the role may execute.
 * `elsewhere`: there is a bridge, but PostgreSQL would not find its functions by these names, or refuse them.
 * `none`: there are no functions of the bridge.
 */
export function bridgeOf(statement: Statement, facts: SessionFacts): 'bridged' | 'elsewhere' | 'none' {
  const { bridged } = facts;
  if (bridged.length === 0 || bridged.every(isTemporary)) return 'none';
  // Of several functions with as many arguments, the primary decides which one is meant. So the role has to have EXECUTE on all.
  const found = statement.calls.every((call) => {
    const meant = bridged.filter((own) => isFound(own, call));
    return meant.length > 0 && meant.every((own) => own.executable);
  });
  return found ? 'bridged' : 'elsewhere';
}

/**
 * A function that PostgreSQL would find for one of the statement's calls, but that not everybody should run.
 * @returns undefined when there is none
 */
export const untrustedOf = (statement: Statement, { untrusted }: SessionFacts): NamedFunction | undefined =>
  untrusted.find((own) => statement.calls.some((call) => isFound(own, call)));
