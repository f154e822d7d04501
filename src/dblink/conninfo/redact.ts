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
  return shownOptions(options);
}

/**
 * The same for a text that need not be a connection string at all.
 * @returns undefined unless it is one, and has no other keywords than libpq's
 */
export function redactIfConninfo(text: Buffer): string | undefined {
  let options: ReadonlyMap<string, ByteString>;
  try {
    options = parseConninfo(text);
  } catch {
    return undefined;
  }
  if (isTornUri(byteString(text), options)) return undefined;
  return [...options.keys()].every((keyword) => findKeyword(keyword)) ? shownOptions(options) : undefined;
}

/**
 * Shows one option's value by itself.
 * @param options all of the connection string's @param text the connection string
 * @returns undefined where the value may have a part of a secret in it
 */
export function plainOption(
  text: ByteString,
  options: ReadonlyMap<string, ByteString>,
  keyword: string,
  value: ByteString,
): string | undefined {
  if (isTornUri(text, options) || findKeyword(keyword)?.secret || isSuspicious(keyword, value))
    return undefined;
  return cutText(value);
}

const shownOptions = (options: ReadonlyMap<string, ByteString>): string =>
  [...options].map(([keyword, value]) => `${keyword}=${shown(keyword, value)}`).join(' ');

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
  const cut = cutText(value);
  return /^[^\s'\\]+$/.test(cut) ? cut : `'${cut.replace(/['\\]/g, '\\$&')}'`;
}

function cutText(value: ByteString): string {
  const text = textOf(value);
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text;
}

/**
 * Whether a value may have swallowed something else. `application_name= password=x` makes `password=x` the name;
 * `u:pa/ss` in a URI makes `pa` the port; `u%3Apw@h` makes the password a part of the user.
 */
function isSuspicious(keyword: string, value: ByteString): boolean {
  if (keyword === 'port') return !/^[0-9,]*$/.test(value);
  // Other programs take a whole connection string as the name of a database.
  if (keyword === 'user' ? value.includes(':') : value.includes('@') || value.includes('://')) return true;
  return value.includes('=') || /passw|pwd|secret|token/i.test(value);
}
