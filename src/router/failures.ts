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

/** The functions of the bridge that the statement would run are not known to be that (0A000). */
export class Untrusted extends PgError {
  constructor({ schema, name }: { readonly schema: string; readonly name: string }) {
    super('0A000', `the function ${schema}.${name} is not used by dblink-proxy`, {
      detail:
        "It is not the bridge's of this version, or belongs neither to a superuser, the database's owner or the proxy's account, nor to the role that calls.",
      hint: 'Run "dblink-proxy install", or have a superuser drop it and run CREATE EXTENSION dblink, or ALTER EXTENSION dblink UPDATE, through the proxy (docs/bridge.md).',
    });
  }
}

/** No signature of the function fits: the primary is to say so in its own words. */
export class NoSuchSignature extends Error {}
