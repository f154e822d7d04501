import { open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { shape } from './shapeNotation.js';

/** Shorthand for the shapes with cursors. */

export const QUERY = 'SELECT id, name FROM people ORDER BY id';
export const openCursor = (name = 'k', connection = 'c', sql = QUERY): string =>
  `SELECT dblink_open('${connection}', '${name}', $remote$${sql}$remote$)`;
/** A source of rows in FROM. */
export const source = (howMany: number | string, columns = 'id int, name text', name = 'k'): string =>
  `dblink_fetch('c', '${name}', ${howMany}) AS t(${columns})`;
/** Where the cursor stands. */
export const NEXT = `SELECT id FROM ${source(1)}`;
export const CLOSE = "SELECT dblink_close('c', 'k')";

/** `k` is open on `c`. */
export const cursor = (
  codes: string,
  text: string,
  steps: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case => shape(codes, `cursors, ${text}`, [open('c'), openCursor(), ...steps], more);
