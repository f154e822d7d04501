import { userInfo } from 'node:os';
import { namedFiles } from '../../wire/host/hostFiles.js';
import type { ByteString } from './bytes.js';

/** What is used where a connection string leaves out host, port or user. It depends on where the call is made. */
export interface ConninfoDefaults {
  /** Host name, address or socket directory of the primary: where a string without a host leads. */
  readonly host: string;
  /** The primary's port, used together with `host`; a string that names a host gets 5432. */
  readonly port: string;
  /** The session's user. */
  readonly user: ByteString;
}

/** Everything outside the string that libpq consults. It is passed in, so that resolving can be tested. */
export interface ConninfoContext {
  /** Environment of the process that opens the connection, as `process.env`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Home directory, for `.pgpass`, `.pg_service.conf` and `.postgresql/`; undefined if there is none. */
  readonly homedir: string | undefined;
  /** Directory of the system-wide pg_service.conf; PGSYSCONFDIR overrides it. */
  readonly sysconfdir: string;
  readonly defaults: ConninfoDefaults;
  /** A file's bytes, or undefined if it cannot be read. @throws the reason of the call's signal */
  readFile(path: string): Promise<Buffer | undefined>;
  /**
   * A file's mode with its type bits, links followed, or undefined if there is no such file.
   * @throws the reason of the call's signal
   */
  statMode(path: string): Promise<number | undefined>;
}

/** Where Debian's packages and the images made of them keep the system-wide pg_service.conf. */
const SYSCONFDIR = '/etc/postgresql-common';

/**
 * The context of this process: its environment, its user's home, its file system.
 * @param signal ends the reading of files
 */
export function systemContext(
  defaults: ConninfoDefaults,
  env: Readonly<Record<string, string | undefined>> = process.env,
  signal?: AbortSignal,
): ConninfoContext {
  const orUndefined = async <T>(found: Promise<T>): Promise<T | undefined> => {
    const value = await found.catch(() => undefined);
    signal?.throwIfAborted();
    return value;
  };
  return {
    env,
    homedir: env['HOME'] || passwdHome(),
    sysconfdir: SYSCONFDIR,
    defaults,
    readFile: async (path) => (await orUndefined(namedFiles.read(path, signal)))?.content,
    statMode: async (path) => (await orUndefined(namedFiles.stat(path, signal)))?.mode,
  };
}

/** A context in which there is nothing but the string: no environment, no home, no file. */
export const bareContext = (defaults: ConninfoDefaults): ConninfoContext => ({
  env: {},
  homedir: undefined,
  sysconfdir: SYSCONFDIR,
  defaults,
  readFile: async () => undefined,
  statMode: async () => undefined,
});

function passwdHome(): string | undefined {
  try {
    return userInfo().homedir || undefined;
  } catch {
    return undefined; // a uid without a passwd entry, usual in containers
  }
}
