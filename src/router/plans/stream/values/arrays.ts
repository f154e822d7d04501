import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import {
  BACKSLASH,
  BLANK,
  behindDigits,
  COLON,
  COMMA,
  isWord,
  MINUS_SIGN,
  numberIn,
  QUOTE,
} from './ascii.js';

/** Arrays as servers write them (PostgreSQL documentation, "Array Input and Output Syntax"). */

const OPEN = 0x7b;
const CLOSE = 0x7d;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const EQUALS = 0x3d;
const NULL = Buffer.from('NULL');

const MAX_DIMENSIONS = 6;
const UNKNOWN = -1;
/** The number of elements in each dimension, the outermost first. */
const lengths = new Int32Array(MAX_DIMENSIONS);
/** The same as the bounds in front of the array say. */
const announced = new Int32Array(MAX_DIMENSIONS);
/** How many elements the brackets that are open have had so far. */
const counts = new Int32Array(MAX_DIMENSIONS);

/** Reads `[0:1][-2:2]=` into `announced`. @returns the place behind it; -1 if it is none */
function behindBounds(bytes: Buffer, start: number, end: number): number {
  let at = start;
  for (let dimension = 0; at < end && bytes[at] === BRACKET; dimension++) {
    if (dimension === MAX_DIMENSIONS) return -1;
    const lower = behindInteger(bytes, at + 1, end);
    if (lower < 0 || bytes[lower] !== COLON) return -1;
    const upper = behindInteger(bytes, lower + 1, end);
    if (upper < 0 || upper >= end || bytes[upper] !== BRACKET_END) return -1;
    announced[dimension] = signed(bytes, lower + 1, upper) - signed(bytes, at + 1, lower) + 1;
    at = upper + 1;
  }
  return at < end && bytes[at] === EQUALS ? at + 1 : -1;
}

function behindInteger(bytes: Buffer, start: number, end: number): number {
  const from = bytes[start] === MINUS_SIGN ? start + 1 : start;
  const at = behindDigits(bytes, from, end);
  return at === from || at - from > 10 ? -1 : at;
}

const signed = (bytes: Buffer, start: number, end: number): number =>
  bytes[start] === MINUS_SIGN ? -numberIn(bytes, start + 1, end) : numberIn(bytes, start, end);

/** @returns the place of the closing quotation mark; -1 if there is none */
function closing(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH) at++;
  }
  return -1;
}

/** Whether a byte cannot be in an element without quotation marks. */
const mustBeQuoted = (byte: number): boolean =>
  byte === QUOTE || byte === BACKSLASH || byte === OPEN || byte === BLANK || (byte >= 0x09 && byte <= 0x0d);

function behindPlain(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === COMMA || byte === CLOSE) return at;
    if (mustBeQuoted(byte)) return -1;
  }
  return -1;
}

/** The text of a quoted element that has a backslash. */
function withoutBackslashes(quoted: Buffer): Buffer {
  const text = Buffer.allocUnsafe(quoted.length);
  let length = 0;
  for (let at = 0; at < quoted.length; at++) {
    if (quoted[at] === BACKSLASH) at++;
    text[length++] = quoted[at]!;
  }
  return text.subarray(0, length);
}

/** @returns the place behind the element; -1 if it is none of the type */
function behindElement(bytes: Buffer, start: number, end: number, element: ValueCheck): number {
  if (bytes[start] === QUOTE) {
    const from = start + 1;
    const quote = closing(bytes, from, end);
    if (quote < 0) return -1;
    const quoted = bytes.subarray(from, quote);
    if (!quoted.includes(BACKSLASH)) return element(bytes, from, quote) ? quote + 1 : -1;
    const text = withoutBackslashes(quoted);
    return element(text, 0, text.length) ? quote + 1 : -1;
  }
  const at = behindPlain(bytes, start, end);
  if (at <= start) return -1;
  return isWord(bytes, start, at, NULL) || element(bytes, start, at) ? at : -1;
}

/** The brackets that are open are closed: all arrays of a dimension have the same length. */
function closes(depth: number): boolean {
  const length = counts[depth]!;
  if (lengths[depth] === UNKNOWN) lengths[depth] = length;
  return lengths[depth] === length;
}

/** An array of such elements, of up to six dimensions. */
export const arrayOf =
  (element: ValueCheck): ValueCheck =>
  (bytes, start, end) => {
    lengths.fill(UNKNOWN);
    announced.fill(UNKNOWN);
    const bounded = bytes[start] === BRACKET;
    let at = bounded ? behindBounds(bytes, start, end) : start;
    if (at < 0 || end - at < 2 || bytes[at] !== OPEN) return false;
    if (end - at === 2) return !bounded && bytes[at + 1] === CLOSE;
    /** Number of brackets that are open, and of dimensions once an element has come. */
    let depth = 0;
    let dimensions = UNKNOWN;
    for (;;) {
      // Here an element or an array begins.
      if (at >= end) return false;
      if (bytes[at] === OPEN) {
        if (depth === MAX_DIMENSIONS || depth === dimensions) return false;
        counts[depth++] = 0;
        at++;
        continue;
      }
      if (dimensions === UNKNOWN) dimensions = depth;
      if (depth !== dimensions) return false;
      at = behindElement(bytes, at, end, element);
      if (at < 0) return false;
      counts[depth - 1]!++;
      while (at < end && bytes[at] === CLOSE) {
        at++;
        if (!closes(--depth)) return false;
        if (depth > 0) counts[depth - 1]!++;
        else return at === end && (!bounded || lengths.every((length, i) => length === announced[i]));
      }
      if (at >= end || bytes[at] !== COMMA) return false;
      at++;
    }
  };
