import { describeServer } from '../address.js';
import { AuthenticationError, Authenticator } from '../auth/authenticator.js';
import { ScramError } from '../auth/scram.js';
import {
  ConnectError,
  ConnectionBusy,
  ConnectionLost,
  type ConnectStage,
  connectError,
  ServerViolation,
  socketFailure,
  systemCode,
} from '../connectErrors.js';
import { type ErrorFields, PgError } from '../errors.js';
import { renderError } from '../errorText.js';
import { Frontend } from '../protocol.js';
import { peerCertificate, type TlsOptions } from '../tls/tls.js';
import { MessageWriter } from '../writer.js';
import { sendCancelRequest } from './cancelRequest.js';
import { Deadline } from './deadline.js';
import { Inbound, type InboundListener, type TransactionState } from './inbound.js';
import type { ConnectOptions } from './options.js';
import { QueryExchange, type QueryHandler, type Send } from './query.js';
import { type ExecuteOptions, extendedQuery, type PipelineStep, simpleQuery } from './requests.js';
import {
  isEncrypted,
  openServerSocket,
  retryAfterRefusal,
  type ServerSocket,
  withEarlierFailure,
} from './socket.js';
import { StartupExchange, type StartupStep, serverVersionNumber, startupMessage } from './startup.js';

/** How much of what a server sends is kept while it is held back; a chunk may come on top of it. */
const MAX_HELD_BYTES = 1024 * 1024;

/** How long a server may take to close its end after Terminate. */
const CLOSE_TIMEOUT_MS = 1000;

const TERMINATE = new MessageWriter(Frontend.terminate).end();

/** What can go wrong in the startup and is told in the words of the error, with the server's name in front. */
const STARTUP_FAILURES = [ServerViolation, PgError, AuthenticationError, ScramError] as const;

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One connection to a PostgreSQL server. Bytes end to end: values are never decoded, text of the server is kept as byte
 * strings. Whatever a server sends, the worst that happens is that this connection ends.
 */
export class WireClient {
  /** Called for every NOTIFY; what it throws ends the connection. */
  onNotification: ((processId: number, channel: Buffer, payload: Buffer) => void) | undefined;
  /** Called for every notice; must not throw. */
  onNotice: ((fields: ErrorFields) => void) | undefined;
  /** Called once when the connection ends other than by `close` or `destroy`; must not throw. */
  onClose: ((reason: ConnectionLost) => void) | undefined;

  readonly #options: ConnectOptions;
  readonly #describe: string;
  readonly #socket: ServerSocket;
  readonly #authenticator: Authenticator;
  readonly #startup: StartupExchange;
  readonly #inbound: Inbound;
  /** Who waits for the startup or for the query. */
  #waiter: Waiter | undefined;
  #lost: ConnectionLost | undefined;
  /** Aborted when the connection ends: what is still computed for it is of no use. */
  readonly #ended = new AbortController();
  /** The socket is not read: the caller wants no more now. */
  #paused = false;
  /** Between `hold` and `proceed`. */
  #holding = false;
  /** Others have their turn before more is looked at. */
  #givingWay = false;
  /** The answer to a message of the startup is being computed. */
  #replying = false;
  /** The socket is not read: enough is held back. */
  #full = false;
  /** The end of the socket, when it came while earlier bytes were still held back. */
  #heldEnd: { readonly error: Error | undefined } | undefined;
  readonly #cancels = new Set<Promise<void>>();

