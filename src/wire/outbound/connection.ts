import type { Duplex } from 'node:stream';
import { describeServer, type SocketAddress } from '../address.js';
import { AuthenticationError, Authenticator } from '../auth/authenticator.js';
import { ScramError } from '../auth/scram.js';
import { type Channel, openChannel } from '../channel/index.js';
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
import { cancelOf, type SentCancel } from './cancelRequest.js';
import { Deadline } from './deadline.js';
import { Inbound, type InboundListener, type TransactionState } from './inbound.js';
import type { Interposed, Interposition } from './interposed.js';
import type { ConnectOptions } from './options.js';
import { QueryExchange, type QueryHandler, type Send, wholeCopy } from './query.js';
import { type ExecuteOptions, extendedQuery, type PipelineStep, simpleQuery } from './requests.js';
import { withSecondAttempt } from './secondAttempt.js';
import { type ServerEnd, serverEnd } from './serverEnd.js';
import { isEncrypted, openServerSocket, type ServerSocket, withEarlierFailure } from './socket.js';
import { StartupExchange, type StartupStep, serverVersionNumber, startupMessage } from './startup.js';

/** How many bytes of a server are kept while they are held back. The last chunk may go beyond this. */
const MAX_HELD_BYTES = 1024 * 1024;

/** How long a server may take to close its end after Terminate. */
const CLOSE_TIMEOUT_MS = 1000;

const TERMINATE = new MessageWriter(Frontend.terminate).end();

/** Failures of the startup that become a ConnectError: their own message with the server's name in front. */
const STARTUP_FAILURES = [ServerViolation, PgError, AuthenticationError, ScramError] as const;

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One outbound connection to a PostgreSQL server. It handles bytes from end to end: values are never decoded, and text of the
 * server is kept as byte strings. Whatever a server sends, the worst that can happen is that this connection ends.
 */
export class WireClient {
  /** Called for every NotificationResponse, with bytes that are valid during the call only. What it throws ends the connection. */
  onNotification: ((processId: number, channel: Buffer, payload: Buffer) => void) | undefined;
  /** Called for every notice. Must not throw. */
  onNotice: ((fields: ErrorFields) => void) | undefined;
  /** Called once when the connection ends other than by `close` or `destroy`. Must not throw. */
  onClose: ((reason: ConnectionLost) => void) | undefined;

  readonly #options: ConnectOptions;
  readonly #describe: string;
  /** The connection to the server. */
  readonly #server: ServerSocket;
  /** How bytes come on the connection to the server, or on that to who stands in between. */
  #channel!: Channel;
  /** Who stands between this connection and its server. */
  #interposed: Interposed | undefined;
  readonly #authenticator: Authenticator;
  readonly #startup: StartupExchange;
  readonly #inbound: Inbound;
  /** The promise of the startup or of the present query. */
  #waiter: Waiter | undefined;
  /** Set once the connection has ended, for whatever reason. */
  #lost: ConnectionLost | undefined;
  /** Aborted when the connection ends, because a key that is still derived for it is of no use then. */
  readonly #ended = new AbortController();
  /** The caller has called `pause`, so the socket is not read. */
  #paused = false;
  /** Between `hold` and `proceed`. */
  #holding = false;
  /** Other connections have their turn before more is looked at. */
  #givingWay = false;
  /** The answer to an authentication request is being computed. */
  #replying = false;
  /** Enough bytes are held back, so the socket is not read. */
  #full = false;
  /** The end of the socket, if it came while earlier bytes were still held back. */
  #heldEnd: { readonly error: Error | undefined } | undefined;
  /** See whenReleased. */
  #released: (() => void) | undefined;
  /** When the connection was made, by performance.now(). */
  readonly madeAt = performance.now();
  /** The server's version as it was read last, and as it was reported. */
  #version: { readonly shown: string | undefined; readonly number: number } = { shown: undefined, number: 0 };
  /** Cancel requests for this connection that are under way. */
  readonly #cancels = new Set<Promise<void>>();

