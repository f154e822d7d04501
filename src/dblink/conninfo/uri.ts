import type { ByteString } from './bytes.js';
import { conninfoError } from './error.js';
import { type OptionMap, storeOption } from './options.js';

/** Length of a URI's scheme part, or 0 if the text is not a URI. The scheme is case-sensitive in libpq. */
export function uriSchemeLength(text: ByteString): number {
  return ['postgresql://', 'postgres://'].find((scheme) => text.startsWith(scheme))?.length ?? 0;
}

/**
 * Reads `postgresql://[user[:password]@]host[:port][,…]][/dbname][?key=value&…]` (behaviour reference 10, "URI grammar").
 * Parts are percent-decoded. Empty parts are left unset, so that environment and defaults apply. User information is
 * whatever precedes the first `@` before the first `/`, as in libpq, even when that `@` belongs to a query string. Spaces
 * are kept as libpq 15 keeps them (18 trims them at either end of a part and refuses them inside).
 *
 * @throws ConninfoError
 */
export function parseUri(uri: ByteString): OptionMap {
  const options: OptionMap = new Map();
  const authorityStart = parseUserInfo(uri, uriSchemeLength(uri), options);
  const end = parseHosts(uri, authorityStart, options);

  const query = indexOfAny(uri, '?', end);
  if (uri[end] === '/') storeDecoded(options, 'dbname', uri.slice(end + 1, query));
  parseParameters(uri.slice(query + 1), options);
  return options;
}

/** @returns where the hosts begin. */
function parseUserInfo(uri: ByteString, start: number, options: OptionMap): number {
  const at = indexOfAny(uri, '@/', start);
  if (uri[at] !== '@') return start;
  const colon = indexOfAny(uri, ':@', start);
  storeDecoded(options, 'user', uri.slice(start, colon));
  storeDecoded(options, 'password', uri.slice(colon + 1, at));
  return at + 1;
}

/** @returns the position of what ended the hosts: `/`, `?` or the end of the text. */
function parseHosts(uri: ByteString, start: number, options: OptionMap): number {
  const hosts: ByteString[] = [];
  const ports: ByteString[] = [];
  let at = start;
  for (;;) {
    let end: number;
    if (uri[at] === '[') {
      end = endOfIpv6(uri, at);
      hosts.push(uri.slice(at + 1, end - 1));
    } else {
      end = indexOfAny(uri, ':/?,', at);
      hosts.push(uri.slice(at, end));
    }
    const portEnd = uri[end] === ':' ? indexOfAny(uri, '/?,', end + 1) : end;
    ports.push(uri.slice(end + 1, portEnd));
    at = portEnd;
    if (uri[at] !== ',') break;
    at++;
  }
  storeDecoded(options, 'host', hosts.join(','));
  storeDecoded(options, 'port', ports.join(','));
  return at;
}

/** @returns the position after the closing bracket. */
function endOfIpv6(uri: ByteString, open: number): number {
  const close = uri.indexOf(']', open);
  if (close < 0) {
    throw conninfoError`end of string reached when looking for matching "]" in IPv6 host address in URI: "${uri}"`;
  }
  if (close === open + 1) throw conninfoError`IPv6 host address may not be empty in URI: "${uri}"`;
  const next = uri[close + 1];
  if (next !== undefined && !':/?,'.includes(next)) {
    throw conninfoError`unexpected character "${next}" at position ${close + 2} in URI (expected ":" or "/"): "${uri}"`;
  }
  return close + 1;
}

function parseParameters(query: ByteString, options: OptionMap): void {
  let at = 0;
  while (at < query.length) {
    const end = indexOfAny(query, '&', at);
    const [rawKeyword = '', rawValue, extra] = query.slice(at, end).split('=');
    if (extra !== undefined) {
      throw conninfoError`extra key/value separator "=" in URI query parameter: "${rawKeyword}"`;
    }
    if (rawValue === undefined) {
      throw conninfoError`missing key/value separator "=" in URI query parameter: "${rawKeyword}"`;
    }
    const keyword = decode(rawKeyword);
    const value = decode(rawValue);
    // ssl=true is how the JDBC driver writes it. libpq takes no other value of ssl.
    const stored =
      keyword === 'ssl' && value === 'true'
        ? storeOption(options, 'sslmode', 'require')
        : storeOption(options, keyword, value);
    if (!stored) throw conninfoError`invalid URI query parameter: "${keyword}"`;
    at = end + 1;
  }
}

function storeDecoded(options: OptionMap, keyword: string, part: ByteString): void {
  if (part !== '') storeOption(options, keyword, decode(part));
}

/** Replaces `%xy` by the byte; the result may be any bytes but NUL, which ends a C string. */
function decode(part: ByteString): ByteString {
  return part.replace(/%([0-9a-fA-F]{2})?/g, (_token, hex: string | undefined) => {
    if (hex === undefined) throw conninfoError`invalid percent-encoded token: "${part}"`;
    if (hex === '00') throw conninfoError`forbidden value %00 in percent-encoded value: "${part}"`;
    return String.fromCharCode(Number.parseInt(hex, 16));
  });
}

/** Position of the first of `chars` from `start` on, or the text's length. */
function indexOfAny(text: ByteString, chars: string, start: number): number {
  let at = start;
  while (at < text.length && !chars.includes(text[at] ?? '')) at++;
  return at;
}
