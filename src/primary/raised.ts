import type { PgError } from '../wire/errors.js';

/** The primary has raised an error itself: it is on its way to the client, and the primary skips to the next Sync. */
export class PrimaryRaised extends Error {
  constructor(readonly error: PgError) {
    super(error.message);
  }
}
