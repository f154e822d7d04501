import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { startTestProxy, type TestProxy, type TestProxyOptions } from '../../support/proxy.js';
import { primaryTls } from '../../support/tlsFiles.js';

/** The remote's password of everybody. */
export const PASSWORD = 'Pq7secretPassword';

/** An event of the audit, as it is written. */
export interface AuditLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A proxy and the file of its audit. */
export interface AuditedProxy extends TestProxy {
  readonly file: string;
  /** All events that there are by now. */
  events(): readonly AuditLine[];
  /** Waits for an event of this kind behind those that have been waited for, and that has these fields. */
  next(event: string, fields?: Readonly<Record<string, unknown>>): Promise<AuditLine>;
}

/** A primary without dblink, and a remote with TLS that asks for a password. */
export interface AuditWorld {
  readonly primary: PostgresServer;
  readonly remote: PostgresServer;
  readonly directory: string;
  /** A connection string for the remote. */
  readonly conninfo: string;
  proxy(settings?: Readonly<Record<string, string>>, options?: TestProxyOptions): Promise<AuditedProxy>;
  /** Runs SQL on the remote, past all proxies. */
  remoteRows(sql: string): Promise<void>;
  /** Every event that any proxy has written. */
  all(): readonly AuditLine[];
  close(): Promise<void>;
}

export function readEvents(file: string): readonly AuditLine[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditLine);
}

export async function makeAuditWorld(): Promise<AuditWorld> {
  const [primary, remote] = await Promise.all([
    prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
    prepareBinaries({ major: 18, dblink: true }).then((installation) =>
      startPostgres({ installation, password: PASSWORD, tls: primaryTls() }),
    ),
  ]);
  const directory = mkdtempSync(join(tmpdir(), 'audit-'));
  const proxies: AuditedProxy[] = [];
  return {
    primary,
    remote,
    directory,
    conninfo: `host=localhost hostaddr=127.0.0.1 port=${remote.port} user=postgres dbname=postgres password=${PASSWORD}`,
    async remoteRows(sql) {
      const login = { host: '127.0.0.1', user: 'postgres', database: 'postgres', password: PASSWORD };
      const client = new Client({ ...login, port: remote.port });
      await client.connect();
      await client.query(sql);
      await client.end();
    },
    async proxy(settings = {}, options = {}) {
      const file = join(directory, `${proxies.length}.json`);
      const proxy = await startTestProxy(primary, {
        ...options,
        flags: {
          primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable`,
          ...options.flags,
        },
        env: { DBLINK_PROXY_AUDIT_FILE: file, ...settings },
      });
      let seen = 0;
      const audited: AuditedProxy = {
        ...proxy,
        file,
        events: () => readEvents(file),
        async next(event, fields = {}) {
          let found: AuditLine | undefined;
          await eventually(`${event} is told`, () => {
            const events = readEvents(file);
            for (let i = seen; i < events.length && found === undefined; i++) {
              const line = events[i]!;
              if (line.event !== event) continue;
              if (!Object.entries(fields).every(([name, value]) => line[name] === value)) continue;
              found = line;
              seen = i + 1;
            }
            assert.ok(found, JSON.stringify(events.slice(seen)));
          });
          return found!;
        },
      };
      proxies.push(audited);
      return audited;
    },
    all: () => proxies.filter(({ file }) => existsSync(file)).flatMap(({ file }) => readEvents(file)),
    async close() {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await Promise.all([primary.stop('immediate'), remote.stop('immediate')]);
      rmSync(directory, { recursive: true });
    },
  };
}
