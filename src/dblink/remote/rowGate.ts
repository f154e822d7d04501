import { MalformedResult, rowTooLong } from '../errors.js';
import type { Memory } from '../memory.js';

const HEADER_BYTES = 5;
/** A row that has come in pieces and is no longer than this is put together. A longer one is handed on in its pieces. */
const SMALL_BYTES = 4096;

/**
 * Takes rows in order. A call brings several whole rows, or one piece of a row that has come completely.
 * @param rows how many rows begin in `bytes`
 */
export type RowTaker = (bytes: Buffer, rows: number) => void;

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

  /**
   * @param columns number of columns of every row
   * @param maxRowBytes length of the longest row
   * @param memory the budget from which the row that is held takes its memory
   * @param each whether rows are wanted one by one, each in one piece
   */
  constructor(
    private readonly columns: number,
    private readonly maxRowBytes: number,
    private readonly each: boolean,
    private readonly take: RowTaker,
    private readonly memory?: Memory,
  ) {}

  /** @throws MalformedResult; PgError 54000 for a row that is too long, 53200; what the taker throws */
  push(bytes: Buffer): void {
    let offset = this.#held > 0 ? this.#complete(bytes) : 0;
    const from = offset;
    let rows = 0;
    while (bytes.length - offset >= HEADER_BYTES) {
      const length = this.#lengthAt(bytes, offset);
      const next = offset + length;
      if (next > bytes.length) break;
      checkRow(bytes, offset, next, this.columns);
      if (this.each) this.take(bytes.subarray(offset, next), 1);
      else rows++;
      offset = next;
    }
    if (rows > 0) this.take(bytes.subarray(from, offset), rows);
    if (offset === bytes.length) return;
    if (bytes.length - offset >= HEADER_BYTES) this.#wanted = this.#lengthAt(bytes, offset);
    this.#hold(bytes, offset, bytes.length - offset);
  }

  #lengthAt(bytes: Buffer, offset: number): number {
    const length = int32(bytes, offset + 1) + 1;
    if (length > this.maxRowBytes) throw rowTooLong(this.maxRowBytes);
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

  /** Hands on the row that was held, which is complete now. */
  #release(): void {
    const pieces = this.#pieces;
    const length = this.#wanted;
    this.#pieces = [];
    this.#held = this.#wanted = 0;
    this.memory?.give(length);
    if (this.each || length <= SMALL_BYTES) {
      const row = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
      checkRow(row, 0, length, this.columns);
      this.take(row, 1);
      return;
    }
    checkPieces(pieces, length, this.columns);
    for (const [i, piece] of pieces.entries()) this.take(piece, i === 0 ? 1 : 0);
  }
}

/** Several times as fast as Buffer's own method, which matters for each value of each row. */
const int32 = (bytes: Buffer, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;

/** Checks a whole DataRow. @throws MalformedResult in libpq's words if it does not contain what it announces */
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

/** The same for a row in pieces. */
function checkPieces(pieces: readonly Buffer[], length: number, columns: number): void {
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
  let left = length - HEADER_BYTES - 2;
  if (left < 0) throw insufficient();
  skip(HEADER_BYTES);
  if (((byte() << 8) | byte()) !== columns) throw unexpectedCount();
  for (let column = 0; column < columns; column++) {
    if (left < 4) throw insufficient();
    const value = (byte() << 24) | (byte() << 16) | (byte() << 8) | byte();
    left -= 4 + Math.max(value, 0);
    if (value < -1 || left < 0) throw insufficient();
    if (value > 0) skip(value);
  }
  if (left > 0) throw tooMuch();
}

const insufficient = (): MalformedResult => new MalformedResult('insufficient data in "D" message');
const unexpectedCount = (): MalformedResult => new MalformedResult('unexpected field count in "D" message');
const tooMuch = (): MalformedResult =>
  new MalformedResult('message contents do not agree with length in message type "D"');
