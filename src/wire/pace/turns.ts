/** How many turns may be under way at a time. */
export interface TurnLimits {
  /** Of all owners together. */
  readonly total: number;
  /** Of one owner. */
  readonly perOwner: number;
  /**
   * An owner's first turn is free: an owner with no turn under way never waits, and `total` counts only the other turns. So
   * owners that hold their turns for long do not keep others from going on.
   */
  readonly firstIsFree?: boolean;
}

/** Somebody who waits. */
interface Waiting {
  readonly start: () => void;
}

/** One owner's turns. */
interface Owner {
  running: number;
  readonly waiting: Set<Waiting>;
}

/**
 * Limits how many things are under way at a time, for each owner and in all. The things of one owner get their turns in the
 * order in which they came. The owners alternate, so that an owner that wants much does not delay one that wants little.
 */
export class Turns {
  #limits: TurnLimits;
  /** Owners with anything under way or waiting. The first one is the first to get another turn. */
  readonly #owners = new Map<object, Owner>();
  /** Turns under way that count for the total. */
  #counted = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** Whether no turn is under way, and nobody waits. */
  get idle(): boolean {
    return this.#owners.size === 0;
  }

  /** Whether somebody waits. */
  get waiting(): boolean {
    for (const { waiting } of this.#owners.values()) if (waiting.size > 0) return true;
    return false;
  }

  /** Takes a turn if it can begin now. @returns as `take` */
  tryTake(owner: object): (() => void) | undefined {
    const own = this.#owner(owner);
    if (own.waiting.size === 0 && this.#mayRun(own)) return this.#run(owner, own);
    this.#forget(owner, own);
    return undefined;
  }

  /**
   * Waits for a turn.
   * @param signal ends the wait
   * @returns a function that ends the turn, to be called when what was to be done is over
   * @throws the signal's reason
   */
  take(owner: object, signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const ready = this.tryTake(owner);
    if (ready !== undefined) return Promise.resolve(ready);
    const own = this.#owner(owner);
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        own.waiting.delete(waiting);
        this.#forget(owner, own);
        reject(signal?.reason);
      };
      const waiting: Waiting = {
        start: () => {
          signal?.removeEventListener('abort', abort);
          resolve(this.#run(owner, own));
        },
      };
      own.waiting.add(waiting);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Has other limits from now on. What is under way stays so. */
  limit(limits: TurnLimits): void {
    this.#limits = limits;
    this.#next();
  }

  #owner(owner: object): Owner {
    let own = this.#owners.get(owner);
    if (own === undefined) {
      own = { running: 0, waiting: new Set() };
      this.#owners.set(owner, own);
    }
    return own;
  }

  #mayRun({ running }: Owner): boolean {
    const { total, perOwner } = this.#limits;
    return running < perOwner && (this.#counted < total || !this.#counts(running));
  }

  /** Whether one more turn of an owner counts for the total. @param running turns that the owner has under way */
  #counts(running: number): boolean {
    return this.#limits.firstIsFree !== true || running > 0;
  }

  #run(owner: object, own: Owner): () => void {
    if (this.#counts(own.running)) this.#counted++;
    own.running++;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      own.running--;
      if (this.#counts(own.running)) this.#counted--;
      this.#forget(owner, own);
      this.#next();
    };
  }

  #forget(owner: object, own: Owner): void {
    if (own.running === 0 && own.waiting.size === 0) this.#owners.delete(owner);
  }

  /** Starts whatever may be started now: one thing of each owner, then another of each, and so on. */
  #next(): void {
    for (let started = true; started; ) {
      started = false;
      for (const [owner, own] of [...this.#owners]) {
        const [first] = own.waiting;
        if (first === undefined || !this.#mayRun(own)) continue;
        own.waiting.delete(first);
        // The owner goes to the end of the order.
        this.#owners.delete(owner);
        this.#owners.set(owner, own);
        first.start();
        started = true;
      }
    }
  }
}
