/**
 * A string that holds one byte per character (latin1). Clients and servers send text in encodings of their own. In this form
 * names, options and messages leave the proxy as the same bytes that came in. Decoding them and encoding them again would
 * change text in LATIN1, EUC_JP or broken UTF-8. Everything that can become part of a message to a user is such a string
 * (see ErrorFields).
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
