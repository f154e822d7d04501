import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { behindPromises } from '../batch.js';
import { StreamChannel } from './channel.js';
import type { ReadHandle } from './handle.js';
import { Outgoing } from './outgoing.js';
import { owned, SHARED } from './shared.js';

/** When so many bytes have been gathered, they are written. More than that at once is not gathered. */
const GATHERED_BYTES = 16_384;

/** How much is read and dropped of what nobody wants any more. A stream that is paused reads as much. */
const DROPPED_BYTES = 16_384;

const outgoing = new Outgoing();

/**
 * Reads from the handle of a socket into one buffer that all connections share, and gathers what is to be written in memory that is
 * used again and again. So a message that passes leaves nothing behind for the garbage collector.
 */
export class DirectChannel extends StreamChannel {
  #receive: (chunk: Buffer) => void = () => {};
  #paused = true;
  #corks = 0;
  /** What has been gathered is written behind the promises. */
  #batched = false;

  constructor(
    socket: Socket,
    private readonly handle: ReadHandle,
    private readonly readResult: () => number,
  ) {
    super(socket);
  }

  override start(receive: (chunk: Buffer) => void): void {
    const { socket, handle, readResult } = this;
    // Ends and errors are the socket's business.
    const { onread } = handle;
    handle.onread = (memory) => {
      const length = readResult();
      if (length <= 0) return onread.call(handle, memory);
      if (!socket.destroyed) this.#receive(SHARED.subarray(0, length));
      return undefined;
    };
    handle.useUserBuffer(SHARED);
    this.#receive = receive;
    this.resume();
    // What the socket has read already comes first, and its end if that has come.
    process.nextTick(() => this.#takeBuffered());
  }

  override pause(): void {
    this.#paused = true;
    const { handle } = this;
    if (!handle.reading || this.socket.destroyed) return;
    handle.reading = false;
    handle.readStop();
  }

  override resume(): void {
    if (!this.#paused || this.socket.destroyed) return;
    this.#paused = false;
    if (this.socket.readableLength > 0) process.nextTick(() => this.#takeBuffered());
    const { handle } = this;
    if (handle.reading || this.socket.readableEnded) return;
    handle.reading = true;
    const error = handle.readStart();
    if (error !== 0) this.socket.destroy(new Error(`cannot read: ${getSystemErrorName(error)}`));
  }

  override abandon(): void {
    if (!this.#paused) return;
    let left = DROPPED_BYTES;
    this.#receive = ({ length }) => {
      left -= length;
      if (left < 0) this.pause();
    };
    this.resume();
  }

  #takeBuffered(): void {
    while (!this.#paused && !this.socket.destroyed) {
      const chunk: Buffer | null = this.socket.read();
      if (chunk === null) return;
      this.#receive(chunk);
    }
  }

  override cork(): void {
    this.#corks++;
  }

  override uncork(): void {
    if (--this.#corks === 0) this.flush();
  }

  override write(bytes: Buffer): boolean {
    const { socket } = this;
    if (socket.writableLength > 0) {
      // Behind what the system has not taken yet, and behind what has been gathered since: `add` may have found that out.
      this.flush();
      socket.write(owned(bytes));
    } else if (bytes.length <= GATHERED_BYTES || bytes.buffer === SHARED.buffer) {
      if (outgoing.add(this, bytes) >= GATHERED_BYTES) this.flush();
      else if (this.#corks === 0) this.#flushSoon();
    } else {
      this.flush();
      socket.write(bytes);
    }
    return !this.full;
  }

  #flushSoon(): void {
    if (this.#batched) return;
    this.#batched = true;
    behindPromises(() => {
      this.#batched = false;
      if (this.#corks === 0) this.flush();
    });
  }

  /** Writes what has been gathered. */
  flush(): void {
    const bytes = outgoing.take(this);
    if (bytes === undefined) return;
    this.socket.write(bytes);
    // Otherwise the system has taken everything, and the memory is free.
    if (this.socket.writableLength > 0) outgoing.keep(bytes);
  }

  override whenWritten(then: (unread: boolean) => void): void {
    this.flush();
    super.whenWritten(then);
  }

  override end(lastWords?: Buffer): void {
    this.flush();
    super.end(lastWords);
  }
}
