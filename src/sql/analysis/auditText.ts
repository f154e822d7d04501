import { fingerprintOf, parseOnly, rawTokens } from '../parse/parser.js';
import { isAmbiguousLiteral, isStringLiteral, redactTokens, withoutLiterals } from '../parse/redact.js';

/** What an audit may be told of SQL for a remote. */
export interface AuditText {
  /** The same for texts that differ only in literals, comments and blanks. */
  readonly fingerprint: string;
  /** The beginning of the text, without comments, its secrets masked; a byte string. Only where it was asked for. */
  readonly text?: string;
  /** There is more of the text. */
  readonly cut?: true;
}

/** So much of a text is told. */
const MOST_BYTES = 64 * 1024;

/**
 * Reads SQL for a remote for the audit. It is read with its literals taken out, since libpg-query's fingerprint of commands has literals in it,
 * such as the password of ALTER ROLE, and a short secret can be guessed from that.
 * @param sql bytes in an encoding in which no byte below 128 is part of a longer character
 * @param withText whether the text is wanted, too
 * @returns undefined for a text that cannot be read, of which nothing is told then
 */
export function readAuditText(sql: Buffer, withText: boolean): AuditText | undefined {
  const text = sql.toString('latin1');
  if (parseOnly(text) === undefined) return undefined;
  const tokens = rawTokens(text);
  if (tokens === undefined || tokens.some((token) => isStringLiteral(token) && isAmbiguousLiteral(token)))
    return undefined;
  const fingerprint = fingerprintOf(withoutLiterals(tokens));
  if (fingerprint === undefined) return undefined;
  if (!withText) return { fingerprint };
  const shown = redactTokens(tokens);
  return shown.length > MOST_BYTES
    ? { fingerprint, text: shown.slice(0, MOST_BYTES), cut: true }
    : { fingerprint, text: shown };
}
