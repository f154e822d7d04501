/** A time limit joined with a caller's signal: one signal that ends when either does. Must be disposed of. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);

  /**
   * @param timeoutMs none when 0 or undefined
   * @param reason of the signal when the time is up
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

  dispose(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}
