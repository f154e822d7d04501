import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import { behindDigits, DOT, isDigit, isWord, MINUS_SIGN, numberIn, PLUS_SIGN, ZERO } from './ascii.js';

const NAN = Buffer.from('NaN');
const INFINITY = Buffer.from('Infinity');
const EXPONENT = 0x65;

/** An integer as every server writes it: no leading zeros, no plus. @param max the largest one, whose successor the smallest is */
export function integer(max: string): ValueCheck {
  const digits = Buffer.from(max, 'latin1');
  const last = digits.length - 1;
  return (bytes, start, end) => {
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
  };
}

/** Where the integer digits, the fraction's and the exponent of a number end; set by `readNumber`. */
const number = { digitsFrom: 0, point: 0, mantissaEnd: 0, exponent: 0 };

/** Reads `-12.34e+5`. @returns whether the text is a number to its end */
function readNumber(bytes: Buffer, start: number, end: number): boolean {
  const from = bytes[start] === MINUS_SIGN ? start + 1 : start;
  let at = behindDigits(bytes, from, end);
  if (at === from) return false;
  number.digitsFrom = from;
  number.point = at;
  if (bytes[at] === DOT && at < end) {
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

/** Not a number, or an infinite one. */
function isSpecial(bytes: Buffer, start: number, end: number): boolean {
  if (isDigit(bytes[end - 1])) return false;
  return (
    isWord(bytes, start, end, NAN) ||
    isWord(bytes, bytes[start] === MINUS_SIGN ? start + 1 : start, end, INFINITY)
  );
}

/** Numbers with no more digits than this, and a smaller exponent, are in the range of both types. */
const SURE_DIGITS = 17;
const SURE_EXPONENT = 20;

/** @param round to the type's precision */
function float(round: (value: number) => number): ValueCheck {
  return (bytes, start, end) => {
    if (isSpecial(bytes, start, end)) return true;
    if (!readNumber(bytes, start, end)) return false;
    const sure =
      number.mantissaEnd - number.digitsFrom <= SURE_DIGITS && Math.abs(number.exponent) <= SURE_EXPONENT;
    if (sure) return true;
    const text = bytes.toString('latin1', start, end);
    const value = round(Number(text));
    if (!Number.isFinite(value)) return false;
    return value !== 0 || !/[1-9]/.test(text.slice(0, number.mantissaEnd - start));
  };
}

export const float4 = float(Math.fround);
export const float8 = float((value) => value);

/** Most digits before and behind the point (PostgreSQL documentation, "Numeric Types"). */
const MAX_INTEGER_DIGITS = 131_072;
const MAX_FRACTION_DIGITS = 16_383;
/** What a type modifier has added to it. */
const VARHDRSZ = 4;

/** A numeric, which is never written with an exponent. @param typmod precision and scale */
export function numeric(typmod: number): ValueCheck {
  const limited = typmod >= VARHDRSZ;
  const precision = ((typmod - VARHDRSZ) >> 16) & 0xffff;
  // Eleven bits with a sign, since PostgreSQL 15.
  const scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
  return (bytes, start, end) => {
    if (isSpecial(bytes, start, end)) return !limited || isWord(bytes, start, end, NAN);
    if (!readNumber(bytes, start, end) || number.mantissaEnd !== end) return false;
    const { digitsFrom, point } = number;
    const digits = bytes[digitsFrom] === ZERO ? 0 : point - digitsFrom;
    if (digits === 0 && point - digitsFrom > 1) return false;
    const fraction = Math.max(end - point - 1, 0);
    if (!limited) return digits <= MAX_INTEGER_DIGITS && fraction <= MAX_FRACTION_DIGITS;
    return digits <= Math.max(precision - scale, 0) && fraction === Math.max(scale, 0);
  };
}
