/**
 * Option values are byte strings from the connection string to the startup packet. Convert one with `bytesOf` before sending
 * it, and with `textOf` before showing it or handing a name to the operating system (paths, host names).
 */
export { type ByteString, byteString, bytesOf, textOf } from '../../wire/byteString.js';

/** isspace() of the C locale: what libpq calls a blank. JavaScript's \s would also take 0xA0, a letter's byte. */
export function isBlank(char: string | undefined): boolean {
  return char === ' ' || (char !== undefined && char.length === 1 && char >= '\t' && char <= '\r');
}
