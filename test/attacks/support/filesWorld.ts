import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { FaultClient } from '../../faults/world/client.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { primaryTls, tlsText } from '../../support/tlsFiles.js';

/** The remote's password of everybody. */
export const PASSWORD = 'Pq7secretPassword';

/** A primary, a remote with TLS that asks for passwords, and a directory with files of every kind. */
export interface FilesWorld {
  readonly primary: PostgresServer;
  readonly remote: PostgresServer;
  readonly directory: string;
  /** Options of the remote, without a password. */
  readonly remoteAt: string;
  /** One of each kind of thing that a path can name. */
  readonly paths: Readonly<
    Record<'certificate' | 'empty' | 'large' | 'missing' | 'folder' | 'fifo' | 'zero' | 'socket', string>
  >;
  /** Starts one more proxy, which ends with the world. */
  proxy(env?: Readonly<Record<string, string>>, account?: string, host?: string): Promise<TestProxy>;
  close(): Promise<void>;
}

export async function makeFilesWorld(): Promise<FilesWorld> {
  const [primary, remote] = await Promise.all([
    prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
    prepareBinaries({ major: 18, dblink: true }).then((installation) =>
      startPostgres({ installation, password: PASSWORD, tls: primaryTls() }),
    ),
  ]);
  const directory = mkdtempSync(join(tmpdir(), 'files-'));
  const at = (name: string): string => join(directory, name);
  writeFileSync(at('certificate'), tlsText('ca.crt'));
  writeFileSync(at('empty'), '');
  writeFileSync(at('large'), tlsText('ca.crt'));
  // Sparse: what is behind the certificate is no character of PEM, and more than a proxy ought to read.
  truncateSync(at('large'), 8 * 1024 * 1024);
  mkdirSync(at('folder'));
  execFileSync('mkfifo', [at('fifo')]);
  for (const name of ['certificate', 'empty', 'large', 'fifo']) chmodSync(at(name), 0o600);
  const socket = createServer();
  await new Promise<void>((resolve) => socket.listen(at('socket'), resolve));
  const proxies: TestProxy[] = [];
  return {
    primary,
    remote,
    directory,
    remoteAt: `host=${remote.host} port=${remote.port} user=postgres dbname=postgres`,
    paths: {
      certificate: at('certificate'),
      empty: at('empty'),
      large: at('large'),
      missing: at('missing'),
      folder: at('folder'),
      fifo: at('fifo'),
      zero: '/dev/zero',
      socket: at('socket'),
    },
    async proxy(env = {}, account = 'postgres', host = primary.host) {
      const proxy = await startTestProxy(primary, {
        flags: { primary: `postgres://${account}@${host}:${primary.port}?sslmode=disable` },
        env,
      });
      proxies.push(proxy);
      return proxy;
    },
    async close() {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await Promise.all([primary.stop('immediate'), remote.stop('immediate'), closed(socket)]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const closed = (server: Server): Promise<unknown> => new Promise((resolve) => server.close(resolve));

/** Runs something with other environment variables; undefined takes one away. */
export async function withEnvironment<T>(
  variables: Readonly<Record<string, string | undefined>>,
  act: () => Promise<T>,
): Promise<T> {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  const set = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  set(variables);
  try {
    return await act();
  } finally {
    set(before);
  }
}

/** A session; the test ends it. */
export const session = (proxy: TestProxy, user = 'postgres', database = 'postgres'): Promise<FaultClient> =>
  FaultClient.open(proxy.port, { user, database });

export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
