import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import { isInfinity } from './dates.js';

/** Intervals as servers write them, by IntervalStyle (PostgreSQL documentation, "Interval Output"). The fields are few and short. */

/** The parts of an interval, of which a server holds three: months, days and microseconds. */
interface Parts {
  years?: string | undefined;
  months?: string | undefined;
  days?: string | undefined;
  hours?: string | undefined;
  /** Less than sixty of each, unless the hours are left out. */
  minutes?: string | undefined;
  seconds?: string | undefined;
}

const WHOLE = /^[+-]?\d{1,10}$/;
const SECONDS = /^[+-]?\d{1,13}(?:\.\d{1,6})?$/;
const CLOCK = /^([+-]?\d{1,10}):([0-5]\d):([0-5]\d(?:\.\d{1,6})?)$/;
const YEARS_AND_MONTHS = /^([+-]?\d{1,9})-(\d|1[01])$/;
const ISO =
  /^P(?!$)(?:(-?\d{1,9})Y)?(?:(-?\d{1,10})M)?(?:(-?\d{1,10})D)?(?:T(?!$)(?:(-?\d{1,10})H)?(?:(-?\d{1,10})M)?(?:(-?\d{1,13}(?:\.\d{1,6})?)S)?)?$/;

const MAX_INT32 = 2 ** 31 - 1;
/** 2^63 microseconds. */
const MAX_SECONDS = 9_223_372_036_854;

const size = (text: string | undefined): number => Math.abs(Number(text ?? 0));

/** Whether the parts are numbers, and together in the range of the type. */
function inRange({ years, months, days, hours, minutes, seconds }: Parts): boolean {
  const all = [years, months, days, hours, minutes].every((part) => part === undefined || WHOLE.test(part));
  if (!all || (seconds !== undefined && !SECONDS.test(seconds))) return false;
  return (
    size(years) * 12 + size(months) <= MAX_INT32 &&
    size(days) <= MAX_INT32 &&
    size(hours) * 3600 + size(minutes) * 60 + size(seconds) <= MAX_SECONDS
  );
}

const UNITS: Readonly<Record<string, keyof Parts>> = {
  year: 'years',
  mon: 'months',
  day: 'days',
  hour: 'hours',
  min: 'minutes',
  sec: 'seconds',
};
const ORDER = Object.values(UNITS);

/** Reads `1 year 2 mons`, in this order, from the front of the words. @returns how many words they are; -1 for anything else */
function readUnits(words: readonly string[], parts: Parts): number {
  let read = 0;
  let last = -1;
  for (; read + 1 < words.length; read += 2) {
    const unit = UNITS[words[read + 1]!.replace(/s$/, '')];
    if (unit === undefined) break;
    const place = ORDER.indexOf(unit);
    if (place <= last) return -1;
    last = place;
    parts[unit] = words[read]!;
  }
  return read;
}

function readClock(text: string, parts: Parts): boolean {
  const match = CLOCK.exec(text);
  if (match === null) return false;
  [, parts.hours, parts.minutes, parts.seconds] = match;
  return true;
}

/** `1 year 2 mons -3 days +04:05:06.7` */
function postgres(text: string): Parts | undefined {
  const words = text.split(' ');
  const parts: Parts = {};
  const read = readUnits(words, parts);
  if (read < 0 || parts.hours !== undefined || parts.minutes !== undefined || parts.seconds !== undefined) {
    return undefined;
  }
  if (read === words.length) return parts;
  return read === words.length - 1 && readClock(words[read]!, parts) ? parts : undefined;
}

/** `@ 1 year 2 mons 3 days 4 hours 5 mins 6.7 secs ago` */
function verbose(text: string): Parts | undefined {
  const [sign, ...words] = text.split(' ');
  if (sign !== '@' || words.length === 0) return undefined;
  if (words.length === 1 && words[0] === '0') return {};
  if (words.at(-1) === 'ago') words.pop();
  const parts: Parts = {};
  return words.length > 0 && readUnits(words, parts) === words.length ? parts : undefined;
}

/** `0`, `1-2`, `3 4:05:06.7`, `+1-2 -3 +4:05:06.7` */
function sqlStandard(text: string): Parts | undefined {
  const words = text.split(' ');
  const parts: Parts = {};
  const match = YEARS_AND_MONTHS.exec(words[0]!);
  if (match !== null) [, parts.years, parts.months] = match;
  let read = match === null ? 0 : 1;
  const days = words[read];
  if (days !== undefined && WHOLE.test(days)) {
    parts.days = days;
    read++;
  }
  if (read === words.length - 1 && readClock(words[read]!, parts)) read++;
  return read === words.length ? parts : undefined;
}

/** `P1Y2M3DT4H5M6.7S` */
function iso(text: string): Parts | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [, years, months, days, hours, minutes, seconds] = match;
  return { years, months, days, hours, minutes, seconds };
}

const READERS: Readonly<Record<string, (text: string) => Parts | undefined>> = {
  postgres,
  postgres_verbose: verbose,
  sql_standard: sqlStandard,
  iso_8601: iso,
};

const MAX_LENGTH = 200;

/** @returns undefined for a style that is not known */
export function interval(intervalStyle: string): ValueCheck | undefined {
  const read = READERS[intervalStyle];
  if (read === undefined) return undefined;
  return (bytes, start, end) => {
    if (isInfinity(bytes, start, end)) return true;
    if (end - start > MAX_LENGTH) return false;
    const parts = read(bytes.toString('latin1', start, end));
    return parts !== undefined && inRange(parts);
  };
}
