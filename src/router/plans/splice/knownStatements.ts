import type { PrimaryLink } from '../../../primary/primaryLink.js';
import { type DblinkCall, type Statement, withoutFreeLiterals } from '../../../sql/index.js';
import type { ColumnType } from '../../calls/columns.js';

const MAX_ENTRIES = 64;
const MAX_KEY_BYTES = 8192;

/** The types of the columns of each source. */
export type SourceTypes = ReadonlyMap<DblinkCall, readonly ColumnType[]>;

/**
 * What the primary said about statements. It says the same of all that differ only in literals that are arguments of dblink calls,
 * since it does not see these. It is kept until something is sent to the primary that may change what a text means (types,
 * search_path).
 */
export class KnownStatements<T> {
  readonly #entries = new Map<
    string,
    { readonly said: T; readonly types: readonly (readonly ColumnType[] | undefined)[] }
  >();
  #asOf = -1;

  constructor(private readonly primary: PrimaryLink) {}

  #refresh(): void {
    if (this.#asOf === this.primary.changes) return;
    this.#entries.clear();
    this.#asOf = this.primary.changes;
  }

  /** @param more what else the primary's answer depends on: OIDs of types */
  get(
    text: Buffer,
    statement: Statement,
    more = '',
  ): { readonly said: T; readonly types: SourceTypes } | undefined {
    this.#refresh();
    if (this.#entries.size === 0) return undefined;
    const entry = this.#entries.get(keyOf(text, statement, more));
    if (entry === undefined) return undefined;
    return {
      said: entry.said,
      // Only who changes the statement needs them.
      get types() {
        return byCall(statement, entry.types);
      },
    };
  }

  set(text: Buffer, statement: Statement, value: { said: T; types: SourceTypes }, more = ''): void {
    this.#refresh();
    const key = keyOf(text, statement, more);
    if (key.length > MAX_KEY_BYTES) return;
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(key, { said: value.said, types: statement.calls.map((call) => value.types.get(call)) });
  }
}

function byCall({ calls }: Statement, types: readonly (readonly ColumnType[] | undefined)[]): SourceTypes {
  const found = new Map<DblinkCall, readonly ColumnType[]>();
  for (const [i, call] of calls.entries()) {
    const known = types[i];
    if (known !== undefined) found.set(call, known);
  }
  return found;
}

/** A statement begins with neither of what `more` can be: numbers and commas. */
function keyOf(text: Buffer, statement: Statement, more: string): string {
  const masked = withoutFreeLiterals(text, statement);
  return more === '' ? masked : `${more}\0${masked}`;
}
