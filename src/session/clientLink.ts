import type { Duplex } from 'node:stream';
import { type Channel, openChannel, owned } from '../wire/channel/index.js';
import { type Delivery, Framer } from '../wire/framer.js';
import { TERMINATE } from '../wire/messages.js';
import { LoopShare } from '../wire/pace/loopShare.js';
import { Frontend, MAX_MESSAGE_BYTES } from '../wire/protocol.js';

/** What a session does with what its client sends. */
export interface ClientEvents {
  /** See FrameHandler. */
  head(type: number, length: number): Delivery;
  /**
   * Called when a message begins that no server takes: of a type that no client sends, or of a length that its type cannot have.
   * @param length of the whole message in bytes; undefined when only its type has come
   * @returns undefined when the rest of the header is needed; see FrameHandler
   */
  refused(type: number, length: number | undefined): Delivery | undefined;
  /** See FrameHandler. */
  whole(type: number, message: Buffer): boolean;
  /** See FrameHandler. */
  pass(bytes: Buffer): void;
  /** Called before and after a chunk of bytes is handled. Writes in between may be sent together. @param begin true: before */
  chunk(begin: boolean): void;
  /** The client broke the protocol, or something failed while its message was handled. */
  failed(error: unknown): void;
  /** The client sends nothing more. Requests of its may be carried out yet. */
  ending(): void;
  /** All that the client has sent has been handled. */
  ended(): void;
  /** The connection to the client has ended. */
  closed(): void;
}

/** PostgreSQL's limit for messages that carry no data (PQ_SMALL_MESSAGE_LIMIT). */
const SMALL_MESSAGE_BYTES = 10_000;
/** PostgreSQL's limit for authentication messages (PG_MAX_AUTH_TOKEN_LENGTH). */
const AUTH_MESSAGE_BYTES = 65_535;

/** PQ_LARGE_MESSAGE_LIMIT: upon a longer one a server closes the connection at once, without a word. */
const LARGE_MESSAGE_BYTES = MAX_MESSAGE_BYTES - 1;

/**
 * The longest message of each type that a client may send, in bytes without the type byte; 0 for a type that no client sends. Before
 * PostgreSQL 14 a server takes longer ones (see `Session`).
 */
const LENGTH_LIMITS = new Uint32Array(256);
for (const [type, limit] of [
  [Frontend.bind, LARGE_MESSAGE_BYTES],
  [Frontend.close, SMALL_MESSAGE_BYTES],
  [Frontend.copyData, LARGE_MESSAGE_BYTES],
  [Frontend.copyDone, SMALL_MESSAGE_BYTES],
  [Frontend.copyFail, SMALL_MESSAGE_BYTES],
  [Frontend.describe, SMALL_MESSAGE_BYTES],
  [Frontend.execute, SMALL_MESSAGE_BYTES],
  [Frontend.flush, SMALL_MESSAGE_BYTES],
  [Frontend.functionCall, LARGE_MESSAGE_BYTES],
  [Frontend.parse, LARGE_MESSAGE_BYTES],
  [Frontend.password, AUTH_MESSAGE_BYTES],
  [Frontend.query, LARGE_MESSAGE_BYTES],
  [Frontend.sync, SMALL_MESSAGE_BYTES],
  [Frontend.terminate, SMALL_MESSAGE_BYTES],
] as const)
  LENGTH_LIMITS[type] = limit;

