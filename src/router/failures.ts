import { PgError } from '../wire/errors.js';

/** How carrying out a statement can fail, other than with the error of a dblink function. */

/**
 * Only the bridge can serve the statement exactly. When the bridge does not serve it either, this is what the client gets: 0A000,
 * with the reason in the hint.
 */
export class NeedsBridge extends PgError {
  /** @param reason a noun phrase: what cannot be served exactly */
  constructor(readonly reason: string) {
    super('0A000', 'this use of dblink cannot be carried out by the proxy', {
      hint: `What cannot be served exactly: ${reason}. CREATE EXTENSION dblink through the proxy makes it possible (docs/bridge.md).`,
    });
  }
}

/** The statement would run a function that is not known to be the bridge's own (0A000). */
export class Untrusted extends PgError {
  constructor({ schema, name }: { readonly schema: string; readonly name: string }) {
    super('0A000', `the function ${schema}.${name} is not used by dblink-proxy`, {
      detail:
        "It is not the bridge's of this version, or belongs neither to a superuser, the database's owner or the proxy's account, nor to the role that calls.",
      hint: 'Run "dblink-proxy install", or have a superuser drop it and run CREATE EXTENSION dblink, or ALTER EXTENSION dblink UPDATE, through the proxy (docs/bridge.md).',
    });
  }
}

/** No signature of the function fits the arguments. The primary is to say so in its own words. */
export class NoSuchSignature extends Error {}
