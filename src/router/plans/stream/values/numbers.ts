import type { ValueCheck } from '../../../../dblink/remote/valueCheck.js';
import { behindDigits, DOT, isDigit, isWord, MINUS_SIGN, numberIn, PLUS_SIGN, ZERO } from './ascii.js';
import { bounded, SHORT_BYTES } from './check.js';

const NAN = Buffer.from('NaN');
const INFINITY = Buffer.from('Infinity');
const EXPONENT = 0x65;

/** An integer as every server writes it: no leading zeros, no plus. @param max the largest one; the smallest is one further from 0 */
export function integer(max: string): ValueCheck {
  const digits = Buffer.from(max, 'latin1');
  const last = digits.length - 1;
  return bounded(SHORT_BYTES, (bytes, start, end) => {
    const negative = bytes[start] === MINUS_SIGN;
    const from = negative ? start + 1 : start;
    const length = end - from;
    if (length < 1 || length > digits.length || behindDigits(bytes, from, end) !== end) return false;
    if (bytes[from] === ZERO) return length === 1 && !negative;
    if (length < digits.length) return true;
    for (let i = 0; i < last; i++) {
      if (bytes[from + i] !== digits[i]) return bytes[from + i]! < digits[i]!;
    }
    return bytes[end - 1]! <= digits[last]! + (negative ? 1 : 0);
  });
}

/** Where the parts of a number are; set by `readNumber`. */
const number = { digitsFrom: 0, point: 0, mantissaEnd: 0, exponent: 0 };

/** Reads `-12.34e+5`. @returns whether the text is a number to its end */
function readNumber(bytes: Buffer, start: number, end: number): boolean {
  const from = bytes[start] === MINUS_SIGN ? start + 1 : start;
  let at = behindDigits(bytes, from, end);
  if (at === from) return false;
  number.digitsFrom = from;
  number.point = at;
  if (at < end && bytes[at] === DOT) {
    const fraction = at + 1;
    at = behindDigits(bytes, fraction, end);
    if (at === fraction) return false;
  }
  number.mantissaEnd = at;
  number.exponent = 0;
  if (at === end) return true;
  if (bytes[at] !== EXPONENT) return false;
  at++;
  const negative = bytes[at] === MINUS_SIGN;
  if (at < end && (negative || bytes[at] === PLUS_SIGN)) at++;
  const digits = end - at;
  if (digits < 1 || digits > 4 || behindDigits(bytes, at, end) !== end) return false;
  number.exponent = negative ? -numberIn(bytes, at, end) : numberIn(bytes, at, end);
  return true;
}

const isNotANumber = (bytes: Buffer, start: number, end: number): boolean => isWord(bytes, start, end, NAN);
const isInfinite = (bytes: Buffer, start: number, end: number): boolean =>
  isWord(bytes, bytes[start] === MINUS_SIGN ? start + 1 : start, end, INFINITY);

/** The first digit that is not zero of the number that was read; its mantissa's end if it is zero. */
function firstDigit(bytes: Buffer): number {
  let at = number.digitsFrom;
  while (at < number.mantissaEnd && (bytes[at] === ZERO || bytes[at] === DOT)) at++;
  return at;
}

/** Compares the digits of the number that was read, from its first one on, with others. @returns negative, 0, positive */
function compareDigits(bytes: Buffer, first: number, digits: Buffer): number {
  let at = first;
  for (const digit of digits) {
    if (at < number.mantissaEnd && bytes[at] === DOT) at++;
    const own = at < number.mantissaEnd ? bytes[at++]! : ZERO;
    if (own !== digit) return own - digit;
  }
  for (; at < number.mantissaEnd; at++) if (bytes[at] !== DOT && bytes[at] !== ZERO) return 1;
  return 0;
}

/** A limit of a type: a digit before the point, the others behind it, times ten to the power of `order`. */
interface Limit {
  readonly digits: Buffer;
  readonly order: number;
}

function float(largest: Limit, smallest: Limit): ValueCheck {
  return bounded(SHORT_BYTES, (bytes, start, end) => {
    if (!isDigit(bytes[end - 1])) return isNotANumber(bytes, start, end) || isInfinite(bytes, start, end);
    if (!readNumber(bytes, start, end)) return false;
    const { point, mantissaEnd, exponent } = number;
    const first = firstDigit(bytes);
    if (first === mantissaEnd) return true;
    const order = exponent + (first < point ? point - first - 1 : point - first);
    if (order > largest.order || order < smallest.order) return false;
    if (order === largest.order) return compareDigits(bytes, first, largest.digits) <= 0;
    return order > smallest.order || compareDigits(bytes, first, smallest.digits) >= 0;
  });
}

const limit = (digits: string, order: number): Limit => ({ digits: Buffer.from(digits, 'latin1'), order });

export const float4 = float(limit('34028235', 38), limit('1', -45));
export const float8 = float(limit('17976931348623157', 308), limit('5', -324));

/** Most digits before and behind the point (PostgreSQL documentation, "Numeric Types"). */
const MAX_INTEGER_DIGITS = 131_072;
const MAX_FRACTION_DIGITS = 16_383;
const MAX_NUMERIC_BYTES = MAX_INTEGER_DIGITS + MAX_FRACTION_DIGITS + 2;
/** What a type modifier has added to it. */
const VARHDRSZ = 4;
/** The first server that knows infinite ones. */
const INFINITE_NUMERICS = 140000;

/**
 * A numeric, which is never written with an exponent.
 * @param typmod precision and scale @param version of the server that is to know it
 * @returns undefined where the scale is negative or larger than the precision
 */
export function numeric(typmod: number, version: number): ValueCheck | undefined {
  const limited = typmod >= VARHDRSZ;
  const precision = limited ? ((typmod - VARHDRSZ) >> 16) & 0xffff : MAX_INTEGER_DIGITS + MAX_FRACTION_DIGITS;
  // Eleven bits with a sign, since PostgreSQL 15.
  const scale = limited ? (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024 : MAX_FRACTION_DIGITS;
  if (scale < 0 || scale > precision) return undefined;
  return bounded(MAX_NUMERIC_BYTES, (bytes, start, end) => {
    if (!isDigit(bytes[end - 1])) {
      if (isNotANumber(bytes, start, end)) return true;
      return !limited && version >= INFINITE_NUMERICS && isInfinite(bytes, start, end);
    }
    if (!readNumber(bytes, start, end) || number.mantissaEnd !== end) return false;
    const { digitsFrom, point } = number;
    const leadingZero = bytes[digitsFrom] === ZERO;
    if (leadingZero && point - digitsFrom > 1) return false;
    const digits = leadingZero ? 0 : point - digitsFrom;
    const fraction = Math.max(end - point - 1, 0);
    return digits <= precision - scale && (limited ? fraction === scale : fraction <= scale);
  });
}
