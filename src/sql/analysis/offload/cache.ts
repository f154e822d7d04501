/**
 * A cache with a limit for the bytes of its entries. To keep within it, it drops the entries that were used longest ago.
 */
export class ByteBoundedCache<V> {
  readonly #entries = new Map<string, { readonly value: V; readonly bytes: number }>();
  readonly #maxBytes: number;
  #bytes = 0;
  /** The entry that was used last. */
  #latest: object | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes taken now, as stated by those who added entries. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * The entry, which counts as used now; undefined if there is none. The value comes in an object, because it may itself
   * be undefined.
   */
  get(key: string): { readonly value: V } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry === this.#latest) return entry;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#latest = entry;
    return entry;
  }

  /** Adds an entry, unless it would take more than an eighth of the whole cache. @param bytes what it takes */
  set(key: string, value: V, bytes: number): void {
    if (bytes > this.#maxBytes / 8) return;
    this.#remove(key);
    const entry = { value, bytes };
    this.#entries.set(key, entry);
    this.#latest = entry;
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}
