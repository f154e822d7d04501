import { randomBytes } from 'node:crypto';

/**
 * Names of the statements and portals that the proxy makes in a session of the primary for SQL of its own: never the unnamed
 * ones, which may hold what the client prepared, and different in each session, so that no client can have taken them.
 */
export class OwnNames {
  /** For what is run at once and closed. */
  readonly running: Buffer;
  /** For the client's own text, when a call turns out to need the bridge. */
  readonly plain: Buffer;
  /** For a statement that reads its rows in another style. */
  readonly styled: Buffer;

  constructor() {
    const unique = randomBytes(8).toString('hex');
    this.running = Buffer.from(`dblink_proxy_${unique}`, 'latin1');
    this.plain = Buffer.from(`dblink_proxy_${unique}_plain`, 'latin1');
    this.styled = Buffer.from(`dblink_proxy_${unique}_styled`, 'latin1');
  }
}
