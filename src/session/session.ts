import type { Socket } from 'node:net';
import { connectionLost, PrimaryLink } from '../primary/primaryLink.js';
import { FORWARD, type ResponseSink } from '../primary/responseQueue.js';
import type { CancelKey, CancelKeys, Cancellable } from '../wire/cancelKeys.js';
import { errorResponse, PgError } from '../wire/errors.js';
import type { Delivery } from '../wire/framer.js';
import { parameterStatus, TERMINATE } from '../wire/messages.js';
import { Frontend, TransactionStatus } from '../wire/protocol.js';
import { ClientLink } from './clientLink.js';
import type { RouterLog } from './settings.js';

/** What stands between the client's requests and the primary: looks at requests and carries some out itself. */
export interface Interceptor {
  /** Whether Bind, Describe, Execute and Close have to be shown too (the session has statements of the interceptor's). */
  readonly tracking: boolean;
  /**
   * A whole Query, Parse, Bind, Describe, Execute or Close message.
   * @returns undefined: it goes to the primary as it is. A promise: the interceptor takes it over, and the session
   * handles nothing else of the client's until it is settled; the promise must not be rejected.
   */
  intercept(type: number, message: Buffer): Promise<void> | undefined;
  /** A forwarded ReadyForQuery passed. */
  ready(): void;
  /** A NoticeResponse of the primary. @param muted it is not for the client @param cut only its head @returns whether the client gets it as it is */
  notice(message: Buffer, muted: boolean, cut: boolean): boolean;
  /** An ErrorResponse of the primary. @returns it, or what takes its place */
  error(message: Buffer): Buffer;
  /** A ReadyForQuery came from the primary, whoever it is for. */
  settled(): void;
  /** Stops what the interceptor is doing itself. @returns false if it is doing nothing */
  cancel(): boolean;
  /** The session ended. */
  close(): void;
}

export interface SessionOptions {
  readonly client: Socket;
  readonly primary: Socket;
  /** Bytes of the client's that were read behind its startup packet. */
  readonly firstBytes: Buffer;
  /** The longest Query or Parse that is looked at, with its header. */
  readonly statementBytes: number;
  readonly keys: CancelKeys;
  readonly log: RouterLog;
  /** Handles the answer to the startup packet: authentication up to the first ReadyForQuery. */
  readonly startup: (session: Session) => ResponseSink;
  readonly interceptor: (session: Session) => Interceptor;
  /** Sends a CancelRequest for the primary's connection; resolves when the primary has acted on it. */
  readonly cancelPrimary: (session: Session) => Promise<void>;
}

/** Handles PasswordMessage and its like while the client is not authenticated; true passes it to the primary. */
export type PasswordHandler = (message: Buffer) => boolean;

