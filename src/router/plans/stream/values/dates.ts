import type { ValueCheck } from '../../../../dblink/remote/valueCheck.js';
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
import { bounded, SHORT_BYTES } from './check.js';

/** Dates and times as servers write them under DateStyle ISO (PostgreSQL documentation, "Date/Time Output"). */

const BC = Buffer.from(' BC');
const INFINITY = Buffer.from('infinity');

const DAYS: readonly number[] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** The parts of what was read last. */
const read = { year: 0, month: 0, day: 0, seconds: 0, hasFraction: false, offset: 0 };

/** Whether there is such a day in any year of the calendar. @param bc the year is one before Christ */
function isDay({ year, month, day }: typeof read, bc: boolean): boolean {
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > DAYS[month]!) return false;
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
function behindDate(bytes: Buffer, start: number, end: number, bc: boolean): number {
  const year = behindDigits(bytes, start, end);
  if (year - start < 4 || year - start > 7 || year >= end || bytes[year] !== MINUS_SIGN) return -1;
  const month = behindExactly(bytes, year + 1, end, 2);
  if (month < 0 || month >= end || bytes[month] !== MINUS_SIGN) return -1;
  const day = behindExactly(bytes, month + 1, end, 2);
  if (day < 0) return -1;
  read.year = numberIn(bytes, start, year);
  read.month = numberIn(bytes, year + 1, month);
  read.day = numberIn(bytes, month + 1, day);
  return isDay(read, bc) ? day : -1;
}

/** Digits of a second's fraction where no type modifier says how many. */
const ALL_DIGITS = 6;
const DAY_SECONDS = 86_400;

/** @param typmod the most digits of the fraction @returns the place behind `23:59:59.999`; -1 if there is no such time */
function behindTime(bytes: Buffer, start: number, end: number, typmod: number): number {
  const hours = behindExactly(bytes, start, end, 2);
  if (hours < 0 || hours >= end || bytes[hours] !== COLON) return -1;
  const minutes = behindExactly(bytes, hours + 1, end, 2);
  if (minutes < 0 || minutes >= end || bytes[minutes] !== COLON) return -1;
  const seconds = behindExactly(bytes, minutes + 1, end, 2);
  if (seconds < 0) return -1;
  let at = seconds;
  read.hasFraction = at < end && bytes[at] === DOT;
  if (read.hasFraction) {
    at = behindDigits(bytes, at + 1, end);
    const digits = at - seconds - 1;
    if (digits < 1 || digits > (typmod < 0 ? ALL_DIGITS : typmod)) return -1;
  }
  const hour = numberIn(bytes, start, hours);
  const minute = numberIn(bytes, hours + 1, minutes);
  const second = numberIn(bytes, minutes + 1, seconds);
  read.seconds = (hour * 60 + minute) * 60 + second;
  return minute < 60 && second < 60 && (hour < 24 || (read.seconds === DAY_SECONDS && !read.hasFraction))
    ? at
    : -1;
}

/** The largest offset from UTC, in hours. */
const MAX_OFFSET_HOURS = 15;

/** @returns the place behind `+05`, `+05:30` or `+05:30:15`; -1 if there is no such offset */
function behindOffset(bytes: Buffer, start: number, end: number): number {
  if (start >= end || (bytes[start] !== PLUS_SIGN && bytes[start] !== MINUS_SIGN)) return -1;
  let at = behindExactly(bytes, start + 1, end, 2);
  if (at < 0 || numberIn(bytes, start + 1, at) > MAX_OFFSET_HOURS) return -1;
  let offset = numberIn(bytes, start + 1, at) * 3600;
  for (let unit = 60; unit > 0 && at < end && bytes[at] === COLON; unit = Math.floor(unit / 60)) {
    const next = behindExactly(bytes, at + 1, end, 2);
    const part = next < 0 ? 60 : numberIn(bytes, at + 1, next);
    if (part > 59) return -1;
    offset += part * unit;
    at = next;
  }
  read.offset = bytes[start] === MINUS_SIGN ? -offset : offset;
  return at;
}

/** The limits of the types (PostgreSQL documentation, "Date/Time Types"). The first day is the same for all. */
const FIRST = { year: 4714, day: 1124 };
const LAST_DATE = 5_874_897;
const LAST_TIMESTAMP = 294_276;

const dayOfYear = (): number => read.month * 100 + read.day;

/** Whether the day that was read is not before the first one. */
const isAfterFirst = (bc: boolean): boolean =>
  !bc || read.year < FIRST.year || (read.year === FIRST.year && dayOfYear() >= FIRST.day);

/** The same for the time that was read, in UTC. The text has the local time, which may be that of a day further. */
function isTimestamp(bc: boolean): boolean {
  const utc = read.seconds - read.offset;
  if (bc) {
    const before = read.year === FIRST.year && dayOfYear() === FIRST.day - 1;
    if (before) return utc >= DAY_SECONDS;
    return isAfterFirst(bc) && (read.year < FIRST.year || dayOfYear() > FIRST.day || utc >= 0);
  }
  if (read.year > LAST_TIMESTAMP) return read.year === LAST_TIMESTAMP + 1 && dayOfYear() === 101 && utc < 0;
  return read.year < LAST_TIMESTAMP || dayOfYear() < 1231 || utc < DAY_SECONDS;
}

export const date = bounded(SHORT_BYTES, (bytes, start, end) => {
  if (isInfinity(bytes, start, end)) return true;
  const bc = endsWith(bytes, start, end, BC);
  const last = bc ? end - BC.length : end;
  return behindDate(bytes, start, last, bc) === last && isAfterFirst(bc) && read.year <= LAST_DATE;
});

/** @param typmod the most digits of the fraction, -1 for six */
export const timestamp = (typmod: number, zoned: boolean): ValueCheck =>
  bounded(SHORT_BYTES, (bytes, start, end) => {
    if (isInfinity(bytes, start, end)) return true;
    const bc = endsWith(bytes, start, end, BC);
    const last = bc ? end - BC.length : end;
    let at = behindDate(bytes, start, last, bc);
    if (at < 0 || at >= last || bytes[at] !== BLANK) return false;
    at = behindTime(bytes, at + 1, last, typmod);
    // That would be the next day's midnight.
    if (read.seconds === DAY_SECONDS) return false;
    read.offset = 0;
    if (at >= 0 && zoned) at = behindOffset(bytes, at, last);
    return at === last && isTimestamp(bc);
  });

export const time = (typmod: number, zoned: boolean): ValueCheck =>
  bounded(SHORT_BYTES, (bytes, start, end) => {
    let at = behindTime(bytes, start, end, typmod);
    if (at >= 0 && zoned) at = behindOffset(bytes, at, end);
    return at === end;
  });
