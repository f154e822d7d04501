import assert from 'node:assert/strict';
import { dataRowText, type Frame } from '../../support/wire.js';
import type { Random } from './random.js';

/** SQLSTATE by which statements of the campaign say that a call gave a wrong value. */
export const WRONG = 'WRONG';

/** Makes a statement, and what checks an answer to it that has no error. */
export type Make = (random: Random) => { readonly sql: string; check(frames: readonly Frame[]): void };

/** Rows of an answer, as text, their values with `|` between. */
export const rowsOf = (frames: readonly Frame[]): string[] =>
  frames.filter(({ type }) => type === 'D').map(({ body }) => dataRowText(body).join('|'));

/** The rows of all statements of the Query, in order. */
export const gives =
  (...rows: string[]) =>
  (frames: readonly Frame[]): void =>
    assert.deepEqual(rowsOf(frames), rows);

/** Rows of a large result: some 400 kB, which takes a side table. */
export const LARGE = 4000;
export const LARGE_SQL = `SELECT i, repeat(chr(97 + i % 26), 100) FROM generate_series(1, ${LARGE}) i`;
export const LARGE_SUM = (LARGE * (LARGE + 1)) / 2;
