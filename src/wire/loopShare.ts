/** What one connection may have done before others have their turn; some milliseconds of work, whatever it is. */
const SHARE = 16_384;

/** What handling a message costs, as parts of a share. */
export const Cost = {
  /** One that passes by its header. */
  passed: 1,
  /** One that is read, or for which something has to be remembered: any of a client's. */
  read: 32,
  /** A notice: what it says has to be looked at. */
  notice: 512,
} as const;

/**
 * A connection's share of one turn of the event loop. A socket that always has more to read is read again and again
 * before any other one is looked at: by bytes that is bounded, but not by messages, which can be small.
 */
export class LoopShare {
  #spent = 0;

  /** @param giveWay has what follows the present message handled in a later turn of the loop */
  constructor(private readonly giveWay: () => void) {}

  spend(cost: number): void {
    this.#spent += cost;
    if (this.#spent < SHARE) return;
    this.#spent = 0;
    this.giveWay();
  }
}
