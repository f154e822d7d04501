import { type ByteString, textOf } from './bytes.js';
import { chooseOption } from './choice.js';
import { completeOptions } from './complete.js';
import type { ConninfoContext } from './context.js';
import { type ConninfoError, conninfoError, joinErrors } from './error.js';
import { type ConninfoHost, resolveHosts } from './hosts.js';
import { findPassword, readPassfile } from './passfile.js';
import { type AuthMethod, permittedAuthMethods } from './requireAuth.js';
import { decodeScramKey } from './scramKeys.js';
import { startupParameters } from './startup.js';
import { type Keepalive, resolveTiming, type Timing } from './timing.js';
import { type ConninfoTls, resolveTls } from './tls.js';

/** The values of target_session_attrs. */
const TARGET_SESSION_ATTRS = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const;
export type TargetSessionAttrs = (typeof TARGET_SESSION_ATTRS)[number];

/** Protocol versions as they stand in the startup packet: 0x30000 for 3.0, 0x30002 for 3.2. */
export interface ProtocolRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Everything needed to open a connection. `user`, `database`, passwords and the values of `startup` are byte strings
 * (send them with `bytesOf`); hosts and paths are text. Secrets are not enumerable, so that they do not slip into a log.
 */
export interface ResolvedConninfo {
  /** At least one; to be tried in this order, or in random order if `loadBalance` says so. */
  readonly hosts: readonly ConninfoHost[];
  readonly user: ByteString;
  readonly database: ByteString;
  /** The password for a host: the given one, else the password file's. */
  passwordFor(hostIndex: number): ByteString | undefined;
  /**
   * The password file that `passwordFor` found the host's password in. On 28P01 libpq appends
   * `password retrieved from file "%s"` to the message.
   */
  passfileFor(hostIndex: number): string | undefined;
  /** The string itself has a non-empty password (2F003 rules, behaviour reference 9). */
  readonly passwordGiven: boolean;
  /** Startup packet parameters other than user and database, in order. */
  readonly startup: readonly (readonly [string, ByteString])[];
  readonly protocol: ProtocolRange;
  /** Time for each address, in ms; 0 for no limit. */
  readonly connectTimeoutMs: number;
  readonly keepalive: Keepalive;
  readonly tls: ConninfoTls;
  readonly channelBinding: 'disable' | 'prefer' | 'require';
  /** As given, for libpq's message; what it permits is in `permittedAuth`. */
  readonly requireAuth?: string;
  readonly permittedAuth: ReadonlySet<AuthMethod>;
  readonly targetSessionAttrs: TargetSessionAttrs;
  readonly loadBalance: 'disable' | 'random';
  /**
   * Operating system user that the server process must have, on Unix sockets only. Node.js cannot tell, so such an address is
   * refused (docs/decisions/018-requirepeer.md).
   */
  readonly requirePeer?: string;
  readonly scramClientKey?: Buffer;
  readonly scramServerKey?: Buffer;
  /** What libpq would print as `WARNING: …` on stderr, for the log. */
  readonly warnings: readonly string[];
}

/**
 * Completes the options of a string from service file, environment and defaults, and validates them. It does so in
 * libpq's order: of several mistakes the same one is reported. Reads files through the context; does no network I/O.
 *
 * A mistake that libpq finds only when it comes to a host is kept with that host (`problem`). It is raised here only if
 * no host can be tried at all.
 *
 * @param explicit what `parseConninfo` returned.
 * @throws ConninfoError with libpq's message (DETAIL of 08001).
 */
