import { readFileSync } from 'node:fs';
import type { PostgresInstallation } from './packages.js';

/**
 * What another process has made ready: installations, and clusters to copy. Their keys are those under which this process would
 * keep its own (installationKey, clusterKey). The other process must outlive this one.
 */
export interface Prepared {
  readonly installations: Readonly<Record<string, PostgresInstallation>>;
  /** Data directories, which belong to the servers' account. */
  readonly clusters: Readonly<Record<string, string>>;
}

/** Names a file with a {@link Prepared} in JSON. A run of many short processes sets it, so that they make nothing twice. */
export const PREPARED_VARIABLE = 'DBLINK_PROXY_EMBEDDED_PREPARED';

let read: Prepared | undefined;

/** What has been made ready for this process; empty where nothing is. */
export function prepared(): Prepared {
  const file = process.env[PREPARED_VARIABLE];
  read ??=
    file === undefined
      ? { installations: {}, clusters: {} }
      : (JSON.parse(readFileSync(file, 'utf8')) as Prepared);
  return read;
}
