/** How much of a connection is handled before others have their turn: some milliseconds of work, whatever kind it is. */
const SHARE = 16_384;

/** What messages cost, in the units of SHARE. */
const PASSED = 1;
const READ = 32;
const NOTICE = 512;
const BYTES_READ = 1 / 32;
/** Values of rows are looked at on their way, which takes up to some tens of nanoseconds a byte. */
const BYTES_PASSED = 1 / 16;

/**
 * A connection's share of one turn of the event loop. A socket that always has more to read is read again and again, two
 * megabytes in one go, before any other socket is looked at. That can be a hundred thousand messages.
 */
export class LoopShare {
  #spent = 0;

  /** @param giveWay called when the share is used up; puts off what follows the present message to a later turn of the loop */
  constructor(private readonly giveWay: () => void) {}

  /** Counts a message of which only the header is looked at. */
  passed(): void {
    this.#spend(PASSED);
  }

  /** Counts the bytes of such messages. */
  passing(bytes: number): void {
    this.#spend(bytes * BYTES_PASSED);
  }

  /** Counts a message that is read, or for which something has to be remembered. @param bytes that are read */
  read(bytes = 0): void {
    this.#spend(READ + bytes * BYTES_READ);
  }

  /** Counts a notice, which costs more because it is looked at closely. @param bytes its length */
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
