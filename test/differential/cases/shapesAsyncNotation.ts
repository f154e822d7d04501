import { open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { shape } from './shapeNotation.js';

/** Shorthand for the shapes with asynchronous queries. */

export const send = (sql: string, name = 'c'): string =>
  `SELECT dblink_send_query('${name}', $remote$${sql}$remote$)`;
/** A source of rows in FROM. */
export const source = (columns = 'id int, name text', name = 'c'): string =>
  `dblink_get_result('${name}') AS t(${columns})`;
/** What the next result is, or that there is none. */
export const NEXT = `SELECT id FROM ${source()}`;
export const PEOPLE = 'SELECT id, name FROM people WHERE id < 4 ORDER BY id';
/** So many results of the same rows. */
export const sent = (results: number): string =>
  send(Array.from({ length: results }, () => PEOPLE).join('; '));
/** By then a short query has been answered, or a long one has begun. */
export const SETTLE = 'SELECT pg_sleep(0.5)';

/** So many results are pending on `c`. */
export const pending = (
  codes: string,
  text: string,
  results: number,
  steps: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case => shape(codes, `async, ${text}`, [open('c'), sent(results), ...steps], more);
