import type { Socket } from 'node:net';

/** How long the bytes of one connection are looked at before others have their turn. */
const TURN_MS = 5;

/**
 * Decides when a socket is read. As long as there is something to read the runtime reads on, two megabytes in one go, which
 * may be a hundred thousand messages: a connection that has been busy for some milliseconds rests for a turn of the event loop.
 */
export class FairReader {
  readonly #socket: Socket;
  #paused = false;
  #resting = false;
  #busyMs = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Handles bytes that have been read. */
  take(handle: () => void): void {
    const began = performance.now();
    try {
      handle();
    } finally {
      this.#busyMs += performance.now() - began;
      if (this.#busyMs > TURN_MS && !this.#resting) this.#rest();
    }
  }

  /** Nothing is read until `resume`; one chunk that has been read already may still come. */
  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#resting) this.#socket.resume();
  }

  #rest(): void {
    this.#busyMs = 0;
    this.#resting = true;
    this.#socket.pause();
    setImmediate(() => {
      this.#resting = false;
      if (!this.#paused) this.#socket.resume();
    });
  }
}
