import { Frontend } from '../../wire/protocol.js';

/** Type, length and number of columns of a DataRow. */
const ROW_HEAD_BYTES = 7;
const VALUE_HEAD_BYTES = 4;

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const LETTER_N = 0x4e;
const NOTHING = Buffer.alloc(0);

/** The character that follows a backslash in place of a byte; 0 for a byte that stands for itself. */
const ESCAPED = new Uint8Array(256);
for (const [byte, letter] of ['\bb', '\tt', '\nn', '\vv', '\ff', '\rr', '\\\\']) {
  ESCAPED[byte!.charCodeAt(0)] = letter!.charCodeAt(0);
}

/** A value is escaped in pieces of this size. There is room for each piece even if all of its bytes have to be escaped. */
const BLOCK_BYTES = 4096;
/** Type and length of the message. */
const MESSAGE_HEAD_BYTES = 5;
/** Buffers of at least this length are worth keeping for reuse. */
const SPARE_BYTES = 64 * 1024;
/** How many buffers are kept. */
const MAX_SPARE = 4;
/** Room for what is written between two values; that takes less. */
const MARGIN_BYTES = 16;

/**
 * Turns rows in text format into CopyData messages with lines for COPY … FROM STDIN. These are also in text format, with the
 * default delimiter and null string (PostgreSQL documentation, COPY, "Text Format"). They are byte for byte what
 * COPY … TO STDOUT would have sent for the same rows.
 *
 * The rows must have passed RowGate. They come as RowGate gives them: several whole rows, or one row in pieces. Because of the
 * pieces every result needs an object of its own.
 *
 * Bytes from 0x80 on are kept as they are, whatever the encoding. That would be wrong in the encodings in which a byte below
 * 0x80 may be the second one of a character (SJIS, BIG5, GBK, UHC, GB18030, JOHAB). No database can have these encodings. So
 * the rows must come in the encoding of a database, and the COPY must be run with that as its client_encoding. A zero byte,
 * which no PostgreSQL sends, is kept as well, and COPY refuses it (22021).
 */
export class CopyText {
  /** How many values of the current row are not complete yet. */
  #columnsLeft = 0;
  /** How many bytes of the current value have not come yet. */
  #valueLeft = 0;
  /** The beginning of the head of a row or a value, when the rest of that head comes with the next piece. */
  #head: Buffer = NOTHING;

  /** Buffers of earlier messages, to be used again. Without them garbage collection takes as long as everything else here. */
  readonly #spare: Buffer[] = [];

  /** @param columns of every row */
  constructor(private readonly columns: number) {}

  #allocate(bytes: number): Buffer {
    const spare = this.#spare.pop();
    return spare !== undefined && spare.length >= bytes ? spare : Buffer.allocUnsafe(bytes);
  }

  /** Takes back the buffer of a message that has been sent. */
  recycle({ buffer, byteOffset }: Buffer): void {
    if (byteOffset > 0 || buffer.byteLength < SPARE_BYTES || this.#spare.length === MAX_SPARE) return;
    this.#spare.push(Buffer.from(buffer));
  }

  /**
   * Encodes the next piece of a result.
   * @param messages bytes of DataRow messages, the continuation of those before
   * @returns a whole CopyData message, with whole lines for whole rows
   */
  encode(messages: Buffer): Buffer {
    const input = new Bytes(this.#head.length === 0 ? messages : Buffer.concat([this.#head, messages]));
    // A line is shorter than its row, unless it has bytes that must be escaped.
    let output = new Bytes(this.#allocate(MESSAGE_HEAD_BYTES + input.length + BLOCK_BYTES + MARGIN_BYTES));
    output.at = MESSAGE_HEAD_BYTES;
    let columns = this.#columnsLeft;
    let value = this.#valueLeft;
    for (;;) {
      const left = input.length - input.at;
      if (value > 0) {
        const part = Math.min(value, left, BLOCK_BYTES);
        if (part === 0) break;
        if (output.at + part + left + MARGIN_BYTES > output.length) output = output.grown();
        escapeValue(input, part, output);
        value -= part;
        if (value === 0) output.put(--columns === 0 ? NEWLINE : TAB);
      } else if (columns > 0) {
        if (left < VALUE_HEAD_BYTES) break;
        value = input.view.getInt32(input.at);
        input.at += VALUE_HEAD_BYTES;
        if (value > 0) continue;
        if (value < 0) {
          output.put(BACKSLASH);
          output.put(LETTER_N);
          value = 0;
        }
        output.put(--columns === 0 ? NEWLINE : TAB);
      } else {
        if (left < ROW_HEAD_BYTES) break;
        input.at += ROW_HEAD_BYTES;
        columns = this.columns;
        if (columns === 0) output.put(NEWLINE);
      }
    }
    this.#columnsLeft = columns;
    this.#valueLeft = value;
    this.#head = input.at === input.length ? NOTHING : Buffer.from(input.buffer.subarray(input.at));
    output.bytes[0] = Frontend.copyData;
    output.view.setInt32(1, output.at - 1);
    return output.buffer.subarray(0, output.at);
  }
}

/** A buffer, with the two views by which it is read and written several times as fast as by Buffer's own methods. */
class Bytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where it is read or written next. */
  at = 0;

  constructor(readonly buffer: Buffer) {
    this.bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  }

  get length(): number {
    return this.bytes.length;
  }

  put(byte: number): void {
    this.bytes[this.at++] = byte;
  }

  /** A copy of twice the length, with the same beginning. */
  grown(): Bytes {
    const grown = new Bytes(Buffer.allocUnsafe(2 * this.length));
    this.buffer.copy(grown.buffer, 0, 0, this.at);
    grown.at = this.at;
    return grown;
  }
}

/** Writes a part of a value. Mostly four bytes in a row stand for themselves, and are written together. */
function escapeValue(input: Bytes, length: number, output: Bytes): void {
  const { bytes: source, view: sourceView } = input;
  const { bytes: target, view: targetView } = output;
  const end = input.at + length;
  let at = input.at;
  let place = output.at;
  while (at + 4 <= end) {
    const word = sourceView.getInt32(at, true);
    if (isPlain(word)) {
      targetView.setInt32(place, word, true);
      place += 4;
      at += 4;
    } else {
      for (const stop = at + 4; at < stop; at++) place = escapeByte(source[at]!, target, place);
    }
  }
  for (; at < end; at++) place = escapeByte(source[at]!, target, place);
  input.at = at;
  output.at = place;
}

/**
 * Whether none of four bytes is a backslash or below 0x0e. The expression does the same for each byte x of the word: x − n
 * borrows into the highest bit if x is less than n, and ~x leaves out a byte that had its highest bit set before.
 */
function isPlain(word: number): boolean {
  const backslashes = word ^ 0x5c5c5c5c;
  return ((((word - 0x0e0e0e0e) & ~word) | ((backslashes - 0x01010101) & ~backslashes)) & 0x80808080) === 0;
}

function escapeByte(byte: number, output: Uint8Array, to: number): number {
  const escaped = ESCAPED[byte]!;
  if (escaped === 0) {
    output[to] = byte;
    return to + 1;
  }
  output[to] = BACKSLASH;
  output[to + 1] = escaped;
  return to + 2;
}
