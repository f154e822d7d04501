import type { Memory } from '../dblink/memory.js';
import { PgError } from '../wire/errors.js';
import { discard } from '../wire/host/discard.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const HEX = Buffer.from('0123456789abcdef', 'latin1');
const OPEN = Buffer.from('[', 'latin1');
const NULL = Buffer.from('null', 'latin1');
const NULL_ELEMENT = Buffer.from('"{NULL}"', 'latin1');
const ARRAY_OPEN = Buffer.from('"{\\"', 'latin1');
const ARRAY_CLOSE = Buffer.from('\\"}"', 'latin1');
const ESCAPED_BACKSLASH = Buffer.from('\\\\', 'latin1');

/** JSON's escapes of two characters: the character behind the backslash, by control character. */
const SHORT_ESCAPES: Readonly<Record<number, number>> = {
  8: 'b'.charCodeAt(0),
  9: 't'.charCodeAt(0),
  10: 'n'.charCodeAt(0),
  12: 'f'.charCodeAt(0),
  13: 'r'.charCodeAt(0),
};

/** 1 for bytes that a JSON string cannot contain unescaped. Bytes of multi-byte characters pass in every encoding. */
const SPECIAL = new Uint8Array(256);
for (let byte = 0; byte < 0x20; byte++) SPECIAL[byte] = 1;
SPECIAL[QUOTE] = SPECIAL[BACKSLASH] = 1;

const TOO_LARGE = (maxBytes: number): PgError =>
  new PgError('54000', `the remote's result is larger than ${maxBytes} bytes`, {
    detail: 'The statement needs the primary to go on with the rows, and they are handed to it in memory.',
    hint: 'Let the remote query return less, or raise the setting "limits.splice_bytes" of the proxy.',
  });

/** For each column what stands in front of its value in a JSON object: `{"first":`, `,"second":` and so on. */
export type JsonKeys = readonly Buffer[];

/** Prepares the keys of a source's objects. @param names of the columns, byte strings */
export const jsonKeys = (names: readonly string[]): JsonKeys =>
  names.map((name, i) => Buffer.from(`${i === 0 ? '{' : ','}${quoted(name)}:`, 'latin1'));

/**
 * Builds the JSON array of objects that hands a remote's rows to the primary. The bytes stay in the encoding in which they came.
 * Every value becomes a JSON string or null, so that the input functions of the declared types convert it.
 */
export class JsonRows {
  #buffer = Buffer.allocUnsafe(1024);
  #length = 0;
  /** How many bytes of the buffer are counted in `memory`. */
  #counted = 0;
  #rows = 0;
  #ended = false;
  readonly #keys: JsonKeys;
  readonly #arrays: readonly boolean[];

  /**
   * @param keys of the columns
   * @param arrays for each column whether its values are written as the text of an array with the value as its one element
   * @param maxBytes limit of the JSON in bytes; beyond it 54000
   * @param memory counts what is held here, and refuses with 53200 what is too much for all sessions together
   */
  constructor(
    keys: JsonKeys,
    arrays: readonly boolean[],
    private readonly maxBytes: number,
    private readonly memory?: Memory,
  ) {
    this.#arrays = arrays;
    this.#keys = keys;
    this.#append(OPEN);
  }

  /** Number of rows that have been added. */
  get rows(): number {
    return this.#rows;
  }