/** The session's connection to the client. Splits what comes into messages, and stops reading when told to. */
export class ClientLink {
  readonly #socket: Duplex;
  readonly #channel: Channel;
  readonly #events: ClientEvents;
  readonly #framer: Framer;
  /** What the client has sent is being handled. */
  #handling = false;
  /** Calls of `hold` that have not been followed by a `release` yet. */
  #holds = 0;
  /** Backpressure: the receiver of what the client sends is full. */
  #paused = false;
  #drained: (() => void)[] = [];
  /** What is sent together with the next bytes. */
  #later: Buffer | undefined;
  /** The client sends nothing more; `handled`: nor is there something left of what it has sent. */
  #ending: false | true | 'handled' = false;
  #closed = false;
  /** The last words have been sent. What a call that is being given up still has to say comes too late. */
  #ended = false;
  /** A result is being written in parts, between which nothing else may come: they may end in the middle of a message. */
  inParts = false;
  /** Its limit is reached: what follows is handled in a later turn of the event loop. */
  readonly #share = new LoopShare(() => {
    this.hold();
    this.release();
  });

  /** @param heldBytes while a request is carried out, this many bytes of what is pipelined behind it are read. Then reading stops */
  constructor(
    socket: Duplex,
    events: ClientEvents,
    private readonly heldBytes: number,
  ) {
    this.#socket = socket;
    this.#channel = openChannel(socket);
    this.#events = events;
    this.#framer = new Framer({
      begins: (type) => LENGTH_LIMITS[type] === 0 && events.refused(type, undefined) !== undefined,
      head: (type, length) => {
        this.#share.read();
        if (length - 1 > LENGTH_LIMITS[type]!) return events.refused(type, length) ?? 'end';
        return events.head(type, length);
      },
      whole: (type, message) => {
        this.#share.read(message.length);
        return events.whole(type, message);
      },
      pass: (bytes) => events.pass(bytes),
      badLength: (type, length) => {
        events.refused(type, length + 1);
        return 'end';
      },
    });
    socket.on('error', () => undefined);
    this.#channel.onDrain = () => this.#drain();
    socket.on('end', () => this.#end());
    socket.on('close', () => {
      // What the client sent before it went still counts, unless it is behind a request that is being carried out.
      while (this.#holds === 0 && this.#framer.stopped) this.#handle(undefined);
      this.#closed = true;
      this.#drain();
      events.closed();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the session is carrying out a request itself, or requests are waiting behind one. */
  get busy(): boolean {
    return this.#holds > 0 || this.#framer.stopped;
  }

  /** Whether what waits behind a request ends with a Terminate. */
  get leaves(): boolean {
    return this.#framer.heldEnd(TERMINATE.length).equals(TERMINATE);
  }

  /** The beginning of what the client has sent behind the request that the session is carrying out. See Framer. */
  get ahead(): Buffer {
    return this.#framer.ahead;
  }

  /** Drops messages that the session has dealt with from the beginning of `ahead`. @param length of them, in bytes */
  drop(length: number): void {
    this.#framer.drop(length);
  }

  /** Whether only a part of a message has been handed on, because the client has not sent the rest yet. */
  get midMessage(): boolean {
    return this.#framer.midMessage;
  }

  /** Type of a message of which a part has come and is being kept until the rest comes. */
  get collecting(): number | undefined {
    return this.#framer.collecting;
  }

  /** Begins to read. @param first what was read before the session began */
  start(first: Buffer): void {
    this.#channel.start((chunk) => this.#receive(chunk));
    if (first.length > 0) this.#receive(first);
    // The end may have come right behind the startup packet.
    if (this.#socket.readableEnded) this.#end();
    else this.#channel.resume();
  }

  #end(): void {
    if (this.#closed || this.#ending !== false) return;
    this.#ending = true;
    this.#events.ending();
    this.#checkEnd();
  }

  #receive(chunk: Buffer): void {
    this.#handle(chunk);
    if (this.#framer.heldBytes > 0) this.#updateReading();
  }

  /** @param chunk undefined: what has been held back */
  #handle(chunk: Buffer | undefined): void {
    this.#events.chunk(true);
    this.#handling = true;
    try {
      if (chunk === undefined) this.#framer.resume();
      else this.#framer.push(chunk);
    } catch (error) {
      this.#events.failed(error);
    } finally {
      this.#handling = false;
      this.#events.chunk(false);
    }
  }

  #updateReading(): void {
    if (this.#closed) return;
    if (this.#paused || this.#framer.heldBytes > this.heldBytes) this.#channel.pause();
    else this.#channel.resume();
  }

  /** Handles nothing behind the present message until `release` has been called as often as `hold`. */
  hold(): void {
    this.#holds++;
    this.#framer.stop();
  }

  /** See `hold`. */
  release(): void {
    if (--this.#holds > 0) return;
    if (!this.#handling && this.#framer.heldBytes === 0 && this.#ending === false) {
      this.#framer.resume();
      this.#updateReading();
      return;
    }
    // In a new turn of the event loop. A release while a message is handled must not begin to handle another one inside that.
    setImmediate(() => {
      if (this.#holds > 0 || this.#closed || !this.#framer.stopped) return;
      this.#handle(undefined);
      this.#updateReading();
      this.#checkEnd();
    });
  }

  #checkEnd(): void {
    if (this.#ending !== true || this.#holds > 0 || this.#framer.stopped || this.#closed) return;
    this.#ending = 'handled';
    this.#events.ended();
  }

  /** Backpressure: stops reading from the client until `resume`. */
  pause(): void {
    this.#paused = true;
    this.#updateReading();
  }

  resume(): void {
    this.#paused = false;
    this.#updateReading();
  }

  /** Keeps what is sent until `uncork`, so that it is sent together. */
  cork(): void {
    this.#channel.cork();
  }

  uncork(): void {
    this.#channel.uncork();
  }

  /** Sends bytes to the client. @returns false when the client is slow: whoever sends should wait for `drained` */
  write(bytes: Buffer): boolean {
    if (this.#closed || this.#ended) return true;
    this.#sendLater();
    return this.#channel.write(bytes);
  }

  /**
   * Sends bytes together with those that are sent next. A server, too, keeps what it sends until there is more of it or its answer is
   * complete.
   * @param bytes a short message
   */
  writeLater(bytes: Buffer): void {
    this.#later = this.#later === undefined ? owned(bytes) : Buffer.concat([this.#later, bytes]);
  }

  #sendLater(): void {
    const later = this.#later;
    if (later === undefined) return;
    this.#later = undefined;
    this.#channel.write(later);
  }

  /** Resolves when what was written has left for the client, or the client is gone. */
  drained(): Promise<void> {
    if (this.#closed || !this.#channel.full) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  #drain(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve();
  }

  /** Ends the connection. What the client sends from now on is ignored. @param lastWords are sent before */
  end(lastWords?: Buffer): void {
    this.hold();
    if (this.#closed || this.#ended) return;
    this.#sendLater();
    this.#ended = true;
    this.#channel.end(lastWords);
    this.#channel.abandon();
    // A client that does not read or close must not keep the socket.
    const patience = setTimeout(() => this.#socket.destroy(), 2000).unref();
    this.#socket.once('close', () => clearTimeout(patience));
  }
}
