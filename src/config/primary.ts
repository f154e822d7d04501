import { isIPv6 } from 'node:net';
import { SSL_MODES, type SslMode } from '../dblink/conninfo/index.js';
import { ValueError } from './errors.js';
import { socketPath } from './listen.js';
import { nearest, suggestion } from './nearest.js';
import { parseBoolean, parseChoice, parseInteger } from './values.js';

/** Where the primary is, and the proxy's own account on it if there is one. */
export interface PrimaryAddress {
  /** Name or address; with a Unix socket, the socket's directory. */
  readonly host: string;
  readonly port: number;
  /** The socket itself, when the primary is reached through one. */
  readonly socketPath?: string;
  /** Database of the service connections; clients name their own. */
  readonly database?: string;
  /** The service account. */
  readonly user?: string;
  readonly password?: string;
  readonly sslmode: SslMode;
  readonly sslrootcert?: string;
  readonly sslcert?: string;
  readonly sslkey?: string;
  /** Passwords may be sent to it in clear text without TLS. */
  readonly allowCleartext?: boolean;
}

const PARAMETERS = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'allow_cleartext',
];
const FORM = 'postgres://[user[:password]@]host:port[/database][?sslmode=…]';

/**
 * Reads the primary's URL: the part of libpq's URI syntax that names one server.
 *
 * A Unix socket is `postgres://%2Fdirectory:5432` or `postgres:///?host=/directory&port=5432`. Without sslmode it is
 * `prefer`, as in libpq. The messages never quote what may be a password.
 *
 * @throws ValueError
 */
export function parsePrimaryUrl(value: unknown): PrimaryAddress {
  if (typeof value !== 'string' || value === '') throw new ValueError(`is not a URL of the form ${FORM}`);
  const scheme = /^postgres(?:ql)?:\/\//.exec(value)?.[0];
  if (scheme === undefined) throw new ValueError(`does not begin with postgres://; the form is ${FORM}`);
  if (/[\s\0]/.test(value)) throw new ValueError('contains white space or NUL; write it percent-encoded');
  if (value.includes('#')) throw new ValueError('contains "#"; write it percent-encoded, as %23');

  const [beforeQuery = '', query = '', ...more] = value.slice(scheme.length).split('?');
  if (more.length > 0)
    throw new ValueError('contains more than one "?"; write others percent-encoded, as %3F');
  const slash = beforeQuery.indexOf('/');
  const authority = slash === -1 ? beforeQuery : beforeQuery.slice(0, slash);
  const path = slash === -1 ? '' : beforeQuery.slice(slash + 1);
  if (path.includes('@'))
    throw new ValueError('contains "@" after a "/"; write a "/" in the password as %2F');
  // The last @: a password with an unescaped one is refused below.
  const at = authority.lastIndexOf('@');
  const account = at === -1 ? '' : authority.slice(0, at);
  if (account.includes('@'))
    throw new ValueError('contains more than one "@"; write others percent-encoded, as %40');
  const colon = account.indexOf(':');

  const given = new Map<string, string>();
  const set = (name: string, encoded: string): void => {
    if (encoded !== '') given.set(name, decode(encoded, name));
  };
  set('user', colon === -1 ? account : account.slice(0, colon));
  set('password', colon === -1 ? '' : account.slice(colon + 1));
  const [host, port] = splitHost(authority.slice(at + 1));
  set('host', host);
  set('port', port);
  set('dbname', path);
  for (const [name, encoded] of queryParameters(query)) set(name, encoded);
  return addressOf(given);
}

function queryParameters(query: string): readonly (readonly [string, string])[] {
  if (query === '') return [];
  return query.split('&').map((pair) => {
    const equals = pair.indexOf('=');
    const name = equals === -1 ? pair : pair.slice(0, equals);
    if (!PARAMETERS.includes(name)) {
      // The name is not quoted: it may be a piece of a password with an unescaped "?" or "&".
      const near = nearest(name, PARAMETERS);
      const hint =
        near === undefined ? suggestion('', PARAMETERS, 'parameters') : `; did you mean "${near}"?`;
      throw new ValueError(`has an unknown parameter after "?"${hint}`);
    }
    if (equals === -1 || equals === pair.length - 1)
      throw new ValueError(`has no value for the parameter ${name}`);
    return [name, pair.slice(equals + 1)] as const;
  });
}

function splitHost(text: string): readonly [host: string, port: string] {
  if (text.includes(',')) throw new ValueError('names several hosts; only one is supported');
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed !== null) {
    const [, host = '', port = ''] = bracketed;
    if (!isIPv6(host)) throw new ValueError('has something in brackets that is not an IPv6 address');
    return [host, port];
  }
  const [host = '', port = '', ...more] = text.split(':');
  if (more.length > 0)
    throw new ValueError('has more than one ":" in its host; an IPv6 address needs brackets');
  return [host, port];
}

function addressOf(given: ReadonlyMap<string, string>): PrimaryAddress {
  const host = given.get('host');
  if (host === undefined) throw new ValueError(`names no host; the form is ${FORM}`);
  const port = labelled('port', () => parseInteger(given.get('port') ?? '5432', 1, 65535));
  const sslmode = labelled('sslmode', () => parseChoice(given.get('sslmode') ?? 'prefer', SSL_MODES));
  const allowCleartext = cleartextOf(given.get('allow_cleartext'), host, sslmode);
  return {
    host,
    port,
    sslmode,
    ...(allowCleartext ? { allowCleartext } : {}),
    ...(host.startsWith('/') ? { socketPath: socketPath(host, port) } : {}),
    ...optional('database', given.get('dbname')),
    ...optional('user', given.get('user')),
    ...optional('password', given.get('password')),
    ...optional('sslrootcert', given.get('sslrootcert')),
    ...optional('sslcert', given.get('sslcert')),
    ...optional('sslkey', given.get('sslkey')),
  };
}

/**
 * Whether passwords may be sent in clear text. That is accepted only where it is certain that there is no TLS. Otherwise whoever
 * stands between the proxy and the primary could prevent TLS and get the passwords.
 */
function cleartextOf(value: string | undefined, host: string, sslmode: SslMode): boolean {
  const allowed = value !== undefined && labelled('allow_cleartext', () => parseBoolean(value));
  if (allowed && sslmode !== 'disable' && !host.startsWith('/')) {
    throw new ValueError('has allow_cleartext=true, which needs sslmode=disable beside it');
  }
  return allowed;
}

/** Replaces the parser's message, which quotes the value: that may be a piece of a badly escaped password. */
function labelled<T>(name: keyof typeof EXPECTED, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new ValueError(`${name} is not ${EXPECTED[name]}`);
  }
}

const EXPECTED = {
  port: 'a number from 1 to 65535; are ":", "/" and "@" in user and password percent-encoded?',
  sslmode: `one of ${SSL_MODES.join(', ')}`,
  allow_cleartext: 'true or false',
};

function optional<K extends string>(name: K, value: string | undefined): { readonly [key in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [key in K]: string });
}

function decode(encoded: string, name: string): string {
  let text: string;
  try {
    text = decodeURIComponent(encoded);
  } catch {
    throw new ValueError(`has a broken percent-encoding in its ${name}`);
  }
  if (text.includes('\0')) throw new ValueError(`has a NUL in its ${name}`);
  return text;
}
