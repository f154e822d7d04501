import { rowTypeMismatch } from '../../dblink/errors.js';
import type { Memory } from '../../dblink/memory.js';
import type { RemoteStyle, RowSink } from '../../dblink/remote/results.js';
import { type JsonKeys, JsonRows, jsonKeys } from '../../primary/jsonRows.js';
import type { WireClient } from '../../wire/outbound/index.js';
import type { FieldDescription } from '../../wire/rows.js';
import {
  type BridgeAnswer,
  checkedAnswer,
  nothingAnswer,
  rowsAnswer,
  statusAnswer,
  tableAnswer,
} from '../exchange/bridgeAnswer.js';
import type { BulkRows } from './bulkRows.js';

/** Rows up to this many bytes are handed over in the answer itself. */
const INLINE_BYTES = 64 * 1024;

const NO_ARRAYS: readonly boolean[] = [];

/** The keys for each number of columns, made once. */
const KEYS: JsonKeys[] = [];

/** The names of the columns in an answer: c1, c2, ... */
const numberedKeys = (columns: number): JsonKeys => {
  KEYS[columns] ??= jsonKeys(Array.from({ length: columns }, (_, i) => `c${i + 1}`));
  return KEYS[columns];
};

/** Opens a side table for the rows to come. Given are the remote's types and the settings under which it writes values. */
export type OpenBulk = (oids: readonly number[], style: RemoteStyle) => Promise<BulkRows>;

/**
 * The rows of one result. A few rows are kept here. Many rows go to a side table as they come, and backpressure holds the
 * remote back.
 */
class ResultRows {
  style: RemoteStyle = { dateStyle: undefined, intervalStyle: undefined };
  /** The remote has said that the result is complete. */
  ended = false;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #bulk: BulkRows | undefined;
  #opening: Promise<void> | undefined;
  #finished: Promise<string | undefined> | undefined;
  #aborted = false;
  #failed = false;

  constructor(
    readonly oids: readonly number[],
    private readonly client: WireClient,
    private readonly openBulk: OpenBulk,
    private readonly fail: (error: unknown) => void,
  ) {}

  /** Takes the bytes of DataRow messages, or of a part of one. */
  take(bytes: Buffer): void {
    if (this.#failed) return;
    if (this.#bulk !== undefined) {
      this.#bulk.write(bytes, this.client);
      return;
    }
    this.#chunks.push(Buffer.from(bytes));
    this.#bytes += bytes.length;
    if (this.#bytes <= INLINE_BYTES || this.#opening !== undefined) return;
    this.client.pause();
    this.#opening = this.#open();
    this.#opening.catch((error: unknown) => this.#lost(error));
  }

  /** No more rows can be taken. The remote, which may be paused, goes on, and what it still sends is dropped. */
  #lost(error: unknown): void {
    this.#failed = true;
    this.#chunks = [];
    this.client.resume();
    this.fail(error);
  }

  async #open(): Promise<void> {
    const bulk = await this.openBulk(this.oids, this.style);
    bulk.failed.catch((error: unknown) => this.#lost(error));
    if (this.#aborted) bulk.abort();
    for (const chunk of this.#chunks) bulk.write(chunk, this.client);
    this.#chunks = [];
    this.#bulk = bulk;
    this.client.resume();
  }

  /**
   * Completes the side table.
   * @returns the relation to read; undefined when the rows are kept here
   * @throws PgError that a conversion raised
   */
  finish(): Promise<string | undefined> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  async #finish(): Promise<string | undefined> {
    await this.#opening;
    return this.#bulk?.finish();
  }

  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** Gives the rows up. Resolves when the function that waits is not asked anything more for them. */
  async abort(): Promise<void> {
    this.#aborted = true;
    this.#bulk?.abort();
    await this.#opening?.catch(() => undefined);
  }

  /** The rows that are kept here, as a JSON array. */
  json(): Buffer {
    // Rows without columns fit no column definition list, so their number does not matter.
    if (this.oids.length === 0) return Buffer.from('[]', 'latin1');
    const json = new JsonRows(numberedKeys(this.oids.length), NO_ARRAYS, Number.MAX_SAFE_INTEGER);
    const rows = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    for (let offset = 0; offset < rows.length; ) {
      const end = offset + 1 + rows.readInt32BE(offset + 1);
      json.addRow(rows.subarray(offset, end));
      offset = end;
    }
    return json.end();
  }
}

/** Takes the rows of a call for the function that waits. See RowSink. */
export class RowsSink implements RowSink {
  readonly columns = -1;
  readonly #results: ResultRows[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    readonly maxRowBytes: number,
    private readonly openBulk: OpenBulk,
    /** Ends the call with an error. */
    private readonly fail: (error: unknown) => void,
    readonly memory: Memory,
  ) {}

  /** Opens one side table after the other: the function that waits can be asked only one thing at a time. */
  readonly #openInTurn: OpenBulk = (oids, style) => {
    const opened = this.#turn.then(() => this.openBulk(oids, style));
    this.#turn = opened.catch(() => undefined);
    return opened;
  };

