import { measureFor } from './encoding/clientEncoding.js';
import type { ErrorFields } from './errors.js';

/** The text that an error position refers to, and what is needed to count its characters. */
export interface QueryText {
  readonly sql: Uint8Array;
  /** client_encoding of the connection as its server reports it. */
  readonly encoding: string;
  /** Major version of the libpq whose output is to be reproduced. The majors differ in the width of characters. */
  readonly libpqMajor: number;
}

/** Largest width of an excerpt of a line, in columns. */
const DISPLAY_COLUMNS = 60;
/** Columns that stay visible to the right of the position, if the line is long enough. */
const MIN_RIGHT_COLUMNS = 10;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** The severities of an ErrorResponse. All others are those of notices, for which no context is shown. */
const ERROR_SEVERITIES: ReadonlySet<string> = new Set(['ERROR', 'FATAL', 'PANIC']);

/**
 * The `LINE n: …` excerpt with a caret under the position, as libpq prints it (behaviour of PostgreSQL 15, which counts
 * a tab as one column). Lines end at CR, LF or both. A line of more than 60 columns is cut around the position.
 * @param position of a character, counted from 1
 * @returns two lines, each with its newline, or '' when the position lies outside the text
 */
export function errorPosition(query: QueryText, position: number): string {
  const target = position - 1;
  if (!(target >= 0)) return '';
  const { sql } = query;
  const measure = measureFor(query.encoding);
  const nul = sql.indexOf(0);
  const end = nul < 0 ? sql.length : nul;

  // Byte offset and column of every character from the start of the text to the end of the line in question.
  const offsets: number[] = [];
  const columns: number[] = [];
  let line = 1;
  let first = 0;
  let offset = 0;
  let column = 0;
  for (; offset < end; ) {
    const index = offsets.length;
    const byte = sql[offset]!;
    if (byte === CARRIAGE_RETURN || byte === LINE_FEED) {
      if (index >= target) break;
      if (byte === CARRIAGE_RETURN || index === 0 || sql[offsets[index - 1]!] !== CARRIAGE_RETURN) line++;
      first = index + 1;
    }
    offsets.push(offset);
    columns.push(column);
    const character = measure(sql, offset, query.libpqMajor);
    offset = Math.min(end, offset + character.bytes);
    column += character.columns;
  }
  let last = offsets.length;
  offsets.push(offset);
  columns.push(column);
  if (target > last) return '';

  const width = (): number => columns[last]! - columns[first]!;
  let cutLeft = false;
  let cutRight = false;
  if (width() > DISPLAY_COLUMNS) {
    if (columns[first]! + DISPLAY_COLUMNS >= columns[target]! + MIN_RIGHT_COLUMNS) {
      for (; width() > DISPLAY_COLUMNS; last--) cutRight = true;
    } else {
      for (; columns[target]! + MIN_RIGHT_COLUMNS < columns[last]!; last--) cutRight = true;
      for (; width() > DISPLAY_COLUMNS; first++) cutLeft = true;
    }
  }

  const excerpt = Buffer.from(sql.subarray(offsets[first]!, offsets[last]!));
  // Tabs become spaces: with a tab in the line the caret would not stand under its character.
  for (let at = excerpt.indexOf(TAB); at >= 0; at = excerpt.indexOf(TAB, at)) excerpt[at] = 0x20;
  const prefix = `LINE ${line}: ${cutLeft ? '...' : ''}`;
  const caret = ' '.repeat(prefix.length + columns[target]! - columns[first]!);
  return `${prefix}${excerpt.toString('latin1')}${cutRight ? '...' : ''}\n${caret}^\n`;
}

/**
 * An error or notice as libpq renders it with its default verbosity (PQresultErrorMessage): severity and message, the excerpt
 * of the statement, DETAIL, HINT, QUERY and CONTEXT. The newline at the end is left out.
 * @param query the statement that was sent; without it a position becomes ` at character n`
 * @returns a byte string in the connection's encoding
 */
export function renderError(fields: ErrorFields, query?: QueryText): string {
  let text = `${fields.severity}:  ${fields.message}`;
  let excerpt = '';
  if (fields.position !== undefined) {
    if (query === undefined) text += ` at character ${fields.position}`;
    else excerpt = errorPosition(query, Number.parseInt(fields.position, 10));
  } else if (fields.internalPosition !== undefined) {
    if (fields.internalQuery === undefined) text += ` at character ${fields.internalPosition}`;
    else {
      const sql = Buffer.from(fields.internalQuery, 'latin1');
      const position = Number.parseInt(fields.internalPosition, 10);
      excerpt = errorPosition(
        { sql, encoding: query?.encoding ?? 'SQL_ASCII', libpqMajor: query?.libpqMajor ?? 0 },
        position,
      );
    }
  }
  text += `\n${excerpt}`;
  if (fields.detail !== undefined) text += `DETAIL:  ${fields.detail}\n`;
  if (fields.hint !== undefined) text += `HINT:  ${fields.hint}\n`;
  if (fields.internalQuery !== undefined) text += `QUERY:  ${fields.internalQuery}\n`;
  if (fields.context !== undefined && isError(fields)) text += `CONTEXT:  ${fields.context}\n`;
  return text.slice(0, -1);
}

/** Whether these are the fields of an error. A severity in an unknown language counts as that of an error. */
function isError(fields: ErrorFields): boolean {
  if (fields.severityNonLocalized !== undefined) return ERROR_SEVERITIES.has(fields.severityNonLocalized);
  return !['WARNING', 'NOTICE', 'DEBUG', 'INFO', 'LOG'].includes(fields.severity);
}

/** Whether the error is FATAL or PANIC: the server says that it ends the connection. */
export function isFatal(fields: ErrorFields): boolean {
  const severity = fields.severityNonLocalized ?? fields.severity;
  return severity === 'FATAL' || severity === 'PANIC';
}
