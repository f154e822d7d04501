/** A client's session and those that are nested in it: their remote connections count together. */
export class Family {
  readonly #counts = new Set<() => number>();

  /** How many remote connections they have. */
  get held(): number {
    let held = 0;
    for (const count of this.#counts) held += count();
    return held;
  }

  /** @param count how many remote connections one of them has @returns what is to be called when it is over */
  join(count: () => number): () => void {
    this.#counts.add(count);
    return () => this.#counts.delete(count);
  }
}
