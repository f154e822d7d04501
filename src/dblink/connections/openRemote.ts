import { createHash } from 'node:crypto';
import { asText } from '../../wire/encoding/transcode.js';
import type { PgError } from '../../wire/errors.js';
import { ConnectError, type WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { Attempts } from '../auditing/attempts.js';
import { clipName } from '../clipName.js';
import {
  byteString,
  ConninfoError,
  findRefusedOption,
  hostHasEnvironment,
  parseConninfo,
  plainOption,
  type ResolvedConninfo,
  resolveConninfo,
  systemContext,
} from '../conninfo/index.js';
import type { DblinkFacts, DblinkHome } from '../context.js';
import {
  couldNotConnect,
  optionRefused,
  passthroughImpossible,
  passwordMissing,
  passwordNotRequested,
  tooManyFiles,
} from '../errors.js';
import { connectFirst } from '../remote/connectFirst.js';
import { connectTextBefore14 } from '../remote/connectText.js';
import { type ForeignServer, serverConninfo, wantsPassthrough } from './foreignServer.js';
import { checkRoots, DEFAULT_HOST_RULES, permittedContext } from './hostAccess.js';
import type { Identity } from './keptConnections.js';
import { Permission, type Permitted } from './permission.js';
import { type Claim, type Leave, type Places, placeOf } from './places.js';

/** Who opens a connection, and in what circumstances. */
export interface OpenOptions {
  readonly home: DblinkHome;
  readonly facts: DblinkFacts;
  /** True for dblink_connect_u, which does not require a password of anybody. */
  readonly unchecked: boolean;
  readonly signal: AbortSignal;
  /** Who wants the connection, where connections to a server have a limit. */
  readonly claim: Claim;
  /**
   * Called after the check that a password is given, before the string's other mistakes are reported and before the
   * network is used. The check for duplicate names takes place here.
   */
  readonly beforeConnect?: () => void;
  /**
   * Gives a connection that is as good as a new one. All checks that come before a login have been made.
   * @param identity what tells the server and the credentials from others
   */
  readonly reuse?: (identity: Identity) => Promise<WireClient | undefined>;
}

/** A connection that has been made. */
export interface OpenedRemote {
  readonly client: WireClient;
  /** Whether the server is declared read-only. */
  readonly readOnly: boolean;
}

/**
 * Opens a connection to a remote as dblink_connect does. The checks come in the extension's order (behaviour reference,
 * section 2).
 * @param target name of a foreign server, or else a connection string; a byte string
 * @throws PgError 08001, 2F003, 42501, 42704, 42601, 0A000, or the signal's reason
 */
export async function openRemote(target: string, options: OpenOptions): Promise<OpenedRemote> {
  const { audit } = options.home;
  if (audit === undefined) return open(target, options, undefined);
  if (audit.makesWait) await abortable(audit.room(), options.signal);
  const attempts = new Attempts(audit);
  try {
    return await open(target, options, attempts);
  } catch (error) {
    attempts.gaveUp(options.signal.aborted ? options.signal.reason : error);
    throw error;
  }
}

async function open(
  target: string,
  options: OpenOptions,
  attempts: Attempts | undefined,
): Promise<OpenedRemote> {
  const { home, facts } = options;
  const rules = home.hostRules ?? DEFAULT_HOST_RULES;
  const hostContext = systemContext(
    { host: home.primaryHost, port: String(home.primaryPort), user: home.user },
    process.env,
    options.signal,
  );
  let environment: Promise<boolean> | undefined;
  const hasEnvironment = (): Promise<boolean> => (environment ??= hostHasEnvironment(hostContext));
  // Most connections of superusers need the answer, so it is looked for while the primary is asked.
  if (facts.superuser && rules.hostEnvironment === 'superusers') hasEnvironment().catch(() => undefined);
  const server = await facts.findServer(
    clipName(target, facts.databaseEncoding),
    options.unchecked,
    options.signal,
  );
  const serverName = server && asText(server.name, facts.databaseEncoding);
  if (attempts !== undefined) attempts.names = { server: serverName, host: () => undefined };
  const conninfo = server === undefined ? target : conninfoOf(server, options);
  let explicit: ReadonlyMap<string, string> | undefined;
  let problem: PgError | undefined;
  try {
    explicit = parseConninfo(Buffer.from(conninfo, 'latin1'));
  } catch (error) {
    problem = asConnectError(error, facts.primaryMajor);
  }
  const passed = explicit !== undefined && passesKeys(explicit, home);
  const exempt = options.unchecked || server?.declared === true || passed;
  // The role may have been a superuser before this statement and be none now. The primary is asked only where that
  // decides.
  let superuser: Promise<boolean> | undefined;
  const confirmSuperuser = (): Promise<boolean> => (superuser ??= facts.confirmSuperuser());
  const mustGivePassword = async (): Promise<boolean> =>
    !exempt && !(facts.superuser && (await confirmSuperuser()));
  if (!explicit?.get('password') && (await mustGivePassword())) throw passwordMissing(facts.primaryMajor);
  options.beforeConnect?.();
  if (explicit === undefined) throw problem!;
  const refused = findRefusedOption(explicit, facts.primaryMajor);
  if (refused !== undefined) throw optionRefused(refused);

  const { context, bare } = await permittedContext(explicit, {
    rules,
    declared: server?.declared === true,
    superuser: facts.superuser,
    confirmSuperuser,
    context: hostContext,
    hasEnvironment,
  });
  let client: WireClient;
  let permission: Permission | undefined;
  try {
    const hostless = !explicit.get('host') && !explicit.get('hostaddr');
    const completed = new Map(explicit);
    // A string without a host means the primary itself. The database is then the session's own, unless the string names
    // one.
    if (hostless && !context.env['PGHOST'] && !context.env['PGDATABASE'] && !completed.get('dbname')) {
      completed.set('dbname', home.database);
    }
    const resolved = await resolveConninfo(completed, context);
    checkRoots(bare, resolved, rules.hostEnvironment);
    if (attempts !== undefined) {
      const show = (keyword: string, value: string): string | undefined =>
        plainOption(conninfo, completed, keyword, byteString(asText(value, facts.databaseEncoding)));
      const [database, user] = [show('dbname', resolved.database), show('user', resolved.user)];
      attempts.names = { server: serverName, database, user, host: (name) => show('host', byteString(name)) };
    }
    const plainPassword = server?.declared !== true || server.plainPassword === true;
    const identity = identityOf(completed, resolved, plainPassword);
    permission = permissionFor(resolved, server, { home, facts, confirmSuperuser });
    // Whoever names lists of certificates that are revoked wants each connection to be checked against them.
    const reuse = explicit.has('sslcrl') || explicit.has('sslcrldir') ? undefined : options.reuse;
    const terms = { plainPassword, permission, attempts };
    client =
      (await reuse?.(identity).then((kept) => stillPermitted(kept, permission, attempts))) ??
      (await loginWithRoom(resolved, options, terms, identity));
    if (permission?.given !== undefined) PERMITTED.set(client, permission.given);
  } catch (error) {
    if (isOutOfFiles(error)) home.admission?.exhausted(error as Error);
    options.signal.throwIfAborted();
    throw asConnectError(error, facts.primaryMajor);
  }
  try {
    if (!client.passwordRequested && (await mustGivePassword()))
      throw passwordNotRequested(facts.primaryMajor);
    return { client, readOnly: server?.readOnly === true || permission?.readOnly === true };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** What the policy has permitted for a connection. */
const PERMITTED = new WeakMap<WireClient, Permitted>();

/** What asks the policy about each place to connect to. Undefined where there is no policy. */
function permissionFor(
  { database, user }: ResolvedConninfo,
  server: ForeignServer | undefined,
  {
    home,
    facts,
    confirmSuperuser,
  }: Pick<OpenOptions, 'home' | 'facts'> & { confirmSuperuser: () => Promise<boolean> },
): Permission | undefined {
  if (home.access === undefined) return undefined;
  // As servers cut names, so they are compared.
  const text = (name: string): string =>
    asText(clipName(name, facts.databaseEncoding), facts.databaseEncoding);
  const wanted = { server: server && text(server.name), database: text(database), user: text(user) };
  return new Permission(home.access, wanted, {
    isMember: facts.isMember,
    confirmSuperuser: async () => facts.superuser && (await confirmSuperuser()),
  });
}

/**
 * A connection that was kept, if the policy still permits it by the same rule.
 * @throws PgError 42501
 */
async function stillPermitted(
  kept: WireClient | undefined,
  permission: Permission | undefined,
  attempts: Attempts | undefined,
): Promise<WireClient | undefined> {
  if (kept === undefined || permission === undefined) return kept;
  const before = PERMITTED.get(kept);
  try {
    if (before !== undefined) {
      attempts?.at(before.host, before.address);
      await permission.check(before.host, before.address);
      if (permission.given?.by === before.by) return kept;
    }
  } catch (error) {
    kept.close();
    throw error;
  }
  kept.close();
  return undefined;
}

/**
 * What tells one server and one login from another: every option, and what was completed from files and the environment. It is a digest,
 * since there are passwords among these.
 */
function identityOf(
  options: ReadonlyMap<string, string>,
  resolved: ResolvedConninfo,
  plainPassword: boolean,
): Identity {
  const { scramClientKey, scramServerKey } = resolved;
  const all = [
    [...options],
    resolved,
    [...resolved.permittedAuth],
    resolved.hosts.map((_, i) => resolved.passwordFor(i)),
    [
      resolved.tls.keyPassword,
      scramClientKey?.toString('hex'),
      scramServerKey?.toString('hex'),
      plainPassword,
    ],
  ];
  const login = createHash('sha256').update(JSON.stringify(all)).digest('base64');
  return { server: JSON.stringify(resolved.hosts), login };
}

/** On what terms a connection is made. */
interface Terms {
  readonly plainPassword: boolean;
  readonly permission: Permission | undefined;
  readonly attempts: Attempts | undefined;
}

/**
 * Connects. A server that has no room may have it when connections have left that are kept for later.
 * @throws as login
 */
async function loginWithRoom(
  resolved: ResolvedConninfo,
  options: OpenOptions,
  terms: Terms,
  { server }: Identity,
): Promise<WireClient> {
  try {
    return await login(resolved, options, terms);
  } catch (error) {
    const full = error instanceof ConnectError && error.sqlstate === '53300';
    if (!full || !(await options.home.kept?.makeRoom(options.signal, server))) throw error;
    return login(resolved, options, terms);
  }
}

/** Connects when it is the session's turn. @throws ConnectError, the signal's reason */
async function login(
  resolved: ResolvedConninfo,
  { home, signal, claim }: OpenOptions,
  { plainPassword, permission, attempts }: Terms,
): Promise<WireClient> {
  const turn = () => home.logins?.take(home.owner ?? home, signal);
  let release = await turn();
  const servers = home.admission?.servers;
  /** Who waits for others to leave a server takes no turn of those who connect to others. */
  const room = async (places: Places, server: string): Promise<Leave> => {
    const free = places.tryTake(server, claim);
    if (free !== undefined) return free;
    release?.();
    release = undefined;
    const leave = await places.take(server, claim, () => home.kept?.giveWay(home, server));
    try {
      release = await turn();
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  };
  try {
    return await connectFirst(resolved, signal, {
      owner: home.owner ?? home,
      maxScramIterations: home.maxScramIterations,
      plainPassword,
      permission,
      attempts,
      times: home.times,
      room: servers && ((address) => room(servers, placeOf(address))),
    });
  } finally {
    release?.();
  }
}

/**
 * The connection string of a foreign server.
 * @throws PgError 42601; 0A000 for a SCRAM pass-through that the extension could do, and without which there is no
 * password
 */
function conninfoOf(server: ForeignServer, { home, facts }: OpenOptions): string {
  const scram = home.scram?.();
  if (scram !== 'relayed') return serverConninfo(server, facts.primaryMajor, scram);
  const hasPassword = server.mappingOptions.some((option) => /^password=./.test(option));
  if (!hasPassword && wantsPassthrough(server, facts.primaryMajor)) throw passthroughImpossible(server.name);
  return serverConninfo(server, facts.primaryMajor, undefined);
}

/**
 * Whether a string uses SCRAM pass-through. It counts as credentials of the caller's own as long as nothing but SCRAM is
 * permitted (behaviour reference, section 9).
 */
const passesKeys = (explicit: ReadonlyMap<string, string>, home: DblinkHome): boolean =>
  typeof home.scram?.() === 'object' &&
  Boolean(explicit.get('scram_client_key') && explicit.get('scram_server_key')) &&
  explicit.get('require_auth') === 'scram-sha-256';

const isOutOfFiles = (error: unknown): boolean =>
  error instanceof ConnectError && (error.code === 'EMFILE' || error.code === 'ENFILE');

/** An error of libpq as dblink reports it (08001). @throws any other error as it is */
function asConnectError(error: unknown, primaryMajor: number): PgError {
  let text: string;
  if (error instanceof ConnectError) {
    if (isOutOfFiles(error)) return tooManyFiles();
    text = error.message;
  } else if (error instanceof ConninfoError) text = error.messageBytes.toString('latin1');
  else throw error;
  return couldNotConnect(primaryMajor < 14 ? connectTextBefore14(text) : text);
}
