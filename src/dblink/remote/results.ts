import type { WireClient } from '../../wire/outbound/index.js';
import { type FieldDescription, parseRowDescription } from '../../wire/rows.js';
import { MalformedResult, rowTypeMismatch } from '../errors.js';
import type { Memory } from '../memory.js';
import type { ResultHandler } from './outcome.js';
import { RowGate, type RowTaker } from './rowGate.js';
import type { ValueCheck } from './valueCheck.js';

/**
 * The remote's settings under which its values were written, as it had reported them when the first row of a result came.
 */
export interface RemoteStyle {
  readonly dateStyle: string | undefined;
  readonly intervalStyle: string | undefined;
}

/** Takes the rows that dblink() returns. */
export interface RowSink {
  /** How many columns the caller declared; −1 when any number will do. */
  readonly columns: number;
  /** Length in bytes of the longest row that it takes, as a message. A longer one is an error (54000). */
  readonly maxRowBytes: number;
  /** The budget from which a row that has not come completely takes its memory. */
  readonly memory?: Memory;
  /** What the values of the result that has begun have to pass, by column, where rows are wanted several at once. */
  readonly checks?: readonly (ValueCheck | undefined)[] | undefined;
  /**
   * A result begins. What an earlier result of the same string left is to be dropped or, where it still has to be
   * converted, set aside.
   * @param columns as many as declared; valid during the call only
   * @returns how the rows are wanted: one by one (`rows`), several at once (`raw`), or not at all (`discard`)
   */
  begin(columns: readonly FieldDescription[], client: WireClient): 'rows' | 'raw' | 'discard';
  /** Called before the first row of a result. */
  style(style: RemoteStyle): void;
  /** One whole DataRow message, well-formed, valid during the call only. */
  row(message: Buffer): void;
  /** Bytes of DataRow messages. A long row may come in several calls. @param rows how many rows begin in these bytes */
  raw(bytes: Buffer, rows: number): void;
  /** A value does not pass. From its row on, rows come one by one. @throws PgError when it is too late for that */
  strange?(column: number, value: Buffer): void;
  /** A result is complete. */
  end(tag: string): void;
  /** The string's last statement returned no rows: earlier rows are not returned. */
  reset(): void;
}

/**
 * Feeds a sink, and checks what dblink checks of each result: the number of its columns (behaviour reference, section
 * 4.1).
 */
export class ResultReader implements ResultHandler {
  /** See ResultHandler. */
  giveUp: ((reason: unknown) => void) | undefined;
  /** What went wrong; `finish` raises it. */
  #failure: { readonly cause: unknown } | undefined;
  /** The present result does not have as many columns as the caller declared. */
  #mismatch = false;
  /** The sink has been told the style of the present result. */
  #styled = false;
  #gate: RowGate | undefined;

  constructor(
    private readonly client: WireClient,
    private readonly sink: RowSink,
    /** Whether a failure of the sink ends the query early: then the remote is asked to cancel it. */
    private readonly endsEarly = true,
  ) {}

  begin(description: Buffer): 'raw' | 'discard' {
    if (this.#failure !== undefined) return 'discard';
    this.#styled = false;
    const fields = this.#guard(() => readColumns(description));
    if (fields === undefined) return 'discard';
    const count = fields.length;
    const { columns, maxRowBytes } = this.sink;
    this.#mismatch = columns >= 0 && (count !== columns || columns === 0);
    // The extension counts the columns at the first row, or at the end of a result without rows. So nothing is raised
    // here.
    const wanted = this.#mismatch ? 'raw' : this.#guard(() => this.sink.begin(fields, this.client));
    if (wanted === undefined || wanted === 'discard') return 'discard';
    const each = wanted === 'rows';
    const checks = each || this.#mismatch ? undefined : this.sink.checks;
    this.#gate = new RowGate({ columns: count, maxRowBytes, each, checks }, this.#taker, this.sink.memory);
    return 'raw';
  }

  readonly #taker: RowTaker = {
    row: (message) => {
      if (this.#beforeRows()) this.sink.row(message);
    },
    raw: (bytes, rows) => {
      if (this.#beforeRows()) this.sink.raw(bytes, rows);
    },
    strange: (column, value) => this.sink.strange?.(column, value),
  };

  rawRows(bytes: Buffer): void {
    if (this.#failure === undefined) this.#guard(() => this.#gate?.push(bytes));
  }

  end(tag: string): void {
    if (this.#mismatch) this.#failure ??= { cause: rowTypeMismatch() };
    if (this.#failure === undefined) this.#guard(() => this.sink.end(tag));
  }

  /** @returns whether the sink is to take them */
  #beforeRows(): boolean {
    if (this.#mismatch) this.#failure ??= { cause: rowTypeMismatch() };
    if (!this.#styled) {
      this.#styled = true;
      this.sink.style({
        dateStyle: this.client.parameters.get('DateStyle'),
        intervalStyle: this.client.parameters.get('IntervalStyle'),
      });
    }
    return this.#failure === undefined;
  }

  /**
   * A failure of the proxy's own must not break the protocol with the remote. The rest of the answer is dropped, and
   * `finish` raises the failure.
   */
  #guard<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (cause) {
      this.#failure = { cause };
      if (this.endsEarly) this.giveUp?.(cause);
      return undefined;
    }
  }

  /**
   * Raises what went wrong with a result. That comes before anything that the remote says later.
   * @throws MalformedResult; PgError 42804, 54000, 53200; what the sink threw
   */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure.cause;
  }
}

/** @throws MalformedResult in libpq's words */
function readColumns(description: Buffer): readonly FieldDescription[] {
  try {
    return parseRowDescription(description);
  } catch {
    throw new MalformedResult('insufficient data in "T" message');
  }
}
