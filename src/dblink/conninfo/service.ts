import { type ByteString, byteString, isBlank } from './bytes.js';
import type { ConninfoContext } from './context.js';
import { conninfoError, plain } from './error.js';
import { findKeyword } from './keywords.js';
import type { OptionMap } from './options.js';

/** libpq reads lines into 1024 bytes, the newline and a NUL included. */
const MAX_LINE_BYTES = 1023;

/**
 * Adds the options of a service to those that are set already (behaviour reference 10, "Service file"). The service is
 * named in the string, or else by PGSERVICE. It is looked for in PGSERVICEFILE, or else in `~/.pg_service.conf`, and then
 * in `pg_service.conf` of PGSYSCONFDIR. A service named by an LDAP URL is not looked up: as in a libpq built without LDAP
 * it is just not found.
 *
 * @throws ConninfoError if the service or the named file is missing or the entry is malformed.
 */
export async function addServiceOptions(options: OptionMap, context: ConninfoContext): Promise<void> {
  const fromEnv = context.env['PGSERVICE'];
  const service = options.get('service') ?? (fromEnv === undefined ? undefined : byteString(fromEnv));
  if (service === undefined) return;

  for (const file of await serviceFiles(context)) {
    const content = await context.readFile(file.path);
    if (content === undefined) {
      if (file.required) throw conninfoError`service file "${plain(file.path)}" not found`;
      continue;
    }
    const entry = findService(byteString(content), service, file.path);
    if (entry === undefined) continue;
    for (const [keyword, value] of entry) if (!options.has(keyword)) options.set(keyword, value);
    return;
  }
  throw conninfoError`definition of service "${service}" not found`;
}

interface ServiceFile {
  readonly path: string;
  /** Named by PGSERVICEFILE: then it must exist. */
  readonly required: boolean;
}

async function serviceFiles(context: ConninfoContext): Promise<readonly ServiceFile[]> {
  const files: ServiceFile[] = [];
  const named = context.env['PGSERVICEFILE'];
  if (named !== undefined) files.push({ path: named, required: true });
  else if (context.homedir !== undefined) {
    files.push({ path: `${context.homedir}/.pg_service.conf`, required: false });
  }
  const sysconfdir = context.env['PGSYSCONFDIR'] ?? context.sysconfdir;
  files.push({ path: `${sysconfdir}/pg_service.conf`, required: false });
  const exists = await Promise.all(files.map(async (f) => (await context.statMode(f.path)) !== undefined));
  return files.filter((file, index) => file.required || exists[index]);
}

/** The options below `[service]`; of repeated ones the first counts. undefined if there is no such section. */
function findService(content: ByteString, service: ByteString, path: string): OptionMap | undefined {
  let entry: OptionMap | undefined;
  const lines = content.split('\n');
  for (const [index, raw] of lines.entries()) {
    const lineNumber = index + 1;
    if (raw.length + (lineNumber < lines.length ? 1 : 0) >= MAX_LINE_BYTES) {
      throw conninfoError`line ${lineNumber} too long in service file "${plain(path)}"`;
    }
    const line = trimBlanks(raw);
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (entry !== undefined) return entry;
      if (line.startsWith(`[${service}]`)) entry = new Map();
    } else if (entry !== undefined) {
      const [keyword, value] = readSetting(line, lineNumber, path);
      if (!entry.has(keyword)) entry.set(keyword, value);
    }
  }
  return entry;
}

function readSetting(line: ByteString, lineNumber: number, path: string): [ByteString, ByteString] {
  const equals = line.indexOf('=');
  const keyword = line.slice(0, equals);
  if (keyword === 'service' && equals > 0) {
    throw conninfoError`nested service specifications not supported in service file "${plain(path)}", line ${lineNumber}`;
  }
  if (equals < 0 || findKeyword(keyword) === undefined) {
    throw conninfoError`syntax error in service file "${plain(path)}", line ${lineNumber}`;
  }
  return [keyword, line.slice(equals + 1)];
}

function trimBlanks(text: ByteString): ByteString {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text[start])) start++;
  while (end > start && isBlank(text[end - 1])) end--;
  return text.slice(start, end);
}
