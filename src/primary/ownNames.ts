import { randomBytes } from 'node:crypto';

/**
 * Names of the prepared statements and portals that the proxy makes on the session's connection to the primary, for SQL of its
 * own. The unnamed ones may hold what the client prepared. The names are different in each session, so that no client can have
 * taken them.
 */
export class OwnNames {
  /** For statements that are run at once and then closed (PrimaryLink.run). */
  readonly running: Buffer;
  /** For the client's own text, when a call of a prepared statement turns out to need the bridge. */
  readonly plain: Buffer;
  /** For a spliced statement that reads its rows in another DateStyle or IntervalStyle than the session's. */
  readonly styled: Buffer;

  constructor() {
    const unique = randomBytes(8).toString('hex');
    this.running = Buffer.from(`dblink_proxy_${unique}`, 'latin1');
    this.plain = Buffer.from(`dblink_proxy_${unique}_plain`, 'latin1');
    this.styled = Buffer.from(`dblink_proxy_${unique}_styled`, 'latin1');
  }
}
