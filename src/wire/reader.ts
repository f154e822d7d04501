import { protocolViolation } from './errors.js';

/**
 * Reads the fields of one whole message, one after the other, and never beyond its end. Every method that reads throws
 * PgError 08P01 when the field is not there.
 */
export class MessageReader {
  #offset: number;

  /** @param message a whole message, header included; @param offset where the fields begin */
  constructor(
    readonly message: Buffer,
    offset = 5,
  ) {
    this.#offset = offset;
  }

  /** Where the next field begins in the message. */
  get offset(): number {
    return this.#offset;
  }

  /** How many bytes have not been read. */
  get remaining(): number {
    return this.message.length - this.#offset;
  }

  #need(bytes: number): void {
    if (bytes < 0 || this.remaining < bytes) throw protocolViolation('insufficient data left in message');
  }

  byte(): number {
    this.#need(1);
    return this.message[this.#offset++]!;
  }

  uint16(): number {
    this.#need(2);
    const value = this.message.readUInt16BE(this.#offset);
    this.#offset += 2;
    return value;
  }

  int32(): number {
    this.#need(4);
    const value = this.message.readInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  /** The next bytes, as a view of the message. */
  bytes(length: number): Buffer {
    this.#need(length);
    const value = this.message.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return value;
  }

  /** A zero-terminated string as bytes, without its terminator: a view of the message. */
  cbytes(): Buffer {
    const end = this.message.indexOf(0, this.#offset);
    if (end < 0) throw protocolViolation('invalid string in message');
    const value = this.message.subarray(this.#offset, end);
    this.#offset = end + 1;
    return value;
  }

  /** A zero-terminated string, decoded. With latin1 it is a byte string. */
  cstring(encoding: 'utf8' | 'latin1' = 'utf8'): string {
    return this.cbytes().toString(encoding);
  }

  /** A value with its length in front (Bind parameters, DataRow columns), as a view of the message. Null is SQL NULL. */
  value(): Buffer | null {
    const length = this.int32();
    if (length === -1) return null;
    return this.bytes(length);
  }

  /** Checks that nothing is left over, as PostgreSQL does (pq_getmsgend). @throws PgError 08P01 */
  end(): void {
    if (this.remaining > 0) throw protocolViolation('invalid message format');
  }
}
