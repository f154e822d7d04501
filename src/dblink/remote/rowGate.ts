import { owned } from '../../wire/channel/index.js';
import { rowTooLong } from '../errors.js';
import type { Memory } from '../memory.js';
import { checkRow, int32, RowScan, strangeColumn, valueOfRow } from './rowScan.js';
import type { ValueCheck } from './valueCheck.js';

const HEADER_BYTES = 5;
/** A row that has come in pieces and is no longer than this is put together. A longer one is handed on in its pieces. */
const SMALL_BYTES = 4096;

/** Takes rows in order. */
export interface RowTaker {
  /** One whole row. */
  row(message: Buffer): void;
  /** Several whole rows, or one piece of a row that has come completely. @param rows how many rows begin in `bytes` */
  raw(bytes: Buffer, rows: number): void;
  /**
   * A value has not passed its check. What came before its row has been taken. Unless this throws, rows are taken one by one from
   * that row on, and values are checked no more.
   */
  strange(column: number, value: Buffer): void;
}

/** What RowGate is to let pass. */
export interface RowForm {
  /** Number of columns of every row. */
  readonly columns: number;
  /** Length of the longest row. */
  readonly maxRowBytes: number;
  /** Whether rows are wanted one by one, each in one piece. */
  readonly each: boolean;
  /** What values have to pass, by column, where rows are not wanted one by one. */
  readonly checks?: readonly (ValueCheck | undefined)[] | undefined;
}

const NO_CHECKS: readonly undefined[] = [];

/**
 * Where a remote's rows enter. The bytes of DataRow messages go in, in any pieces. Whole rows come out. Each has the
 * announced number of columns, and its values fill it exactly. So the code behind it never gets a part of a row, which
 * the remote might leave unfinished, nor lengths that lead out of a row (protocol documentation, "DataRow"). Rows are not
 * copied, except small ones that come in two chunks.
 */
export class RowGate {
  /** The beginning of a row that has not come completely, and its length. */
  #pieces: Buffer[] = [];
  #held = 0;
  /** Length of that row; 0 while its header is incomplete. */
  #wanted = 0;
  /** Reads that row as it comes, if it is long. */
  #scan: RowScan | undefined;
  readonly #columns: number;
  readonly #maxRowBytes: number;
  #each: boolean;
  #checks: readonly (ValueCheck | undefined)[];

  /** @param memory the budget from which the row that is held takes its memory */
  constructor(
    { columns, maxRowBytes, each, checks }: RowForm,
    private readonly taker: RowTaker,
    private readonly memory?: Memory,
  ) {
    this.#columns = columns;
    this.#maxRowBytes = maxRowBytes;
    this.#each = each;
    this.#checks = checks?.some((check) => check !== undefined) ? checks : NO_CHECKS;
  }

  /** @throws MalformedResult; PgError 54000 for a row that is too long, 53200; what the taker throws */
  push(bytes: Buffer): void {
    let offset = this.#held > 0 ? this.#complete(bytes) : 0;
    let from = offset;
    let rows = 0;
    while (bytes.length - offset >= HEADER_BYTES) {
      const length = this.#lengthAt(bytes, offset);
      const next = offset + length;
      if (next > bytes.length) break;
      checkRow(bytes, offset, next, this.#columns);
      const strange = strangeColumn(bytes, offset, this.#checks);
      if (strange >= 0) {
        if (rows > 0) this.taker.raw(bytes.subarray(from, offset), rows);
        rows = 0;
        from = next;
        this.#strange(strange, bytes.subarray(offset, next));
      }
      if (this.#each) this.taker.row(bytes.subarray(offset, next));
      else rows++;
      offset = next;
    }
    if (rows > 0) this.taker.raw(bytes.subarray(from, offset), rows);
    if (offset === bytes.length) return;
    if (bytes.length - offset >= HEADER_BYTES) this.#begin(bytes, offset);
    this.#hold(bytes, offset, bytes.length - offset);
  }

  #lengthAt(bytes: Buffer, offset: number): number {
    const length = int32(bytes, offset + 1) + 1;
    if (length > this.#maxRowBytes) throw rowTooLong(this.#maxRowBytes);
    return length;
  }

  /** Goes on with the row that is held. @returns how many of the bytes belong to it */
  #complete(bytes: Buffer): number {
    let used = 0;
    if (this.#held < HEADER_BYTES) {
      used = this.#hold(bytes, 0, HEADER_BYTES - this.#held);
      if (this.#held < HEADER_BYTES) return used;
      this.#begin(Buffer.concat(this.#pieces), 0);
    }
    used += this.#hold(bytes, used, this.#wanted - this.#held);
    if (this.#held === this.#wanted) this.#release();
    return used;
  }

  /** The header of a row has come that is to be held. */
  #begin(bytes: Buffer, offset: number): void {
    this.#wanted = this.#lengthAt(bytes, offset);
    if (this.#each || this.#wanted <= SMALL_BYTES) return;
    this.#scan = new RowScan(this.#wanted, this.#columns, this.#checks);
    for (const piece of this.#pieces) this.#scan.push(piece);
  }

  /** Keeps bytes of the row that is held, at most `most` of them. @returns how many */
  #hold(bytes: Buffer, offset: number, most: number): number {
    const piece = owned(bytes.subarray(offset, offset + most));
    this.memory?.take(piece.length);
    this.#scan?.push(piece);
    const last = this.#pieces.at(-1);
    // A remote that sends byte by byte must not make an object of every byte.
    if (last !== undefined && last.length + piece.length <= SMALL_BYTES) {
      this.#pieces[this.#pieces.length - 1] = Buffer.concat([last, piece]);
    } else if (piece.length > 0) this.#pieces.push(piece);
    this.#held += piece.length;
    return piece.length;
  }

  /** A value has not passed. @param row whole */
  #strange(column: number, row: Buffer): void {
    this.taker.strange(column, valueOfRow(row, column));
    this.#each = true;
    this.#checks = NO_CHECKS;
  }

  /** Hands on the row that was held, which is complete now. */
  #release(): void {
    const pieces = this.#pieces;
    const length = this.#wanted;
    const scan = this.#scan;
    this.#pieces = [];
    this.#held = this.#wanted = 0;
    this.#scan = undefined;
    this.memory?.give(length);
    scan?.end();
    if (scan === undefined || scan.strange >= 0) this.#releaseWhole(pieces, length, scan?.strange);
    else for (const [i, piece] of pieces.entries()) this.taker.raw(piece, i === 0 ? 1 : 0);
  }

  /** Hands on a row in one piece. @param known the column whose value does not pass, if that is known */
  #releaseWhole(pieces: readonly Buffer[], length: number, known: number | undefined): void {
    const row = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
    checkRow(row, 0, length, this.#columns);
    const strange = known ?? strangeColumn(row, 0, this.#checks);
    if (strange >= 0) this.#strange(strange, row);
    if (this.#each) this.taker.row(row);
    else this.taker.raw(row, 1);
  }
}
