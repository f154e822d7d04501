import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { CONNINFO_KEYWORDS } from '../../dblink/conninfo/index.js';
import type { DeclaredServer } from '../../primary/declaredServers.js';
import { ValueError } from '../errors.js';
import { suggestion } from '../nearest.js';
import { parseBoolean, parseList, parseText } from '../values.js';

/** A server as the setting `dblink.servers` describes it. Its password has not been fetched yet. */
export interface ServerSetting {
  readonly name: string;
  /** Options of the connection string, `keyword=value`. */
  readonly options: readonly string[];
  readonly roles: readonly string[];
  /** Its password may be sent in clear text without TLS. */
  readonly plainPassword?: boolean;
  /** Its sessions have to stay read-only. */
  readonly readOnly?: boolean;
  /** Where the password is, if it is not among the options. */
  readonly passwordFrom: { readonly file: string } | { readonly variable: string } | undefined;
}

/** Longest name that a call of dblink can look for, in bytes. */
const MAX_NAME_BYTES = 63;

/**
 * The options of a connection string that a server can have. Those that make no sense here are left out: the proxy chooses the
 * encoding, and speaks no replication.
 */
const KEYWORDS: readonly string[] = CONNINFO_KEYWORDS.filter(
  ({ name, debug }) => debug !== true && name !== 'client_encoding',
).map(({ name }) => name);
const PASSWORDS = ['password', 'password_file', 'password_env'] as const;
const KEYS: readonly string[] = [
  ...KEYWORDS,
  'password_file',
  'password_env',
  'allow_cleartext',
  'read_only',
  'roles',
];

/** The servers of a YAML map, or of a text with one. @throws ValueError; no message contains an option's value */
export function parseServers(value: unknown): readonly ServerSetting[] {
  const servers = typeof value === 'string' ? fromText(value) : value;
  if (!isMap(servers)) throw new ValueError('expected servers as "name: { host: …, user: …, roles: […] }"');
  return Object.entries(servers).map(([name, options]) => {
    try {
      return parseServer(name, options);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new ValueError(`server ${JSON.stringify(name)}: ${error.message}`);
    }
  });
}

function fromText(text: string): unknown {
  try {
    return parse(text);
  } catch {
    throw new ValueError('the text is not a map in YAML or JSON');
  }
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseServer(name: string, given: unknown): ServerSetting {
  if (name === '' || Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new ValueError(`a name has 1 to ${MAX_NAME_BYTES} bytes`);
  }
  if (!isMap(given)) throw new ValueError('expected options as "key: value"');
  const unknown = Object.keys(given).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) {
    throw new ValueError(`unknown option ${JSON.stringify(unknown)}${suggestion(unknown, KEYS, 'options')}`);
  }
  if (given['roles'] === undefined) {
    throw new ValueError('"roles" is missing: the roles whose members may use it, or [public] for everybody');
  }
  if (PASSWORDS.filter((key) => given[key] !== undefined).length > 1) {
    throw new ValueError(`only one of ${PASSWORDS.join(', ')} can be given`);
  }
  const text = (key: string): string => {
    const value = given[key];
    const scalar = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
    if (typeof scalar === 'string' && scalar !== '' && !scalar.includes('\0')) return scalar;
    throw new ValueError(`option ${JSON.stringify(key)} is not a text`);
  };
  const plainPassword = given['allow_cleartext'] !== undefined && parseBoolean(given['allow_cleartext']);
  if (plainPassword && given['sslmode'] !== 'disable' && !String(given['host'] ?? '').startsWith('/')) {
    throw new ValueError('"allow_cleartext" needs "sslmode: disable" beside it');
  }
  return {
    name,
    ...(plainPassword ? { plainPassword } : {}),
    ...(given['read_only'] !== undefined && parseBoolean(given['read_only']) ? { readOnly: true } : {}),
    options: KEYWORDS.filter((key) => given[key] !== undefined).map((key) => `${key}=${text(key)}`),
    roles: parseList(given['roles'], parseText),
    passwordFrom:
      given['password_file'] !== undefined
        ? { file: text('password_file') }
        : given['password_env'] !== undefined
          ? { variable: text('password_env') }
          : undefined,
  };
}

/**
 * Fetches the servers' passwords. A file's last line break is not part of the password.
 * @param directory from which relative paths count
 * @throws ValueError for a file that cannot be read or is empty, or a variable that is not set or empty
 */
export function withPasswords(
  servers: readonly ServerSetting[],
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly DeclaredServer[] {
  return servers.map(({ passwordFrom, ...server }) => {
    if (passwordFrom === undefined) return server;
    const { name, options } = server;
    const password =
      'file' in passwordFrom
        ? fromFile(name, resolve(directory, passwordFrom.file))
        : env[passwordFrom.variable];
    if (password === undefined || password === '') {
      const place = 'file' in passwordFrom ? 'the password file' : `the variable ${passwordFrom.variable}`;
      throw new ValueError(`server ${JSON.stringify(name)}: ${place} is empty`);
    }
    return { ...server, options: [...options, `password=${password}`] };
  });
}

function fromFile(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new ValueError(`server ${JSON.stringify(name)}: password_file: ${(error as Error).message}`);
  }
}
