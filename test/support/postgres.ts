import { after } from 'node:test';
import { Client, escapeIdentifier, escapeLiteral } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';

const servers = new Map<string, Promise<PostgresServer>>();

/** A server whose files include the dblink extension: what the proxy is compared with, or a remote. */
export function extensionServer(major: number): Promise<PostgresServer> {
  return shared(major, true);
}

/** A server without any file of dblink: the primary behind the proxy. */
export function primaryServer(major: number): Promise<PostgresServer> {
  return shared(major, false);
}

/** One server of each kind per test process; tests keep out of each other's way with databases of their own. */
function shared(major: number, dblink: boolean): Promise<PostgresServer> {
  const key = `${major} ${dblink}`;
  let server = servers.get(key);
  if (server === undefined) {
    server = prepareBinaries({ major, dblink }).then((installation) => startPostgres({ installation }));
    servers.set(key, server);
  }
  return server;
}

// Registered while this module is loaded, hence on the root: it runs after the last test of the process.
after(async () => {
  await Promise.all([...servers.values()].map(async (server) => (await server).stop('immediate')));
});

/**
 * Creates a database and returns its address.
 *
 * @param options.encoding UTF8 by default
 * @param options.locale C by default, the only one that goes with every encoding
 */
export async function createDatabase(
  server: PostgresServer,
  name: string,
  options: { readonly encoding?: string; readonly locale?: string } = {},
): Promise<string> {
  const { encoding = 'UTF8', locale = 'C' } = options;
  await execute(
    server.url(),
    `CREATE DATABASE ${escapeIdentifier(name)} TEMPLATE template0 ` +
      `ENCODING ${escapeLiteral(encoding)} LOCALE ${escapeLiteral(locale)}`,
  );
  return server.url(name);
}

/** Runs SQL on a connection of its own and returns the rows of the last statement as arrays of values. */
export async function execute(url: string, sql: string): Promise<readonly (readonly unknown[])[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    // Several statements give an array of results, which pg's types do not say.
    const result: unknown = await client.query({ text: sql, rowMode: 'array' });
    const last = Array.isArray(result) ? result.at(-1) : result;
    return (last as { rows: unknown[][] }).rows;
  } finally {
    await client.end();
  }
}
