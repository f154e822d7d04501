import { readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import type { ByteString } from './bytes.js';

/** What a connection string leaves out, taken from the place where the call is made. */
export interface ConninfoDefaults {
  /** Host name, address or socket directory of the primary: where a string without a host leads. */
  readonly host: string;
  /** The primary's port, used together with `host`; a string that names a host gets 5432. */
  readonly port: string;
  /** The session's user. */
  readonly user: ByteString;
}

/** Everything outside the string that libpq consults: injected, so that resolving stays testable. */
export interface ConninfoContext {
  /** Environment of the process that opens the connection, as `process.env`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Home directory, for `.pgpass`, `.pg_service.conf` and `.postgresql/`; undefined if there is none. */
  readonly homedir: string | undefined;
  /** Directory of the system-wide pg_service.conf; PGSYSCONFDIR overrides it. */
  readonly sysconfdir: string;
  readonly defaults: ConninfoDefaults;
  /** A file's bytes, or undefined if it cannot be read. */
  readFile(path: string): Promise<Buffer | undefined>;
  /** A file's mode with its type bits, links followed, or undefined if there is no such file. */
  statMode(path: string): Promise<number | undefined>;
}

/** Where Debian's packages and the images made of them keep the system-wide pg_service.conf. */
const SYSCONFDIR = '/etc/postgresql-common';

/** Service and password files are a few lines; a path in a string may name anything. */
const MAX_FILE_BYTES = 1024 * 1024;

/** The context of this process: its environment, its user's home, its file system. */
export function systemContext(
  defaults: ConninfoDefaults,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ConninfoContext {
  return {
    env,
    homedir: env['HOME'] || passwdHome(),
    sysconfdir: SYSCONFDIR,
    defaults,
    readFile: readRegularFile,
    statMode: async (path) => (await statOf(path))?.mode,
  };
}

async function readRegularFile(path: string): Promise<Buffer | undefined> {
  const info = await statOf(path);
  // Opening a FIFO or a device would block a thread of the file system pool for as long as it likes.
  if (info === undefined || !info.isFile() || info.size > MAX_FILE_BYTES) return undefined;
  return readFile(path).catch(() => undefined);
}

function statOf(path: string) {
  return stat(path).catch(() => undefined);
}

function passwdHome(): string | undefined {
  try {
    return userInfo().homedir || undefined;
  } catch {
    return undefined; // a uid without a passwd entry, usual in containers
  }
}