  /** Makes room. @throws PgError 54000; what `memory` raises (53200) */
  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    if (needed > this.maxBytes) throw TOO_LARGE(this.maxBytes);
    const size = Math.min(Math.max(needed, this.#buffer.length * 2), this.maxBytes);
    this.memory?.take(size);
    const grown = Buffer.allocUnsafe(size);
    this.#buffer.copy(grown, 0, 0, this.#length);
    const before = this.#buffer;
    this.#buffer = grown;
    discard(before);
    this.memory?.give(this.#counted);
    this.#counted = size;
  }

  #append(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#length += bytes.copy(this.#buffer, this.#length);
  }

  /** With the first row the memory that is there counts as well: a remote can send many small results. */
  #beginRow(): void {
    if (this.#rows > 0) this.#byte(0x2c);
    else if (this.#counted === 0) {
      this.memory?.take(this.#buffer.length);
      this.#counted = this.#buffer.length;
    }
    this.#rows++;
  }

  /** Adds the values of a whole DataRow message. @throws PgError 54000; what `memory` raises (53200) */
  addRow(message: Buffer): void {
    this.#beginRow();
    // Behind the type, the length and the number of columns.
    let offset = 7;
    for (let column = 0; column < this.#keys.length; column++) {
      this.#append(this.#keys[column]!);
      const length = message.readInt32BE(offset);
      offset += 4;
      const end = offset + Math.max(length, 0);
      if (this.#arrays[column]) this.#array(message, offset, end, length < 0);
      else if (length < 0) this.#append(NULL);
      else this.#string(message, offset, end);
      offset = end;
    }
    this.#byte(0x7d);
  }

  /** Adds a row with one value, the status row of a command. @throws PgError 54000; what `memory` raises (53200) */
  addValue(value: Buffer): void {
    this.#beginRow();
    this.#append(this.#keys[0]!);
    this.#string(value, 0, value.length);
    this.#byte(0x7d);
  }

  /** Writes the text of an array with one element. Quotes and backslashes are escaped for the array first, then for JSON. */
  #array(source: Buffer, start: number, end: number, isNull: boolean): void {
    if (isNull) {
      this.#append(NULL_ELEMENT);
      return;
    }
    this.#append(ARRAY_OPEN);
    this.#escaped(source, start, end, true);
    this.#append(ARRAY_CLOSE);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  #string(source: Buffer, start: number, end: number): void {
    this.#byte(QUOTE);
    this.#escaped(source, start, end, false);
    this.#byte(QUOTE);
  }

  #escaped(source: Buffer, start: number, end: number, inArray: boolean): void {
    let from = start;
    for (let i = start; i < end; i++) {
      const byte = source[i]!;
      if (SPECIAL[byte] === 0) continue;
      this.#copy(source, from, i);
      if (inArray && (byte === QUOTE || byte === BACKSLASH)) this.#append(ESCAPED_BACKSLASH);
      this.#escape(byte);
      from = i + 1;
    }
    this.#copy(source, from, end);
  }

  #copy(source: Buffer, start: number, end: number): void {
    if (start === end) return;
    this.#reserve(end - start);
    source.copy(this.#buffer, this.#length, start, end);
    this.#length += end - start;
  }

  #escape(byte: number): void {
    this.#reserve(6);
    const out = this.#buffer;
    out[this.#length++] = BACKSLASH;
    const short = byte === QUOTE || byte === BACKSLASH ? byte : SHORT_ESCAPES[byte];
    if (short !== undefined) {
      out[this.#length++] = short;
      return;
    }
    out[this.#length++] = 'u'.charCodeAt(0);
    out[this.#length++] = HEX[0]!;
    out[this.#length++] = HEX[0]!;
    out[this.#length++] = HEX[byte >> 4]!;
    out[this.#length++] = HEX[byte & 15]!;
  }

  /** The complete array. Nothing can be added afterwards. */
  end(): Buffer {
    if (!this.#ended) this.#byte(0x5d);
    this.#ended = true;
    return this.#buffer.subarray(0, this.#length);
  }

  /**
   * Gives the memory back. What `end` returned must not be used afterwards.
   * @param unread whether nobody reads those bytes any more, so that they can be discarded at once
   */
  release(unread: boolean): void {
    if (unread) discard(this.#buffer);
    this.memory?.give(this.#counted);
    this.#counted = 0;
  }
}

function quoted(key: string): string {
  const escaped = key
    .replace(/["\\]/g, (c) => `\\${c}`)
    .replace(/[\x00-\x1f]/g, (c) => `\\u00${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${escaped}"`;
}
