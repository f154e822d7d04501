import { createHash } from 'node:crypto';

/** A function on the primary whose name begins with `dblink`. */
export interface NamedFunction {
  readonly schema: string;
  readonly name: string;
  /** OIDs of the arguments' types. */
  readonly argumentTypes: readonly number[];
  /** Whether the search path finds it (pg_function_is_visible). */
  readonly visible: boolean;
  /** Whether the session's role may execute it. */
  readonly executable: boolean;
}

/** Whether the session made the function for itself. Such a function is called only by names that the proxy has rewritten. */
export const isTemporary = ({ schema }: NamedFunction): boolean => schema.startsWith('pg_temp_');

/** A function with the group of SessionFacts that it belongs to. */
export interface FoundFunction extends NamedFunction {
  readonly kind: string;
}

/** Grounds in which functions were found: texts of which each decides about the answer. */
export type Grounds = readonly (string | undefined)[];

/** Of so many circumstances it is kept what functions there are. */
const MOST = 200;
/** An answer with more functions, or more types of arguments, is not kept: anybody may make functions. */
const MOST_FUNCTIONS = 100;
const MOST_TYPES = 1000;
/** So long in ms an answer is used. A session of its own believes one for seconds, so nobody believes another's for long. */
const GOOD_MS = 60_000;
/** Longer circumstances are not looked up. The search_path is one of them, which can have any length. */
const MOST_CHARACTERS = 65_536;

/** What sessions have found, for those that begin soon after: a new server process takes long for the question. */
export class FoundFunctions {
  /** By digests of circumstances, so that all keys are of one length; least lately used first. */
  readonly #entries = new Map<
    string,
    { readonly functions: readonly FoundFunction[]; readonly until: number }
  >();

  get(circumstances: Grounds): readonly FoundFunction[] | undefined {
    const key = keyOf(circumstances);
    const entry = key === undefined ? undefined : this.#entries.get(key);
    if (key === undefined || entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.until <= performance.now()) return undefined;
    this.#entries.set(key, entry);
    return entry.functions;
  }

  set(circumstances: Grounds, functions: readonly FoundFunction[]): void {
    const types = functions.reduce((sum, { argumentTypes }) => sum + argumentTypes.length, 0);
    const key = keyOf(circumstances);
    if (key === undefined || functions.length > MOST_FUNCTIONS || types > MOST_TYPES) return;
    this.#entries.delete(key);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= MOST && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(key, { functions, until: performance.now() + GOOD_MS });
  }
}

function keyOf(grounds: Grounds): string | undefined {
  const text = groundsText(grounds);
  return text.length > MOST_CHARACTERS ? undefined : createHash('sha256').update(text).digest('base64');
}

/** A text that differs wherever the circumstances do. */
export const groundsText = (grounds: Grounds): string => JSON.stringify(grounds.map((text) => text ?? null));
