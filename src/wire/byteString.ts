/**
 * A string that holds one byte per character (latin1). What comes from clients and servers is bytes in their own encoding: kept in
 * this form, names, options and messages leave as the bytes that they came as. Decoding and encoding again would change those in
 * LATIN1, EUC_JP or broken UTF-8. Everything that can become part of a message to a user is such a string (see ErrorFields).
 */
export type ByteString = string;

/** The byte string of a Buffer (taken as it is) or of ordinary text (encoded as UTF-8). */
export function byteString(value: Buffer | string): ByteString {
  return (typeof value === 'string' ? Buffer.from(value, 'utf8') : value).toString('latin1');
}

/** The bytes of a byte string, for the wire. */
export function bytesOf(value: ByteString): Buffer {
  return Buffer.from(value, 'latin1');
}

/** The byte string read as UTF-8, for messages, paths and host names; invalid sequences become U+FFFD. */
export function textOf(value: ByteString): string {
  return Buffer.from(value, 'latin1').toString('utf8');
}