export async function resolveConninfo(
  explicit: ReadonlyMap<string, ByteString>,
  context: ConninfoContext,
): Promise<ResolvedConninfo> {
  const options = await completeOptions(explicit, context);
  const givenHosts = resolveHosts(options, context.defaults);
  const user = options.get('user') || context.defaults.user;
  const database = options.get('dbname') || user;
  const passwords = await resolvePasswords(options, givenHosts, user, database, context);
  const requireAuth = options.get('require_auth');
  const permittedAuth = permittedAuthMethods(requireAuth);
  const channelBinding = chooseOption(options, 'channel_binding', ['disable', 'prefer', 'require'], 'prefer');
  const tls = resolveTls(options, context.homedir);
  refuseGssEncryption(options);
  const targetSessionAttrs = chooseOption(options, 'target_session_attrs', TARGET_SESSION_ATTRS, 'any');
  const scramKeys = {
    scramClientKey: decodeScramKey(options.get('scram_client_key'), 'client'),
    scramServerKey: decodeScramKey(options.get('scram_server_key'), 'server'),
  };
  const loadBalance = chooseOption(options, 'load_balance_hosts', ['disable', 'random'], 'disable');
  const protocol = resolveProtocol(options);
  const timing = resolveTiming(options);
  const hosts = givenHosts.map((host) => withTimingProblem(host, timing));
  // When libpq has found no standby, it goes through the hosts a second time, and reports their problems a second time.
  refuseHopeless(targetSessionAttrs === 'prefer-standby' ? [...hosts, ...hosts] : hosts);

  const requirePeer = options.get('requirepeer');
  const resolved: ResolvedConninfo = {
    hosts,
    user,
    database,
    ...passwords,
    passwordGiven: Boolean(explicit.get('password')),
    startup: startupParameters(options, context.env),
    protocol,
    connectTimeoutMs: timing.connectTimeoutMs,
    keepalive: timing.keepalive,
    tls,
    channelBinding,
    ...(requireAuth ? { requireAuth: textOf(requireAuth) } : {}),
    permittedAuth,
    targetSessionAttrs,
    loadBalance,
    ...(requirePeer ? { requirePeer: textOf(requirePeer) } : {}),
  };
  for (const [name, key] of Object.entries(scramKeys)) {
    if (key !== undefined) Object.defineProperty(resolved, name, { value: key });
  }
  return resolved;
}

type Passwords = Pick<ResolvedConninfo, 'passwordFor' | 'passfileFor' | 'warnings'>;

async function resolvePasswords(
  options: ReadonlyMap<string, ByteString>,
  hosts: readonly ConninfoHost[],
  user: ByteString,
  database: ByteString,
  context: ConninfoContext,
): Promise<Passwords> {
  const given = options.get('password');
  if (given) return { passwordFor: () => given, passfileFor: () => undefined, warnings: [] };

  const warnings: string[] = [];
  const file = await readPassfile(options.get('passfile'), context, (text) => warnings.push(text));
  const found = hosts.map((host) =>
    file === undefined
      ? undefined
      : findPassword(file.content, { host: host.passfileHost, port: host.passfilePort, database, user }),
  );
  return {
    passwordFor: (hostIndex) => found[hostIndex],
    passfileFor: (hostIndex) => (found[hostIndex] === undefined ? undefined : file?.path),
    warnings,
  };
}

function refuseGssEncryption(options: ReadonlyMap<string, ByteString>): void {
  const mode = chooseOption(options, 'gssencmode', ['disable', 'prefer', 'require'], 'disable');
  if (mode === 'require') {
    throw conninfoError`gssencmode value "require" invalid when GSSAPI support is not compiled in`;
  }
}

const PROTOCOL_VERSIONS = { '3.0': 0x30000, '3.2': 0x30002, latest: 0x30002 } as const;

function resolveProtocol(options: ReadonlyMap<string, ByteString>): ProtocolRange {
  const names = Object.keys(PROTOCOL_VERSIONS) as (keyof typeof PROTOCOL_VERSIONS)[];
  const min = PROTOCOL_VERSIONS[chooseOption(options, 'min_protocol_version', names, '3.0')];
  const asked = options.has('max_protocol_version');
  const max = PROTOCOL_VERSIONS[chooseOption(options, 'max_protocol_version', names, '3.0')];
  if (min > max && asked) {
    throw conninfoError`"min_protocol_version" is greater than "max_protocol_version"`;
  }
  return { min, max: Math.max(min, max) };
}

function withTimingProblem(host: ConninfoHost, timing: Timing): ConninfoHost {
  const tcpProblem = host.socketDirectory === undefined ? timing.tcpProblem : undefined;
  const problem = host.problem ?? tcpProblem ?? timing.timeoutProblem;
  return problem === undefined ? host : { ...host, problem };
}

/** Throws the messages of all hosts, one per line, if the search would end before a connection is tried. */
function refuseHopeless(hosts: readonly ConninfoHost[]): void {
  const errors: ConninfoError[] = [];
  for (const { problem } of hosts) {
    if (problem === undefined || problem.prefixed) return;
    errors.push(problem.error);
    if (problem.fatal) break;
  }
  throw joinErrors(errors);
}
