import { MalformedResult, rowTooLong } from './errors.js';

const HEADER_BYTES = 5;
/** A row is collected in a buffer of this size at first, however long it claims to be. */
const FIRST_BYTES = 65_536;

/** Takes whole, well-formed rows; the bytes are valid during the call only. */
export type RowTaker = (bytes: Buffer, rows: number) => void;

/**
 * Where a remote's rows enter: the bytes of DataRow messages, in any pieces, go in; whole rows with the announced number
 * of columns, whose values fill them exactly, come out. So nobody behind it is ever given a part of a row, which the
 * remote might leave unfinished, or lengths that lead out of one (protocol documentation, "DataRow").
 */
export class RowGate {
  #partial: Buffer = Buffer.alloc(0);
  #held = 0;
  /** Length of the row in #partial; 0 while its header is incomplete. */
  #wanted = 0;

  /**
   * @param columns of every row
   * @param maxRowBytes longest row
   * @param each whether rows are wanted one by one; otherwise neighbours are handed on as one piece
   */
  constructor(
    private readonly columns: number,
    private readonly maxRowBytes: number,
    private readonly each: boolean,
    private readonly take: RowTaker,
  ) {}

  /** @throws MalformedResult; PgError 54000 for a row that is too long; what the taker throws */
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
    if (offset < bytes.length) this.#hold(bytes.subarray(offset));
  }

  #lengthAt(bytes: Buffer, offset: number): number {
    const length = bytes.readInt32BE(offset + 1) + 1;
    if (length > this.maxRowBytes) throw rowTooLong(this.maxRowBytes);
    return length;
  }

  #hold(bytes: Buffer): void {
    this.#wanted = bytes.length < HEADER_BYTES ? 0 : this.#lengthAt(bytes, 0);
    const first = Math.min(Math.max(this.#wanted, HEADER_BYTES), FIRST_BYTES);
    this.#partial = Buffer.allocUnsafe(Math.max(first, bytes.length));
    this.#held = bytes.copy(this.#partial);
  }

  /** Goes on with the row that is held. @returns how many of the bytes belong to it */
  #complete(bytes: Buffer): number {
    let offset = 0;
    if (this.#wanted === 0) {
      offset = this.#append(bytes, 0, HEADER_BYTES - this.#held);
      if (this.#held < HEADER_BYTES) return offset;
      this.#wanted = this.#lengthAt(this.#partial, 0);
    }
    offset += this.#append(bytes, offset, this.#wanted - this.#held);
    if (this.#held < this.#wanted) return offset;
    const row = this.#partial.subarray(0, this.#wanted);
    this.#partial = Buffer.alloc(0);
    this.#held = this.#wanted = 0;
    checkRow(row, 0, row.length, this.columns);
    this.take(row, 1);
    return offset;
  }

  /** Adds at most so many bytes to what is held. @returns how many */
  #append(bytes: Buffer, offset: number, most: number): number {
    const count = Math.min(most, bytes.length - offset);
    const needed = this.#held + count;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafe(
        Math.min(Math.max(this.#wanted, needed), this.#partial.length * 2 + count),
      );
      this.#partial.copy(grown, 0, 0, this.#held);
      this.#partial = grown;
    }
    bytes.copy(this.#partial, this.#held, offset, offset + count);
    this.#held = needed;
    return count;
  }
}

/** @throws MalformedResult in libpq's words for a whole DataRow that does not contain what it announces */
function checkRow(bytes: Buffer, start: number, end: number, columns: number): void {
  let offset = start + HEADER_BYTES + 2;
  if (offset > end) throw insufficient();
  if (((bytes[offset - 2]! << 8) | bytes[offset - 1]!) !== columns) {
    throw new MalformedResult('unexpected field count in "D" message');
  }
  for (let column = 0; column < columns; column++) {
    if (offset + 4 > end) throw insufficient();
    const length =
      (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
    if (length < -1) throw insufficient();
    offset += length < 0 ? 4 : 4 + length;
  }
  if (offset > end) throw insufficient();
  if (offset < end)
    throw new MalformedResult('message contents do not agree with length in message type "D"');
}

const insufficient = (): MalformedResult => new MalformedResult('insufficient data in "D" message');
