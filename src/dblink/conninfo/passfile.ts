import { constants } from 'node:fs';
import { type ByteString, byteString, textOf } from './bytes.js';
import type { ConninfoContext } from './context.js';

/** A password file that was found fit to be read. */
export interface Passfile {
  readonly path: string;
  readonly content: ByteString;
}

/** What a line of the file is matched against. */
export interface PassfileKey {
  readonly host: ByteString;
  readonly port: ByteString;
  readonly database: ByteString;
  readonly user: ByteString;
}

/**
 * Reads the password file named by `passfile`, or `~/.pgpass`. A missing file is no error. A file that is not a plain
 * file, or that others may read, is ignored with libpq's warning.
 *
 * @param named the value of `passfile`
 * @param warn takes the warning
 */
export async function readPassfile(
  named: ByteString | undefined,
  context: ConninfoContext,
  warn: (warning: string) => void,
): Promise<Passfile | undefined> {
  const path = passfilePath(named, context);
  if (path === undefined) return undefined;
  const mode = await context.statMode(path);
  if (mode === undefined) return undefined;
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) {
    warn(`password file "${path}" is not a plain file`);
    return undefined;
  }
  if ((mode & 0o077) !== 0) {
    warn(`password file "${path}" has group or world access; permissions should be u=rw (0600) or less`);
    return undefined;
  }
  const content = await context.readFile(path);
  return content === undefined ? undefined : { path, content: byteString(content) };
}

function passfilePath(named: ByteString | undefined, context: ConninfoContext): string | undefined {
  if (named !== undefined && named !== '') return textOf(named);
  return context.homedir === undefined ? undefined : `${context.homedir}/.pgpass`;
}

/**
 * The password of the first line `host:port:database:user:password` that matches (behaviour reference 10, "Passfile").
 * `*` alone matches anything, `\` takes the next character literally, `#` begins a comment line. A colon that the wanted
 * value has too needs no backslash, so `::1:5432:…` works as in libpq.
 */
export function findPassword(content: ByteString, key: PassfileKey): ByteString | undefined {
  const wanted = [key.host, key.port, key.database, key.user];
  for (const raw of content.split('\n')) {
    if (raw.startsWith('#')) continue;
    let end = raw.length;
    while (raw[end - 1] === '\r') end--;
    const line = raw.slice(0, end);
    let at: number | undefined = 0;
    for (const value of wanted) if (at !== undefined) at = endOfMatchingField(line, at, value);
    if (at !== undefined) return readPassword(line, at);
  }
  return undefined;
}

/** Where the next field begins, if the field at `start` is `*` or equals the value. */
function endOfMatchingField(line: ByteString, start: number, value: ByteString): number | undefined {
  if (line.startsWith('*:', start)) return start + 2;
  let at = start;
  for (const char of value) {
    if (line[at] === '\\') at++;
    if (line[at++] !== char) return undefined;
  }
  return line[at] === ':' ? at + 1 : undefined;
}

/** The rest of the line up to a colon that is not escaped; a backslash at the very end stays. */
function readPassword(line: ByteString, start: number): ByteString {
  let password = '';
  for (let at = start; at < line.length && line[at] !== ':'; at++) {
    if (line[at] === '\\' && at + 1 < line.length) at++;
    password += line[at];
  }
  return password;
}
