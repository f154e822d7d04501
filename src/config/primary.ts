import { isIPv6 } from 'node:net';
import { SSL_MODES, type SslMode } from '../dblink/conninfo/index.js';
import { ValueError } from './errors.js';
import { socketPath } from './listen.js';
import { nearest, suggestion } from './nearest.js';
import { parseBoolean, parseChoice, parseInteger } from './values.js';

/** One server. */
export interface PrimaryHost {
  /** Name or address; with a Unix socket, the socket's directory. */
  readonly host: string;
  readonly port: number;
  /** The socket itself, when the server is reached through one. */
  readonly socketPath?: string;
}

export const SESSION_ATTRIBUTES = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const;

/** What a server has to be like for sessions, as with libpq. */
export type SessionAttributes = (typeof SESSION_ATTRIBUTES)[number];

/** Where the primary is, and the proxy's own account on it if there is one. */
export interface PrimaryAddress extends PrimaryHost {
  /** Further servers, to be tried in this order. */
  readonly others?: readonly PrimaryHost[];
  /** `any` unless given. */
  readonly targetSessionAttrs?: Exclude<SessionAttributes, 'any'>;
  /** The servers are tried in an order that is another one for each session. */
  readonly shuffled?: boolean;
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
  'target_session_attrs',
  'load_balance_hosts',
];
const FORM = 'postgres://[user[:password]@]host:port[/database][?sslmode=…]';

/**
 * Reads the primary's URL, in libpq's URI syntax.
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
  const hosts = authority
    .slice(at + 1)
    .split(',')
    .map(splitHost);
  // A comma is no part of any name or port.
  set('host', hosts.every(([host]) => host === '') ? '' : hosts.map(([host]) => host).join());
  set('port', hosts.every(([, port]) => port === '') ? '' : hosts.map(([, port]) => port).join());
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
  const [first, ...others] = hostsOf(given.get('host'), given.get('port'));
  const { host } = first;
  const sslmode = labelled('sslmode', () => parseChoice(given.get('sslmode') ?? 'prefer', SSL_MODES));
  // Without TLS only where that is certain of each of them.
  const network = [first, ...others].find((server) => server.socketPath === undefined);
  const allowCleartext = cleartextOf(given.get('allow_cleartext'), network?.host ?? host, sslmode);
  const attributes = labelled('target_session_attrs', () =>
    parseChoice(given.get('target_session_attrs') ?? 'any', SESSION_ATTRIBUTES),
  );
  const balance = labelled('load_balance_hosts', () =>
    parseChoice(given.get('load_balance_hosts') ?? 'disable', ['disable', 'random']),
  );
  if (attributes !== 'any' && given.get('user') === undefined)
    throw new ValueError(
      'has target_session_attrs, for which it has to name a user: by that account the proxy asks servers what they are',
    );
  return {
    ...first,
    ...(others.length > 0 ? { others } : {}),
    ...(attributes === 'any' ? {} : { targetSessionAttrs: attributes }),
    ...(balance === 'random' ? { shuffled: true } : {}),
    sslmode,
    ...(allowCleartext ? { allowCleartext } : {}),
    ...optional('database', given.get('dbname')),
    ...optional('user', given.get('user')),
    ...optional('password', given.get('password')),
    ...optional('sslrootcert', given.get('sslrootcert')),
    ...optional('sslcert', given.get('sslcert')),
    ...optional('sslkey', given.get('sslkey')),
  };
}

/** The servers that lists of hosts and ports name: one port for all, or one for each. @throws ValueError */
function hostsOf(
  hosts: string | undefined,
  ports: string | undefined,
): readonly [PrimaryHost, ...PrimaryHost[]] {
  if (hosts === undefined) throw new ValueError(`names no host; the form is ${FORM}`);
  const names = hosts.split(',');
  const numbers = (ports ?? '').split(',');
  if (names.includes('')) throw new ValueError('has a host without a name');
  if (numbers.length !== 1 && numbers.length !== names.length)
    throw new ValueError(`has ${numbers.length} ports for ${names.length} hosts`);
  const [first, ...others] = names.map((host, i): PrimaryHost => {
    const given = numbers.length === 1 ? numbers[0] : numbers[i];
    const port = labelled('port', () => parseInteger(given || '5432', 1, 65535));
    return { host, port, ...(host.startsWith('/') ? { socketPath: socketPath(host, port) } : {}) };
  });
  return [first!, ...others];
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
  target_session_attrs: `one of ${SESSION_ATTRIBUTES.join(', ')}`,
  load_balance_hosts: 'disable or random',
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
