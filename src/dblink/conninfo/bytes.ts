/**
 * A string that holds one byte per character (latin1). Option values are kept in this form from the
 * connection string to the startup packet, so that a name in LATIN1, EUC_JP or broken UTF-8 reaches
 * the remote as the bytes that were given; decoding and encoding again would change them.
 *
 * Convert with `bytesOf` before sending and with `textOf` before showing or before handing a name to
 * the operating system (paths, host names).
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

/** isspace() of the C locale: what libpq calls a blank. JavaScript's \s would also take 0xA0, a letter's byte. */
export function isBlank(char: string | undefined): boolean {
  return char === ' ' || (char !== undefined && char.length === 1 && char >= '\t' && char <= '\r');
}
