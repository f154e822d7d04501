import type { Socket } from 'node:net';
import { type Channel, openChannel, owned } from '../wire/channel/index.js';
import { PgError, parseFields } from '../wire/errors.js';
import { type Delivery, type FrameHandler, Framer } from '../wire/framer.js';
import { close, FLUSH, SYNC } from '../wire/messages.js';
import { LoopShare } from '../wire/pace/loopShare.js';
import { Backend, MAX_MESSAGE_BYTES, TransactionStatus } from '../wire/protocol.js';
import { MessageReader } from '../wire/reader.js';
import { MessageSink } from './answerSink.js';
import { OwnNames } from './ownNames.js';
import { type OwnQuery, type OwnResult, OwnSink, ownRequests, type Until } from './ownQuery.js';
import { type Expected, ResponseQueue } from './responseQueue.js';

/** What a session does with what its primary sends. */
export interface PrimaryEvents {
  /** Bytes for the client, in order. */
  forward(bytes: Buffer): void;
  /** Called before and after a chunk of bytes is handled. Writes in between may be sent together. @param begin true: before */
  chunk(begin: boolean): void;
  /**
   * Called for every NoticeResponse, whatever runs.
   * @param muted whether the notice is kept from the client in any case
   * @param cut whether this is only the head of a notice that is too long to be looked at; the rest goes where the head goes
   * @returns whether the client gets it
   */
  notice(message: Buffer, muted: boolean, cut: boolean): boolean;
  /** Called for every ErrorResponse, whatever runs. @returns the message, or the one that takes its place */
  error(message: Buffer): Buffer;
  /** Called for every ReadyForQuery, whatever runs, after `status` has been set. */
  settled(): void;
  /** Called when the primary reads COPY data. @param waiting whether a request waits for `PrimaryLink.settled` meanwhile */
  copying(waiting: boolean): void;
  /** Called for a NotificationResponse. @returns whether the client gets it now */
  notification(message: Buffer): boolean;
  /** Called when a setting has changed. @param before its value until now, if any @returns whether the client is told now */
  parameter(name: string, value: string, before: string | undefined): boolean;
  /** Called with a ReadyForQuery that the client is to get. */
  ready(message: Buffer): void;
  /** Called when the connection has ended. @param fatal SQLSTATE of why, if the primary said it; the client has been sent that */
  closed(fatal: string | undefined): void;
}

/** Of a notice with more bytes only the head is looked at. No request of the bridge is that long, except through its CONTEXT. */
const HOOKED_BYTES = 64 << 20;

/**
 * The longest messages, in bytes, of the kinds that are taken whole and have a natural limit. Whatever length a header claims, no
 * more than that is kept in memory.
 */
const LENGTH_LIMITS = new Float64Array(256).fill(Number.POSITIVE_INFINITY);
for (const [type, limit] of [
  [Backend.authentication, 65_535],
  [Backend.backendKeyData, 5 + 4 + 256],
  [Backend.errorResponse, 64 << 20],
  [Backend.parameterStatus, 1 << 20],
  [Backend.readyForQuery, 6],
] as const)
  LENGTH_LIMITS[type] = limit;

/** How many settings a primary may report. PostgreSQL reports some fifteen. */
const MAX_PARAMETERS = 1000;

/** The session's connection to the primary. Sends requests, and tells to which of them each answer belongs. */
export class PrimaryLink {
  readonly queue = new ResponseQueue();
  readonly names = new OwnNames();
  /** The settings that the primary has reported, by name; byte strings. */
  readonly parameters = new Map<string, string>();
  /** Transaction status byte of the last ReadyForQuery. */
  status: number = TransactionStatus.idle;
  #changes = 0;
  /** The version as it was read last, and as it was reported. */
  #version = { shown: '0', major: 0 };
  readonly #socket: Socket;
  readonly #channel: Channel;
  readonly #events: PrimaryEvents;
  readonly #framer: Framer;
  /** Number of ReadyForQuery messages that have come. */
  readies = 0;
  /** Whether requests of the extended protocol were sent since the last Sync. If so, an implicit transaction may be open. */
  batchOpen = false;
  /** SQL of the proxy's own failed, and may have left its prepared statement and portal behind. */
  #ownLeft = false;
  /** Something of the client's has been executed since the last Sync. */
  #executed = false;
  #idleWaiters: (() => void)[] = [];
  /** The primary said why it ends the session, and the client was told. */
  #fatal: string | undefined;
  #answered = false;
  #closed = false;
  /** A message could not be handled, and where the next one begins is not known. */
  #broken = false;
  /** Backpressure: the client is slow. */
  #paused = false;
  readonly #share = new LoopShare(() => this.#giveWay());

