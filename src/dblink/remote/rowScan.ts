import { MalformedResult } from '../errors.js';
import type { ValueCheck } from './valueCheck.js';

/** Type and length of a message, and the number of columns. */
const HEAD_BYTES = 7;
const LENGTH_BYTES = 4;

/**
 * Reads one DataRow piece by piece, as it comes: whether it contains what it announces, and whether its values pass their checks. So
 * the work for a long row is done in as many turns of the event loop as the row takes to come.
 */
export class RowScan {
  /** The first column whose value does not pass; -1 while all do. */
  strange = -1;
  /** How many bytes of the row are to come behind the present one. */
  #left: number;
  /** A number of the row's own, as far as it has come. */
  #number = 0;
  #digits = 0;
  #headed = false;
  #column = -1;
  /** How many bytes of the present value are still to come. */
  #value = 0;
  #check: ValueCheck | undefined;
  /** A value that is checked whole. */
  #kept: Buffer[] = [];

  /** @param length of the whole message */
  constructor(
    length: number,
    private readonly columns: number,
    private readonly checks: readonly (ValueCheck | undefined)[],
  ) {
    this.#left = length;
  }

  /** @throws MalformedResult in libpq's words */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#value > 0) {
        const end = this.#takeValue(bytes, at);
        this.#left -= end - at;
        at = end;
      } else {
        this.#left--;
        this.#takeByte(bytes[at++]!);
      }
    }
  }

  /** To be called when all of the row has come. @throws MalformedResult */
  end(): void {
    const complete = this.#headed && this.#digits === 0 && this.#value === 0;
    if (!complete || this.#column < this.columns - 1) throw insufficient();
  }

  #takeByte(byte: number): void {
    // The number of columns is the last one of the head that counts.
    this.#number = ((this.#number << 8) | byte) >> 0;
    this.#digits++;
    if (!this.#headed) {
      if (this.#digits < HEAD_BYTES) return;
      if ((this.#number & 0xffff) !== this.columns) throw unexpectedCount();
      this.#headed = true;
      this.#digits = 0;
      return;
    }
    if (this.#column === this.columns - 1 && this.#digits === 1) throw tooMuch();
    if (this.#digits < LENGTH_BYTES) return;
    this.#digits = 0;
    this.#column++;
    if (this.#number < -1 || this.#number > this.#left) throw insufficient();
    if (this.#number >= 0) this.#beginValue(this.#number);
  }

  #beginValue(length: number): void {
    this.#value = length;
    const check = this.strange < 0 ? this.checks[this.#column] : undefined;
    this.#check = check;
    if (check === undefined) return;
    this.#kept = [];
    if (length > check.maxBytes) this.#isStrange();
    else check.pieces?.begin();
    if (length === 0) this.#endValue();
  }

  #takeValue(bytes: Buffer, at: number): number {
    const end = Math.min(at + this.#value, bytes.length);
    this.#value -= end - at;
    const check = this.#check;
    if (check === undefined) return end;
    if (check.pieces === undefined) this.#kept.push(bytes.subarray(at, end));
    else if (!check.pieces.feed(bytes, at, end)) this.#isStrange();
    if (this.#value === 0) this.#endValue();
    return end;
  }

  #endValue(): void {
    const check = this.#check;
    if (check === undefined) return;
    if (check.pieces !== undefined) {
      if (!check.pieces.end()) this.#isStrange();
      return;
    }
    const value = Buffer.concat(this.#kept);
    if (!check.whole(value, 0, value.length)) this.#isStrange();
  }

  #isStrange(): void {
    this.strange = this.#column;
    this.#check = undefined;
  }
}

/** Checks a whole DataRow. @throws MalformedResult in libpq's words if it does not contain what it announces */
export function checkRow(bytes: Buffer, start: number, end: number, columns: number): void {
  let offset = start + HEAD_BYTES;
  if (offset > end) throw insufficient();
  if (((bytes[offset - 2]! << 8) | bytes[offset - 1]!) !== columns) throw unexpectedCount();
  for (let column = 0; column < columns; column++) {
    if (offset + LENGTH_BYTES > end) throw insufficient();
    const length = int32(bytes, offset);
    if (length < -1) throw insufficient();
    offset += length < 0 ? LENGTH_BYTES : LENGTH_BYTES + length;
  }
  if (offset > end) throw insufficient();
  if (offset < end) throw tooMuch();
}

/**
 * Checks the values of a row that contains what it announces.
 * @param from of the row @returns the first column whose value does not pass; -1 if all do
 */
export function strangeColumn(
  bytes: Buffer,
  from: number,
  checks: readonly (ValueCheck | undefined)[],
): number {
  let start = from + HEAD_BYTES + LENGTH_BYTES;
  for (let column = 0; column < checks.length; column++) {
    const length = int32(bytes, start - LENGTH_BYTES);
    const end = length < 0 ? start : start + length;
    const check = checks[column];
    if (check !== undefined && length >= 0 && (length > check.maxBytes || !check.whole(bytes, start, end)))
      return column;
    start = end + LENGTH_BYTES;
  }
  return -1;
}

/** The value of a column of a whole row that contains what it announces. Not for NULL. */
export function valueOfRow(row: Buffer, column: number): Buffer {
  let at = HEAD_BYTES;
  for (let before = 0; before < column; before++) at += LENGTH_BYTES + Math.max(int32(row, at), 0);
  return row.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + int32(row, at));
}

/** Several times as fast as Buffer's own method, which matters for each value of each row. */
export const int32 = (bytes: Buffer, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;

const insufficient = (): MalformedResult => new MalformedResult('insufficient data in "D" message');
const unexpectedCount = (): MalformedResult => new MalformedResult('unexpected field count in "D" message');
const tooMuch = (): MalformedResult =>
  new MalformedResult('message contents do not agree with length in message type "D"');
