import { rowTypeMismatch } from '../../dblink/errors.js';
import type { Memory } from '../../dblink/memory.js';
import type { RemoteStyle, RowSink } from '../../dblink/remote/results.js';
import { type JsonKeys, JsonRows, jsonKeys } from '../../primary/jsonRows.js';
import type { WireClient } from '../../wire/outbound/index.js';
import { parseRowDescription } from '../../wire/rows.js';
import {
  type BridgeAnswer,
  checkedAnswer,
  nothingAnswer,
  rowsAnswer,
  statusAnswer,
  tableAnswer,
} from '../exchange/answer.js';
import type { BulkRows } from './bulkRows.js';

/** Rows up to this many bytes are handed over in the answer itself. */
const INLINE_BYTES = 64 * 1024;

const NO_ARRAYS: readonly boolean[] = [];

/** By number of columns. */
const KEYS: JsonKeys[] = [];

/** c1, c2, ... */
const numberedKeys = (columns: number): JsonKeys => {
  KEYS[columns] ??= jsonKeys(Array.from({ length: columns }, (_, i) => `c${i + 1}`));
  return KEYS[columns];
};

/** Opens a side table for the rows to come. */
export type OpenBulk = (oids: readonly number[], style: RemoteStyle) => Promise<BulkRows>;

/** The rows of one result: a few are kept, many go to a side table as they come, while the remote is held back. */
class ResultRows {
  style: RemoteStyle = { dateStyle: undefined, intervalStyle: undefined };
  /** The remote has said that it is complete. */
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

  /** DataRow messages and parts of them. */
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

  /** No more rows can be taken: the remote, which may be held back, gets rid of them and is told. */
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

  /** Completes the side table. @returns it; undefined when the rows are here @throws PgError what a conversion raised */
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

  /** Gives up; resolved when nothing more is asked for it. */
  async abort(): Promise<void> {
    this.#aborted = true;
    this.#bulk?.abort();
    await this.#opening?.catch(() => undefined);
  }

  /** As JSON. */
  json(): Buffer {
    // Rows of no column fit no column definition list, however many they are.
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

/** Takes the rows of a dblink() call for the function that waits. */
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

  /** The function is asked for one result after the other. */
  readonly #openInTurn: OpenBulk = (oids, style) => {
    const opened = this.#turn.then(() => this.openBulk(oids, style));
    this.#turn = opened.catch(() => undefined);
    return opened;
  };

  begin(description: Buffer, client: WireClient): 'raw' {
    const oids = parseRowDescription(description).map(({ typeOid }) => typeOid);
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

  /** What is complete no longer needs a connection: the next result may. */
  end(): void {
    const last = this.#results.at(-1)!;
    last.ended = true;
    last.finish().catch(this.fail);
  }

  /** Earlier rows are not returned; they stay to be converted. */
  reset(): void {}

  /**
   * The answer, now that all results are here.
   * @param tag of the string's last statement, if that was a command
   * @throws PgError 42804, what a conversion raised
   */
  async answer(tag: string | undefined): Promise<BridgeAnswer> {
    const last = this.#results.at(-1);
    if (last === undefined) return tag === undefined ? nothingAnswer : statusAnswer(tag, undefined);
    // Whatever the caller expects, one of them has another number of columns.
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
   * What the function is to convert before it is told of an error that came behind: results that had rows, or had ended.
   * @returns undefined when there is nothing @throws PgError 42804, what a conversion raised
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

  /** Gives up what there is; resolved when the function that waits is not asked anything more. */
  async abort(): Promise<void> {
    await Promise.all(this.#results.map((result) => result.abort()));
  }
}
