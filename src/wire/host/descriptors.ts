/** Descriptors that are never given to anybody: for answers to those who are refused, for cancel requests and files. */
const HEADROOM = 8;

/** What a descriptor is for. `spare`: for something that can be done without. */
export type DescriptorUse = 'login' | 'remote' | 'spare';

/**
 * Counts the file descriptors of the process. So the proxy notices before they run out, and can refuse with a message. Remote
 * connections leave some of them for logins.
 */
export class Descriptors {
  #free: number;
  /** How many have to stay free, by what one is taken for. */
  #kept: Readonly<Record<DescriptorUse, number>>;

  /**
   * @param limit of the process; infinite where it is not known
   * @param used how many are in use before `take` gives any away
   * @param reserve how many are kept for logins; at most a quarter of the limit is kept
   * @param exhausted called when `take` refuses
   */
  constructor(
    private readonly limit: number,
    used: number,
    reserve: number,
    private readonly exhausted: () => void,
  ) {
    this.#free = limit - used;
    this.#kept = keptOf(limit, reserve);
  }

  /** Keeps so many for logins from now on. */
  reserve(reserve: number): void {
    this.#kept = keptOf(this.limit, reserve);
  }

  /** Takes a descriptor, if there is one for this purpose. @returns whether there was one */
  take(use: DescriptorUse): boolean {
    if (this.#free <= this.#kept[use]) {
      if (use !== 'spare') this.exhausted();
      return false;
    }
    this.#free--;
    return true;
  }

  /** Gives a descriptor back. */
  give(): void {
    this.#free++;
  }
}

const keptOf = (limit: number, reserve: number): Readonly<Record<DescriptorUse, number>> => ({
  login: HEADROOM,
  remote: Math.max(HEADROOM, Math.min(reserve, Math.floor(limit / 4))),
  spare: Number.isFinite(limit) ? limit / 2 : 0,
});