  private constructor(socket: ServerSocket, options: ConnectOptions, describe: string) {
    this.#socket = socket;
    this.#options = options;
    this.#describe = describe;
    this.onNotice = options.onNotice;
    const encrypted = isEncrypted(socket);
    this.#authenticator = new Authenticator({
      user: options.startup.find(([name]) => name === 'user')?.[1] ?? '',
      password: options.password,
      channelBinding: options.channelBinding,
      requireAuth: options.requireAuth,
      scramKeys: options.scramKeys,
      plainPassword: options.plainPassword,
      encrypted,
      tlsPeerCertificate: encrypted ? peerCertificate(socket) : undefined,
      maxScramIterations: options.limits?.maxScramIterations,
      keyOwner: { owner: options.owner, signal: this.#ended.signal },
    });
    this.#startup = new StartupExchange(this.#authenticator);
    const listener: InboundListener = {
      giveWay: () => this.#resumeLater(),
      startupStep: (step) => this.#startupStep(step),
      answered: (exchange) => this.#answered(exchange),
      notice: (fields) => this.onNotice?.(fields),
      notification: (...notification) => this.onNotification?.(...notification),
    };
    this.#inbound = new Inbound(this.#startup, listener, options.limits?.maxControlMessageBytes);
  }

  /**
   * Connects and logs in: TLS by sslmode with libpq's second attempts, authentication, up to the first ReadyForQuery.
   * @param signal ends the attempt; the promise is then rejected with the signal's reason
   * @throws ConnectError with libpq's text for this server; TypeError for startup parameters that cannot be sent
   */
  static async connect(options: ConnectOptions, signal?: AbortSignal): Promise<WireClient> {
    const startup = startupMessage(options.startup, options.protocolVersion);
    const describe = options.describe ?? describeServer(options.address, options.tls.serverName);
    const deadline = new Deadline(options.timeoutMs, signal, () =>
      connectError(describe, 'timeout expired', { stage: 'network' }),
    );
    try {
      return await WireClient.#attempt(options, options.tls, describe, startup, deadline.signal);
    } catch (first) {
      if (!(first instanceof ConnectError) || !first.refused) throw first;
      const tls = retryAfterRefusal(options.tls, first);
      if (tls === undefined) throw first;
      try {
        return await WireClient.#attempt(options, tls, describe, startup, deadline.signal);
      } catch (second) {
        throw second instanceof ConnectError ? first.followedBy(second) : second;
      }
    } finally {
      deadline.dispose();
    }
  }

  static async #attempt(
    options: ConnectOptions,
    tls: TlsOptions,
    describe: string,
    startup: Buffer,
    signal: AbortSignal,
  ): Promise<WireClient> {
    const { keepAlive } = options;
    const socket = await openServerSocket(options.address, tls, signal, { describe, keepAlive });
    let client: WireClient;
    try {
      client = new WireClient(socket, options, describe);
    } catch (error) {
      socket.destroy();
      throw error instanceof AuthenticationError ? new ConnectError(error.message, { stage: 'auth' }) : error;
    }
    const abort = (): void => client.#fail(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await client.#start(startup);
      return client;
    } catch (error) {
      throw withEarlierFailure(socket, error);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** What the server has reported by ParameterStatus, now; byte strings. */
  get parameters(): ReadonlyMap<string, string> {
    return this.#inbound.parameters;
  }

  /** Like 150018; 0 when the server has not reported it. */
  get serverVersion(): number {
    return serverVersionNumber(this.#inbound.parameters.get('server_version'));
  }

  /** The server asked for the password (cleartext, md5 or SCRAM) and got it or the proof of it. */
  get passwordRequested(): boolean {
    return this.#authenticator.passwordUsed;
  }

  /** Of the server's process; 0 when it has not said. */
  get processId(): number {
    return this.#startup.processId;
  }

  /** Calls when the connection's descriptor has been given back to the system, which is some time after its end. */
  whenReleased(released: () => void): void {
    if (this.#socket.closed) released();
    else this.#socket.once('close', released);
  }

  get encrypted(): boolean {
    return isEncrypted(this.#socket);
  }

  /** As of the last ReadyForQuery. */
  get transactionStatus(): TransactionState {
    return this.#inbound.transactionStatus;
  }

  get state(): 'ready' | 'busy' | 'closed' {
    if (this.#lost !== undefined) return 'closed';
    return this.#waiter === undefined ? 'ready' : 'busy';
  }

  /** Why the connection has ended: libpq's text, a byte string, with the rendering of a FATAL error if one came. */
  get closedReason(): string | undefined {
    return this.#lost?.message;
  }

  /** The error that queries are rejected with now that the connection has ended. */
  get lost(): ConnectionLost | undefined {
    return this.#lost;
  }

  /**
   * Sends a simple query, which may be several statements. Errors of the statements go to the handler.
   * @returns a promise that settles at ReadyForQuery
   * @throws ConnectionLost; ConnectionBusy while another query runs; TypeError for SQL with a zero byte
   */
  async query(sql: Buffer, handler: QueryHandler): Promise<void> {
    await this.#run(simpleQuery(sql), new QueryExchange(handler, false, this.#send));
  }

  /** Runs one statement with parameters by the extended protocol, unnamed, in one round trip; see `query`. */
  async execute(
    sql: Buffer,
    params: readonly (Buffer | null)[],
    options: ExecuteOptions,
    handler: QueryHandler,
  ): Promise<void> {
    await this.pipeline([{ sql, params, options }], handler);
  }

  /**
   * Runs statements by the extended protocol in one round trip, as one transaction unless they say otherwise; behind one
   * that fails no other is run. See `query`.
   */
  async pipeline(steps: readonly PipelineStep[], handler: QueryHandler): Promise<void> {
    await this.#run(extendedQuery(steps), new QueryExchange(handler, true, this.#send));
  }

  /** Stops reading. What has been read already (one chunk, and what `hold` has kept) is still delivered. */
  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#full) this.#socket.resume();
  }

  /**
   * Holds back whatever the server sends behind the present message until `proceed`, so that a query's answer is taken
   * one result at a time. Up to a megabyte is read ahead, then no more.
   */
  hold(): void {
    if (this.#lost !== undefined) return;
    this.#holding = true;
    this.#inbound.hold();
  }

  /** Goes on with what was held back. Not to be called from a method of a query's handler. */
  proceed(): void {
    this.#holding = false;
    if (this.#lost === undefined) this.#goOn();
  }

  /** More has come than is looked at in one turn of the event loop. */
  get givingWay(): boolean {
    return this.#givingWay;
  }

  /** So much is held back that no more is read. */
  get full(): boolean {
    return this.#full;
  }

  /**
   * Asks the server to cancel what this connection is doing, on a connection of its own, encrypted if this one is. A
   * query that is started before this has settled waits for it, so that the request cannot hit it.
   * @throws ConnectError when the request could not be delivered; ConnectionLost
   */
  async cancel(timeoutMs?: number): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    const { secretKey, processId } = this.#startup;
    if (secretKey === undefined) {
      throw new ConnectError('no cancellation key received', { stage: 'startup' });
    }
    const { address, tls } = this.#options;
    const verified = tls.mode === 'verify-ca' || tls.mode === 'verify-full' ? tls.mode : 'require';
    const cancel = sendCancelRequest(
      {
        address,
        tls: { ...tls, mode: this.encrypted ? verified : 'disable' },
        processId,
        secretKey,
        describe: this.#describe,
      },
      timeoutMs,
    );
    this.#cancels.add(cancel);
    try {
      await cancel;
    } finally {
      this.#cancels.delete(cancel);
    }
  }

  /** Says goodbye and closes; gives up on a server that does not answer after a second. */
  close(): void {
    if (this.#lost !== undefined) return;
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.end(TERMINATE);
    // The end is only seen by who reads.
    socket.resume();
    this.#end(new ConnectionLost('connection was closed'));
  }

  /** Closes without a word. */
  destroy(): void {
    this.#socket.destroy();
    if (this.#lost === undefined) this.#end(new ConnectionLost('connection was closed'));
  }

  readonly #send: Send = (bytes, released) =>
    this.#lost !== undefined || !this.#socket.writable ? true : this.#socket.write(bytes, released);

  async #run(messages: Buffer, exchange: QueryExchange): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#waiter !== undefined) throw new ConnectionBusy();
    const answered = new Promise<void>((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
    if (this.#cancels.size > 0) await Promise.race([answered, Promise.allSettled(this.#cancels)]);
    if (this.#lost === undefined) {
      this.#inbound.begin(exchange);
      this.#send(messages);
    }
    await answered;
  }

  #start(startup: Buffer): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      // The first byte is judged alone: what is no PostgreSQL server may never send a whole header.
      socket.once('data', (chunk: Buffer) => this.#guard(() => this.#startup.head(chunk[0]!, 8)));
      socket.on('data', (chunk: Buffer) => this.#guard(() => this.#take(chunk)));
      socket.on('end', () => this.#socketEnded(undefined));
      socket.on('error', (error) => this.#socketEnded(error));
      socket.on('close', () => this.#socketEnded(undefined));
      socket.on('drain', () => this.#inbound.drained());
      if (socket.destroyed) this.#socketEnded(socket.errored ?? undefined);
      else socket.write(startup);
    });
  }

  #take(chunk: Buffer): void {
    this.#inbound.push(chunk);
    if (this.#inbound.heldBytes <= MAX_HELD_BYTES) return;
    this.#full = true;
    this.#socket.pause();
  }

  /** In a later turn of the event loop, unless there is something else to wait for. */
  #resumeLater(): void {
    this.#givingWay = true;
    setImmediate(() => {
      this.#givingWay = false;
      if (!this.#holding && !this.#replying) this.#goOn();
    });
  }

  /** Runs what handles bytes of the server: whatever it throws ends this connection, and nothing else. */
  #guard(handle: () => void): void {
    if (this.#lost !== undefined) return;
    try {
      handle();
    } catch (error) {
      this.#fail(error);
    }
  }

  #socketEnded(error: Error | undefined): void {
    if (this.#lost !== undefined) return;
    if (this.#inbound.held) {
      this.#heldEnd ??= { error };
      return;
    }
    const { fatal, started } = this.#inbound;
    const text = socketFailure(error, this.encrypted, fatal !== undefined);
    if (started) this.#fail(new ConnectionLost(text, fatal));
    else this.#fail(connectError(this.#describe, text, { ...this.#failure(), code: systemCode(error) }));
  }

  #failure(): { stage: ConnectStage; encrypted: boolean } {
    return { stage: this.#startup.authenticated ? 'startup' : 'auth', encrypted: this.encrypted };
  }

  /** Ends the connection with an error: the one transition to `closed` that is not the caller's wish. */
  #fail(cause: unknown): void {
    if (this.#lost !== undefined) return;
    this.#socket.destroy();
    const text = cause instanceof Error ? cause.message : String(cause);
    const { started, fatal } = this.#inbound;
    const lost = cause instanceof ConnectionLost ? cause : new ConnectionLost(text, fatal, cause);
    if (started) {
      this.#end(lost);
      this.onClose?.(lost);
    } else {
      const told = STARTUP_FAILURES.some((kind) => cause instanceof kind);
      this.#end(lost, told ? connectError(this.#describe, text, this.#failure()) : cause);
    }
  }

  #end(lost: ConnectionLost, rejection: unknown = lost): void {
    this.#lost = lost;
    this.#ended.abort(lost);
    this.#inbound.close();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.reject(rejection);
  }

  #startupStep(step: Exclude<StartupStep, { kind: 'continue' }>): void {
    switch (step.kind) {
      case 'refused': {
        const refused = !this.#startup.authenticated;
        const failure = { ...this.#failure(), fields: step.fields, refused };
        throw connectError(this.#describe, renderError(step.fields), failure);
      }
      case 'answer':
        this.#replying = true;
        step.reply.then(
          (reply) => {
            this.#replying = false;
            if (reply !== undefined) this.#send(reply);
            this.#goOn();
          },
          (error) => this.#fail(error),
        );
        return;
      case 'ready':
        this.#settle();
        this.#resumeLater();
    }
  }

  /** Goes on with bytes, or the end, that had to wait. */
  #goOn(): void {
    this.#guard(() => this.#inbound.resume());
    if (this.#full && this.#inbound.heldBytes <= MAX_HELD_BYTES) {
      this.#full = false;
      if (!this.#paused) this.#socket.resume();
    }
    const end = this.#heldEnd;
    if (end !== undefined && !this.#inbound.held) this.#socketEnded(end.error);
  }

  #answered(exchange: QueryExchange): void {
    this.#settle(exchange.failure);
  }

  #settle(failure?: { readonly cause: unknown }): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (failure === undefined) waiter?.resolve();
    else waiter?.reject(failure.cause);
  }
}
