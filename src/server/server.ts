import type { Server as HttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { accountOptions, ServiceConnection } from '../bridge/service/serviceConnection.js';
import type { Config } from '../config/index.js';
import type { ServiceAccount } from '../session/settings.js';
import type { CancelKey } from '../wire/cancelKeys.js';
import { ConnectionServer } from './connectionServer.js';
import { startSuccessor } from './life/handover.js';
import { type Inherited, nameOf, nameOfHttp } from './life/inherited.js';
import { Neighbours, type Obliging } from './life/neighbours.js';
import { type BoundAddress, descriptorOf, type Listener, openListener } from './listener.js';
import type { Logger } from './log.js';
import type { MetricsJson } from './observe/metricsJson.js';
import { observe } from './observe/observed.js';
import { Readiness } from './observe/readiness.js';
import { logSeldom } from './seldom.js';
import { type Clock, systemClock } from './sessionClock.js';
import { serverSettings } from './sessionSettings.js';

/** A proxy that has been started. */
export interface RunningProxy extends Obliging {
  readonly addresses: readonly BoundAddress[];
  /** Where it answers by HTTP; undefined for nowhere. */
  readonly http: string | undefined;
  /**
   * Stops the proxy. There are no new connections. Sessions in no transaction are told 57P01 at once, the others at the end of
   * their transaction, at the latest after the grace period. What is cancelled then has been told so when this resolves. A
   * further call can only shorten the periods.
   * @param graceMs the grace period; by default none
   * @param leaveMs for so long clients may go on before all that, if they do not leave themselves; by default not at all
   */
  close(graceMs?: number, leaveMs?: number): Promise<void>;
  /**
   * Starts this program again, and hands the listening sockets over to it. From then on no connection is accepted here; those that
   * there are stay until the proxy is closed. Resolves with the process id of the other one.
   * @throws Error when it does not come to serve; then nothing has changed here
   */
  handOver(): Promise<number>;
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
export interface ConnectionTaker extends Obliging {
  serve(socket: Socket): void;
  /** See RunningProxy. */
  close(graceMs: number, leaveMs: number): Promise<void>;
  reload(config: Config): Promise<void>;
  /** What keeps clients that come now from being served; undefined when nothing does. */
  obstacle(): string | undefined;
  /** Of each process that serves. */
  metrics(): Promise<readonly MetricsJson[]>;
  reopen(): void;
}

/** What a proxy finds when it starts. */
export interface ProxySurroundings {
  /** Listening sockets that came with the process. */
  readonly inherited?: Inherited;
  readonly neighbours?: Neighbours;
  readonly clock?: Clock;
}

/** Starts the proxy in this process. @throws the listener's error (EADDRINUSE, EACCES, …) or that of reading a certificate */
export async function startProxy(
  config: Config,
  log: Logger,
  { neighbours = new Neighbours(), clock = systemClock, ...circumstances }: ProxySurroundings = {},
): Promise<RunningProxy> {
  const colleagues = {
    index: 0,
    count: 1,
    passOn: async () => undefined,
    elsewhere: (request: CancelKey) => neighbours.cancel(request),
    vacate: (databases: readonly string[]) => neighbours.vacate(databases),
  };
  const taker = await ConnectionServer.open(config, log, colleagues, clock);
  return listen(config, log, taker, { ...circumstances, neighbours });
}

/** Listens for somebody who takes the connections. @throws the listener's error; the taker has been closed then */
export async function listen(
  config: Config,
  log: Logger,
  taker: ConnectionTaker,
  { inherited, neighbours = new Neighbours() }: ProxySurroundings,
): Promise<RunningProxy> {
  let settings = serverSettings(config);
  for (const { service } of settings) void checkPrimary(service, log);
  const readiness = new Readiness(
    () => settings,
    () => taker.obstacle(),
  );
  const exhausted = logSeldom((missed, error: NodeJS.ErrnoException) => {
    log.error({ err: error.message, missed }, 'connections cannot be accepted');
  });
  const listeners: Listener[] = [];
  const keepPaths = inherited?.keepPaths === true;
  let closing = false;
  let http: HttpServer | undefined;
  let keepAliveMs = config.tcp.keepalive;
  try {
    for (const [i, address] of config.listen.entries()) {
      const options = {
        socketMode: config.unixSocketMode,
        onConnection: (socket: Socket) => {
          if (keepAliveMs > 0) socket.setKeepAlive(true, keepAliveMs);
          taker.serve(socket);
        },
        onError: exhausted,
      };
      listeners.push(await openListener(address, options, inherited?.listen[i]));
    }
    http = await observe(config, log, {
      readiness,
      metrics: () => taker.metrics(),
      inherited: inherited?.http,
    });
  } catch (error) {
    // What came with the process another one goes on with.
    for (const [i, listener] of listeners.entries()) listener.close(inherited?.listen[i] !== undefined);
    await taker.close(0, 0);
    throw error;
  }
  const addresses = listeners.map(({ bound }) => bound);
  log.info({ addresses }, 'listening');
  return {
    addresses,
    http: http && urlOf(http),
    cancel: (request) => taker.cancel(request),
    vacate: (databases) => taker.vacate(databases),
    async close(graceMs = 0, leaveMs = 0) {
      // Whoever asks whether clients are served is told first.
      closing = true;
      readiness.close();
      for (const listener of listeners) listener.close(keepPaths);
      await taker.close(graceMs, leaveMs);
      // Cancel requests for sessions of the process before come by way of this one.
      if (leaveMs > 0) await neighbours.predecessor?.untilGone();
      http?.close();
      http?.closeAllConnections();
    },
    async handOver() {
      const handed = listeners.map(({ descriptor }, i) => ({ name: nameOf(config.listen[i]!), descriptor }));
      if (http !== undefined)
        handed.push({ name: nameOfHttp(config.http.listen!), descriptor: descriptorOf(http) });
      const successor = await startSuccessor({ listeners: handed, keepPaths }, neighbours, taker);
      if (closing) {
        successor.kill();
        throw new Error('this process was told to end meanwhile');
      }
      readiness.close();
      for (const listener of listeners) listener.close(true);
      // From now on the other one tells.
      http?.close();
      http?.closeAllConnections();
      return successor.pid!;
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
