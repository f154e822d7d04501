/**
 * A queue in which owners take turns: however many items one owner has put in, the next item out is that of another owner. An
 * owner can have several levels, such as user and session: users take turns, and in the turns of a user that user's sessions.
 * Methods take an owner as the list of its levels, the widest first.
 */
export class FairQueue<T> {
  readonly #items: T[] = [];
  /** The queues of the next level, in the order of their turns. */
  readonly #groups = new Map<unknown, FairQueue<T>>();
  #size = 0;

  /** How many items wait. */
  get size(): number {
    return this.#size;
  }

  /** How many items of one owner wait. */
  sizeOf([first, ...rest]: readonly unknown[]): number {
    if (first === undefined) return this.#size;
    return this.#groups.get(first)?.sizeOf(rest) ?? 0;
  }

  /** Puts in an item of an owner. */
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

  /** Takes out the item whose turn it is, if there is one. */
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

  /** Takes out all items, in the order of their turns. */
  *drain(): Generator<T> {
    while (this.#size > 0) yield this.next()!;
  }
}
