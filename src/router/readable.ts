import { PgError } from '../wire/errors.js';

/**
 * Reads a message.
 * @returns undefined for one that cannot be read (08P01): the primary refuses it, in its own words, and only its batch fails
 */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof PgError && error.sqlstate === '08P01') return undefined;
    throw error;
  }
}
