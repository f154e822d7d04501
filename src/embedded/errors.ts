/**
 * Failure to unpack, initialise or start an embedded PostgreSQL.
 *
 * It never travels over the wire, so it carries no SQLSTATE. The message says what was tried and what to do.
 */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError';
}
