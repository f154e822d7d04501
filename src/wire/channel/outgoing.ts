/** The most bytes that are gathered. No less than are read at once. */
const SLAB_BYTES = 65_536;

/** Whose bytes are being gathered. */
interface Gatherer {
  flush(): void;
}

/**
 * Where what is to be written is put together, for one connection at a time. The system usually takes all of it at once, and then
 * the same memory is used again. What it has not taken stays where it is.
 */
export class Outgoing {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** What lies before it the system may still read. */
  #start = 0;
  #end = 0;
  #owner: Gatherer | undefined;

  /**
   * Adds bytes, SLAB_BYTES at most. What has been gathered is flushed first if it is another one's, or if it leaves no room; a system
   * that does not take that makes the owner slow while the new bytes are gathered.
   * @returns how many bytes are gathered now
   */
  add(owner: Gatherer, bytes: Buffer): number {
    if (this.#owner !== owner || SLAB_BYTES - this.#end < bytes.length) {
      this.#owner?.flush();
      this.#owner = owner;
      if (SLAB_BYTES - this.#end < bytes.length) {
        this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
        this.#start = this.#end = 0;
      }
    }
    this.#slab.set(bytes, this.#end);
    this.#end += bytes.length;
    return this.#end - this.#start;
  }

  /** What has been gathered for this connection, if anything. It is valid until more is added, unless it is kept. */
  take(owner: Gatherer): Buffer | undefined {
    if (this.#owner !== owner) return undefined;
    this.#owner = undefined;
    const bytes = this.#slab.subarray(this.#start, this.#end);
    this.#end = this.#start;
    return bytes;
  }

  /** What was taken last stays as it is for as long as somebody holds it. */
  keep(bytes: Buffer): void {
    this.#start += bytes.length;
    this.#end = this.#start;
  }
}
