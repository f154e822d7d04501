import type { WireClient } from '../wire/client.js';
import type { PgError } from '../wire/errors.js';
import { rowTypeMismatch } from './errors.js';
import type { ResultHandler } from './remote.js';

/** The remote's settings under which its values were written, as reported when a result's first row came. */
export interface RemoteStyle {
  readonly dateStyle: string | undefined;
  readonly intervalStyle: string | undefined;
}

/** Takes the rows that dblink() returns. */
export interface RowSink {
  /** How many columns the caller declared; −1 when any number will do. */
  readonly columns: number;
  /**
   * A result begins; what an earlier one of the same string left is to be forgotten or, where it still has to be
   * converted, set aside.
   * @param description whole RowDescription message, with as many columns as declared
   * @returns how the rows are wanted: one by one, or as the bytes of DataRow messages
   */
  begin(description: Buffer, client: WireClient): 'rows' | 'raw';
  /** Before the first row of a result. */
  style(style: RemoteStyle): void;
  /** One whole DataRow message, valid during the call only. */
  row(message: Buffer): void;
  raw(bytes: Buffer): void;
  /** A result is complete. */
  end(tag: string): void;
  /** The string's last statement returned no rows: earlier rows are not returned. */
  reset(): void;
}

/** Feeds a sink, and checks what dblink checks of each result: the number of its columns (reference, section 4.1). */
export class ResultReader implements ResultHandler {
  #failure: PgError | Error | undefined;
  #mismatch = false;
  #styled = false;

  constructor(
    private readonly client: WireClient,
    private readonly sink: RowSink,
  ) {}

  begin(description: Buffer): 'rows' | 'raw' | 'discard' {
    if (this.#failure !== undefined) return 'discard';
    this.#styled = false;
    const { columns } = this.sink;
    this.#mismatch = columns >= 0 && (description.readUInt16BE(5) !== columns || columns === 0);
    // Natively the columns are counted at the first row, or at the end of a result without rows.
    if (this.#mismatch) return 'rows';
    return this.#guard(() => this.sink.begin(description, this.client)) ?? 'discard';
  }

  row(message: Buffer): void {
    this.#beforeRows();
    if (this.#failure === undefined) this.#guard(() => this.sink.row(message));
  }

  rawRows(bytes: Buffer): void {
    this.#beforeRows();
    if (this.#failure === undefined) this.#guard(() => this.sink.raw(bytes));
  }

  end(tag: string): void {
    if (this.#mismatch) this.#failure ??= rowTypeMismatch();
    if (this.#failure === undefined) this.#guard(() => this.sink.end(tag));
  }

  #beforeRows(): void {
    if (this.#mismatch) this.#failure ??= rowTypeMismatch();
    if (this.#styled) return;
    this.#styled = true;
    this.sink.style({
      dateStyle: this.client.parameters.get('DateStyle'),
      intervalStyle: this.client.parameters.get('IntervalStyle'),
    });
  }

  /** A failure of ours must not break the protocol with the remote: the rest is dropped, then it is raised. */
  #guard<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      this.#failure = error as Error;
      return undefined;
    }
  }

  /** @throws what went wrong with a result, which comes before what the remote says later */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
