import type { ByteString } from './bytes.js';
import { type ConninfoError, conninfoError, plain } from './error.js';

const C_INTEGER = /^[ \t-\r]*([+-]?[0-9]+)[ \t-\r]*$/;
const INT_MAX = 2147483647;

/** A C int in decimal, blanks around it allowed; undefined for anything else and on overflow. */
export function parseCInteger(value: ByteString): number | undefined {
  const digits = C_INTEGER.exec(value)?.[1];
  if (digits === undefined) return undefined;
  const number = Number(digits);
  return number > INT_MAX || number < -INT_MAX - 1 ? undefined : number;
}

/** libpq's complaint about an option that is not an integer. */
export function invalidInteger(value: ByteString, option: string): ConninfoError {
  return conninfoError`invalid integer value "${value}" for connection option "${plain(option)}"`;
}
