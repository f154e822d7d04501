import { isUtf8 } from 'node:buffer';
import { asWithExtension } from '../bridge/extension/dumpQueries.js';
import type { SessionContext } from '../session/context.js';
import { type Analysis, asEscapeStrings, type EscapeStrings, type Statement } from '../sql/index.js';
import { isAscii, isAsciiSafe } from '../wire/encoding/encoding.js';

const BACKSLASH = 0x5c;

/**
 * SQL text of the client's as the parser reads it.
 * @returns undefined when it cannot be put so (see asEscapeStrings), or is not in the client's encoding, so that the primary refuses it
 * as a whole (22021)
 */
export function clientText({ primary, encodings }: SessionContext, text: Buffer): EscapeStrings | undefined {
  const { client } = encodings;
  if (isAsciiSafe(client) ? client === 'UTF8' && !isUtf8(text) : !isAscii(text)) return undefined;
  if (primary.parameters.get('standard_conforming_strings') !== 'off' || !text.includes(BACKSLASH))
    return { text, mapPosition: (position) => position };
  return asEscapeStrings(text, encodings.countCharacters);
}

/** The statements of a text, if any of them may be the proxy's business. */
export const withCalls = (analysis: Analysis): readonly Statement[] | undefined =>
  analysis?.statements.some(({ calls, shape }) => calls.length > 0 || shape.kind !== 'none')
    ? analysis.statements
    : undefined;

/** A Query of pg_dump's in a form that does not see the bridge. @returns undefined when nothing has to be changed */
export function dumpQuery({ primary, encodings }: SessionContext, text: Buffer): Buffer | undefined {
  if (primary.queue.copyIn || text.includes(0) || (!isAsciiSafe(encodings.client) && !isAscii(text)))
    return undefined;
  return asWithExtension(text);
}
