/** So many requests of one session are dealt with at once, all but one of them being given up. */
const MAX_ACTS = 8;

/**
 * What is done for a session's requests. A function asks one thing after the other; who sends requests faster than they are
 * answered has only the last one answered, when what was begun for the others has been given up.
 */
export class RequestActs {
  #running = 0;
  /** For the last request; nobody waits for those before it. */
  #next: (() => Promise<void>) | undefined;
  #closed = false;

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
