import type { Span } from '../types.js';

/** Puts a text together from parts of the original and parts that are new, and remembers which is which. */
export class TextBuilder {
  /** Where in the original, as a byte offset, errors in the next new parts are said to be. */
  anchor = 0;
  readonly #original: Buffer;
  readonly #count: (bytes: Buffer) => number;
  readonly #parts: { readonly bytes: Buffer; readonly origin: number; readonly copied: boolean }[] = [];

  constructor(original: Buffer, countCharacters: (bytes: Buffer) => number) {
    this.#original = original;
    this.#count = countCharacters;
  }

  /** Appends a part of the original. */
  copy(span: Span): void {
    if (span.end <= span.start) return;
    this.#parts.push({
      bytes: this.#original.subarray(span.start, span.end),
      origin: span.start,
      copied: true,
    });
  }

  /** Appends a new part. @param sql bytes as a latin1 string */
  insert(sql: string): void {
    this.#parts.push({ bytes: Buffer.from(sql, 'latin1'), origin: this.anchor, copied: false });
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts.map((part) => part.bytes));
  }

  /** @returns maps a position in the new text to one in the original; both begin at 1 and count characters */
  mapPosition(): (position: number) => number {
    const before = (offset: number): number => this.#count(this.#original.subarray(0, offset));
    return (position) => {
      let rest = position - 1;
      for (const { bytes, origin, copied } of this.#parts) {
        const length = this.#count(bytes);
        if (rest < length) return before(origin) + (copied ? rest : 0) + 1;
        rest -= length;
      }
      const last = this.#parts.at(-1);
      return last === undefined ? position : before(last.origin + (last.copied ? last.bytes.length : 0)) + 1;
    };
  }
}
