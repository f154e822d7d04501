import { Client } from 'pg';
import { EmbeddedError } from './errors.js';
import { prepareBinaries } from './installation.js';
import type { PostgresInstallation } from './packages.js';
import {
  PREFERRED_REMOTE_PORT,
  PRIMARY_DATA,
  PRIMARY_DATABASE,
  REMOTE_DATA,
  REMOTE_DATABASE,
  remoteConninfo,
} from './sample.js';
import { type PostgresServer, startPostgres } from './server.js';

const MAJOR = 18;

/** A primary without dblink and a remote, both with sample data. */
export interface Demo {
  readonly primary: PostgresServer;
  readonly remote: PostgresServer;
  /** Connection string of the remote, as dblink takes it. */
  readonly conninfo: string;
  /** Stops both and removes their data. */
  stop(): Promise<void>;
}

/**
 * Starts both servers side by side.
 *
 * @throws EmbeddedError
 */
export async function startDemo(): Promise<Demo> {
  const starts = [startPrimary(), startRemote()] as const;
  const [primary, remote] = await Promise.all(starts);
  const conninfo = remoteConninfo(remote.port);
  await execute(primary.url(PRIMARY_DATABASE), `INSERT INTO remotes VALUES ('sales', $1)`, [conninfo]);
  return {
    primary,
    remote,
    conninfo,
    async stop() {
      await Promise.all([primary.stop(), remote.stop()]);
    },
  };
}

async function startPrimary(): Promise<PostgresServer> {
  const installation = await prepareBinaries({ major: MAJOR, dblink: false });
  const server = await startPostgres({ installation });
  await fill(server, PRIMARY_DATABASE, PRIMARY_DATA);
  return server;
}

// The remote does not need dblink either, so the files of one installation serve both.
async function startRemote(): Promise<PostgresServer> {
  const server = await startOnPreferredPort(await prepareBinaries({ major: MAJOR, dblink: false }));
  await fill(server, REMOTE_DATABASE, REMOTE_DATA);
  return server;
}

async function startOnPreferredPort(installation: PostgresInstallation): Promise<PostgresServer> {
  try {
    return await startPostgres({ installation, port: PREFERRED_REMOTE_PORT });
  } catch (error) {
    if (!(error instanceof EmbeddedError) || !error.message.includes('Address already in use')) throw error;
    return startPostgres({ installation });
  }
}

async function fill(server: PostgresServer, database: string, sql: string): Promise<void> {
  await execute(server.url(), `CREATE DATABASE ${database}`);
  await execute(server.url(database), sql);
}

async function execute(url: string, sql: string, values?: unknown[]): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql, values);
  } finally {
    await client.end();
  }
}
