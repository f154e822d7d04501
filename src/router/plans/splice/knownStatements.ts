import type { PrimaryLink } from '../../../primary/primaryLink.js';

const MAX_ENTRIES = 64;
const MAX_KEY_BYTES = 8192;

/**
 * What the primary said about statements, by their text. It is kept until something is sent to the primary that may change what
 * the text means (types, search_path).
 */
export class KnownStatements<T> {
  readonly #entries = new Map<string, T>();
  #asOf = -1;

  constructor(private readonly primary: PrimaryLink) {}

  #refresh(): void {
    if (this.#asOf === this.primary.changes) return;
    this.#entries.clear();
    this.#asOf = this.primary.changes;
  }

  get(text: Buffer): T | undefined {
    this.#refresh();
    return text.length > MAX_KEY_BYTES ? undefined : this.#entries.get(text.toString('latin1'));
  }

  set(text: Buffer, value: T): void {
    this.#refresh();
    if (text.length > MAX_KEY_BYTES) return;
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(text.toString('latin1'), value);
  }
}
