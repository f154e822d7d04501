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
const SPECIAL = [NEWLINE, BACKSLASH, TAB, 0x0d, 0x08, 0x0b, 0x0c];

/** From here on it pays to ask the native search whether a value has anything special. */
const LONG_BYTES = 384;
/** In pieces of this size, so that one special byte does not slow down the whole of a long value. */
const BLOCK_BYTES = 4096;

/**
 * Turns rows in text format into lines of COPY … FROM STDIN, also in text format, with the default delimiter and null
 * string (PostgreSQL documentation, COPY, "Text Format"); byte for byte what COPY … TO STDOUT would have sent for them.
 *
 * The rows must have passed RowGate. They come as it gives them: several whole ones, or one in pieces, which is why an
 * object is needed for every result.
 *
 * Bytes from 0x80 on are kept as they are, whatever the encoding. In the encodings in which a byte below 0x80 may be the
 * second one of a character (SJIS, BIG5, GBK, UHC, GB18030, JOHAB) that would be wrong; no database can have those, so
 * rows must come in the encoding of a database, and the COPY must be run with that as its client_encoding. A zero byte,
 * which no PostgreSQL sends, is kept as well; COPY refuses it (22021).
 */
export class CopyText {
  /** Columns of the row that has begun whose values have not ended. */
  #columnsLeft = 0;
  /** Bytes of the value that has begun which have not come. */
  #valueLeft = 0;
  /** The beginning of a head, of a row or a value, whose rest is in the next piece. */
  #head: Buffer = NOTHING;

  /** @param columns of every row */
  constructor(private readonly columns: number) {}

  /**
   * @param messages bytes of DataRow messages, the continuation of those before
   * @returns what is to be sent as CopyData: whole lines for whole rows. A buffer of its own, of at most twice the size.
   */
  encode(messages: Buffer): Buffer {
    const input = this.#head.length === 0 ? messages : Buffer.concat([this.#head, messages]);
    const end = input.length;
    // A value becomes at most twice as long, and the character after it takes less than the head before it, which may
    // however have come earlier.
    const output = Buffer.allocUnsafe(2 * end + 1);
    let columns = this.#columnsLeft;
    let value = this.#valueLeft;
    let from = 0;
    let to = 0;
    for (;;) {
      if (value > 0) {
        const part = Math.min(value, end - from);
        to = escapeValue(input, from, from + part, output, to);
        from += part;
        value -= part;
        if (value > 0) break;
        output[to++] = --columns === 0 ? NEWLINE : TAB;
      } else if (columns > 0) {
        if (end - from < VALUE_HEAD_BYTES) break;
        // Several times as fast as Buffer's own method.
        value = (input[from]! << 24) | (input[from + 1]! << 16) | (input[from + 2]! << 8) | input[from + 3]!;
        from += VALUE_HEAD_BYTES;
        if (value > 0) continue;
        if (value < 0) {
          output[to++] = BACKSLASH;
          output[to++] = LETTER_N;
          value = 0;
        }
        output[to++] = --columns === 0 ? NEWLINE : TAB;
      } else {
        if (end - from < ROW_HEAD_BYTES) break;
        from += ROW_HEAD_BYTES;
        columns = this.columns;
        if (columns === 0) output[to++] = NEWLINE;
      }
    }
    this.#columnsLeft = columns;
    this.#valueLeft = value;
    this.#head = from === end ? NOTHING : Buffer.from(input.subarray(from));
    return output.subarray(0, to);
  }
}

/** Writes a part of a value. @returns where the output goes on */
function escapeValue(input: Buffer, from: number, end: number, output: Buffer, to: number): number {
  if (end - from < LONG_BYTES) return escapeBytes(input, from, end, output, to);
  let place = to;
  for (let start = from; start < end; start += BLOCK_BYTES) {
    const stop = Math.min(start + BLOCK_BYTES, end);
    const block = input.subarray(start, stop);
    if (isPlain(block)) {
      output.set(block, place);
      place += block.length;
    } else place = escapeBytes(input, start, stop, output, place);
  }
  return place;
}

function isPlain(block: Buffer): boolean {
  for (let i = 0; i < SPECIAL.length; i++) if (block.includes(SPECIAL[i]!)) return false;
  return true;
}

/** For short values a loop is faster than any copying of what lies between the special bytes. */
function escapeBytes(input: Buffer, from: number, end: number, output: Buffer, to: number): number {
  let place = to;
  for (let i = from; i < end; i++) {
    const byte = input[i]!;
    const escaped = ESCAPED[byte]!;
    if (escaped === 0) output[place++] = byte;
    else {
      output[place++] = BACKSLASH;
      output[place++] = escaped;
    }
  }
  return place;
}
