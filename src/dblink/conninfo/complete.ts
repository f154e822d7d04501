import { type ByteString, byteString } from './bytes.js';
import type { ConninfoContext } from './context.js';
import { CONNINFO_KEYWORDS } from './keywords.js';
import type { OptionMap } from './options.js';
import { addServiceOptions } from './service.js';

/**
 * Fills in what the string leaves out, in libpq's order of precedence: string, service entry,
 * environment, compiled default (behaviour reference 10). An option set to '' counts as set.
 *
 * Host, user and database keep their gaps here; what they mean is decided where they are used.
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
    // A missing port must stay missing: with a missing host it means the primary's port, not 5432.
    const compiled = keyword.name === 'port' ? undefined : keyword.compiled;
    const value = valueFromEnv(keyword.name, keyword.env, context) ?? compiled;
    if (value !== undefined) options.set(keyword.name, value);
  }
  // Roots that any public authority may sign under prove nothing without the host's name (libpq 16).
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

/** PGSSLMODE, or the old PGREQUIRESSL, of which only values beginning with 1 count. */
function sslmodeFromEnv(context: ConninfoContext): ByteString | undefined {
  const mode = context.env['PGSSLMODE'];
  if (mode !== undefined) return byteString(mode);
  return context.env['PGREQUIRESSL']?.startsWith('1') ? 'require' : undefined;
}
