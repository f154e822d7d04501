import { getEventListeners } from 'node:events';

/** A call needs two at most, and a session has one call at a time. */
const MAX_KEPT = 2;

/**
 * The abort controllers of one session's calls. To make one, with its signal, takes a good part of the time of a small call, so one
 * that was not aborted serves the next call.
 */
export class AbortPool {
  readonly #unused: AbortController[] = [];

  take(): AbortController {
    return this.#unused.pop() ?? new AbortController();
  }

  /** Takes back a controller whose call is over, unless something still listens to it, which another call must not end. */
  giveBack(controller: AbortController): void {
    const { signal } = controller;
    if (signal.aborted || this.#unused.length === MAX_KEPT) return;
    if (getEventListeners(signal, 'abort').length === 0) this.#unused.push(controller);
  }
}
