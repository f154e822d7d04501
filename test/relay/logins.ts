import assert from 'node:assert/strict';
import { Client, type ClientConfig, DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { execute } from '../support/postgres.js';
import type { RelayProxy } from '../support/relay.js';
import { primaryTls } from '../support/tlsFiles.js';

/** How users of these names are asked for their password. */
export const METHODS = ['trust', 'password', 'md5', 'scram'] as const;
export const PASSWORD = 'pä$$ wörd';

const HBA = [
  'local all all trust',
  'host all postgres all trust',
  'host all trust all trust',
  'host all password all password',
  'host all md5 all md5',
  'host all scram all scram-sha-256',
  'hostssl all tls_only all trust',
  'hostnossl all plain_only all trust',
];

/** Servers with a user for each way to authenticate, one of them with TLS. */
export interface AuthenticatingServers {
  readonly secure: PostgresServer;
  readonly plain: PostgresServer;
  stop(): Promise<void>;
}

export async function startAuthenticatingServers(major = 18): Promise<AuthenticatingServers> {
  const installation = await prepareBinaries({ major, dblink: false });
  const [secure, plain] = await Promise.all([
    startPostgres({ installation, hba: HBA, tls: primaryTls() }),
    startPostgres({ installation, hba: HBA }),
  ]);
  const roles = [...METHODS, 'tls_only', 'plain_only'].map((name) => {
    const how = name === 'md5' ? 'md5' : 'scram-sha-256';
    return `SET password_encryption = '${how}'; CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}';`;
  });
  for (const server of [secure, plain]) {
    await execute(server.url(), `SET client_min_messages = error; ${roles.join('\n')}`);
  }
  return {
    secure,
    plain,
    async stop() {
      await Promise.all([secure.stop('immediate'), plain.stop('immediate')]);
    },
  };
}

/** Logs in with a real driver and tells whether the primary's connection is encrypted. */
export async function login(
  proxy: RelayProxy,
  user: string,
  options: ClientConfig = {},
): Promise<{ user: string; ssl: boolean }> {
  const { host, port } = proxy;
  const client = new Client({ host, port, database: 'postgres', user, password: PASSWORD, ...options });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<{ user: string; ssl: boolean }>(
      'SELECT session_user AS user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    return rows[0]!;
  } finally {
    await client.end();
  }
}

/** Checks that a driver was told of an error with this SQLSTATE and, in its message or detail, these words. */
export const refusedWith =
  (sqlstate: string, words = /./) =>
  (error: unknown): true => {
    assert.ok(error instanceof DatabaseError, String(error));
    assert.equal(error.code, sqlstate, error.message);
    assert.match(`${error.message}\n${error.detail}`, words);
    return true;
  };
