/** What stands for a label value for which there is no room, or that is not known. */
export const OTHER = 'other';

/** Keeps the values of a label few: so many are taken as they come, the rest are `other`. */
export class BoundedLabels {
  readonly #known = new Set<string>();

  constructor(private readonly most: number) {}

  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.most) return OTHER;
    this.#known.add(value);
    return value;
  }
}
