import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { type Audit, loginFailure, SessionAudit } from '../audit/index.js';
import { clipName } from '../dblink/clipName.js';
import { mayEnter } from '../policy/index.js';
import { Authenticator, type AuthenticatorOptions } from '../wire/auth/authenticator.js';
import type { ScramKeys } from '../wire/auth/scram.js';
import { textOf } from '../wire/byteString.js';
import type { CancelKeys } from '../wire/cancelKeys.js';
import { errorResponse, LimitReached, PgError } from '../wire/errors.js';
import { sendCancelRequest } from '../wire/outbound/cancelRequest.js';
import { isEncrypted } from '../wire/outbound/socket.js';
import { abortable } from '../wire/pace/abortable.js';
import { MAX_STARTUP_BYTES } from '../wire/protocol.js';
import { withParameter } from '../wire/startup.js';
import { peerCertificate } from '../wire/tls/tls.js';
import { acceptClient, type LoginClock } from './accept.js';
import type { ClientAdmission } from './clientAdmission.js';
import { passwordLogin, passwordNeedsTls, relayLogin } from './login.js';
import { firstFit, openPrimary, type ServerChoice, type ServerList } from './openPrimary.js';
import { refusalOfPrimary } from './refusedStartup.js';
import { Session } from './session.js';
import type { RouterLog, RouterSettings } from './settings.js';

/** What serving connections takes. */
export interface ServeOptions {
  readonly settings: RouterSettings;
  /** Undefined refuses TLS. */
  readonly secureContext: SecureContext | undefined;
  readonly keys: CancelKeys;
  readonly log: RouterLog;
  /** The log of a client that is not where its connection comes from. */
  readonly logOf: (client: string | undefined) => RouterLog;
  readonly clients: ClientAdmission;
  /** Undefined where nothing is audited. */
  readonly audit: Audit | undefined;
  /** By which the session is known in the process. */
  readonly number: number;
  /** Those whose settings for clients are `settings`. */
  readonly servers: ServerList;
  /** Called when a session begins, so that it can be drained or shut down. */
  readonly opened: (session: Session) => void;
  /** Called when a client has logged in. @param database its name, a byte string */
  readonly loggedIn?: (session: Session, database: string) => void;
  /** Called when a client gets no session, or its login fails. */
  readonly turnedAway?: (sqlstate: string) => void;
  /** Called when a session has ended. */
  readonly ended: (session: Session) => void;
}

/**
 * Serves one connection of a client from accept to end. Never rejects: whatever goes wrong ends this connection only. The client
 * is told of it as far as possible.
 */
