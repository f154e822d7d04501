import type { ServerEnd, WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { parseDataRow } from '../../wire/rows.js';

/** SQL that identifies the cluster of a server. Everybody may ask it. */
export const CLUSTER_QUERY = 'SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()';

/**
 * SQL for a server of which it is to be known whether it is one of the cluster: also the process that answers, and the setting by which
 * functions know a proxy. With a pooler in between the process is not the one that it says it is, and with another dblink-proxy there
 * is a setting: whoever is in between serves the session, or nobody can.
 */
const SERVER_QUERY = `SELECT c.system_identifier::pg_catalog.text, pg_catalog.pg_backend_pid(),
  pg_catalog.current_setting('dblink_proxy.session', true) FROM pg_catalog.pg_control_system() AS c`;

/** The beginning of the setting, as a proxy makes it. */
const OF_A_PROXY = /^[0-9a-f]{32}:/;

/** The primary, for knowing its cluster again. */
export interface PrimaryServer {
  /** As it reports it (server_version). */
  readonly version: string | undefined;
  /** Asks it CLUSTER_QUERY. Undefined where nobody is certain to ask the primary. */
  readonly cluster: (() => Promise<string | undefined>) | undefined;
}

/** So much is looked at of what a server says. */
const MOST_BYTES = 40;

/** How long it is remembered what a server has said. */
const GOOD_MS = 300_000;
/** Of so many servers it is remembered. */
const MOST = 10_000;

/** What a server has said of its cluster: undefined when it could not tell. */
interface Known {
  readonly cluster: string | undefined;
  /** By Date.now(). */
  readonly until: number;
}

/**
 * Knows which servers belong to the primary's cluster, by the system identifier that each is asked for once in a while.
 *
 * What a server says of itself proves nothing: nobody has a right because of it. For that reason it is remembered by user and database,
 * too: nobody decides it for others by what a server says to them alone.
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
    const cluster = await this.#clusterOf(client, signal);
    return cluster !== undefined && cluster === (await this.#primaryCluster(primary.cluster));
  }

  async #clusterOf(client: WireClient, signal: AbortSignal): Promise<string | undefined> {
    const key = keyOf(client.end);
    const known = this.#servers.get(key);
    if (known !== undefined && known.until > Date.now()) return known.cluster;
    const cluster = await abortable(ask(client), signal);
    if (client.lost !== undefined) return undefined;
    if (this.#servers.size >= MOST) this.#servers.clear();
    this.#servers.set(key, { cluster, until: Date.now() + GOOD_MS });
    return cluster;
  }

  /** @param ask undefined where only what is known already can be used */
  async #primaryCluster(ask: (() => Promise<string | undefined>) | undefined): Promise<string | undefined> {
    const known = this.#primary;
    if (ask === undefined || (known !== undefined && known.until > Date.now())) return known?.cluster;
    const cluster = await ask();
    if (cluster !== undefined) this.#primary = { cluster, until: Date.now() + GOOD_MS };
    return cluster;
  }
}

const keyOf = ({ address, user, database }: ServerEnd): string => [address, user, database].join('\0');

/** What a server says. Undefined when it cannot tell, or the connection is lost. */
async function ask(client: WireClient): Promise<string | undefined> {
  let cluster: string | undefined;
  const handler = {
    rowDescription: () => 'rows' as const,
    row: (message: Buffer) => {
      const [identifier, process, setting] = parseDataRow(message);
      if (process?.toString('latin1') !== String(client.processId)) return;
      if (OF_A_PROXY.test(setting?.toString('latin1', 0, MOST_BYTES) ?? '')) return;
      cluster = identifier?.toString('latin1', 0, MOST_BYTES);
    },
  };
  await client.query(Buffer.from(SERVER_QUERY), handler).catch(() => undefined);
  return cluster;
}