  constructor(socket: Socket, events: PrimaryEvents) {
    this.#socket = socket;
    this.#channel = openChannel(socket);
    this.#events = events;
    this.#framer = new Framer(this.#handler());
    this.#channel.start((chunk) => this.#receive(chunk));
    socket.on('error', () => undefined);
    // A server that has closed its side need not read what has not been sent yet. The socket would wait until it does.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#ended());
    // The server may have gone while its first message was awaited. Then the socket has no further event.
    if (socket.closed) setImmediate(() => this.#ended());
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Counts the requests that may have made wrong what is known of the session. Code that keeps something the primary has said
   * keeps this count with it. When the count has changed, what was kept may not be used any more.
   */
  get changes(): number {
    return this.#changes;
  }

  /** To be called when it is seen that what is known of the session is wrong because others have changed something. */
  changedByOthers(): void {
    this.#changes++;
  }

  /** The primary's major version. 0 until the primary has reported it. */
  get majorVersion(): number {
    const shown = this.parameters.get('server_version') ?? '0';
    if (this.#version.shown !== shown) this.#version = { shown, major: Number.parseInt(shown, 10) };
    return this.#version.major;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Whether the primary has sent anything at all. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Whether the client has been sent only a part of a message, because the rest has not come yet. */
  get midMessage(): boolean {
    return this.#framer.midMessage;
  }

  #receive(chunk: Buffer): void {
    this.#answered = true;
    this.#handle(chunk);
    if (this.#framer.stopped) this.#updateReading();
  }

  /** @param chunk undefined: what has been held back */
  #handle(chunk: Buffer | undefined): void {
    this.#events.chunk(true);
    try {
      if (chunk === undefined) this.#framer.resume();
      else this.#framer.push(chunk);
    } catch (error) {
      // A primary that breaks the protocol ends this session, nothing else. Where its next message begins is not known.
      this.#broken = true;
      this.#socket.destroy(error as Error);
    } finally {
      this.#events.chunk(false);
    }
  }

  /** What follows the present message is looked at when other sessions have had their turn. */
  #giveWay(): void {
    this.#framer.stop();
    setImmediate(() => {
      if (this.#closed || this.#broken) return;
      this.#handle(undefined);
      this.#updateReading();
    });
  }

  #updateReading(): void {
    if (this.#paused || this.#framer.stopped) this.#channel.pause();
    else this.#channel.resume();
  }

  #ended(): void {
    if (this.#closed) return;
    // The server's last messages may be among the bytes that are held.
    while (this.#framer.stopped && !this.#broken) this.#handle(undefined);
    this.#closed = true;
    this.queue.abandon();
    this.#wakeIdle();
    this.#events.closed(this.#fatal);
  }

  #handler(): FrameHandler {
    return {
      head: (type, length) => {
        this.#share.passed();
        return this.#head(type, length);
      },
      whole: (type, message) => {
        if (type === Backend.noticeResponse) this.#share.notice(message.length);
        else this.#share.read(message.length);
        // What is kept of it must not change.
        return this.#whole(type, type === Backend.readyForQuery ? message : owned(message));
      },
      pass: (bytes) => this.#events.forward(bytes),
      badLength: (type, length) => {
        throw new PgError('08P01', `invalid length ${length} of message type ${type} from the primary`);
      },
    };
  }

  #head(type: number, length: number): Delivery {
    const sink = this.queue.next?.sink;
    if (length > LENGTH_LIMITS[type]!) {
      throw new PgError('08P01', `message type ${type} of ${length} bytes from the primary is too long`);
    }
    switch (type) {
      case Backend.dataRow:
      case Backend.copyData:
        return sink === undefined || sink.passRows ? 'pass' : 'whole';
      case Backend.noticeResponse:
        return length <= HOOKED_BYTES ? 'whole' : 'head';
      case Backend.notificationResponse:
        return length <= HOOKED_BYTES ? 'whole' : 'pass';
      case Backend.parameterStatus:
      case Backend.readyForQuery:
      case Backend.errorResponse:
        return 'whole';
      default:
        if (length > MAX_MESSAGE_BYTES) throw new PgError('08P01', 'message from the primary is too long');
        if (sink !== undefined) return 'whole';
        this.queue.take(type);
        if (this.queue.length === 0) this.#wakeIdle();
        else if (type === Backend.copyInResponse) this.#checkCopy();
        return 'pass';
    }
  }

  #whole(type: number, message: Buffer): boolean {
    if (type === Backend.noticeResponse) {
      const sink = this.queue.next?.sink;
      const cut = message.readUInt32BE(1) + 1 > message.length;
      if (!cut && sink?.notice?.(message) === true) return false;
      return this.#events.notice(message, sink?.muted === true, cut);
    }
    if (type === Backend.notificationResponse) return this.#events.notification(message);
    if (type === Backend.parameterStatus) {
      const reader = new MessageReader(message);
      const name = reader.cstring('latin1');
      const value = reader.cstring('latin1');
      const before = this.parameters.get(name);
      if (before === undefined && this.parameters.size === MAX_PARAMETERS)
        throw new PgError('08P01', 'the primary reports too many parameters');
      this.parameters.set(name, value);
      return this.#events.parameter(name, value, before);
    }
    if (type === Backend.errorResponse) return this.#error(message);
    if (type !== Backend.readyForQuery) return this.#answer(type, message);
    this.status = message[5] ?? TransactionStatus.idle;
    this.readies++;
    this.#events.settled();
    if (!this.#answer(type, message)) return false;
    this.#events.ready(message);
    return false;
  }

  /** Gives a message to the request that it answers. @returns whether the client gets it */
  #answer(type: number, message: Buffer): boolean {
    const { expected, last } = this.queue.take(type);
    const goesOn = expected?.sink === undefined || expected.sink.message(type, message, last);
    if (this.queue.length === 0) this.#wakeIdle();
    return goesOn;
  }

  #error(original: Buffer): boolean {
    const message = this.#events.error(original);
    const goesOn = this.#answer(Backend.errorResponse, message);
    if (goesOn) this.#fatal ??= endsSession(message);
    if (!goesOn || message === original) return goesOn;
    this.#events.forward(message);
    return false;
  }

