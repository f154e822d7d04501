import type { Server as HttpServer } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { accountOptions, ServiceConnection } from '../bridge/service/serviceConnection.js';
import type { Config } from '../config/index.js';
import type { ServiceAccount } from '../session/settings.js';
import { ConnectionServer } from './connectionServer.js';
import { type BoundAddress, boundAddress, openListener } from './listener.js';
import type { Logger } from './log.js';
import type { MetricsJson } from './observe/metricsJson.js';
import { observe } from './observe/observed.js';
import { Readiness } from './observe/readiness.js';
import { logSeldom } from './seldom.js';
import { systemClock } from './sessionClock.js';
import { serverSettings } from './sessionSettings.js';

/** A proxy that has been started. */
export interface RunningProxy {
  readonly addresses: readonly BoundAddress[];
  /** Where it answers by HTTP; undefined for nowhere. */
  readonly http: string | undefined;
  /**
   * Stops the proxy. There are no new connections. Sessions in no transaction are told 57P01 at once, the others at the end of
   * their transaction, at the latest after the grace period. What is cancelled then has been told so when this resolves. A
   * further call can only shorten the period.
   * @param graceMs the grace period; by default none
   */
  close(graceMs?: number): Promise<void>;
  /**
   * Has another configuration from now on. Sessions that are open stay. Settings that need a restart must be as they were (`reloaded`).
   * When this rejects nothing has changed.
   * @throws Error a certificate or key that cannot be used, or workers that do not answer
   */
  reload(config: Config): Promise<void>;
  /** Opens the audit's file anew: it may have been moved away. */
  reopen(): void;
}

/** What becomes of the connections that a proxy accepts. */
export interface ConnectionTaker {
  serve(socket: Socket): void;
  /** See RunningProxy. */
  close(graceMs: number): Promise<void>;
  reload(config: Config): Promise<void>;
  /** What keeps clients that come now from being served; undefined when nothing does. */
  obstacle(): string | undefined;
  /** Of each process that serves. */
  metrics(): Promise<readonly MetricsJson[]>;
  reopen(): void;
}

/** Starts the proxy in this process. @throws the listener's error (EADDRINUSE, EACCES, …) or that of reading a certificate */
export async function startProxy(config: Config, log: Logger, clock = systemClock): Promise<RunningProxy> {
  return listen(config, log, await ConnectionServer.open(config, log, undefined, clock));
}

/** Listens for somebody who takes the connections. @throws the listener's error; the taker has been closed then */
export async function listen(config: Config, log: Logger, taker: ConnectionTaker): Promise<RunningProxy> {
  let settings = serverSettings(config);
  for (const { service } of settings) void checkPrimary(service, log);
  const readiness = new Readiness(
    () => settings,
    () => taker.obstacle(),
  );
  const exhausted = logSeldom((missed, error: NodeJS.ErrnoException) => {
    log.error({ err: error.message, missed }, 'connections cannot be accepted');
  });
  const servers: Server[] = [];
  let http: HttpServer | undefined;
  let keepAliveMs = config.tcp.keepalive;
  try {
    for (const address of config.listen) {
      servers.push(
        await openListener(address, {
          socketMode: config.unixSocketMode,
          onConnection: (socket) => {
            if (keepAliveMs > 0) socket.setKeepAlive(true, keepAliveMs);
            taker.serve(socket);
          },
          onError: exhausted,
        }),
      );
    }
    http = await observe(config, log, { readiness, metrics: () => taker.metrics() });
  } catch (error) {
    for (const server of servers) server.close();
    await taker.close(0);
    throw error;
  }
  const addresses = servers.map(boundAddress);
  log.info({ addresses }, 'listening');
  return {
    addresses,
    http: http && urlOf(http),
    async close(graceMs = 0) {
      readiness.close();
      for (const server of servers) if (server.listening) server.close();
      await taker.close(graceMs);
      http?.close();
      http?.closeAllConnections();
    },
    async reload(next) {
      await taker.reload(next);
      keepAliveMs = next.tcp.keepalive;
      settings = serverSettings(next);
    },
    reopen: () => taker.reopen(),
  };
}

function urlOf(server: HttpServer): string {
  const { address, port } = server.address() as AddressInfo;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}/`;
}

/**
 * Logs at the start whether the service account can use the primary. The proxy starts either way: the primary may come
 * later, and clients log in with accounts of their own.
 */
async function checkPrimary(service: ServiceAccount | undefined, log: Logger): Promise<void> {
  if (service === undefined) return;
  try {
    const connection = await ServiceConnection.connect(accountOptions(service, service.database));
    const [row] = await connection.query('SHOW server_version').finally(() => connection.close());
    log.info({ version: row?.[0]?.toString('latin1') }, 'primary reached with the service account');
  } catch (error) {
    log.warn({ err: (error as Error).message }, 'primary cannot be used with the service account');
  }
}
