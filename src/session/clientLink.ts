import type { Socket } from 'node:net';
import { batchWrites } from '../wire/batch.js';
import { protocolViolation } from '../wire/errors.js';
import { type Delivery, Framer } from '../wire/framer.js';
import { LoopShare } from '../wire/pace/loopShare.js';
import { Frontend, MAX_MESSAGE_BYTES } from '../wire/protocol.js';

/** What a session does with what its client sends. */
export interface ClientEvents {
  head(type: number, length: number): Delivery;
  whole(type: number, message: Buffer): boolean;
  pass(bytes: Buffer): void;
  /** A chunk is about to be handled, or has been: writes in between may be sent as one. */
  chunk(begin: boolean): void;
  /** The client broke the protocol, or something failed while its message was handled. */
  failed(error: unknown): void;
  closed(): void;
}

/** PostgreSQL's limit for messages that carry no data (PQ_SMALL_MESSAGE_LIMIT). */
const SMALL_MESSAGE_BYTES = 10_000;
/** PostgreSQL's limit for authentication messages (PG_MAX_AUTH_TOKEN_LENGTH). */
const AUTH_MESSAGE_BYTES = 65_535;
/** While the session acts, this much of what the client pipelines is read; then reading stops. */
const HELD_BYTES = 256 * 1024;

const LENGTH_LIMITS = new Map<number, number>([
  [Frontend.bind, MAX_MESSAGE_BYTES],
  [Frontend.close, SMALL_MESSAGE_BYTES],
  [Frontend.copyData, MAX_MESSAGE_BYTES],
  [Frontend.copyDone, SMALL_MESSAGE_BYTES],
  [Frontend.copyFail, SMALL_MESSAGE_BYTES],
  [Frontend.describe, SMALL_MESSAGE_BYTES],
  [Frontend.execute, SMALL_MESSAGE_BYTES],
  [Frontend.flush, SMALL_MESSAGE_BYTES],
  [Frontend.functionCall, MAX_MESSAGE_BYTES],
  [Frontend.parse, MAX_MESSAGE_BYTES],
  [Frontend.password, AUTH_MESSAGE_BYTES],
  [Frontend.query, MAX_MESSAGE_BYTES],
  [Frontend.sync, SMALL_MESSAGE_BYTES],
  [Frontend.terminate, SMALL_MESSAGE_BYTES],
]);

/** @throws PgError 08P01 for a type that no client sends */
function limitOf(type: number): number {
  const limit = LENGTH_LIMITS.get(type);
  if (limit === undefined) throw protocolViolation(`invalid frontend message type ${type}`);
  return limit;
}

/** The session's connection to the client: frames what comes, and stops reading when told to. */
export class ClientLink {
  readonly #socket: Socket;
  readonly #events: ClientEvents;
  readonly #framer: Framer;
  #holds = 0;
  #paused = false;
  #drained: (() => void)[] = [];
  #closed = false;
  readonly #share = new LoopShare(() => {
    this.hold();
    this.release();
  });

  constructor(socket: Socket, events: ClientEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#framer = new Framer({
      begins: limitOf,
      head: (type, length) => {
        if (length - 1 > limitOf(type)) throw protocolViolation('invalid message length');
        this.#share.read();
        return events.head(type, length);
      },
      whole: (type, message) => {
        this.#share.read(message.length);
        return events.whole(type, message);
      },
      pass: (bytes) => events.pass(bytes),
      badLength: () => {
        throw protocolViolation('invalid message length');
      },
    });
    socket.on('error', () => undefined);
    socket.on('drain', () => this.#drain());
    socket.on('close', () => {
      // What it sent before it went counts, unless a request in front of it is being carried out.
      while (this.#holds === 0 && this.#framer.stopped) this.#guard(() => this.#framer.resume());
      this.#closed = true;
      this.#drain();
      events.closed();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Whether a request is being carried out by the session itself, or some are waiting behind one. */
  get busy(): boolean {
    return this.#holds > 0 || this.#framer.stopped;
  }

  /** Whether the client has sent a part of a message, which has been handed on. */
  get midMessage(): boolean {
    return this.#framer.midMessage;
  }

  /** Type of a message of which a part has come and is being kept until the rest comes. */
  get collecting(): number | undefined {
    return this.#framer.collecting;
  }

  /** Begins to read; `first` is what was read before the session began. */
  start(first: Buffer): void {
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    if (first.length > 0) this.#receive(first);
    this.#socket.resume();
  }

  #receive(chunk: Buffer): void {
    this.#guard(() => this.#framer.push(chunk));
    if (this.#framer.heldBytes > 0) this.#updateReading();
  }

  #guard(act: () => void): void {
    this.#events.chunk(true);
    try {
      act();
    } catch (error) {
      this.#events.failed(error);
    } finally {
      this.#events.chunk(false);
    }
  }

  #updateReading(): void {
    if (this.#closed) return;
    if (this.#paused || this.#framer.heldBytes > HELD_BYTES) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Leaves everything behind the message that is being handled unhandled until as many calls of `release`. */
  hold(): void {
    this.#holds++;
    this.#framer.stop();
  }

  release(): void {
    if (--this.#holds > 0) return;
    // In a new turn, so that a release during the handling of a message does not nest another one's.
    setImmediate(() => {
      if (this.#holds > 0 || this.#closed || !this.#framer.stopped) return;
      this.#guard(() => this.#framer.resume());
      this.#updateReading();
    });
  }

  /** Back-pressure: whoever takes what the client sends is full. */
  pause(): void {
    this.#paused = true;
    this.#updateReading();
  }

  resume(): void {
    this.#paused = false;
    this.#updateReading();
  }

  /** @returns false when the client is slow and the source of these bytes should wait for `drained` */
  write(bytes: Buffer): boolean {
    if (this.#closed) return true;
    if (this.#socket.writableCorked === 0) batchWrites(this.#socket);
    return this.#socket.write(bytes);
  }

  /** Resolves when what was written has left for the client, or the client is gone. */
  drained(): Promise<void> {
    if (this.#closed || !this.#socket.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  #drain(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve();
  }

  /** Sends last words and closes; what the client sends from now on is ignored. */
  end(lastWords?: Buffer): void {
    this.hold();
    if (this.#closed) return;
    if (lastWords === undefined) this.#socket.end();
    else this.#socket.end(lastWords);
    // A client that does not read or close must not keep the socket.
    setTimeout(() => this.#socket.destroy(), 2000).unref();
  }
}
