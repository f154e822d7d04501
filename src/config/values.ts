import { availableParallelism, totalmem } from 'node:os';
import { ValueError } from './errors.js';
import { suggestion } from './nearest.js';

// Parsers of single values. Each takes what YAML gives, or the text of an environment variable or flag. So a value is written
// the same way everywhere. Each throws ValueError.

/** Milliseconds of a duration: `500ms`, `30s`, `5min`, `1h`, or a number of milliseconds. */
export function parseDuration(value: unknown): number {
  const factors: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1000, min: 60_000, h: 3_600_000 };
  return parseQuantity(value, factors, 'a duration such as 500ms, 30s, 5min or a number of milliseconds');
}

/** Bytes of a size: `64KiB`, `256MiB`, `1GiB` or a number of bytes. As in PostgreSQL, kB, MB and GB mean the same. */
export function parseSize(value: unknown, max = MAX_QUANTITY): number {
  const k = 1024;
  const factors: Readonly<Record<string, number>> = {
    ...{ '': 1, b: 1, kb: k, kib: k, mb: k * k, mib: k * k, gb: k ** 3, gib: k ** 3 },
  };
  return parseQuantity(value, factors, 'a size such as 64KiB, 256MiB, 1GiB or a number of bytes', max);
}

/** Bytes of a size, as in parseSize. It is for many buffers together, so it may be larger than any one of them. */
export const parseMemory = (value: unknown): number => parseSize(value, Number.MAX_SAFE_INTEGER);

/** Bytes of a size, or of a percentage of the memory that there is for this process. */
export function parseMemoryShare(value: unknown): number {
  const [, digits] = /^(\d{1,3})\s*%$/.exec(scalarText(value).trim()) ?? [];
  if (digits === undefined) return parseMemory(value);
  if (Number(digits) > 100) throw new ValueError(`${show(value)} is more than all of the memory`);
  return Math.floor((availableMemory() * Number(digits)) / 100);
}

/** The container's limit, or the machine's memory where that is less. */
function availableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** A timer's and a buffer's largest value in Node.js. */
const MAX_QUANTITY = 2 ** 31 - 1;

function parseQuantity(
  value: unknown,
  factors: Readonly<Record<string, number>>,
  what: string,
  max = MAX_QUANTITY,
): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(scalarText(value).trim()) ?? [];
  const factor = factors[unit.toLowerCase()];
  if (digits === undefined || factor === undefined) throw new ValueError(`${show(value)} is not ${what}`);
  const quantity = Number(digits) * factor;
  if (!Number.isInteger(quantity))
    throw new ValueError(`${show(value)} is not a whole number of the smallest unit`);
  if (quantity > max) throw new ValueError(`${show(value)} is more than the largest value, ${max}`);
  return quantity;
}

/** A whole number between `min` and `max`. */
export function parseInteger(value: unknown, min: number, max: number): number {
  const text = scalarText(value);
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max)) {
    throw new ValueError(`${show(value)} is not a whole number from ${min} to ${max}`);
  }
  return number;
}

/** How many processes: a number from 1 to 256, or `auto` for the number of processors that this process may use. */
export function parseWorkers(value: unknown): number {
  return scalarText(value) === 'auto' ? availableParallelism() : parseInteger(value, 1, 256);
}

/** A mode as for chmod, in octal; the owner must be able to use the file. */
export function parseFileMode(value: unknown): number {
  // 0770 in a YAML file arrives as the number 770. 0o770 arrives as 504: its digits are lost, and 504 is refused below.
  const text = scalarText(value);
  const mode = /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
  if (Number.isNaN(mode) || (mode & 0o600) !== 0o600) {
    throw new ValueError(
      `${show(value)} is not a mode that lets the owner read and write, such as 0700 or 0770`,
    );
  }
  return mode;
}

/** A truth value: true, yes, on or 1, or false, no, off or 0, in any case. */
export function parseBoolean(value: unknown): boolean {
  const known: Readonly<Record<string, boolean>> = {
    ...{ true: true, yes: true, on: true, '1': true, false: false, no: false, off: false, '0': false },
  };
  const result = known[scalarText(value).toLowerCase()];
  if (result === undefined) throw new ValueError(`${show(value)} is neither true nor false`);
  return result;
}

/** One of several words. */
export function parseChoice<T extends string>(value: unknown, choices: readonly T[]): T {
  const text = scalarText(value);
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  const list = `${show(value)} is not one of ${choices.join(', ')}`;
  throw new ValueError(
    text === '' ? list : `${list}${suggestion(text, choices, '').replace(/; valid .*/, '')}`,
  );
}

/** A text that is not empty and has no NUL in it. */
export function parseText(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new ValueError(`${show(value)} is not a text`);
  if (value.includes('\0')) throw new ValueError('a text cannot contain a NUL character');
  return value;
}

/** A list of at least one entry: a YAML list, or a text with commas. */
export function parseList<T>(value: unknown, entry: (value: unknown) => T): readonly T[] {
  const entries: readonly unknown[] = Array.isArray(value) ? value : String(value ?? '').split(',');
  if (entries.length === 0) throw new ValueError('the list is empty');
  return entries.map((item) => entry(typeof item === 'string' ? item.trim() : item));
}

function scalarText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : '';
}

/** A value as it may be quoted in a message. Only for settings that cannot contain a secret. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return 'an empty value';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
