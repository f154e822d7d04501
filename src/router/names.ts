import type { Statement } from './analysis/index.js';
import type { ShadowingFunction } from './facts.js';

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
        own.arguments === call.args.length &&
        (call.schema === undefined ? own.visible : own.schema === call.schema),
    ),
  );
}