export async function serve(raw: Socket, options: ServeOptions): Promise<void> {
  const { settings: common } = options;
  const accepted = await acceptClient(raw, {
    ...options,
    loginTimeoutMs: common.timeouts.login,
    tlsHandshakeMs: common.timeouts.tlsHandshake,
    isBalancer: common.isBalancer,
    refusalOf: (packet, signal) => refusalOf(options, packet, signal),
  });
  if (accepted === undefined) return;
  const { socket: client, address, startup, tls, clock } = accepted;
  const log = address === raw.remoteAddress ? options.log : options.logOf(address);
  const who = { user: startup.parameters.get('user'), database: startup.parameters.get('database') };
  const text = (name: string): string | undefined => {
    // As a server cuts names. What is longer is only there to fill the audit.
    const value = startup.parameters.get(name);
    return value && textOf(clipName(value, 'UTF8'));
  };
  const audit =
    options.audit &&
    new SessionAudit(
      options.audit,
      {
        session: options.number,
        user: text('user'),
        database: text('database') ?? text('user'),
        client: address,
      },
      tls,
    );
  /** @param rule of `access`, where one has refused the client */
  const refuse = (error: PgError, rule?: string): void => {
    const { sqlstate } = error;
    log.info({ ...who, sqlstate, reason: error.message }, 'client refused');
    if (rule !== undefined) audit?.refused({ kind: 'access', by: rule, sqlstate });
    else if (error instanceof LimitReached) audit?.refused({ kind: 'limit', by: error.setting, sqlstate });
    else audit?.loginFailed(loginFailure(sqlstate), sqlstate);
    clock.stop();
    options.turnedAway?.(error.sqlstate);
    client.end(errorResponse(error));
    setTimeout(() => client.destroy(), 1000).unref();
  };
  try {
    if (audit?.makesWait === true && !(await hasRoom(audit, { client, clock, refuse }))) return;
    const denied = deniedBy(common, address, startup.parameters, tls);
    if (denied !== undefined) return refuse(denied.error, denied.rule);
    const user = clipName(who.user ?? '', 'UTF8');
    const database = clipName(who.database || user, 'UTF8');
    const arrival = { user, database, address };
    if (common.auth === 'password' && !tls) {
      return refuse(passwordNeedsTls());
    }
    const abort = new AbortController();
    const gone = () => {
      if (!abort.signal.aborted) audit?.loginFailed('client_closed');
      abort.abort();
    };
    client.once('close', gone);
    clock.onExpiry = () => abort.abort();
    const waits = () => log.info(who, 'client waits');
    const leave = await options.clients.enter(arrival, abort.signal, waits).catch((error: unknown) => {
      if (!client.closed) throw error;
    });
    if (leave === undefined) return;
    if (client.closed) return leave();
    client.once('close', leave);
    // A place that was found just as the time was up.
    if (abort.signal.aborted) return refuse(loginTimedOut());
    clock.onExpiry = () => {
      refuse(primarySilent());
      abort.abort();
    };
    const replication = replicates(startup.parameters.get('replication'));
    // A standby is known by its name.
    const isNamed = common.applicationNameAddHost && !replication;
    // Ends what is being computed for the client when the client leaves.
    const left = new AbortController();
    client.once('close', () => left.abort(new Error('the client has left')));
    let password: Buffer | undefined;
    let scram: () => ScramKeys | 'relayed' | undefined = () => undefined;
    const open = async ({ settings, route }: ServerChoice) => {
      const { packet, interceptor } = route(startup);
      const named = isNamed ? withClient(packet, startup.parameters, hostOf(raw, address)) : packet;
      return { settings, interceptor, primary: await openPrimary(settings, named, abort.signal) };
    };
    let connected: Awaited<ReturnType<typeof open>>;
    try {
      connected = await firstFit(options.servers, abort.signal, open);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (error instanceof PgError)
        log.error({ err: error.fields.detail ?? error.message }, 'primary cannot be reached');
      throw error;
    } finally {
      client.off('close', gone);
    }
    const { settings, interceptor, primary } = connected;
    if (client.destroyed) {
      primary.destroy();
      return;
    }
    let opened = false;
    const session = new Session({
      client,
      address,
      replication,
      audit,
      primary,
      firstBytes: accepted.rest,
      statementBytes: settings.limits.statementBytes,
      pipelinedBytes: settings.limits.pipelinedBytes,
      keys: options.keys,
      log,
      startup: (session) => {
        const login = {
          done: () => {
            clock.stop();
            options.loggedIn?.(session, database);
            opened = true;
            audit?.opened(text('application_name'));
          },
          hideChannelBinding: !tls && isEncrypted(primary),
          refusesCleartext: !isEncrypted(primary) && refusesCleartext(settings, tls),
        };
        const relayed = () => {
          scram = () => 'relayed';
        };
        return settings.auth === 'relay'
          ? relayLogin(session, { ...login, scram: relayed })
          : passwordLogin(session, login, (given) => {
              password = given;
              const made = authenticator(primary, startup.parameters, given, {
                maxScramIterations: settings.dblink.maxScramIterations,
                keyOwner: { owner: session, signal: left.signal },
                plainPassword: settings.primary.plainPassword,
              });
              scram = () => made.scramKeys;
              return made;
            });
      },
      interceptor: (session) =>
        interceptor(session, {
          startup: startup.parameters,
          password: () => password,
          scram: () => scram(),
        }),
      cancelPrimary: (session) =>
        sendCancelRequest({
          address: settings.primary.address,
          tls: settings.primary.tls,
          processId: session.primaryKey!.processId,
          secretKey: session.primaryKey!.secret,
        }),
    });
    clock.onExpiry = () => session.fail(session.primary.answered ? loginTimedOut() : primarySilent());
    options.opened(session);
    log.debug(who, 'session begins');
    await session.run();
    clock.stop();
    if (session.loginFailure !== undefined) {
      const { sqlstate, message } = session.loginFailure;
      options.turnedAway?.(sqlstate);
      log.info({ ...who, sqlstate, reason: message }, 'login failed');
    }
    if (audit !== undefined) tellEnd(audit, session, opened);
    options.ended(session);
    log.debug({}, 'session ends');
  } catch (error) {
    if (!(error instanceof PgError)) log.error({ err: error }, 'connection of a client failed');
    refuse(
      error instanceof PgError
        ? error
        : new PgError('XX000', 'internal error of the proxy', { severity: 'FATAL' }),
    );
  }
}

/**
 * Waits until the audit has room. Meanwhile nothing is done for the client.
 * @returns false when the client is gone, or has been refused because its time is up
 */