  private constructor(socket: ServerSocket, options: ConnectOptions, describe: string) {
    this.#server = socket;
    socket.once('close', () => this.#released?.());
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
    this.#startup = new StartupExchange(this.#authenticator, options.minProtocolVersion);
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
   * Connects and logs in, up to the first ReadyForQuery: TLS as sslmode asks, authentication, and the second attempts that
   * libpq makes.
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
      return await withSecondAttempt(options.tls, (tls) =>
        WireClient.#attempt(options, tls, describe, startup, deadline.signal),
      );
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

  /** The present values that the server has reported by ParameterStatus; byte strings. */
  get parameters(): ReadonlyMap<string, string> {
    return this.#inbound.parameters;
  }

  /** The server's version as a number like 150018; 0 when the server has not reported it. */
  get serverVersion(): number {
    const shown = this.#inbound.parameters.get('server_version');
    if (this.#version.shown !== shown) this.#version = { shown, number: serverVersionNumber(shown) };
    return this.#version.number;
  }

  /** Whether the server asked for the password and got it or a proof of it (Authenticator.passwordUsed). */
  get passwordRequested(): boolean {
    return this.#authenticator.passwordUsed;
  }

  /** Whether the server asked for SCRAM. */
  get usedScram(): boolean {
    return this.#authenticator.scramKeys !== undefined;
  }

  /** The id of the server's process from BackendKeyData; 0 when the server has not sent it. */
  get processId(): number {
    return this.#startup.processId;
  }

  /** What was connected to. */
  get address(): SocketAddress {
    return this.#options.address;
  }

  /** Where the connection leads, and as whom. */
  get end(): ServerEnd {
    return serverEnd(this.#server, this.#options);
  }

  /**
   * Has somebody stand between this connection and its server from now on, whose answers count as the server's.
   * @returns false when a part of a message has come, so that this is not possible now
   */
  interpose(make: Interposition): boolean {
    if (this.#lost !== undefined || this.#waiter !== undefined || this.#inbound.midMessage) return false;
    const server = this.#server;
    const { processId, secretKey } = this.#startup;
    const key = secretKey && { processId, secret: secretKey };
    this.#interposed = make({ server, parameters: this.parameters, key, cancel: () => this.#cancelServer() });
    this.#listen(this.#interposed.socket);
    return true;
  }

  /** Whether somebody stands between. */
  get interposed(): boolean {
    return this.#interposed !== undefined;
  }

  /** Whether nobody in between keeps anything that the server's session does not show. */
  get pristine(): boolean {
    return this.#interposed?.pristine() ?? true;
  }

  get #socket(): Duplex {
    return this.#interposed?.socket ?? this.#server;
  }

  /**
   * Has `released` called when the socket's descriptor has been given back to the system, some time after the connection's end.
   * A later one takes the place of an earlier one.
   */
  whenReleased(released: () => void): void {
    if (this.#server.closed) released();
    else this.#released = released;
  }

  /** As whenReleased, but beside all others. */
  onceReleased(released: () => void): void {
    if (this.#server.closed) released();
    else this.#server.once('close', released);
  }

  /** Whether the connection uses TLS. */
  get encrypted(): boolean {
    return isEncrypted(this.#server);
  }

  /** The transaction status of the last ReadyForQuery. */
  get transactionStatus(): TransactionState {
    return this.#inbound.transactionStatus;
  }

  /** `busy`: a query runs. */
  get state(): 'ready' | 'busy' | 'closed' {
    if (this.#lost !== undefined) return 'closed';
    return this.#waiter === undefined ? 'ready' : 'busy';
  }

  /** Why the connection has ended: libpq's text, a byte string. It begins with the server's FATAL error, if one came. */
  get closedReason(): string | undefined {
    return this.#lost?.message;
  }

  /** The error with which queries are rejected, once the connection has ended. */
  get lost(): ConnectionLost | undefined {
    return this.#lost;
  }

  /**
   * Sends a simple query, which may be several statements. Errors of the statements go to the handler.
   * @returns a promise that settles at ReadyForQuery
   * @throws ConnectionLost; ConnectionBusy while another query runs; TypeError for SQL with a zero byte; what the handler threw
   */
  query(sql: Buffer, handler: QueryHandler): Promise<void> {
    return this.#run(() => simpleQuery(sql), new QueryExchange(handler, 'simple', this.#send));
  }

  /**
   * Sends simple queries that do not depend on each other, in one round trip. After one that fails the next one runs all the same.
   * @returns a promise that settles at the last ReadyForQuery
   * @throws as `query`
   */
  queries(sqls: readonly Buffer[], handler: QueryHandler): Promise<void> {
    const messages = () => Buffer.concat(sqls.map(simpleQuery));
    return this.#run(messages, new QueryExchange(handler, 'simple', this.#send, sqls.length));
  }

  /**
   * Sends a simple query that has one COPY FROM STDIN, together with the data for that, in one round trip.
   * @throws as `query`
   */
  copy(sql: Buffer, data: Buffer, handler: QueryHandler): Promise<void> {
    const messages = () => Buffer.concat([simpleQuery(sql), wholeCopy(data)]);
    return this.#run(messages, new QueryExchange(handler, 'copy', this.#send));
  }

  /** Runs one statement with parameters by an extended query, in one round trip. See `pipeline`. */
  execute(
    sql: Buffer,
    params: readonly (Buffer | null)[],
    options: ExecuteOptions,
    handler: QueryHandler,
  ): Promise<void> {
    return this.pipeline([{ sql, params, options }], handler);
  }

  /**
   * Runs statements by one extended query, in one round trip. They are one transaction unless they say otherwise. After one
   * that fails no other is run.
   * @returns a promise that settles at ReadyForQuery
   * @throws as `query`; RangeError for more than 65535 parameters
   */
  pipeline(steps: readonly PipelineStep[], handler: QueryHandler): Promise<void> {
    return this.#run(() => extendedQuery(steps), new QueryExchange(handler, 'extended', this.#send));
  }

  /** Stops reading from the socket. What has been read already (one chunk, and what `hold` has kept) is still delivered. */
  pause(): void {
    this.#paused = true;
    this.#channel.pause();
  }

  /** Reads again after `pause`. */
  resume(): void {
    this.#paused = false;
    if (!this.#full) this.#channel.resume();
  }

  /**
   * Holds back what the server sends behind the present message until `proceed`, so that the caller can take a query's answer
   * one result at a time. Up to a megabyte is read ahead.
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

  /** Whether more has come than is looked at in one turn of the event loop, so that the rest waits for a later turn. */
  get givingWay(): boolean {
    return this.#givingWay;
  }

  /** Whether so much is held back that no more is read. */
  get full(): boolean {
    return this.#full;
  }

  /**
   * Asks the server to cancel what this connection is doing. The request goes over a connection of its own, which is encrypted
   * if this one is. A query that is started before the request has been delivered waits for that, so that the request cannot
   * hit it.
   * @param timeoutMs limit for the delivery; DEFAULT_CANCEL_TIMEOUT_MS unless given
   * @throws ConnectError when the request could not be delivered; ConnectionLost
   */
  async cancel(timeoutMs?: number): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    const cancel = this.#interposed?.cancel() ?? this.#cancelServer(timeoutMs);
    this.#cancels.add(cancel);
    try {
      await cancel;
    } finally {
      this.#cancels.delete(cancel);
    }
  }

  async #cancelServer(timeoutMs?: number): Promise<void> {
    const { secretKey, processId } = this.#startup;
    const request: SentCancel = { processId, secretKey, encrypted: this.encrypted, describe: this.#describe };
    await cancelOf(this.#options, request, timeoutMs);
  }

  /**
   * Sends Terminate and closes. If the server does not close its end within a second, the socket is destroyed.
   * @param reason what later queries are told, a byte string
   */
  close(reason = 'connection was closed'): void {
    if (this.#lost !== undefined) return;
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.end(TERMINATE);
    // The end of a socket is only noticed while it is read.
    this.#channel.resume();
    this.#close(reason);
  }

  /** Closes at once, without Terminate. */
  destroy(): void {
    this.#socket.destroy();
    if (this.#lost === undefined) this.#close();
  }

  #close(reason = 'connection was closed'): void {
    const closed = new ConnectionLost(reason);
    this.#end(closed);
    this.#options.onEnd?.(closed, false);
  }

  readonly #send: Send = (bytes, released) =>
    this.#lost !== undefined || !this.#socket.writable ? true : this.#socket.write(bytes, released);

  #run(messages: () => Buffer, exchange: QueryExchange): Promise<void> {
    // What is thrown here rejects the promise.
    return new Promise((resolve, reject) => {
      const bytes = messages();
      if (this.#lost !== undefined) throw this.#lost;
      if (this.#waiter !== undefined) throw new ConnectionBusy();
      this.#waiter = { resolve, reject };
      const begin = (): void => {
        if (this.#lost !== undefined) return;
        this.#inbound.begin(exchange);
        this.#send(bytes);
      };
      if (this.#cancels.size === 0) begin();
      else void Promise.allSettled(this.#cancels).then(begin);
    });
  }

  #start(startup: Buffer): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#listen(socket);
      if (socket.destroyed) this.#socketEnded(socket.errored ?? undefined);
      else socket.write(startup);
    });
  }

  #listen(socket: Duplex): void {
    // What happened to the server's socket is told by that one alone.
    const ended = (): void => this.#socketEnded(this.#server.errored ?? undefined);
    /** What comes when somebody else has taken the socket over is theirs. */
    const heard = (act: () => void): void => {
      if (this.#socket === socket) act();
    };
    socket.on('end', () => heard(ended));
    socket.on('error', (error) => heard(() => this.#socketEnded(error)));
    socket.on('close', () => heard(ended));
    const channel = openChannel(socket);
    channel.onDrain = () => heard(() => this.#inbound.drained());
    channel.start((chunk) => {
      if (this.#channel === channel) this.#guard(() => this.#take(chunk));
    });
    this.#channel = channel;
  }

  #take(chunk: Buffer): void {
    this.#inbound.push(chunk);
    if (this.#inbound.heldBytes <= MAX_HELD_BYTES) return;
    this.#full = true;
    this.#channel.pause();
  }

  /** Goes on in a later turn of the event loop, unless there is something else to wait for. */
  #resumeLater(): void {
    this.#givingWay = true;
    setImmediate(() => {
      this.#givingWay = false;
      if (!this.#holding && !this.#replying) this.#goOn();
    });
  }

  /** Runs code that handles bytes of the server. Whatever it throws ends this connection, and nothing else. */
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

  /** Ends the connection with an error. It is the only way to `closed` that the caller has not asked for. */
  #fail(cause: unknown): void {
    if (this.#lost !== undefined) return;
    this.#socket.destroy();
    const text = cause instanceof Error ? cause.message : String(cause);
    const { started, fatal } = this.#inbound;
    const lost = cause instanceof ConnectionLost ? cause : new ConnectionLost(text, fatal, cause);
    if (started) {
      this.#end(lost);
      this.onClose?.(lost);
      this.#options.onEnd?.(lost, true);
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

  /** Goes on with bytes that had to wait, and then with the end of the socket, if that had to wait. */
  #goOn(): void {
    this.#guard(() => this.#inbound.resume());
    if (this.#full && this.#inbound.heldBytes <= MAX_HELD_BYTES) {
      this.#full = false;
      if (!this.#paused) this.#channel.resume();
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