  begin(fields: readonly FieldDescription[], client: WireClient): 'raw' {
    const oids = fields.map(({ typeOid }) => typeOid);
    this.#results.push(new ResultRows(oids, client, this.#openInTurn, this.fail));
    return 'raw';
  }

  style(style: RemoteStyle): void {
    this.#results.at(-1)!.style = style;
  }

  row(): void {
    throw new Error('rows were asked for several at once');
  }

  raw(bytes: Buffer): void {
    this.#results.at(-1)!.take(bytes);
  }

  /** A side table is completed at once, so that it gives its connection back: the next result may need one. */
  end(): void {
    const last = this.#results.at(-1)!;
    last.ended = true;
    last.finish().catch(this.fail);
  }

  /** Earlier rows are not returned. They are kept all the same, since they still have to be converted. */
  reset(): void {}

  /**
   * The answer, when all results are here.
   * @param tag of the string's last statement, if that was a command
   * @throws PgError 42804 when results differ in their number of columns, what a conversion raised
   */
  async answer(tag: string | undefined): Promise<BridgeAnswer> {
    const last = this.#results.at(-1);
    if (last === undefined) return tag === undefined ? nothingAnswer : statusAnswer(tag, undefined);
    // Whatever the caller expects, one of the results has another number of columns.
    if (this.#results.some(({ oids }) => oids.length !== last.oids.length)) throw rowTypeMismatch();
    const earlier: Buffer[] = [];
    for (const result of tag === undefined ? this.#results.slice(0, -1) : this.#results) {
      const table = await result.finish();
      if (table !== undefined) earlier.push(Buffer.from(table, 'latin1'));
      else if (!result.empty || tag !== undefined) earlier.push(result.json());
    }
    const reading = { oids: last.oids, style: last.style, earlier };
    if (tag !== undefined) return statusAnswer(tag, reading);
    const table = await last.finish();
    return table === undefined ? rowsAnswer(last.json(), reading) : tableAnswer(table, reading);
  }

  /**
   * The answer that has the function convert what came before an error: the results that had rows, or had ended.
   * @returns undefined when there are none
   * @throws PgError 42804 when results differ in their number of columns, what a conversion raised
   */
  async checking(): Promise<BridgeAnswer | undefined> {
    const results = this.#results.filter((result) => result.ended || !result.empty);
    const last = results.at(-1);
    if (last === undefined) return undefined;
    if (results.some(({ oids }) => oids.length !== last.oids.length)) throw rowTypeMismatch();
    const earlier: Buffer[] = [];
    for (const result of results) {
      const table = await result.finish();
      earlier.push(table === undefined ? result.json() : Buffer.from(table, 'latin1'));
    }
    return checkedAnswer({ oids: last.oids, style: last.style, earlier });
  }

  /** Gives all results up. Resolves when the function that waits is not asked anything more. */
  async abort(): Promise<void> {
    await Promise.all(this.#results.map((result) => result.abort()));
  }
}
