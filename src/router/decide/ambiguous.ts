import { type ArgumentKind, resolutionOf } from '../../dblink/functions.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import { isDblinkFunction, type Statement } from '../../sql/index.js';
import type { ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import type { PgError } from '../../wire/errors.js';
import { bridgeOf } from './meantFunctions.js';

/** Finds the call that a server's error message names, in whichever language: schema, function, types of the arguments. */
const SIGNATURE = /(?<![\w$.])(?:[\w$]+\.)?(dblink\w*)\(([^()]*)\)/;

/** The types that convert to those of dblink's arguments, by the names that a server gives them. */
const KINDS: ReadonlyMap<string, ArgumentKind> = new Map([
  ['unknown', 'unknown'],
  ['boolean', 'boolean'],
  ...['integer', 'smallint'].map((type) => [type, 'integer'] as const),
  ...['text', 'character varying', 'character', 'name', '"char"'].map((type) => [type, 'text'] as const),
]);

/**
 * The error of a statement that the proxy leaves to a primary without dblink's functions. That primary knows no such function
 * (42883). A server with the extension has several, and none of them is the best (42725).
 * @returns the error with 42725, or as it is when it is about another function or another call
 */
export function asAmbiguous(error: PgError): PgError {
  const [signature, name = '', types = ''] = SIGNATURE.exec(error.message) ?? [];
  // Without a position the call is not one of the statement's own.
  if (error.sqlstate !== '42883' || error.fields.position === undefined || !isDblinkFunction(name))
    return error;
  const kinds = types.split(', ').map((type) => KINDS.get(type) ?? 'other');
  if (resolutionOf(name, kinds) !== 'ambiguous') return error;
  return error.with({
    sqlstate: '42725',
    message: `function ${signature} is not unique`,
    detail: undefined,
    hint: 'Could not choose a best candidate function. You might need to add explicit type casts.',
    file: undefined,
    line: undefined,
    routine: undefined,
  });
}

/** A statement with an ambiguous call, and how its error changes. @returns undefined where the primary has the functions */
export const withAmbiguousCall = (
  text: Buffer,
  statement: Statement,
  facts: SessionFacts,
): ReplacedText | undefined =>
  facts.native.length === 0 && bridgeOf(statement, facts) === 'none'
    ? { sql: text.subarray(statement.span.start, statement.span.end), mapError: asAmbiguous }
    : undefined;
