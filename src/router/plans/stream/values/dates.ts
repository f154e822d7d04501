import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import {
  BLANK,
  behindDigits,
  COLON,
  DOT,
  endsWith,
  isWord,
  MINUS_SIGN,
  numberIn,
  PLUS_SIGN,
} from './ascii.js';

/** Dates and times as servers write them under DateStyle ISO. What other styles have is in otherStyles.ts. */

const BC = Buffer.from(' BC');
const INFINITY = Buffer.from('infinity');

/** How far years go (PostgreSQL documentation, "Date/Time Types"), and whether they are counted before Christ. */
interface Era {
  readonly bc: boolean;
  readonly last: number;
}

const BEFORE_CHRIST: Era = { bc: true, last: 4714 };
const OF_DATES: Era = { bc: false, last: 5_874_897 };
const OF_TIMESTAMPS: Era = { bc: false, last: 294_276 };

/** @param timed the day is that of a timestamp */
export const eraOf = (timed: boolean, bc: boolean): Era =>
  bc ? BEFORE_CHRIST : timed ? OF_TIMESTAMPS : OF_DATES;

const DAYS: readonly number[] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Whether there is such a day. */
export function isDay(year: number, month: number, day: number, { bc, last }: Era): boolean {
  if (year < 1 || year > last || month < 1 || month > 12) return false;
  if (day < 1 || day > DAYS[month]!) return false;
  // The first day is the 24th of November.
  if (bc && year === last && month * 100 + day < 1124) return false;
  const counted = bc ? 1 - year : year;
  return month !== 2 || day < 29 || (counted % 4 === 0 && (counted % 100 !== 0 || counted % 400 === 0));
}

/** Whether the text is `infinity` or `-infinity`. */
export const isInfinity = (bytes: Buffer, start: number, end: number): boolean =>
  isWord(bytes, bytes[start] === MINUS_SIGN ? start + 1 : start, end, INFINITY);

/** @returns the place behind so many digits; -1 if there are fewer, or more */
function behindExactly(bytes: Buffer, start: number, end: number, digits: number): number {
  const at = behindDigits(bytes, start, Math.min(end, start + digits + 1));
  return at - start === digits ? at : -1;
}

/** @returns the place behind `1999-12-31`; -1 if there is no such day */
function behindDate(bytes: Buffer, start: number, end: number, era: Era): number {
  const year = behindDigits(bytes, start, end);
  if (year - start < 4 || year - start > 7 || bytes[year] !== MINUS_SIGN) return -1;
  const month = behindExactly(bytes, year + 1, end, 2);
  if (month < 0 || bytes[month] !== MINUS_SIGN) return -1;
  const day = behindExactly(bytes, month + 1, end, 2);
  if (day < 0) return -1;
  const fits = isDay(
    numberIn(bytes, start, year),
    numberIn(bytes, year + 1, month),
    numberIn(bytes, month + 1, day),
    era,
  );
  return fits ? day : -1;
}

/** Digits of a second's fraction where no type modifier says how many. */
const ALL_DIGITS = 6;

/** @param typmod the most digits of the fraction @returns the place behind `23:59:59.999`; -1 if there is no such time */
function behindTime(bytes: Buffer, start: number, end: number, typmod: number): number {
  const hours = behindExactly(bytes, start, end, 2);
  if (hours < 0 || bytes[hours] !== COLON) return -1;
  const minutes = behindExactly(bytes, hours + 1, end, 2);
  if (minutes < 0 || bytes[minutes] !== COLON) return -1;
  const seconds = behindExactly(bytes, minutes + 1, end, 2);
  if (seconds < 0) return -1;
  let at = seconds;
  if (at < end && bytes[at] === DOT) {
    at = behindDigits(bytes, at + 1, end);
    const digits = at - seconds - 1;
    if (digits < 1 || digits > (typmod < 0 ? ALL_DIGITS : typmod)) return -1;
  }
  const hour = numberIn(bytes, start, hours);
  const minute = numberIn(bytes, hours + 1, minutes);
  const second = numberIn(bytes, minutes + 1, seconds);
  if (hour === 24) return minute === 0 && second === 0 && at === seconds ? at : -1;
  return hour < 24 && minute < 60 && second < 60 ? at : -1;
}

/** The largest offset from UTC, in hours. */
const MAX_OFFSET_HOURS = 15;

/** @returns the place behind `+05`, `+05:30` or `+05:30:15`; -1 if there is no such offset */
function behindOffset(bytes: Buffer, start: number, end: number): number {
  if (start >= end || (bytes[start] !== PLUS_SIGN && bytes[start] !== MINUS_SIGN)) return -1;
  let at = behindExactly(bytes, start + 1, end, 2);
  if (at < 0 || numberIn(bytes, start + 1, at) > MAX_OFFSET_HOURS) return -1;
  for (let parts = 0; parts < 2 && at < end && bytes[at] === COLON; parts++) {
    const next = behindExactly(bytes, at + 1, end, 2);
    if (next < 0 || numberIn(bytes, at + 1, next) > 59) return -1;
    at = next;
  }
  return at;
}

export const date: ValueCheck = (bytes, start, end) => {
  if (isInfinity(bytes, start, end)) return true;
  const bc = endsWith(bytes, start, end, BC);
  const last = bc ? end - BC.length : end;
  return behindDate(bytes, start, last, eraOf(false, bc)) === last;
};

/** @param typmod the most digits of the fraction, -1 for six */
export const timestamp =
  (typmod: number, zoned: boolean): ValueCheck =>
  (bytes, start, end) => {
    if (isInfinity(bytes, start, end)) return true;
    const bc = endsWith(bytes, start, end, BC);
    const last = bc ? end - BC.length : end;
    let at = behindDate(bytes, start, last, eraOf(true, bc));
    if (at < 0 || at >= last || bytes[at] !== BLANK) return false;
    at = behindTime(bytes, at + 1, last, typmod);
    if (at >= 0 && zoned) at = behindOffset(bytes, at, last);
    return at === last;
  };

export const time =
  (typmod: number, zoned: boolean): ValueCheck =>
  (bytes, start, end) => {
    let at = behindTime(bytes, start, end, typmod);
    if (at >= 0 && zoned) at = behindOffset(bytes, at, end);
    return at === end;
  };
