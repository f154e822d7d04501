import {
  type ByteString,
  bareContext,
  type ConninfoContext,
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

/** The rules that hold where none are given. */
export const DEFAULT_HOST_RULES: HostRules = { hostFiles: 'superusers', hostEnvironment: 'superusers' };

/** What decides about one connection that is to be opened. */
export interface HostAccessRequest {
  readonly rules: HostRules;
  /** The administrator of the proxy has written the string, so none of the rules applies to it. */
  readonly declared: boolean;
  /** Whether the role may be a superuser, as far as is known. false is certain. */
  readonly superuser: boolean;
  /** Asks whether the role is a superuser now. Called only where the answer decides. */
  readonly confirmSuperuser: () => Promise<boolean>;
  /** The context with everything that the host has. */
  readonly context: ConninfoContext;
  /** Whether there is any (hostHasEnvironment). */
  readonly hasEnvironment: () => Promise<boolean>;
}

/** The context in which a connection string is completed. */
export interface PermittedContext {
  readonly context: ConninfoContext;
  /** The role may not use the host's environment, so the context has none. */
  readonly bare: boolean;
}

/**
 * The context in which a connection string is completed: it has what the string's role may use of the host. A refusal
 * does not depend on what the host has. So a role that may not look cannot find out by trying either.
 * @throws PgError 42501 for a string that names something that its role may not use
 */
export async function permittedContext(
  explicit: ReadonlyMap<string, ByteString>,
  { rules, declared, superuser, confirmSuperuser, context, hasEnvironment }: HostAccessRequest,
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
    // If the host has no environment that could be used, the primary need not be asked about the role.
    if (!(await hasEnvironment())) return { context, bare: false };
  }
  if (await permitted(environment)) return { context, bare: false };
  if (service) throw serviceRefused(environment);
  const { readFile, statMode } = context;
  // Files that the string names, and that the role may name, are read all the same.
  const reader = named === undefined ? {} : { readFile, statMode };
  return { context: { ...bareContext(defaults), ...reader }, bare: true };
}

/**
 * Whether a string asks for verification and names no root certificates. If so, only a role that may use the host's
 * environment is to learn whether the host has any.
 */
const needsRoots = (explicit: ReadonlyMap<string, ByteString>): boolean =>
  Boolean(explicit.get('sslmode')?.startsWith('verify-')) && !explicit.get('sslrootcert');

/**
 * Refuses a connection that needs root certificates which only the host could have, if the role may not use the host's.
 * @param bare see PermittedContext
 * @param rule the setting `dblink.host_environment`
 * @throws PgError 08001
 */
export function checkRoots(bare: boolean, { tls, hosts }: ResolvedConninfo, rule: HostRule): void {
  if (!bare || tls.rootCertFile !== undefined || !tls.mode.startsWith('verify-')) return;
  if (hosts.some(({ socketPath }) => socketPath === undefined)) throw rootsRefused(tls.mode, rule);
}
