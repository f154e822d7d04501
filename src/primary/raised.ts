import { PgError } from '../wire/errors.js';

/**
 * The primary has raised an error itself. The client gets that error. The primary needs no other one: it has failed its
 * transaction, and skips to the next Sync.
 */
export class PrimaryRaised extends Error {
  constructor(readonly error: PgError) {
    super(error.message);
  }
}

/** Rethrows what a question to the primary failed with. @throws PrimaryRaised for a PgError; anything else as it is */
export function asRaised(error: unknown): never {
  throw error instanceof PgError ? new PrimaryRaised(error) : error;
}
