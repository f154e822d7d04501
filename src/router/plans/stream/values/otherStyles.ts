import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import { eraOf, isDay, isInfinity } from './dates.js';

/**
 * Dates and timestamps under the DateStyles that are not ISO, by regular expressions (PostgreSQL documentation, "Date/Time
 * Output"). They are slower than dates.ts: these styles are rare. With a time zone timestamps have abbreviations there, which
 * another server may not know or understand otherwise.
 */

const TIME = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?';
const WEEKDAY = '(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)';
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const YEAR = '(?<year>\\d{4,7})';

/** In German dates, and where the DateStyle says DMY, the day comes first. */
const numbers = (separator: string, dayFirst: boolean): string =>
  (dayFirst ? ['(?<day>\\d\\d)', '(?<month>\\d\\d)'] : ['(?<month>\\d\\d)', '(?<day>\\d\\d)']).join(
    separator,
  );

interface DatePatterns {
  readonly date: RegExp;
  readonly timestamp: RegExp;
}

/** @param day pattern of a date, without the year's era */
const patterns = (day: string): DatePatterns => ({
  date: new RegExp(`^${day}(?<bc> BC)?$`),
  timestamp: new RegExp(`^${day} ${TIME}(?<bc> BC)?$`),
});

/** With the month's name, as timestamps are written under Postgres. */
const named = (dayFirst: boolean): RegExp => {
  const month = `(?<name>${MONTHS.join('|')})`;
  const day = '(?<day>\\d\\d)';
  return new RegExp(
    `^${WEEKDAY} ${dayFirst ? `${day} ${month}` : `${month} ${day}`} ${TIME} ${YEAR}(?<bc> BC)?$`,
  );
};

const PATTERNS: Readonly<Record<string, DatePatterns>> = {
  SQL: patterns(`${numbers('/', false)}/${YEAR}`),
  'SQL, DMY': patterns(`${numbers('/', true)}/${YEAR}`),
  Postgres: { ...patterns(`${numbers('-', false)}-${YEAR}`), timestamp: named(false) },
  'Postgres, DMY': { ...patterns(`${numbers('-', true)}-${YEAR}`), timestamp: named(true) },
  German: patterns(`${numbers('\\.', true)}\\.${YEAR}`),
};

const ofDateStyle = (dateStyle: string): DatePatterns | undefined => {
  const [style, order] = dateStyle.split(', ');
  return (order === 'DMY' ? PATTERNS[`${style}, DMY`] : undefined) ?? PATTERNS[style!];
};

/** The longest text that any of these patterns fits. */
const MAX_LENGTH = 200;

/** @returns undefined for a style that is not known */
export function dated(kind: keyof DatePatterns, dateStyle: string): ValueCheck | undefined {
  const pattern = ofDateStyle(dateStyle)?.[kind];
  if (pattern === undefined) return undefined;
  return (bytes, start, end) => {
    if (isInfinity(bytes, start, end)) return true;
    if (end - start > MAX_LENGTH) return false;
    const parts = pattern.exec(bytes.toString('latin1', start, end))?.groups;
    if (parts === undefined) return false;
    const { year, month, name, day, bc } = parts;
    const monthNumber = name === undefined ? Number(month) : MONTHS.indexOf(name) + 1;
    return isDay(Number(year), monthNumber, Number(day), eraOf(kind !== 'date', bc !== undefined));
  };
}
