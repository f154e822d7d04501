import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import {
  BACKSLASH,
  BLANK,
  behindDigits,
  COLON,
  COMMA,
  DOT,
  isHexDigit,
  isWord,
  MINUS_SIGN,
  PLUS_SIGN,
  QUOTE,
  ZERO,
} from './ascii.js';

/**
 * Whether a text is JSON (RFC 8259), read byte by byte without making anything of it. In the encodings that a database can have no
 * byte of a longer character is an ASCII one.
 */

const OPEN_OBJECT = 0x7b;
const OPEN_ARRAY = 0x5b;
/** From a bracket to the one that closes it. */
const CLOSES = 2;
const U = 0x75;

/** What may stand behind a backslash, besides `u`. */
const ESCAPED: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'));
const WORDS: ReadonlyMap<number, Buffer> = new Map(
  ['true', 'false', 'null'].map((word) => [word.charCodeAt(0), Buffer.from(word)]),
);

/** The server gives up sooner, since its stack is limited. */
const MAX_DEPTH = 8192;
/** Which brackets are open, the outermost first. */
const open = new Uint8Array(MAX_DEPTH);

function behindBlanks(bytes: Buffer, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte !== BLANK && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
  }
  return at;
}

/** @param start of the quotation mark @returns the place behind the closing one; -1 if it is no string */
function behindString(bytes: Buffer, start: number, end: number, stored: boolean): number {
  for (let at = start + 1; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) return at + 1;
    if (byte < BLANK) return -1;
    if (byte !== BACKSLASH) continue;
    at++;
    if (at >= end) return -1;
    if (bytes[at] === U) {
      if (at + 4 >= end) return -1;
      for (let i = 1; i <= 4; i++) if (!isHexDigit(bytes[at + i])) return -1;
      // jsonb is written so only for control characters, and never holds NUL.
      if (stored && !isControl(bytes, at + 1)) return -1;
      at += 4;
    } else if (!ESCAPED.has(bytes[at]!)) return -1;
  }
  return -1;
}

const isControl = (bytes: Buffer, at: number): boolean => {
  if (bytes[at] !== ZERO || bytes[at + 1] !== ZERO) return false;
  return bytes[at + 2] === ZERO + 1 || (bytes[at + 2] === ZERO && bytes[at + 3] !== ZERO);
};

/** @returns the place behind the number; -1 if it is none */
function behindNumber(bytes: Buffer, start: number, end: number, stored: boolean): number {
  const from = bytes[start] === MINUS_SIGN ? start + 1 : start;
  let at = behindDigits(bytes, from, end);
  if (at === from || (bytes[from] === ZERO && at > from + 1)) return -1;
  if (at < end && bytes[at] === DOT) {
    const fraction = at + 1;
    at = behindDigits(bytes, fraction, end);
    if (at === fraction) return -1;
  }
  if (at < end && (bytes[at]! | 0x20) === 0x65) {
    if (stored) return -1;
    at++;
    if (at < end && (bytes[at] === PLUS_SIGN || bytes[at] === MINUS_SIGN)) at++;
    const exponent = at;
    at = behindDigits(bytes, exponent, end);
    if (at === exponent) return -1;
  }
  return at;
}

function behindScalar(bytes: Buffer, start: number, end: number, stored: boolean): number {
  const byte = bytes[start]!;
  if (byte === QUOTE) return behindString(bytes, start, end, stored);
  const word = WORDS.get(byte);
  if (word === undefined) return behindNumber(bytes, start, end, stored);
  const behind = start + word.length;
  return behind <= end && isWord(bytes, start, behind, word) ? behind : -1;
}

/** Reads `"key" :` @returns the place behind it; -1 if it is none */
function behindKey(bytes: Buffer, start: number, end: number, stored: boolean): number {
  if (start >= end || bytes[start] !== QUOTE) return -1;
  const key = behindString(bytes, start, end, stored);
  if (key < 0) return -1;
  const colon = behindBlanks(bytes, key, end);
  return colon < end && bytes[colon] === COLON ? behindBlanks(bytes, colon + 1, end) : -1;
}

/** @param stored whether it is jsonb, which is written more strictly than json may be */
const jsonCheck =
  (stored: boolean): ValueCheck =>
  (bytes, start, end) => {
    let depth = 0;
    let at = behindBlanks(bytes, start, end);
    for (;;) {
      // Here a value begins.
      if (at >= end) return false;
      const byte = bytes[at]!;
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        if (depth === MAX_DEPTH) return false;
        open[depth++] = byte;
        at = behindBlanks(bytes, at + 1, end);
        const empty = at < end && bytes[at] === byte + CLOSES;
        if (!empty) {
          if (byte === OPEN_OBJECT) at = behindKey(bytes, at, end, stored);
          if (at < 0) return false;
          continue;
        }
      } else {
        at = behindScalar(bytes, at, end, stored);
        if (at < 0) return false;
      }
      // Here a value has ended, or an empty bracket is to be closed.
      for (;;) {
        at = behindBlanks(bytes, at, end);
        if (depth === 0) return at === end;
        if (at >= end) return false;
        const outer = open[depth - 1]!;
        const next = bytes[at]!;
        at++;
        if (next === outer + CLOSES) {
          depth--;
          continue;
        }
        if (next !== COMMA) return false;
        at = behindBlanks(bytes, at, end);
        if (outer === OPEN_OBJECT) at = behindKey(bytes, at, end, stored);
        if (at < 0) return false;
        break;
      }
    }
  };

export const json = jsonCheck(false);
export const jsonb = jsonCheck(true);
