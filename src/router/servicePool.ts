import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { RouterLog, ServiceAccount } from './settings.js';

/** Connections for each database; sessions share them. */
const MAX_PER_DATABASE = 3;
const IDLE_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * The proxy's own connections to the primary, made with the service account: a few for each database, opened when they
 * are needed. For housekeeping only; nothing of a client's passes through them.
 */
export class ServicePool {
  readonly #pools = new Map<string, pg.Pool>();

  constructor(
    private readonly account: ServiceAccount,
    private readonly log: RouterLog,
  ) {}

  #pool(database: string): pg.Pool {
    let pool = this.#pools.get(database);
    if (pool === undefined) {
      pool = new pg.Pool({
        ...driverOptions(this.account),
        database,
        max: MAX_PER_DATABASE,
        idleTimeoutMillis: IDLE_MS,
        allowExitOnIdle: true,
      });
      // Without a listener the loss of an idle connection would end the process.
      pool.on('error', (error) => this.log.warn({ err: error.message, database }, 'service connection lost'));
      this.#pools.set(database, pool);
    }
    return pool;
  }

  /** Runs one query on a service connection. @throws the driver's error, with the SQLSTATE as `code` */
  async query(database: string, sql: string, values: readonly unknown[] = []): Promise<readonly unknown[][]> {
    const { rows } = await this.#pool(database).query<unknown[]>({
      text: sql,
      values: [...values],
      rowMode: 'array',
    });
    return rows;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.end()));
    this.#pools.clear();
  }
}

/**
 * How the driver connects with the service account; the database is still to be chosen.
 * @throws the file system's error if a certificate or key cannot be read
 */
export function driverOptions({ address, tls, user, password }: ServiceAccount): pg.ClientConfig {
  return {
    ...('path' in address ? socketOf(address.path) : { host: address.host, port: address.port }),
    user,
    ...(password === undefined ? {} : { password }),
    application_name: 'dblink-proxy',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ssl: sslOf(tls),
  };
}

/** The driver wants a socket's directory and port, not its path. */
function socketOf(path: string): { host: string; port: number } {
  const match = /^(.*)\/\.s\.PGSQL\.(\d+)$/.exec(path);
  return { host: match?.[1] ?? path, port: Number(match?.[2] ?? 5432) };
}

/** TLS as the driver wants it; `allow` and `prefer` go without, because the driver cannot try both. */
function sslOf(tls: ServiceAccount['tls']): pg.ClientConfig['ssl'] {
  if (tls.mode === 'disable' || tls.mode === 'allow' || tls.mode === 'prefer') return false;
  const verify = tls.mode === 'verify-ca' || tls.mode === 'verify-full';
  return {
    rejectUnauthorized: verify,
    ...(tls.rootCertFile === undefined ? {} : { ca: readFileSync(tls.rootCertFile) }),
    ...(tls.certFile === undefined ? {} : { cert: readFileSync(tls.certFile) }),
    ...(tls.keyFile === undefined ? {} : { key: readFileSync(tls.keyFile) }),
    // verify-ca checks the chain, not the name.
    ...(tls.mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  };
}