  #wakeIdle(): void {
    if (this.#idleWaiters.length === 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }

  /** Keeps what is sent until `uncork`, so that it is sent together. */
  cork(): void {
    this.#channel.cork();
  }

  uncork(): void {
    this.#channel.uncork();
  }

  /**
   * Passes bytes on. The requests in them have been announced with `expect`.
   * @returns false when the writer should wait for `whenDrained`
   */
  write(bytes: Buffer): boolean {
    return this.#closed || this.#channel.write(bytes);
  }

  /** Calls `then` once, when the primary can take more. */
  whenDrained(then: () => void): void {
    this.#channel.onDrain = () => {
      this.#channel.onDrain = () => {};
      then();
    };
  }

  /** Announces a request whose bytes are passed on with `write`. */
  expect(expected: Expected): void {
    this.#push(expected);
  }

  /** Every request that is sent is noted here. */
  #push(expected: Expected): void {
    const { kind } = expected;
    if (kind === 'query' || kind === 'execute' || kind === 'functionCall') {
      if (expected.harmless !== true) {
        this.#changes++;
        this.#executed = kind === 'execute';
      }
    } else if (kind === 'sync' && this.#executed) {
      // The end of an implicit transaction takes back what was set for it alone.
      this.#changes++;
      this.#executed = false;
    }
    if (kind === 'sync' || kind === 'query') this.batchOpen = false;
    else if (kind !== 'copyEnd' && kind !== 'functionCall') this.batchOpen = true;
    this.queue.push(expected);
  }

  /** Sends a request of the proxy's own, or a changed one of the client's. The answer goes to `expected.sink`. */
  send(message: Buffer | readonly Buffer[], expected: Expected): void {
    if (this.#closed) {
      expected.sink?.skipped();
      return;
    }
    this.#push(expected);
    for (const part of [message].flat()) this.#channel.write(part as Buffer);
  }

  /**
   * Calls `then` when everything that has been written so far has left for the primary, or never will.
   * @param then is told whether nobody reads the written bytes any more
   */
  whenWritten(then: (unread: boolean) => void): void {
    this.#channel.whenWritten(then);
  }

  /** Sends a Flush. */
  flush(): void {
    if (!this.#closed) this.#channel.write(FLUSH);
  }

  /** Resolves when every request sent so far has been answered (or skipped). @throws PgError 08006 */
  async settled(): Promise<void> {
    if (this.queue.length > 0 && !this.#closed) {
      if (this.queue.unsynced) this.flush();
      const idle = new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
      this.#checkCopy();
      await idle;
    }
    this.assertOpen();
  }

  /** Tells the session of a COPY. Its data would come behind a request that waits for its end, and neither could go on. */
  #checkCopy(): void {
    if (this.queue.copyIn) this.#events.copying(this.#idleWaiters.length > 0);
  }

  /** @throws PgError 08006 when the primary is lost */
  assertOpen(): void {
    if (this.#closed) throw connectionLost();
  }

  /**
   * The primitive for SQL of the proxy's own inside the client's present statement and transaction. The client sees nothing of
   * it, except the notices that the SQL raises where `own.notices` is set.
   * @param end `sync` ends the batch, and with it an implicit transaction. `flush` leaves both open; after an error the primary
   * then skips to the next Sync
   * @param until how far the statement goes
   * @returns the result, with the error that the SQL raised, if it did
   * @throws PgError 08006 when the primary is lost
   */
  run(own: OwnQuery, end: 'flush' | 'sync', until: Until = 'end'): Promise<OwnResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(connectionLost());
      const name = this.names.running;
      const requests = ownRequests(own, name, end, until);
      // After an error the primary skips the Close requests. So what it may still have is closed before it is prepared again.
      if (this.#ownLeft) requests.unshift(['close', close('P', name)], ['close', close('S', name)]);
      const sink = new OwnSink(requests.length, own, (result) => {
        this.#ownLeft = result.error !== undefined || result.skipped;
        if (this.#closed) reject(connectionLost());
        else resolve(result);
      });
      const harmless = own.changes !== true;
      for (const [kind] of requests) this.#push({ kind, sink, harmless });
      const parts = requests.flatMap(([, message]) => message);
      if (end !== 'sync') parts.push(FLUSH);
      for (const part of parts) this.#channel.write(part);
    });
  }

  /**
   * Ends the batch of requests, and with it an implicit transaction.
   * @returns the error that the commit raised, if it did
   * @throws PgError 08006
   */
  async sync(): Promise<PgError | undefined> {
    const sink = new MessageSink({ muted: false });
    this.send(SYNC, { kind: 'sync', sink });
    const { error } = await sink.answered;
    this.assertOpen();
    return error;
  }

  /** Backpressure: stops reading from the primary until `resume`. */
  pause(): void {
    this.#paused = true;
    this.#updateReading();
  }

  resume(): void {
    this.#paused = false;
    this.#updateReading();
  }

  /** Nothing more is sent. The server answers what has come, and closes the connection then. */
  finish(): void {
    if (!this.#closed) this.#channel.end();
  }

  /** Ends the connection. A server that does not close within a second is not waited for. @param lastWords are sent before */
  end(lastWords?: Buffer): void {
    if (this.#closed) return;
    this.#channel.end(lastWords);
    this.#channel.abandon();
    const patience = setTimeout(() => this.#socket.destroy(), 1000).unref();
    this.#socket.once('close', () => clearTimeout(patience));
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Whether a whole ErrorResponse message is the last thing that a server says on a connection. */
const endsSession = (message: Buffer): string | undefined => {
  const { severity, severityNonLocalized = severity, sqlstate } = parseFields(message);
  return severityNonLocalized === 'FATAL' || severityNonLocalized === 'PANIC' ? sqlstate : undefined;
};

/** The error for a session whose connection to the primary is lost (08006). */
export const connectionLost = (): PgError =>
  new PgError('08006', 'connection to the primary server was lost', {
    severity: 'FATAL',
    hint: 'The primary may have been restarted or be out of reach of the proxy. Connect again.',
  });
