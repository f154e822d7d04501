import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type EndReason, endReason, type SessionAudit } from '../audit/index.js';
import { connectionLost, PrimaryLink } from '../primary/primaryLink.js';
import type { ResponseSink } from '../primary/responseQueue.js';
import type { CancelKey, CancelKeys, Cancellable } from '../wire/cancelKeys.js';
import { owned } from '../wire/channel/index.js';
import { errorResponse, PgError } from '../wire/errors.js';
import { parameterStatus, TERMINATE } from '../wire/messages.js';
import { Frontend, TransactionStatus } from '../wire/protocol.js';
import { ClientLink } from './clientLink.js';
import { Deliveries, EMPTY_MESSAGE_BYTES, forwarded } from './deliveries.js';
import { watchEnding } from './endingClient.js';
import { HeldReports } from './heldReports.js';
import type { RouterLog } from './settings.js';

/** Stands between the client's requests and the primary. Looks at requests, and carries some out itself. */
export interface Interceptor {
  /** Whether Bind, Describe, Execute and Close have to be shown, too, because prepared statements or portals concern the interceptor. */
  readonly tracking: boolean;
  /**
   * Called for a whole Query, Parse, Bind, Describe, Execute or Close message. A Query or a Parse is valid during the call only.
   * @returns undefined when the message goes to the primary as it is; a promise when the interceptor takes it over. The session
   * then handles nothing else of the client's until the promise is settled. A rejection ends the session.
   */
  intercept(type: number, message: Buffer): Promise<void> | undefined;
  /**
   * Called for such a message that is too long to be looked at, right before it goes to the primary.
   * @param head its first HEAD_BYTES
   */
  unseen(type: number, head: Buffer): void;
  /** Called when the client has been sent a ReadyForQuery. */
  ready(): void;
  /**
   * Called for a NoticeResponse of the primary.
   * @param muted whether it is kept from the client in any case @param cut whether this is only its head
   * @returns whether the client gets it as it is
   */
  notice(message: Buffer, muted: boolean, cut: boolean): boolean;
  /** Called for an ErrorResponse of the primary. @returns the message, or the one that takes its place */
  error(message: Buffer): Buffer;
  /** Called for a ReadyForQuery of the primary, whoever it is for. */
  settled(): void;
  /** Whether a dblink call is being carried out. */
  readonly serving: boolean;
  /** Stops what the interceptor is doing itself. @returns whether that was all: false when the primary may have to cancel, too */
  cancel(): boolean;
  /** Called when the session has ended. */
  close(): void;
}

/** Why a client sends nothing more. */
export type Leaving = 'client_terminated' | 'client_closed' | 'client_violation';

/** Why a session has ended. */
interface SessionEnding {
  readonly reason: EndReason;
  /** Of the error with which it has, the primary's or the proxy's. */
  readonly sqlstate?: string;
}

/** What a session is made of. */
export interface SessionOptions {
  readonly client: Duplex;
  /** Where the client is; undefined for one that has come by a Unix socket, and for the proxy itself. */
  readonly address?: string | undefined;
  /** Whether the client replicates. Its stream is one request without end. */
  readonly replication?: boolean;
  /** Is told of what the session does; undefined without an audit, and for a nested session. */
  readonly audit?: SessionAudit | undefined;
  /** The connection to the primary, on which the startup packet has been sent. */
  readonly primary: Socket;
  /** Bytes of the client's that were read behind its startup packet. */
  readonly firstBytes: Buffer;
  /** The longest Query or Parse that is looked at, with its header. */
  readonly statementBytes: number;
  /** How much is read ahead behind a request that is being carried out. */
  readonly pipelinedBytes: number;
  readonly keys: CancelKeys;
  readonly log: RouterLog;
  /**
   * Makes what handles the answer to the startup packet: authentication up to the first ReadyForQuery. Undefined when the primary is
   * ready and the client is the proxy itself (`logIn`). Such a client is not told that the primary is lost, it sees that.
   */
  readonly startup?: (session: Session) => ResponseSink;
  readonly interceptor: (session: Session) => Interceptor;
  /** Sends a CancelRequest for the primary's connection. Resolves when the primary has acted on it. */
  readonly cancelPrimary: (session: Session) => Promise<void>;
}

/**
 * Handles PasswordMessage, and the other messages of its type, while the client is not authenticated. The message's bytes are valid
 * during the call only.
 * @returns true passes the message to the primary
 */
export type PasswordHandler = (message: Buffer) => boolean;

