import type { ValueCheck } from '../../../../dblink/remote/valueCheck.js';
import { BLANK, behindDigits, COLON, DOT, isWord, MINUS_SIGN, numberIn, PLUS_SIGN } from './ascii.js';
import { bounded, SHORT_BYTES } from './check.js';
import { isInfinity } from './dates.js';

/** Intervals as servers write them under IntervalStyle postgres: `1 year 2 mons -3 days +04:05:06.7`. */

/** In this order; the first ones have a plural. */
const UNITS = ['year', 'mon', 'day'].map((name) => ({
  one: Buffer.from(name),
  many: Buffer.from(`${name}s`),
}));
const DAY = 2;

const MAX_INT32 = 2 ** 31 - 1;
const MONTHS = 12;
/** 2^63 microseconds: the seconds, and the digits behind the point. */
const MAX_SECONDS = 9_223_372_036_854;
const MAX_MICROSECONDS = 775_807;

const isSigned = (byte: number | undefined): boolean => byte === MINUS_SIGN || byte === PLUS_SIGN;

/** Whether a number is in the range of an integer of four bytes, which is one larger below zero. */
const fits = (size: number, negative: boolean): boolean => size <= MAX_INT32 + (negative ? 1 : 0);

/** Reads `04:05:06.789`, the hours with two digits or more. @returns whether it is a time, to its end, and in range */
function isClock(bytes: Buffer, start: number, end: number, negative: boolean): boolean {
  const hours = behindDigits(bytes, start, end);
  if (hours - start < 2 || hours - start > 10 || end - hours < 6) return false;
  const minutes = hours + 3;
  const seconds = minutes + 3;
  if (bytes[hours] !== COLON || bytes[minutes] !== COLON) return false;
  if (behindDigits(bytes, hours + 1, minutes) !== minutes) return false;
  if (behindDigits(bytes, minutes + 1, seconds) !== seconds) return false;
  const [minute, second] = [numberIn(bytes, hours + 1, minutes), numberIn(bytes, minutes + 1, seconds)];
  if (minute > 59 || second > 59) return false;
  let microseconds = 0;
  if (seconds < end) {
    const digits = end - seconds - 1;
    if (bytes[seconds] !== DOT || digits < 1 || digits > 6) return false;
    if (behindDigits(bytes, seconds + 1, end) !== end) return false;
    microseconds = numberIn(bytes, seconds + 1, end) * 10 ** (6 - digits);
  }
  const total = (numberIn(bytes, start, hours) * 60 + minute) * 60 + second;
  return (
    total < MAX_SECONDS || (total === MAX_SECONDS && microseconds <= MAX_MICROSECONDS + (negative ? 1 : 0))
  );
}

/** The first server that knows infinite ones. */
const INFINITE_INTERVALS = 170000;

/** @param version of the server that is to know it */
export const interval = (version: number): ValueCheck =>
  bounded(SHORT_BYTES, (bytes, start, end) => {
    if (isInfinity(bytes, start, end)) return version >= INFINITE_INTERVALS;
    let at = start;
    let unit = 0;
    let months = 0;
    while (at < end) {
      const negative = bytes[at] === MINUS_SIGN;
      const digits = isSigned(bytes[at]) ? at + 1 : at;
      const behind = behindDigits(bytes, digits, end);
      if (behind === digits || behind - digits > 10 || behind >= end) return false;
      if (bytes[behind] !== BLANK) return isClock(bytes, digits, end, negative);
      let wordEnd = behind + 1;
      while (wordEnd < end && bytes[wordEnd] !== BLANK) wordEnd++;
      while (unit < UNITS.length && !isUnit(bytes, behind + 1, wordEnd, unit)) unit++;
      if (unit === UNITS.length) return false;
      const size = numberIn(bytes, digits, behind);
      if (unit < DAY) months += unit === 0 ? size * MONTHS : size;
      if (!fits(unit < DAY ? months : size, negative)) return false;
      unit++;
      if (wordEnd === end) return true;
      at = wordEnd + 1;
    }
    return false;
  });

const isUnit = (bytes: Buffer, start: number, end: number, unit: number): boolean =>
  isWord(bytes, start, end, UNITS[unit]!.one) || isWord(bytes, start, end, UNITS[unit]!.many);
