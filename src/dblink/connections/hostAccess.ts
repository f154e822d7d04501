import {
  type ByteString,
  bareContext,
  type ConninfoContext,
  hostHasEnvironment,
  namedFileOption,
  type ResolvedConninfo,
} from '../conninfo/index.js';
import { hostFileRefused, rootsRefused, serviceRefused } from '../errors.js';

/** Whose connections may use something of the proxy's host. */
export type HostRule = 'superusers' | 'everybody' | 'nobody';

/** What connection strings may use of the host that the proxy runs on. */
export interface HostRules {
  /** Files and sockets that a string names. */
  readonly hostFiles: HostRule;
  /** What a string leaves out: environment variables, the password and service files, `~/.postgresql`. */
  readonly hostEnvironment: HostRule;
}

export const DEFAULT_HOST_RULES: HostRules = { hostFiles: 'superusers', hostEnvironment: 'superusers' };

/** One connection that is to be opened. */
export interface HostAccessRequest {
  readonly rules: HostRules;
  /** The administrator of the proxy has written the string: none of the rules is for it. */
  readonly declared: boolean;
  /** Whether the role may be a superuser, as far as is known; false is certain. */
  readonly superuser: boolean;
  /** Makes sure of it: asked only where that decides. */
  readonly confirmSuperuser: () => Promise<boolean>;
  /** With everything that the host has. */
  readonly context: ConninfoContext;
}

/** In what a string is completed. */
export interface PermittedContext {
  readonly context: ConninfoContext;
  /** The host's environment is not for this role. */
  readonly bare: boolean;
}

/**
 * The context in which a string is completed, by what its role may use of the host. Refusals do not depend on what there
 * is: a role that may not look cannot find out either.
 * @throws PgError 42501 for a string that names what it may not
 */
export async function permittedContext(
  explicit: ReadonlyMap<string, ByteString>,
  { rules, declared, superuser, confirmSuperuser, context }: HostAccessRequest,
): Promise<PermittedContext> {
  if (declared) return { context, bare: false };
  const permitted = async (rule: HostRule): Promise<boolean> =>
    rule === 'everybody' || (rule === 'superusers' && superuser && (await confirmSuperuser()));
  const { defaults } = context;
  const named = namedFileOption(explicit, defaults.host);
  if (named !== undefined && !(await permitted(rules.hostFiles)))
    throw hostFileRefused(named, rules.hostFiles);

  const { hostEnvironment: environment } = rules;
  const service = explicit.has('service');
  if (environment === 'superusers' && superuser && !service && !needsRoots(explicit)) {
    // Where there is nothing to be used nobody has to be asked.
    if (!(await hostHasEnvironment(context))) return { context, bare: false };
  }
  if (await permitted(environment)) return { context, bare: false };
  if (service) throw serviceRefused(environment);
  const { readFile, statMode } = context;
  // What a string names and may name is read all the same.
  const reader = named === undefined ? {} : { readFile, statMode };
  return { context: { ...bareContext(defaults), ...reader }, bare: true };
}

/** The string asks for roots and names none: whether the host has any is then to be told to nobody else. */
const needsRoots = (explicit: ReadonlyMap<string, ByteString>): boolean =>
  Boolean(explicit.get('sslmode')?.startsWith('verify-')) && !explicit.get('sslrootcert');

/**
 * Whether a connection needs root certificates that only the host could have.
 * @throws PgError 08001 if so, and the host's are not for this role
 */
export function checkRoots(bare: boolean, { tls, hosts }: ResolvedConninfo, rule: HostRule): void {
  if (!bare || tls.rootCertFile !== undefined || !tls.mode.startsWith('verify-')) return;
  if (hosts.some(({ socketPath }) => socketPath === undefined)) throw rootsRefused(tls.mode, rule);
}
