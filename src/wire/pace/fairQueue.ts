/**
 * A queue in which those who wait take turns: however many things one has put in, the next one out is another's. Who it is
 * can have several levels, as user and session: users take turns, and among a user's turns the sessions.
 */
export class FairQueue<T> {
  readonly #items: T[] = [];
  /** In the order of their turns. */
  readonly #groups = new Map<unknown, FairQueue<T>>();
  #size = 0;

  /** How many things wait. */
  get size(): number {
    return this.#size;
  }

  /** How many of one's things wait. */
  sizeOf([first, ...rest]: readonly unknown[]): number {
    if (first === undefined) return this.#size;
    return this.#groups.get(first)?.sizeOf(rest) ?? 0;
  }

  add([first, ...rest]: readonly unknown[], item: T): void {
    this.#size++;
    if (first === undefined) {
      this.#items.push(item);
      return;
    }
    let group = this.#groups.get(first);
    if (group === undefined) {
      group = new FairQueue<T>();
      this.#groups.set(first, group);
    }
    group.add(rest, item);
  }

  /** Takes out what comes next. */
  next(): T | undefined {
    if (this.#size === 0) return undefined;
    this.#size--;
    if (this.#items.length > 0) return this.#items.shift();
    const [key, group] = this.#groups.entries().next().value!;
    const item = group.next();
    this.#groups.delete(key);
    if (group.size > 0) this.#groups.set(key, group);
    return item;
  }

  /** Takes out everything. */
  *drain(): Generator<T> {
    while (this.#size > 0) yield this.next()!;
  }
}
