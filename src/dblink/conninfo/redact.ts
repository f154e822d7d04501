import { type ByteString, byteString, textOf } from './bytes.js';
import { findKeyword } from './keywords.js';
import { parseConninfo } from './parse.js';
import { uriSchemeLength } from './uri.js';

const MASK = '***';
const MAX_SHOWN_CHARS = 200;

/**
 * A connection string fit for a log: its options as key=value pairs, every secret masked.
 *
 * A string is easily written so that its password ends up elsewhere (a forgotten quote, an unescaped `@` or `/` in a
 * URI). Therefore nothing is shown of a string that cannot be parsed, nor of a URI with an `@` left over. A value that
 * looks as if it had swallowed something else is masked.
 */
export function redactConninfo(text: Buffer | string): string {
  let options: ReadonlyMap<string, ByteString>;
  try {
    options = parseConninfo(text);
  } catch {
    return `(connection string that cannot be parsed, ${Buffer.byteLength(text)} bytes)`;
  }
  if (isTornUri(byteString(text), options)) return `(ambiguous URI, ${Buffer.byteLength(text)} bytes)`;
  return [...options].map(([keyword, value]) => `${keyword}=${shown(keyword, value)}`).join(' ');
}

/**
 * Whether a URI has an `@` left over. User information ends at the first `@`, so the rest of a password with an `@` in it
 * stands in what follows.
 */
function isTornUri(text: ByteString, options: ReadonlyMap<string, ByteString>): boolean {
  if (uriSchemeLength(text) === 0) return false;
  return [...options].some(
    ([keyword, value]) => keyword !== 'user' && keyword !== 'password' && value.includes('@'),
  );
}

function shown(keyword: string, value: ByteString): string {
  if (value === '') return "''";
  if (findKeyword(keyword)?.secret || isSuspicious(keyword, value)) return MASK;
  const plainText = textOf(value);
  const cut = plainText.length > MAX_SHOWN_CHARS ? `${plainText.slice(0, MAX_SHOWN_CHARS)}…` : plainText;
  return /^[^\s'\\]+$/.test(cut) ? cut : `'${cut.replace(/['\\]/g, '\\$&')}'`;
}

/**
 * Whether a value may have swallowed something else. `application_name= password=x` makes `password=x` the name;
 * `u:pa/ss` in a URI makes `pa` the port.
 */
function isSuspicious(keyword: string, value: ByteString): boolean {
  if (keyword === 'port') return !/^[0-9,]*$/.test(value);
  return value.includes('=') || /passw|pwd|secret|token/i.test(value);
}
