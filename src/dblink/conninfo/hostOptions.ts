import { type ByteString, textOf } from './bytes.js';
import type { ConninfoContext } from './context.js';
import { CONNINFO_KEYWORDS } from './keywords.js';

/** Options whose value is the path of a file or directory. */
const FILE_OPTIONS = ['passfile', 'sslcert', 'sslkey', 'sslrootcert', 'sslcrl', 'sslcrldir'] as const;

/** Environment variables that libpq reads although no option names them (`env` of CONNINFO_KEYWORDS). */
const FURTHER_VARIABLES = ['PGSERVICEFILE', 'PGSYSCONFDIR', 'PGREQUIRESSL', 'PGDATESTYLE', 'PGTZ', 'PGGEQO'];

/** What libpq looks for in the home directory. */
const HOME_FILES = ['.pgpass', '.pg_service.conf', '.postgresql'];

/**
 * The first option of a string that names a file of the host where the connection is opened, or undefined. The directory
 * of a socket counts as a file: errors about it tell whether it exists, and of what kind it is. The roots that the
 * runtime brings along (`sslrootcert=system`) are no file of the host.
 * @param socketDirectory the primary's own. A string may name it, since a string without a host means it anyway.
 */
export function namedFileOption(
  explicit: ReadonlyMap<string, ByteString>,
  socketDirectory: string,
): string | undefined {
  const named = FILE_OPTIONS.find((option) => {
    const value = explicit.get(option);
    return value !== undefined && value !== '' && !(option === 'sslrootcert' && value === 'system');
  });
  if (named !== undefined) return named;
  const hosts = (explicit.get('host') ?? '').split(',');
  const addresses = (explicit.get('hostaddr') ?? '').split(',');
  return hosts.some(
    (host, index) => /^[/@]/.test(host) && !addresses[index] && textOf(host) !== socketDirectory,
  )
    ? 'host'
    : undefined;
}

/**
 * Whether anything in the host's environment could complete a string. The content of files is not looked at, so the
 * answer tells nothing about a string.
 */
export async function hostHasEnvironment(context: ConninfoContext): Promise<boolean> {
  const variables = [
    ...CONNINFO_KEYWORDS.flatMap(({ env }) => (env === undefined ? [] : [env])),
    ...FURTHER_VARIABLES,
  ];
  if (variables.some((name) => context.env[name] !== undefined)) return true;
  const { homedir } = context;
  if (homedir === undefined) return false;
  const modes = await Promise.all(HOME_FILES.map((name) => context.statMode(`${homedir}/${name}`)));
  return modes.some((mode) => mode !== undefined);
}
