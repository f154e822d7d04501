import { type ByteString, textOf } from './bytes.js';
import type { ConninfoContext } from './context.js';
import { CONNINFO_KEYWORDS } from './keywords.js';

/** Options whose value is the path of a file or directory. */
const FILE_OPTIONS = ['passfile', 'sslcert', 'sslkey', 'sslrootcert', 'sslcrl', 'sslcrldir'] as const;

/** Environment variables that count without an option of their own. */
const FURTHER_VARIABLES = ['PGSERVICEFILE', 'PGSYSCONFDIR', 'PGREQUIRESSL', 'PGDATESTYLE', 'PGTZ', 'PGGEQO'];

/** What libpq looks for in the home directory. */
const HOME_FILES = ['.pgpass', '.pg_service.conf', '.postgresql'];

/**
 * The first option of a string that names a file of the host where the connection is opened, or undefined. A socket's
 * directory counts as one: whether there is one, and of what kind, is what errors about it tell. The roots that the
 * runtime brings along (`sslrootcert=system`) are no file of the host's.
 * @param socketDirectory the primary's own, which a string may name as well as leave out
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
 * Whether anything of the host's environment could complete a string. What is in the files is not looked at, so that the
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