/** One client's stay: two connections and what passes between them. */
export class Session implements Cancellable {
  readonly client: ClientLink;
  readonly primary: PrimaryLink;
  readonly log: RouterLog;
  readonly #options: SessionOptions;
  readonly #interceptor: Interceptor;
  readonly #closed: Promise<void>;
  #markClosed!: () => void;
  /** The primary has been sent what ends its COPY. */
  #copyBroken = false;
  #heldReports:
    | {
        readonly parameters: Map<
          string,
          { readonly before: string | undefined; readonly value: string; readonly part: number }
        >;
        readonly notifications: Buffer[];
      }
    | undefined;
  #phase: 'startup' | 'ready' | 'ended' = 'startup';
  #draining = false;
  /** The client has said goodbye. */
  #leaving = false;
  /** A cancel request to the primary is under way, and another one is wanted behind it. */
  #cancelling = false;
  #cancelAgain = false;
  #primaryFull = false;
  /** Type of the message that the interceptor has taken over. */
  #actingOn = 0;
  #clientFull = false;
  #onPassword: PasswordHandler = () => true;
  /** The proxy has asked the client for its password and takes nothing else from it until it is authenticated. */
  expectsPassword = false;
  /** Why the client could not log in, as it was told; for the log. */
  loginFailure: PgError | undefined;
  /** The key that the client was given. */
  key: CancelKey | undefined;
  /** The key that the primary gave. */
  primaryKey: CancelKey | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.log = options.log;
    this.#closed = new Promise((resolve) => {
      this.#markClosed = resolve;
    });
    this.client = new ClientLink(options.client, {
      head: (type, length) => this.#clientHead(type, length),
      whole: (type, message) => this.#clientMessage(type, message),
      pass: (bytes) => this.#toPrimary(bytes),
      chunk: (begin) => {
        if (begin) return options.primary.cork();
        if (this.primary.queue.copyIn) this.#breakCopy(false);
        else this.#copyBroken = false;
        options.primary.uncork();
      },
      failed: (error) => this.fail(error),
      closed: () => this.end(),
    });
    this.primary = new PrimaryLink(options.primary, {
      forward: (bytes) => this.toClient(bytes),
      chunk: (begin) => (begin ? options.client.cork() : options.client.uncork()),
      notice: (message, muted, cut) => this.#interceptor.notice(message, muted, cut),
      error: (message) => {
        this.#holdReportsOfAbort();
        return this.#interceptor.error(message);
      },
      settled: () => this.#interceptor.settled(),
      copying: (waiting) => this.#breakCopy(waiting),
      notification: (message) => this.#report(message),
      parameter: (name, value, before) => this.#reportParameter(name, value, before),
      ready: (message) => {
        this.releaseReports();
        // First the message itself: what happens because of it may have more to say to the client.
        this.toClient(message);
        this.#ready();
      },
      closed: (fatal) => this.#primaryClosed(fatal),
    });
    this.#interceptor = options.interceptor(this);
  }

  /** Hook for ParameterStatus; the interceptor may replace it. @returns whether the client is told */
  parameterChanged: (name: string, value: string) => boolean = () => true;

  /** Relays, from the primary's answer to the startup packet on, until either side is gone. */
  async run(): Promise<void> {
    this.primary.expect({ kind: 'query', sink: this.#options.startup(this) });
    this.client.start(this.#options.firstBytes);
    await this.#closed;
  }

  set onPassword(handler: PasswordHandler) {
    this.#onPassword = handler;
  }

  /** Makes the cancel key that stands for the primary's. */
  issueKey(primaryKey: CancelKey): CancelKey {
    this.primaryKey = primaryKey;
    // A primary that gives another one takes the first one back.
    if (this.key !== undefined) this.#options.keys.remove(this.key);
    this.key = this.#options.keys.add(this, primaryKey.secret.length);
    return this.key;
  }

  /** The client is authenticated and the primary ready. */
  opened(): void {
    this.#phase = 'ready';
    // It would have been refused at its header, had that come a moment later.
    if (this.client.collecting === Frontend.password) this.fail(passwordNobodyAskedFor());
  }

  get authenticated(): boolean {
    return this.#phase === 'ready';
  }

  #clientHead(type: number, length: number): Delivery {
    if (type === Frontend.password) {
      if (this.#phase !== 'startup') throw passwordNobodyAskedFor();
      return 'whole';
    }
    if (this.expectsPassword) {
      throw new PgError('08P01', `expected password response, got message type ${type}`, FATAL);
    }
    // Nobody may occupy the parser, or this much memory, before the primary knows them.
    const limit = this.authenticated ? Number.POSITIVE_INFINITY : EARLY_STATEMENT_BYTES;
    const inspected = length <= Math.min(limit, this.#options.statementBytes);
    switch (type) {
      case Frontend.query:
        if (inspected) return 'whole';
        this.primary.expect(FORWARD.query);
        break;
      case Frontend.parse:
        if (inspected) return 'whole';
        this.primary.expect(FORWARD.parse);
        break;
      case Frontend.bind:
        if (this.#interceptor.tracking && length <= INSPECTED_BIND_BYTES) return 'whole';
        this.primary.expect(FORWARD.bind);
        break;
      case Frontend.describe:
        if (this.#interceptor.tracking) return 'whole';
        this.primary.expect(FORWARD.describe);
        break;
      case Frontend.execute:
        if (this.#interceptor.tracking) return 'whole';
        this.primary.expect(FORWARD.execute);
        break;
      case Frontend.close:
        if (this.#interceptor.tracking) return 'whole';
        this.primary.expect(FORWARD.close);
        break;
      case Frontend.sync:
        this.primary.expect(FORWARD.sync);
        break;
      case Frontend.flush:
        // With something in it, it is answered: by an error, as any other malformed request of the extended protocol.
        if (length > EMPTY_MESSAGE_BYTES) this.primary.expect(FORWARD.flush);
        break;
      case Frontend.terminate:
        this.#leaving = true;
        break;
      case Frontend.functionCall:
        this.primary.expect(FORWARD.functionCall);
        break;
      case Frontend.copyDone:
      case Frontend.copyFail:
        this.primary.expect(FORWARD.copyEnd);
        break;
    }
    return 'pass';
  }

  #clientMessage(type: number, message: Buffer): boolean {
    if (type === Frontend.password) return this.#onPassword(message);
    const action = this.#interceptor.intercept(type, message);
    if (action === undefined) {
      this.primary.expect(FORWARD[INTERCEPTED[type] ?? 'query']);
      return true;
    }
    this.client.hold();
    this.#actingOn = type;
    void action.then(
      () => {
        this.client.release();
        // Behind what was pipelined, which the release takes up first.
        if (this.#draining) setImmediate(() => this.#endIfIdle());
      },
      (error: unknown) => this.fail(error),
    );
    return false;
  }

  /**
   * A request in place of COPY data, which the interceptor has taken or whose end may never come: the primary gets its header,
   * upon which it raises its own error and ends the session, since nothing tells where the data would go on.
   */
  #breakCopy(acting: boolean): void {
    const type = acting ? this.#actingOn : this.client.collecting;
    if (type === undefined || DURING_COPY.has(type) || this.#copyBroken) return;
    // Before 14 a server reads the whole message first, and goes on behind it.
    if (!acting && this.primary.majorVersion < 14) return;
    this.#copyBroken = true;
    this.primary.write(Buffer.from([type, 0, 0, 0, EMPTY_MESSAGE_BYTES - 1]));
  }

  #toPrimary(bytes: Buffer): void {
    if (this.primary.write(bytes) || this.#primaryFull) return;
    this.#primaryFull = true;
    this.client.pause();
    this.#options.primary.once('drain', () => {
      this.#primaryFull = false;
      this.client.resume();
    });
  }

  /** Sends to the client; a slow one stops the primary. */
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
    this.#interceptor.ready();
    if (this.#draining) this.#endIfIdle();
  }

  /**
   * Keeps changed settings and notifications back until `releaseReports`: while a Query is carried out in parts, the client
   * gets them where it would get them, in front of the one ReadyForQuery.
   */
  holdReports(): void {
    if (!this.#reportsAtOnce) this.#heldReports ??= { parameters: new Map(), notifications: [] };
  }

  /**
   * What a server that reports at once says of settings behind an error, because the transaction is taken back: the client gets
   * it in front of ReadyForQuery, since it may hear of the error itself only when the proxy has dealt with it.
   */
  #holdReportsOfAbort(): void {
    if (this.authenticated && this.#reportsAtOnce)
      this.#heldReports ??= { parameters: new Map(), notifications: [] };
  }

  /** Before 14 a server reports each change of a setting at once, not in front of ReadyForQuery. */
  get #reportsAtOnce(): boolean {
    return this.primary.majorVersion < 14;
  }

  releaseReports(): void {
    const held = this.#heldReports;
    this.#heldReports = undefined;
    if (held === undefined) return;
    for (const notification of held.notifications) this.toClient(notification);
    // By name, or from 16 on what changed last first.
    const byName = this.primary.majorVersion < 16;
    const reports = [...held.parameters].sort(([aName, a], [bName, b]) =>
      byName ? compareNames(aName, bName) : b.part - a.part,
    );
    for (const [name, { before, value }] of reports) {
      if (value !== before && this.parameterChanged(name, value)) this.toClient(parameterStatus(name, value));
    }
  }

  #report(message: Buffer): boolean {
    this.#heldReports?.notifications.push(Buffer.from(message));
    return this.#heldReports === undefined;
  }

  #reportParameter(name: string, value: string, before?: string): boolean {
    const held = this.#heldReports;
    if (held === undefined) return this.parameterChanged(name, value);
    held.parameters.set(name, {
      before: held.parameters.get(name)?.before ?? before,
      value,
      part: this.primary.readies,
    });
    return false;
  }

  /** A request that the interceptor carried out is over, its ReadyForQuery sent. */
  requestDone(): void {
    this.#ready();
  }

  /** Stops what this session is doing now: the remote's work, the primary's, or nothing; never a later request. */
  cancel(): void {
    if (this.#interceptor.cancel()) return;
    this.cancelPrimary();
  }

  /** Has the primary cancel what it is doing for this session, if it is doing anything. */
  cancelPrimary(): void {
    if (this.primary.queue.length === 0 || this.primaryKey === undefined) return;
    // Until the primary has dealt with it, no further request of the client's starts, so it cannot hit one.
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
        // However many there were: one that comes behind all of them does what they would.
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
    if (this.primary.queue.length > 0 || this.primary.status !== TransactionStatus.idle || this.client.busy)
      return;
    this.terminate();
  }

  /** Ends the session now with 57P01, cancelling what it does. */
  terminate(): void {
    if (this.#phase === 'ended') return;
    if (!this.#interceptor.cancel() && this.primary.queue.length > 0 && this.primaryKey !== undefined) {
      void this.#options.cancelPrimary(this).catch(() => undefined);
    }
    this.fail(new PgError('57P01', 'terminating connection due to administrator command', FATAL));
  }

  #primaryClosed(fatal: boolean): void {
    if (this.#phase === 'ended') return;
    if (fatal || this.#leaving) this.#finish();
    else this.fail(connectionLost());
  }

  /** Ends the session because of an error, which the client is told. */
  fail(error: unknown): void {
    if (this.#phase === 'ended') return;
    const known = error instanceof PgError;
    if (!known) this.log.error({ err: error }, 'internal error in a session');
    if (this.#phase === 'startup' && known) this.loginFailure ??= error;
    const told = known ? error : new PgError('XX000', 'internal error of the proxy; see its log', FATAL);
    // In the middle of a message the client would take an error for a part of it, a row's value, say.
    this.#finish(this.primary.midMessage ? undefined : errorResponse(told.with({ severity: 'FATAL' })));
  }

  /** The client is gone, or is to go without a word. */
  end(): void {
    this.#finish();
  }

  #finish(lastWords?: Buffer): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    if (this.key !== undefined) this.#options.keys.remove(this.key);
    this.#interceptor.close();
    this.client.end(lastWords);
    // Likewise: a message that the client has begun must not be completed by another one.
    this.primary.end(this.client.midMessage || this.#leaving ? undefined : TERMINATE);
    this.#markClosed();
  }
}

/** A longer Bind is not looked at: arguments of dblink calls are not that long, and it would have to be kept whole. */
const INSPECTED_BIND_BYTES = 64 * 1024 * 1024;

/** A message that is nothing but its header. */
const EMPTY_MESSAGE_BYTES = 5;

/** What PostgreSQL takes while it reads COPY data. */
const DURING_COPY: ReadonlySet<number> = new Set([
  Frontend.copyData,
  Frontend.copyDone,
  Frontend.copyFail,
  Frontend.flush,
  Frontend.sync,
]);

const compareNames = (a: string, b: string): number => (a.toLowerCase() < b.toLowerCase() ? -1 : 1);

const FATAL = { severity: 'FATAL' } as const;

const passwordNobodyAskedFor = (): PgError =>
  new PgError('08P01', `invalid frontend message type ${Frontend.password}`, FATAL);

/** Largest statement that is inspected when it is sent together with the startup packet. */
const EARLY_STATEMENT_BYTES = 10_000;

const INTERCEPTED: Readonly<Record<number, keyof typeof FORWARD>> = {
  [Frontend.query]: 'query',
  [Frontend.parse]: 'parse',
  [Frontend.bind]: 'bind',
  [Frontend.describe]: 'describe',
  [Frontend.execute]: 'execute',
  [Frontend.close]: 'close',
};
