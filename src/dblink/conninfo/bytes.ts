/**
 * Option values are byte strings from the connection string to the startup packet. Convert one with `bytesOf` before sending
 * it, and with `textOf` before showing it or handing a name to the operating system (paths, host names).
 */
export { type ByteString, byteString, bytesOf, textOf } from '../../wire/byteString.js';

/**
 * Whether libpq takes a character for a blank: isspace() of the C locale. JavaScript's \s would also match 0xA0, which
 * can be a byte of a letter.
 */
export function isBlank(char: string | undefined): boolean {
  return char === ' ' || (char !== undefined && char.length === 1 && char >= '\t' && char <= '\r');
}
