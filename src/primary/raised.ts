import { PgError } from '../wire/errors.js';

/** The primary has raised an error itself: it is on its way to the client, and the primary skips to the next Sync. */
export class PrimaryRaised extends Error {
  constructor(readonly error: PgError) {
    super(error.message);
  }
}

/** For what the primary was asked and refused. @throws PrimaryRaised; what is no error of the primary's, as it is */
export function asRaised(error: unknown): never {
  throw error instanceof PgError ? new PrimaryRaised(error) : error;
}
