import { MalformedResult, rowTooLong } from '../errors.js';
import type { Memory } from '../memory.js';

const HEADER_BYTES = 5;
/** A row that has come in pieces and is no longer than this is put together. A longer one is handed on in its pieces. */
const SMALL_BYTES = 4096;

/** Whether the bytes from `start` to `end` are a value of a type, as a server writes it. In linear time. */
export type ValueCheck = (bytes: Buffer, start: number, end: number) => boolean;

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
    if (bytes.length - offset >= HEADER_BYTES) this.#wanted = this.#lengthAt(bytes, offset);
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
      this.#wanted = this.#lengthAt(Buffer.concat(this.#pieces), 0);
    }
    used += this.#hold(bytes, used, this.#wanted - this.#held);
    if (this.#held === this.#wanted) this.#release();
    return used;
  }

  /** Keeps bytes of the row that is held, at most `most` of them. @returns how many */
  #hold(bytes: Buffer, offset: number, most: number): number {
    const piece = bytes.subarray(offset, offset + most);
    this.memory?.take(piece.length);
    const last = this.#pieces.at(-1);
    // A remote that sends byte by byte must not make an object of every byte.
    if (last !== undefined && last.length + piece.length <= SMALL_BYTES) {
      this.#pieces[this.#pieces.length - 1] = Buffer.concat([last, piece]);
    } else if (piece.length > 0) this.#pieces.push(piece);
    this.#held += piece.length;
    return piece.length;
  }

  /** Hands on a row that came in pieces in one piece. */
  #whole(pieces: readonly Buffer[], length: number): void {
    const row = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
    checkRow(row, 0, length, this.#columns);
    const strange = strangeColumn(row, 0, this.#checks);
    if (strange >= 0) this.#strange(strange, row);
    if (this.#each) this.taker.row(row);
    else this.taker.raw(row, 1);
  }

  /** A value has not passed. @param row whole */
  #strange(column: number, row: Buffer): void {
    let at = HEADER_BYTES + 2;
    for (let before = 0; before < column; before++) at += 4 + Math.max(int32(row, at), 0);
    this.taker.strange(column, row.subarray(at + 4, at + 4 + int32(row, at)));
    this.#each = true;
    this.#checks = NO_CHECKS;
  }

  /** Hands on the row that was held, which is complete now. */
  #release(): void {
    const pieces = this.#pieces;
    const length = this.#wanted;
    this.#pieces = [];
    this.#held = this.#wanted = 0;
    this.memory?.give(length);
    if (this.#each || length <= SMALL_BYTES) this.#whole(pieces, length);
    else if (checkPieces(pieces, length, this.#columns, this.#checks) >= 0) this.#whole(pieces, length);
    else for (const [i, piece] of pieces.entries()) this.taker.raw(piece, i === 0 ? 1 : 0);
  }
}

/** Several times as fast as Buffer's own method, which matters for each value of each row. */
const int32 = (bytes: Buffer, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;

/**
 * Checks a whole DataRow.
 * @throws MalformedResult in libpq's words if the row does not contain what it announces
 */
function checkRow(bytes: Buffer, start: number, end: number, columns: number): void {
  let offset = start + HEADER_BYTES + 2;
  if (offset > end) throw insufficient();
  if (((bytes[offset - 2]! << 8) | bytes[offset - 1]!) !== columns) throw unexpectedCount();
  for (let column = 0; column < columns; column++) {
    if (offset + 4 > end) throw insufficient();
    const length = int32(bytes, offset);
    if (length < -1) throw insufficient();
    offset += length < 0 ? 4 : 4 + length;
  }
  if (offset > end) throw insufficient();
  if (offset < end) throw tooMuch();
}

/**
 * Checks the values of a row that contains what it announces.
 * @param from of the row @returns the first column whose value does not pass; -1 if all do
 */
function strangeColumn(bytes: Buffer, from: number, checks: readonly (ValueCheck | undefined)[]): number {
  let start = from + HEADER_BYTES + 2 + 4;
  for (let column = 0; column < checks.length; column++) {
    const length = int32(bytes, start - 4);
    const end = length < 0 ? start : start + length;
    if (length >= 0 && checks[column]?.(bytes, start, end) === false) return column;
    start = end + 4;
  }
  return -1;
}

/** Checks a row in pieces, and its values. @returns as strangeColumn @throws as checkRow */
function checkPieces(
  pieces: readonly Buffer[],
  length: number,
  columns: number,
  checks: readonly (ValueCheck | undefined)[],
): number {
  let piece = 0;
  let offset = 0;
  const skip = (bytes: number): void => {
    offset += bytes;
    while (piece < pieces.length && offset >= pieces[piece]!.length) offset -= pieces[piece++]!.length;
  };
  const byte = (): number => {
    const value = pieces[piece]![offset]!;
    skip(1);
    return value;
  };
  let strange = -1;
  let left = length - HEADER_BYTES - 2;
  if (left < 0) throw insufficient();
  skip(HEADER_BYTES);
  if (((byte() << 8) | byte()) !== columns) throw unexpectedCount();
  for (let column = 0; column < columns; column++) {
    if (left < 4) throw insufficient();
    const value = (byte() << 24) | (byte() << 16) | (byte() << 8) | byte();
    left -= 4 + Math.max(value, 0);
    if (value < -1 || left < 0) throw insufficient();
    const check = strange < 0 && value >= 0 ? checks[column] : undefined;
    if (check !== undefined) {
      const text = part(pieces, piece, offset, value);
      if (!check(text, 0, value)) strange = column;
    }
    if (value > 0) skip(value);
  }
  if (left > 0) throw tooMuch();
  return strange;
}

/** So many bytes from a place in a piece on, copied only if they are in several pieces. The pieces have them all. */
function part(pieces: readonly Buffer[], piece: number, offset: number, length: number): Buffer {
  const found: Buffer[] = [];
  let missing = length;
  for (let i = piece, from = offset; missing > 0; i++, from = 0) {
    const bytes = pieces[i]!.subarray(from, from + missing);
    found.push(bytes);
    missing -= bytes.length;
  }
  return found.length === 1 ? found[0]! : Buffer.concat(found, length);
}

const insufficient = (): MalformedResult => new MalformedResult('insufficient data in "D" message');
const unexpectedCount = (): MalformedResult => new MalformedResult('unexpected field count in "D" message');
const tooMuch = (): MalformedResult =>
  new MalformedResult('message contents do not agree with length in message type "D"');
