import type { ServerEnd, WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { EMPTY } from '../../wire/protocol.js';
import { parseDataRow } from '../../wire/rows.js';

/** SQL that identifies the cluster of a server. Everybody may ask it. */
export const CLUSTER_QUERY = 'SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()';

/**
 * SQL for a server of which it is to be known whether it is one of the cluster: also the process that answers, and the setting by which
 * functions know a proxy. With a pooler in between the process is not the one that it says it is, and with another dblink-proxy there
 * is a setting: whoever is in between serves the session, or nobody can.
 */
const SERVER_QUERY = `SELECT c.system_identifier::pg_catalog.text, pg_catalog.pg_backend_pid(),
  pg_catalog.current_setting('dblink_proxy.session', true),
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END FROM pg_catalog.pg_control_system() AS c`;

/** The release from which on servers report whether they are a standby (in_hot_standby). */
const REPORTS_STANDBY = 140000;

/** The primary, for knowing its cluster again. */
export interface PrimaryServer {
  /** As it reports it (server_version). */
  readonly version: string | undefined;
  /** Asks it CLUSTER_QUERY. Undefined where nobody is certain to ask the primary. */
  readonly cluster: (() => Promise<string | undefined>) | undefined;
}

/** The longest answer that is looked at. */
const MOST_ROW_BYTES = 1024;

/** How long it is remembered what a server has said. */
const GOOD_MS = 300_000;
/** Of so many servers it is remembered. */
const MOST = 10_000;

/** What a server has said of its cluster: undefined when it could not tell. */
interface Known {
  readonly cluster: string | undefined;
  /** By performance.now(). */
  readonly until: number;
}

/**
 * Knows which servers belong to the primary's cluster, by the system identifier that each is asked for once in a while.
 *
 * What a server says of itself proves nothing: nobody has a right because of it. For that reason it is remembered by user and database,
 * too: nobody decides it for others by what a server says to them alone. And only an answer is remembered: a question can fail because of
 * what a connection string sets. A standby has the identifier of its primary, and is another server.
 */
export class OwnCluster {
  readonly #servers = new Map<string, Known>();
  #primary: Known | undefined;

  /**
   * Whether a connection that has just been made leads to the primary's cluster. A server of another version is not asked.
   * @throws the signal's reason
   */
  async has(client: WireClient, primary: PrimaryServer, signal: AbortSignal): Promise<boolean> {
    if (client.processId === 0 || client.parameters.get('server_version') !== primary.version) return false;
    if (client.serverVersion >= REPORTS_STANDBY && client.parameters.get('in_hot_standby') !== 'off')
      return false;
    const cluster = await this.#clusterOf(client, signal);
    return cluster !== undefined && cluster === (await this.#primaryCluster(primary.cluster));
  }

  async #clusterOf(client: WireClient, signal: AbortSignal): Promise<string | undefined> {
    const key = keyOf(client.end);
    const known = this.#servers.get(key);
    // An older server does not report that it is a standby, so each connection is asked.
    const remembers = client.serverVersion >= REPORTS_STANDBY;
    if (remembers && known !== undefined && known.until > performance.now()) return known.cluster;
    const answer = await abortable(ask(client), signal);
    if (answer === undefined || client.lost !== undefined) return undefined;
    if (this.#servers.size >= MOST) this.#servers.clear();
    this.#servers.set(key, { ...answer, until: performance.now() + GOOD_MS });
    return answer.cluster;
  }

  /** @param ask undefined where only what is known already can be used */
  async #primaryCluster(ask: (() => Promise<string | undefined>) | undefined): Promise<string | undefined> {
    const known = this.#primary;
    if (ask === undefined || (known !== undefined && known.until > performance.now())) return known?.cluster;
    const cluster = await ask();
    if (cluster !== undefined) this.#primary = { cluster, until: performance.now() + GOOD_MS };
    return cluster;
  }
}

const keyOf = ({ address, user, database }: ServerEnd): string => [address, user, database].join('\0');

/** What a server says: undefined in `cluster` where nobody can serve its sessions. Undefined when it does not answer. */
async function ask(client: WireClient): Promise<Pick<Known, 'cluster'> | undefined> {
  let bytes: Buffer = EMPTY;
  let failed = false;
  const handler = {
    rowDescription: () => 'raw' as const,
    rawRows: (more: Buffer): void => {
      if (bytes.length + more.length > MOST_ROW_BYTES) failed = true;
      else bytes = Buffer.concat([bytes, more]);
    },
    error: (): void => {
      failed = true;
    },
  };
  await client.query(Buffer.from(SERVER_QUERY), handler).catch(() => {
    failed = true;
  });
  if (failed || bytes.length === 0) return undefined;
  const [identifier, process, setting, kind] = valuesOf(bytes);
  // There is a proxy in between, or somebody has set that for this connection alone.
  if (setting) return undefined;
  const served = process === String(client.processId) && kind === 'primary';
  return { cluster: served ? identifier : undefined };
}

/** The values of a row, none if it cannot be read. */
function valuesOf(row: Buffer): readonly (string | undefined)[] {
  try {
    return parseDataRow(row).map((value) => value?.toString('latin1'));
  } catch {
    return [];
  }
}
