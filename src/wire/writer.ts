/**
 * Writes a protocol message, or several in a row. The calls read like the protocol's documentation:
 * `new MessageWriter(Frontend.bind).cstring('').cstring('s1').int16(0).end()`.
 */
export class MessageWriter {
  #buffer: Buffer;
  #length: number;
  #start: number;

  /**
   * @param type the message's type byte; undefined for a startup packet, SSLRequest or CancelRequest, which have none
   * @param expectedBytes length of the fields; the buffer grows when it is not enough
   */
  constructor(type?: number, expectedBytes = 128) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes + 5);
    this.#length = 0;
    if (type !== undefined) this.#buffer[this.#length++] = type;
    this.#start = this.#length;
    this.#length += 4;
  }

  /** A writer for several messages in a row. Each of them is begun with `next`. */
  static several(expectedBytes: number): MessageWriter {
    const writer = new MessageWriter(undefined, expectedBytes);
    writer.#start = -1;
    writer.#length = 0;
    return writer;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  int16(value: number): this {
    this.#reserve(2);
    // Counts go up to 65535 on the wire, unsigned, although the documentation says Int16.
    this.#length = this.#buffer.writeUInt16BE(value & 0xffff, this.#length);
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(value | 0, this.#length);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** A zero-terminated string. @param encoding of a `value` that is a string */
  cstring(value: string | Uint8Array, encoding: 'utf8' | 'latin1' = 'utf8'): this {
    return this.bytes(typeof value === 'string' ? Buffer.from(value, encoding) : value).byte(0);
  }

  /** A value with its length in front (Bind parameters, DataRow columns). Null is written as the length −1. */
  value(value: Uint8Array | null): this {
    return value === null ? this.int32(-1) : this.int32(value.length).bytes(value);
  }

  /** Ends the present message, if there is one, and begins another. */
  next(type: number): this {
    this.#close();
    this.byte(type);
    this.#start = this.#length;
    return this.int32(0);
  }

  /** The finished message or messages, with their lengths filled in. */
  end(): Buffer {
    this.#close();
    return this.#buffer.subarray(0, this.#length);
  }

  #close(): void {
    if (this.#start >= 0) this.#buffer.writeInt32BE(this.#length - this.#start, this.#start);
  }
}
