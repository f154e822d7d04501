/** What one connection may have done before others have their turn: some milliseconds of work, whatever it is. */
const SHARE = 16_384;

/** What messages cost, as parts of a share. */
const PASSED = 1;
const READ = 32;
const NOTICE = 512;
const BYTES_READ = 1 / 32;

/**
 * A connection's share of one turn of the event loop. A socket that always has more to read is read again and again, two
 * megabytes in one go, before any other one is looked at. That can be a hundred thousand messages.
 */
export class LoopShare {
  #spent = 0;

  /** @param giveWay has what follows the present message handled in a later turn of the loop */
  constructor(private readonly giveWay: () => void) {}

  /** For a message that passes by its header. */
  passed(): void {
    this.#spend(PASSED);
  }

  /** For a message that is read, or for which something has to be remembered. */
  read(bytes = 0): void {
    this.#spend(READ + bytes * BYTES_READ);
  }

  /** For a notice, which is looked at closely. */
  notice(bytes: number): void {
    this.#spend(NOTICE + bytes * BYTES_READ);
  }

  #spend(cost: number): void {
    this.#spent += cost;
    if (this.#spent < SHARE) return;
    this.#spent = 0;
    this.giveWay();
  }
}
