import { HeldMemory } from '../../dblink/memory.js';
import type { RemoteStyle, RowSink } from '../../dblink/remote/results.js';
import { type JsonKeys, JsonRows, jsonKeys } from '../../primary/jsonRows.js';
import type { SessionContext } from '../../session/context.js';
import type { SourceShape } from './sourceShape.js';

/** Collects the rows of a source as JSON, which the primary turns into typed rows. */
export class CollectSink implements RowSink {
  readonly columns: number;
  /** The settings under which the last result with rows was written. */
  remoteStyle: RemoteStyle | undefined;
  /** Made with the first row, as what keeps it is: most rows that could be kept go to the client at once. */
  #keys: JsonKeys | undefined;
  /** The rows of the last result. */
  #rows: JsonRows | undefined;
  /** The rows of all results, to be released together. */
  readonly #made: JsonRows[] = [];
  /** The last row could not be taken completely, or the memory has been given back. */
  #broken = false;
  /** The results of earlier statements of the query string. They are not returned, but natively they are converted. */
  readonly #earlier: Buffer[] = [];

  constructor(
    private readonly shape: SourceShape,
    readonly maxRowBytes: number,
    readonly memory: HeldMemory,
    /** Called for each row; what it throws refuses the row. */
    private readonly counted?: () => void,
  ) {
    this.columns = shape.keys.length;
  }

  begin(): 'rows' {
    this.reset();
    return 'rows';
  }

  style(style: RemoteStyle): void {
    this.remoteStyle = style;
  }

  row(message: Buffer): void {
    try {
      this.counted?.();
      this.#writable().addRow(message);
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }

  raw(): void {
    throw new Error('rows were asked for one by one');
  }

  end(): void {}

  reset(): void {
    if (this.#rows === undefined) return;
    // A result without rows leaves nothing behind, however many of them there are.
    if (this.#rows.rows > 0) this.#earlier.push(this.#rows.end());
    this.#rows = undefined;
  }

  #writable(): JsonRows {
    if (this.#rows !== undefined) return this.#rows;
    this.#keys ??= jsonKeys(this.shape.keys);
    this.#rows = new JsonRows(this.#keys, this.shape.asArray, this.maxRowBytes, this.memory);
    this.#made.push(this.#rows);
    return this.#rows;
  }

  /** Gives back the memory of everything. @param unread whether nobody reads what this has given out any more */
  release(unread: boolean): void {
    this.#broken = true;
    for (const rows of this.#made.splice(0)) rows.release(unread);
    this.memory.release();
  }

  /** Makes the status row of a command the only row of the last result. */
  setStatus(tag: string): void {
    this.reset();
    this.#writable().addValue(Buffer.from(tag, 'latin1'));
  }

  /** The style in which the values have to be read, and the session's. Undefined when they are the same, or without values. */
  stylesBeside(
    local: RemoteStyle,
  ): { readonly remote: RemoteStyle; readonly local: RemoteStyle } | undefined {
    const remote = this.remoteStyle && {
      dateStyle: this.remoteStyle.dateStyle ?? local.dateStyle,
      intervalStyle: this.remoteStyle.intervalStyle ?? local.intervalStyle,
    };
    return remote === undefined || sameStyle(remote, local) ? undefined : { remote, local };
  }

  /** All rows of all results, as JSON. None when they are too many to be handed over. */
  get everything(): readonly Buffer[] {
    if (this.#broken) return [];
    return this.rowCount === 0 ? this.#earlier : [...this.#earlier, this.json()];
  }

  /** The rows of the results before the last one, as JSON. */
  get earlier(): readonly Buffer[] {
    return this.#earlier;
  }

  /** Number of rows of the last result. */
  get rowCount(): number {
    return this.#rows?.rows ?? 0;
  }

  /** The rows of the last result, as JSON. */
  json(): Buffer {
    return this.#writable().end();
  }
}

/** Whether dates and intervals are written alike under both. */
export const sameStyle = (a: RemoteStyle, b: RemoteStyle): boolean =>
  a.dateStyle === b.dateStyle && a.intervalStyle === b.intervalStyle;

/** Makes a collector for a source of the present statement. Its rows are held until the statement is over. */
export function heldRows(context: SessionContext, shape: SourceShape): CollectSink {
  const { statement, memory, settings } = context;
  const { spliceBytes, collectedRows } = settings.limits;
  const counted = collectedRows > 0 ? () => statement.collects(collectedRows) : undefined;
  const sink = new CollectSink(shape, spliceBytes, new HeldMemory(memory), counted);
  statement.hold(sink);
  return sink;
}