async function hasRoom(
  audit: SessionAudit,
  {
    client,
    clock,
    refuse,
  }: {
    readonly client: Socket;
    readonly clock: LoginClock;
    readonly refuse: (error: PgError) => void;
  },
): Promise<boolean> {
  const over = new AbortController();
  const gone = () => over.abort();
  client.once('close', gone);
  clock.onExpiry = () => {
    refuse(loginTimedOut());
    gone();
  };
  try {
    await abortable(audit.room(), over.signal);
    return !client.closed;
  } catch {
    return false;
  } finally {
    client.off('close', gone);
  }
}

/** How a session that is over has ended, or why there was none. */
function tellEnd(audit: SessionAudit, session: Session, opened: boolean): void {
  const { ending, loginFailure: failure, requests } = session;
  const { reason, sqlstate } = ending ?? { reason: 'internal_error' as const };
  if (opened) audit.ended(reason, sqlstate, requests);
  else if (failure !== undefined) audit.loginFailed(loginFailure(failure.sqlstate), failure.sqlstate);
  else audit.loginFailed(reason, sqlstate);
}

/** What keeps a client out. The error is 28000. @returns undefined for one that the access rules let in */
function deniedBy(
  { access }: RouterSettings,
  client: string | undefined,
  parameters: ReadonlyMap<string, string>,
  tls: boolean,
): { readonly error: PgError; readonly rule: string } | undefined {
  // As a server cuts names, so they are compared.
  const text = (bytes: string): string => Buffer.from(clipName(bytes, 'UTF8'), 'latin1').toString('utf8');
  const user = parameters.get('user') ?? '';
  const database = parameters.get('database') || user;
  const { allowed, by } = mayEnter(access, { client, user: text(user), database: text(database), tls });
  if (allowed) return undefined;
  const from = client === undefined ? '[local]' : client;
  const error = new PgError(
    '28000',
    `access rejected for host "${from}", user "${user}", database "${database}", ${tls ? 'SSL encryption' : 'no encryption'}`,
    { severity: 'FATAL', hint: 'See the setting "access" of the proxy.' },
  );
  return { error, rule: by };
}

/** Whether a startup packet's parameter `replication` asks for it, as a server reads it. */
const replicates = (value: string | undefined): boolean =>
  value !== undefined && (value === 'database' || /^(?:t(?:r(?:ue?)?)?|y(?:es?)?|on|1)$/i.test(value));

/** Where a client is, as the primary's activity shows it. */
const hostOf = ({ remoteAddress, remotePort }: Socket, address: string | undefined): string => {
  if (address === undefined) return '[local]';
  return address === remoteAddress ? `${address}:${remotePort}` : address;
};

/** A startup packet whose application_name says where the client is. One that would become too long stays as it is. */
function withClient(packet: Buffer, parameters: ReadonlyMap<string, string>, host: string): Buffer {
  const name = `${parameters.get('application_name') || 'app'} - ${host}`;
  // The last one counts.
  const named = withParameter(packet, 'application_name', name);
  return named.length > MAX_STARTUP_BYTES ? packet : named;
}

/** Asks the primary what it says to a startup packet, if there is room for one more connection. */
async function refusalOf(
  { settings, clients }: ServeOptions,
  packet: Buffer,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  let leave: () => void;
  try {
    leave = clients.admit();
  } catch {
    return undefined;
  }
  try {
    return await refusalOfPrimary(settings, packet, signal);
  } finally {
    leave();
  }
}

/**
 * Whether a primary without TLS must not be sent a password in clear text. That holds for a password that the proxy itself has
 * asked for. It also holds for one that the client has sent over TLS, if TLS to the primary was wanted: somebody in between may
 * have prevented it.
 */
function refusesCleartext({ auth, primary }: RouterSettings, clientTls: boolean): boolean {
  if (primary.plainPassword) return false;
  return auth === 'password' || (clientTls && primary.tls.mode !== 'disable' && !('path' in primary.address));
}

function authenticator(
  primary: Socket,
  parameters: ReadonlyMap<string, string>,
  password: Buffer,
  options: Pick<AuthenticatorOptions, 'maxScramIterations' | 'keyOwner' | 'plainPassword'>,
): Authenticator {
  return new Authenticator({
    user: Buffer.from(parameters.get('user') ?? '', 'latin1'),
    password,
    encrypted: isEncrypted(primary),
    tlsPeerCertificate: isEncrypted(primary) ? peerCertificate(primary) : undefined,
    ...options,
  });
}

/** As PostgreSQL says it (authentication_timeout). */
const loginTimedOut = (): PgError =>
  new PgError('57014', 'canceling authentication due to timeout', { severity: 'FATAL' });

const primarySilent = (): PgError =>
  new PgError('08006', 'the primary server did not answer within the login timeout', {
    severity: 'FATAL',
    hint: 'Is it a PostgreSQL server, and not overloaded? See the settings "primary" and "timeouts.login".',
  });
