import type { Duplex } from 'node:stream';
import { batchWrites } from '../batch.js';
import { owned } from './shared.js';

/**
 * A connection as what passes bytes on uses it. Only its bytes go through here: that it has ended, failed or closed the socket's own
 * events tell.
 */
export interface Channel {
  /** Called when the peer can take more, see `write`. */
  onDrain: () => void;
  /** Whether whoever writes should wait for `onDrain`. */
  readonly full: boolean;
  /** Begins to read, in a later step. @param receive takes what comes; the bytes are valid during the call only */
  start(receive: (chunk: Buffer) => void): void;
  /** Reads no further until `resume`. */
  pause(): void;
  resume(): void;
  /** Nobody wants what comes any more. While it is paused, some of it is dropped, so that the peer's end is noticed behind it. */
  abandon(): void;
  /**
   * Keeps what is written until as many calls of `uncork` as of this, so that it is sent together, as long as nothing is written to
   * another connection.
   */
  cork(): void;
  uncork(): void;
  /**
   * Sends bytes. What is written before the next wait is sent together, in one packet where it fits (`behindPromises`).
   * @param bytes must not change until they have left, unless they are those that `start` hands out
   * @returns false when the peer is slow, so that more should wait for `onDrain`
   */
  write(bytes: Buffer): boolean;
  /**
   * Calls `then` when everything that has been written so far has left, or never will.
   * @param then is told whether nobody reads the written bytes any more
   */
  whenWritten(then: (unread: boolean) => void): void;
  /** Sends nothing more. @param lastWords are sent before */
  end(lastWords?: Buffer): void;
}

/** Uses a socket, or anything like one, in the documented ways. */
export class StreamChannel implements Channel {
  onDrain = (): void => {};

  constructor(protected readonly socket: Duplex) {
    socket.on('drain', () => this.onDrain());
  }

  get full(): boolean {
    return this.socket.writableNeedDrain;
  }

  start(receive: (chunk: Buffer) => void): void {
    this.socket.on('data', receive);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  abandon(): void {
    // A stream that is paused goes on reading up to its mark.
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  write(bytes: Buffer): boolean {
    if (this.socket.writableCorked === 0) batchWrites(this.socket);
    return this.socket.write(owned(bytes));
  }

  whenWritten(then: (unread: boolean) => void): void {
    const { socket } = this;
    if (socket.writableLength === 0) then(true);
    else if (socket.closed || !socket.writable) then(false);
    else socket.write(NOTHING, (error) => then(error === undefined || error === null));
  }

  end(lastWords?: Buffer): void {
    if (lastWords === undefined) this.socket.end();
    else this.socket.end(owned(lastWords));
  }
}

const NOTHING = Buffer.alloc(0);
