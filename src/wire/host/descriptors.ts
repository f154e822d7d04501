/** Never given to anybody: for answers to those who are refused, cancel requests, files. */
const HEADROOM = 8;

/**
 * The file descriptors of the process, counted: so that running out of them is foreseen, and refused in words, and remote
 * connections leave some for logins.
 */
export class Descriptors {
  #free: number;
  readonly #reserve: number;

  /**
   * @param limit of the process; infinite where it is not known
   * @param used of them, before anything is taken
   * @param reserve kept for logins; a quarter of the limit at most
   * @param exhausted called when somebody is refused
   */
  constructor(
    limit: number,
    used: number,
    reserve: number,
    private readonly exhausted: () => void,
  ) {
    this.#free = limit - used;
    this.#reserve = Math.max(HEADROOM, Math.min(reserve, Math.floor(limit / 4)));
  }

  /** Takes one, if there is one for this purpose. @returns whether there was */
  take(purpose: 'login' | 'remote'): boolean {
    if (this.#free <= (purpose === 'login' ? HEADROOM : this.#reserve)) {
      this.exhausted();
      return false;
    }
    this.#free--;
    return true;
  }

  give(): void {
    this.#free++;
  }
}
