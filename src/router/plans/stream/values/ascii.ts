/** Bytes of ASCII text, and how to read digits, without making strings. */

export const NUL = 0x00;
export const BLANK = 0x20;
export const QUOTE = 0x22;
export const PLUS_SIGN = 0x2b;
export const COMMA = 0x2c;
export const MINUS_SIGN = 0x2d;
export const DOT = 0x2e;
export const COLON = 0x3a;
export const ZERO = 0x30;
export const BACKSLASH = 0x5c;

export const isDigit = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= 0x30 && byte <= 0x39;

export const isHexDigit = (byte: number | undefined): boolean =>
  isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);

/** The first place from `start` on that is no digit, at most `end`. */
export function behindDigits(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && isDigit(bytes[at])) at++;
  return at;
}

/** The number that these digits are. */
export function numberIn(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) value = value * 10 + bytes[at]! - ZERO;
  return value;
}

/** Whether the bytes from `start` on are this word, and it ends at `end`. */
export function isWord(bytes: Buffer, start: number, end: number, word: Buffer): boolean {
  if (end - start !== word.length) return false;
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word[i]) return false;
  return true;
}

/** Whether the text ends with this word. */
export const endsWith = (bytes: Buffer, start: number, end: number, word: Buffer): boolean =>
  end - start >= word.length && isWord(bytes, end - word.length, end, word);
