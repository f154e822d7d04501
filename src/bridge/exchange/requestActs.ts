/** How many requests of one session are dealt with at once. All but one of them are being given up. */
const MAX_ACTS = 8;

/**
 * Does what a session's requests ask for. A function asks one thing after the other. Where requests come faster than they are
 * answered, only the last one is answered, after what was begun for the others has been given up.
 */
export class RequestActs {
  #running = 0;
  /** What is to be done for the last request. Nobody waits for the answers to those before it. */
  #next: (() => Promise<void>) | undefined;
  #closed = false;

  /** Does it at once. Where too much is under way it waits, and takes the place of what has waited before. */
  begin(act: () => Promise<void>): void {
    if (this.#running >= MAX_ACTS) {
      this.#next = act;
      return;
    }
    this.#running++;
    void act().finally(() => {
      this.#running--;
      const next = this.#next;
      this.#next = undefined;
      if (next !== undefined && !this.#closed) this.begin(next);
    });
  }

  /** The session is over: nothing that waits is begun. */
  close(): void {
    this.#closed = true;
    this.#next = undefined;
  }
}