/** One client's session: the connection to the client, the one to the primary, and what passes between them. */
export class Session implements Cancellable {
  /** Where the client is; undefined for one that has come by a Unix socket. */
  readonly address: string | undefined;
  readonly replication: boolean;
  readonly audit: SessionAudit | undefined;
  readonly client: ClientLink;
  readonly primary: PrimaryLink;
  readonly log: RouterLog;
  readonly #options: SessionOptions;
  readonly #interceptor: Interceptor;
  readonly #deliveries: Deliveries;
  readonly #closed: Promise<void>;
  #markClosed!: () => void;
  /** The primary has been sent what ends its COPY. */
  #copyBroken = false;
  /** Reports of the primary that the client is not to get yet. */
  readonly reports: HeldReports;
  #phase: 'startup' | 'ready' | 'ended' = 'startup';
  #draining = false;
  /**
   * The client sends nothing more that counts: it has sent Terminate, or something else upon which a server may close the connection without
   * a word, or closed it. This is why the session ends then.
   */
  #leaving: Leaving | undefined;
  /** A cancel request to the primary is under way. */
  #cancelling = false;
  /** Another cancel request is wanted behind the one that is under way. */
  #cancelAgain = false;
  #primaryFull = false;
  /** Type of the message that the interceptor has taken over. */
  #actingOn = 0;
  #clientFull = false;
  #onPassword: PasswordHandler = () => true;
  /** The proxy has asked the client for its password. It takes nothing else from the client until that is authenticated. */
  expectsPassword = false;
  /** Why the client could not log in, as it was told. For the log. */
  loginFailure: PgError | undefined;
  /** Why it has ended, and with which error if there was one. Undefined until then. */
  ending: SessionEnding | undefined;
  /** How many requests are over, and how many transactions. */
  requests = 0;
  transactions = 0;
  /** The cancel key that the client was given. */
  key: CancelKey | undefined;
  /** The cancel key that the primary gave. */
  primaryKey: CancelKey | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.log = options.log;
    this.address = options.address;
    this.replication = options.replication === true;
    this.audit = options.audit;
    this.#closed = new Promise((resolve) => {
      this.#markClosed = resolve;
    });
    this.client = new ClientLink(
      options.client,
      {
        head: (type, length) => this.#deliveries.of(type, length),
        refused: (type, length) => this.#deliveries.refused(type, length),
        whole: (type, message) => this.#clientMessage(type, message),
        pass: (bytes) => this.#toPrimary(bytes),
        chunk: (begin) => {
          if (begin) return this.primary.cork();
          if (this.primary.queue.copyIn) this.#breakCopy(false);
          else this.#copyBroken = false;
          this.primary.uncork();
        },
        failed: (error) => this.fail(error),
        ending: () => this.#clientEnding(),
        ended: () => this.#clientEnded(),
        closed: () => this.end('client_closed'),
      },
      options.pipelinedBytes,
    );
    this.primary = new PrimaryLink(options.primary, {
      forward: (bytes) => this.toClient(bytes),
      chunk: (begin) => (begin ? this.client.cork() : this.client.uncork()),
      notice: (message, muted, cut) => this.#interceptor.notice(message, muted, cut),
      error: (message) => {
        if (this.authenticated) this.reports.holdOfAbort();
        return this.#interceptor.error(message);
      },
      settled: () => this.#interceptor.settled(),
      copying: (waiting) => this.#breakCopy(waiting),
      notification: (message) => this.reports.notification(message),
      parameter: (name, value, before) => this.reports.parameter(name, value, before),
      ready: (message) => {
        this.reports.release();
        // The message itself goes first, because what it sets off may send more to the client.
        this.toClient(message);
        this.#ready();
      },
      closed: (fatal) => this.#primaryClosed(fatal),
    });
    this.reports = new HeldReports({
      majorVersion: () => this.primary.majorVersion,
      readies: () => this.primary.readies,
      changed: (name, value) => this.parameterChanged(name, value),
      toClient: (message) => this.toClient(message),
    });
    this.#interceptor = options.interceptor(this);
    this.#deliveries = new Deliveries(this, options.statementBytes);
  }

  /** Called for a ParameterStatus. The login puts its own function here for a while. @returns whether the client is told */
  parameterChanged: (name: string, value: string) => boolean = () => true;

  /** Relays until either side is gone, beginning with the primary's answer to the startup packet. */
  async run(): Promise<void> {
    const { startup } = this.#options;
    if (startup !== undefined) this.primary.expect({ kind: 'query', sink: startup(this) });
    this.client.start(this.#options.firstBytes);
    await this.#closed;
  }

  /** Without a handler, password messages go to the primary. */
  set onPassword(handler: PasswordHandler) {
    this.#onPassword = handler;
  }

  /** Makes the cancel key that the client gets: the process id is the primary's, the secret is not. */
  issueKey(primaryKey: CancelKey): CancelKey {
    this.primaryKey = primaryKey;
    // A primary that gives another key takes the first one back.
    if (this.key !== undefined) this.#options.keys.remove(this.key);
    this.key = this.#options.keys.add(this, primaryKey.processId, primaryKey.secret.length);
    return this.key;
  }

  /** Instead of a startup: the primary has given this key, if any, and reported these settings. */
  logIn(primaryKey: CancelKey | undefined, parameters: ReadonlyMap<string, string>): void {
    this.primaryKey = primaryKey;
    for (const [name, value] of parameters) this.primary.parameters.set(name, value);
    this.opened();
    this.#interceptor.ready();
  }

  /** Called when the client is authenticated and the primary is ready. */
  opened(): void {
    this.#phase = 'ready';
    // A part of a password message has come. If its header came only now, it would be refused there.
    if (this.client.collecting === Frontend.password) this.fail(passwordNobodyAskedFor());
  }

  /** Whether the interceptor wants to see what concerns prepared statements. */
  get tracking(): boolean {
    return this.#interceptor.tracking;
  }

  get authenticated(): boolean {
    return this.#phase === 'ready';
  }

  #clientMessage(type: number, message: Buffer): boolean {
    if (type === Frontend.password) return this.#onPassword(message);
    const action = this.#intercept(type, message);
    if (action === undefined) {
      this.primary.expect(forwarded(type));
      return true;
    }
    this.client.hold();
    this.#actingOn = type;
    void action.then(
      () => {
        this.client.release();
        // After what the client pipelined, which `release` has handled first.
        if (this.#draining) setImmediate(() => this.#endIfIdle());
      },
      (error: unknown) => this.fail(error),
    );
    return false;
  }

  #intercept(type: number, message: Buffer): Promise<void> | undefined {
    if (this.#deliveries.isTooLong(type, message)) {
      this.#interceptor.unseen(type, message);
      return undefined;
    }
    // What prepared statements keep of a message must not change. A Query or a Parse is copied where it is kept.
    const kept = type === Frontend.query || type === Frontend.parse ? message : owned(message);
    return this.#interceptor.intercept(type, kept);
  }

  /**
   * The client sends a request in the place of COPY data. The interceptor has taken the request over, or its end has not come and
   * may never come. So the primary gets only its header. Upon that it raises its own error and ends the session, since nothing
   * tells where the data would go on.
   * @param acting the request is the one that the interceptor has taken over; else it is one that is still being read
   */
  #breakCopy(acting: boolean): void {
    const type = acting ? this.#actingOn : this.client.collecting;
    if (type === undefined || DURING_COPY.has(type) || this.#copyBroken) return;
    // Before PostgreSQL 14 a server reads the whole message first, and goes on behind it.
    if (!acting && this.primary.majorVersion < 14) return;
    this.#copyBroken = true;
    this.primary.write(Buffer.from([type, 0, 0, 0, EMPTY_MESSAGE_BYTES - 1]));
  }

  #toPrimary(bytes: Buffer): void {
    if (this.primary.write(bytes) || this.#primaryFull) return;
    this.#primaryFull = true;
    this.client.pause();
    this.primary.whenDrained(() => {
      this.#primaryFull = false;
      this.client.resume();
    });
  }

  /** Sends bytes to the client. While the client is slow, nothing is read from the primary. */
  toClient(bytes: Buffer): void {
    if (this.client.write(bytes) || this.#clientFull) return;
    this.#clientFull = true;
    this.primary.pause();
    void this.client.drained().then(() => {
      this.#clientFull = false;
      this.primary.resume();
    });
  }

  #ready(): void {
    this.requests++;
    if (this.primary.status === TransactionStatus.idle) this.transactions++;
    this.#interceptor.ready();
    if (this.#draining) this.#endIfIdle();
  }

  /** To be called when a request that the proxy carried out is over and its ReadyForQuery has been sent to the client. */
  requestDone(): void {
    this.#ready();
  }

  /** Carries out a cancel request: stops what the session is doing now, on a remote or the primary, but never a later request. */
  cancel(): void {
    if (this.#interceptor.cancel()) return;
    this.cancelPrimary();
  }

  /** Has the primary cancel what it is doing for this session, if it is doing anything. */
  cancelPrimary(): void {
    if (this.primary.queue.length === 0 || this.primaryKey === undefined) return;
    // No further request of the client's starts until the primary has dealt with the cancel request, so it can hit none of them.
    if (this.#cancelling) {
      this.#cancelAgain = true;
      return;
    }
    this.#cancelling = true;
    this.client.hold();
    this.#options
      .cancelPrimary(this)
      .catch((error: unknown) => this.log.warn({ err: error }, 'cancel request to the primary failed'))
      .finally(() => {
        this.#cancelling = false;
        // However many were wanted meanwhile, one behind all of them does what they would do.
        if (this.#cancelAgain) this.cancelPrimary();
        this.#cancelAgain = false;
        this.client.release();
      });
  }

  /** Ends the session as soon as it is in no transaction, telling the client why (57P01). */
  drain(): void {
    this.#draining = true;
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    const { queue, status } = this.primary;
    if (queue.length === 0 && status === TransactionStatus.idle && !this.client.busy) this.terminate();
  }

  /** Whether nothing of the client's is being carried out, here or on the primary, and no batch is open. */
  get idle(): boolean {
    return this.primary.queue.length === 0 && !this.primary.batchOpen && !this.client.busy;
  }

  /** Ends the session now, cancelling what it does. @param error that the client gets */
  terminate(
    error = new PgError('57P01', 'terminating connection due to administrator command', FATAL),
  ): void {
    if (this.#phase === 'ended') return;
    if (!this.#interceptor.cancel() && this.primary.queue.length > 0 && this.primaryKey !== undefined) {
      void this.#options.cancelPrimary(this).catch(() => undefined);
    }
    this.fail(error);
  }

  /** @param fatal see PrimaryEvents */
  #primaryClosed(fatal: string | undefined): void {
    if (this.#phase === 'ended') return;
    if (fatal !== undefined) this.#finish({ reason: 'server_ended', sqlstate: fatal });
    else if (this.#leaving !== undefined) this.end(this.#leaving);
    else if (this.#options.startup === undefined) this.end('server_lost');
    else this.fail(connectionLost());
  }

  /** Ends the session because of an error. The client is told it; of anything but a PgError it is told XX000. */
  fail(error: unknown): void {
    if (this.#phase === 'ended') return;
    const known = error instanceof PgError;
    if (!known) this.log.error({ err: error }, 'internal error in a session');
    if (this.#phase === 'startup' && known) this.loginFailure ??= error;
    const told = known ? error : new PgError('XX000', 'internal error of the proxy; see its log', FATAL);
    // A client that waits for the rest of a message would take an error for that rest, for example for a row's value.
    const { sqlstate } = told;
    const lastWords = this.primary.midMessage ? undefined : errorResponse(told.with({ severity: 'FATAL' }));
    this.#finish({ reason: endReason(sqlstate), sqlstate }, lastWords);
  }

  /** See endingClient.ts. */
  #clientEnding(): void {
    const { client, primary } = this;
    const leaves = this.#leaving !== undefined || client.leaves;
    const reason = this.#leaving ?? (leaves ? 'client_terminated' : 'client_closed');
    const serving = (): boolean => this.#interceptor.serving;
    const busy = (): boolean => client.busy || serving();
    if (leaves && busy()) {
      this.end(reason);
      return;
    }
    watchEnding({
      leaves,
      serving,
      busy,
      idle: () => primary.queue.length === 0 && !client.busy,
      over: () => this.#phase === 'ended',
      end: () => this.end(reason),
      touch: () => {
        // What is in the middle of a message has its rest to come.
        if (this.authenticated && !primary.midMessage && !client.inParts)
          this.toClient(parameterStatus(UNCHANGING, primary.parameters.get(UNCHANGING) ?? 'on'));
      },
    });
  }

  /** The primary, too, gets nothing more, and closes the connection when it has answered everything. */
  #clientEnded(): void {
    if (this.expectsPassword) this.end('client_closed');
    else {
      this.#leaving ??= 'client_closed';
      this.primary.finish();
    }
  }

  /** Called when the client has sent something behind which it sends nothing more that counts. */
  leaving(why: Leaving): void {
    this.#leaving ??= why;
  }

  /** Ends the session without a message to the client. */
  end(reason: EndReason): void {
    this.#finish({ reason });
  }

  #finish(ending: SessionEnding, lastWords?: Buffer): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.ending = ending;
    if (this.key !== undefined) this.#options.keys.remove(this.key);
    this.#interceptor.close();
    this.client.end(lastWords);
    // The same holds for the primary: another message would complete the one that the client has begun.
    this.primary.end(this.client.midMessage || this.#leaving !== undefined ? undefined : TERMINATE);
    this.#markClosed();
  }
}

/** The messages that PostgreSQL takes while it reads COPY data. */
const DURING_COPY: ReadonlySet<number> = new Set([
  Frontend.copyData,
  Frontend.copyDone,
  Frontend.copyFail,
  Frontend.flush,
  Frontend.sync,
]);

const FATAL = { severity: 'FATAL' } as const;

/** A setting that servers report and that never changes. */
const UNCHANGING = 'integer_datetimes';

const passwordNobodyAskedFor = (): PgError =>
  new PgError('08P01', `invalid frontend message type ${Frontend.password}`, FATAL);
