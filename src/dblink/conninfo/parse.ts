import { type ByteString, byteString } from './bytes.js';
import { parseKeyValue } from './keyvalue.js';
import { parseUri, uriSchemeLength } from './uri.js';

/**
 * Parses a connection string as libpq's PQconninfoParse does: a URI if it begins with `postgresql://` or
 * `postgres://` exactly, else key=value pairs. Only options that stand in the string are returned, the
 * last of repeated ones; an option set to the empty string is present with value ''.
 *
 * Values are byte strings (see `ByteString`): a Buffer's bytes pass unchanged, a string counts as UTF-8.
 * As in C, the text ends at a NUL.
 *
 * Where releases disagree, texts and grammar are those of libpq 15, and keywords and values that 15 did
 * not have are treated as libpq 18 treats them.
 *
 * @throws ConninfoError with libpq's message (DETAIL of 08001).
 */
export function parseConninfo(text: Buffer | string): ReadonlyMap<string, ByteString> {
  const bytes = byteString(text);
  const end = bytes.indexOf('\0');
  const conninfo = end < 0 ? bytes : bytes.slice(0, end);
  return uriSchemeLength(conninfo) > 0 ? parseUri(conninfo) : parseKeyValue(conninfo);
}
