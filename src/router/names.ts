import { kindOfType } from '../dblink/functions.js';
import type { Statement } from './analysis/index.js';
import type { ShadowingFunction } from './facts.js';

/** Functions of other types lose against dblink's, which take text and boolean (function type resolution). */
const takesText = (oid: number): boolean => kindOfType(oid) !== 'other' || POLYMORPHIC.has(oid);

/** anyelement, "any", anynonarray, anycompatible. */
const POLYMORPHIC: ReadonlySet<number> = new Set([2283, 2276, 2776, 5077]);

/**
 * Whether one of the statement's calls means a function of the user's own: one of that name and number of arguments
 * that PostgreSQL would find, by the schema that is written or by the search path.
 */
export function isShadowed(statement: Statement, functions: readonly ShadowingFunction[]): boolean {
  if (functions.length === 0) return false;
  return statement.calls.some((call) =>
    functions.some(
      (own) =>
        own.name === call.name &&
        own.argumentTypes.length === call.args.length &&
        own.argumentTypes.every(takesText) &&
        (call.schema === undefined ? own.visible : own.schema === call.schema),
    ),
  );
}
