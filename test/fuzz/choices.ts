import { seeded } from '../differential/play/random.js';

/** FNV-1a: a seed from a text. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

/** Reproducible choices of one case: the same name gives the same ones everywhere. */
export class Choices {
  readonly #next: () => number;

  constructor(name: string) {
    this.#next = seeded(hash(name));
    // Names that differ in their last digit begin alike.
    for (let i = 0; i < 3; i++) this.#next();
  }

  /** From 0 to below this. */
  int(below: number): number {
    return Math.floor(this.#next() * below);
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.int(256)));
  }
}
