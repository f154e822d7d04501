/** Joins a time limit with a caller's signal: `signal` is aborted by the first of the two. Must be disposed of. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);

  /**
   * @param timeoutMs no limit when 0 or undefined
   * @param outer the caller's signal
   * @param reason makes the signal's reason when the time is up
   */
  constructor(timeoutMs: number | undefined, outer: AbortSignal | undefined, reason: () => Error) {
    this.#outer = outer;
    if (outer?.aborted) this.#controller.abort(outer.reason);
    else outer?.addEventListener('abort', this.#onAbort, { once: true });
    if (timeoutMs) this.#timer = setTimeout(() => this.#controller.abort(reason()), timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Stops the timer and lets go of the caller's signal. */
  dispose(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}
