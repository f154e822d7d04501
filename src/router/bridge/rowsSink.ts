import { rowTypeMismatch } from '../../dblink/errors.js';
import type { RemoteStyle, RowSink } from '../../dblink/results.js';
import type { WireClient } from '../../wire/client.js';
import { parseRowDescription } from '../../wire/rows.js';
import { JsonRows } from '../json.js';
import { type Answer, nothingAnswer, rowsAnswer } from './answer.js';
import type { BulkRows } from './bulkRows.js';

/** Rows up to this many bytes are handed over in the answer itself. */
const INLINE_BYTES = 64 * 1024;

/** Opens a side table for the rows to come. */
export type OpenBulk = (oids: readonly number[], style: RemoteStyle) => Promise<BulkRows>;

/** The rows of one result: a few are kept, many go to a side table as they come, while the remote is held back. */
class ResultRows {
  style: RemoteStyle = { dateStyle: undefined, intervalStyle: undefined };
  #chunks: Buffer[] = [];
  #bytes = 0;
  #bulk: BulkRows | undefined;
  #opening: Promise<void> | undefined;
  #aborted = false;

  constructor(
    readonly oids: readonly number[],
    private readonly client: WireClient,
    private readonly openBulk: OpenBulk,
    private readonly fail: (error: unknown) => void,
  ) {}

  /** DataRow messages and parts of them. */
  take(bytes: Buffer): void {
    if (this.#bulk !== undefined) {
      this.#bulk.write(bytes, this.client);
      return;
    }
    this.#chunks.push(Buffer.from(bytes));
    this.#bytes += bytes.length;
    if (this.#bytes <= INLINE_BYTES || this.#opening !== undefined) return;
    this.client.pause();
    this.#opening = this.#open();
    this.#opening.catch(this.fail);
  }

  async #open(): Promise<void> {
    const bulk = await this.openBulk(this.oids, this.style);
    bulk.failed.catch(this.fail);
    if (this.#aborted) bulk.abort();
    for (const chunk of this.#chunks) bulk.write(chunk, this.client);
    this.#chunks = [];
    this.#bulk = bulk;
    this.client.resume();
  }

  /** Completes the side table. @returns it; undefined when the rows are here @throws PgError what a conversion raised */
  async finish(): Promise<string | undefined> {
    await this.#opening;
    return this.#bulk?.finish();
  }

  get empty(): boolean {
    return this.#bytes === 0;
  }

  abort(): void {
    this.#aborted = true;
    this.#bulk?.abort();
  }

  /** As JSON. */
  json(): Buffer {
    // Rows of no column fit no column definition list, however many they are.
    if (this.oids.length === 0) return Buffer.from('[]', 'latin1');
    const json = new JsonRows(
      this.oids.map((_, i) => `c${i + 1}`),
      this.oids.map(() => false),
      Number.MAX_SAFE_INTEGER,
    );
    const rows = Buffer.concat(this.#chunks);
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

  constructor(
    readonly maxRowBytes: number,
    private readonly openBulk: OpenBulk,
    /** Ends the call with an error. */
    private readonly fail: (error: unknown) => void,
  ) {}

  begin(description: Buffer, client: WireClient): 'raw' {
    const oids = parseRowDescription(description).map(({ typeOid }) => typeOid);
    this.#results.push(new ResultRows(oids, client, this.openBulk, this.fail));
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

  end(): void {}

  /** Earlier rows are not returned; they stay to be converted. */
  reset(): void {}

  /**
   * The answer, now that all results are here.
   * @throws PgError 42804, what a conversion raised
   */
  async answer(): Promise<Answer | { readonly table: string }> {
    const last = this.#results.at(-1);
    if (last === undefined) return nothingAnswer;
    // Whatever the caller expects, one of them has another number of columns.
    if (this.#results.some(({ oids }) => oids.length !== last.oids.length)) throw rowTypeMismatch();
    const earlier: Buffer[] = [];
    for (const result of this.#results.slice(0, -1)) {
      if ((await result.finish()) === undefined && !result.empty) earlier.push(result.json());
    }
    const table = await last.finish();
    return table === undefined ? rowsAnswer(last.oids, last.json(), last.style, earlier) : { table };
  }

  abort(): void {
    for (const result of this.#results) result.abort();
  }
}
