import { type ByteString, byteString } from './bytes.js';
import type { ConninfoContext } from './context.js';
import { CONNINFO_KEYWORDS } from './keywords.js';
import type { OptionMap } from './options.js';
import { addServiceOptions } from './service.js';

/**
 * Fills in what the string leaves out, in libpq's order of precedence: string, service entry, environment, compiled
 * default (behaviour reference 10). An option set to '' counts as set.
 *
 * Host, user and database may stay unset. What that means is decided where they are used.
 *
 * @throws ConninfoError for a service that cannot be used.
 */
export async function completeOptions(
  explicit: ReadonlyMap<string, ByteString>,
  context: ConninfoContext,
): Promise<ReadonlyMap<string, ByteString>> {
  const options: OptionMap = new Map(explicit);
  await addServiceOptions(options, context);

  const sslmodeOpen = !options.has('sslmode') && sslmodeFromEnv(context) === undefined;
  for (const keyword of CONNINFO_KEYWORDS) {
    if (options.has(keyword.name)) continue;
    // A missing port must stay missing: together with a missing host it means the primary's port, not 5432.
    const compiled = keyword.name === 'port' ? undefined : keyword.compiled;
    const value = valueFromEnv(keyword.name, keyword.env, context) ?? compiled;
    if (value !== undefined) options.set(keyword.name, value);
  }
  // With the system's roots any public authority may have signed the certificate. That proves nothing unless the host's
  // name is checked too (libpq 16).
  if (sslmodeOpen && options.get('sslrootcert') === 'system') options.set('sslmode', 'verify-full');
  return options;
}

function valueFromEnv(
  keyword: string,
  variable: string | undefined,
  context: ConninfoContext,
): ByteString | undefined {
  if (keyword === 'sslmode') return sslmodeFromEnv(context);
  const value = variable === undefined ? undefined : context.env[variable];
  return value === undefined ? undefined : byteString(value);
}

/** PGSSLMODE, or else the old PGREQUIRESSL, where only a value that begins with 1 counts. */
function sslmodeFromEnv(context: ConninfoContext): ByteString | undefined {
  const mode = context.env['PGSSLMODE'];
  if (mode !== undefined) return byteString(mode);
  return context.env['PGREQUIRESSL']?.startsWith('1') ? 'require' : undefined;
}
