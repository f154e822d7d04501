import { PgError } from '../wire/errors.js';

/** Ways in which carrying out a statement ends that are not simply a dblink function's error. */

/** Why a statement cannot be served exactly; becomes 0A000 with this in the hint. */
export class NeedsBridge extends PgError {
  constructor(readonly reason: string) {
    super('0A000', 'this use of dblink cannot be carried out by the proxy', {
      hint: `What cannot be served exactly: ${reason}. CREATE EXTENSION dblink through the proxy makes it possible (docs/bridge.md).`,
    });
  }
}

/** The primary has raised an error itself: it is on its way to the client, and the primary skips to the next Sync. */
export class PrimaryRaised extends Error {
  constructor(readonly error: PgError) {
    super(error.message);
  }
}

/** No signature of the function fits: the primary is to say so in its own words. */
export class NoSuchSignature extends Error {}
