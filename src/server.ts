import { unlink } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { Config, ListenAddress } from './config/index.js';
import type { Logger } from './log.js';
import { Services } from './router/bridge/services.js';
import { makeInterceptor } from './router/interceptor.js';
import { serve } from './router/serve.js';
import { ServicePool } from './router/servicePool.js';
import type { Session } from './router/session.js';
import type { RouterSettings } from './router/settings.js';
import { routerSettings } from './routerSettings.js';
import { CancelKeys } from './wire/cancelKeys.js';

/** An address that the proxy listens on. */
export interface BoundAddress {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
}

export interface RunningProxy {
  readonly addresses: readonly BoundAddress[];
  /**
   * Stops: no new connections, sessions in no transaction are told 57P01, the others at the end of their transaction, at
   * the latest after the grace period.
   */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts the proxy. @throws the listener's error (EADDRINUSE, EACCES, …) or that of reading a certificate
 */
export async function startProxy(config: Config, log: Logger): Promise<RunningProxy> {
  const settings = routerSettings(config);
  const secureContext = settings.clientTls && createSecureContext(settings.clientTls);
  const keys = new CancelKeys();
  const sessions = new Set<Session>();
  const sockets = new Set<Socket>();
  const bridge = new Services({ ...settings.primary, maxScramIterations: settings.maxScramIterations }, log);
  const makeDblink = await makeInterceptor(settings, bridge);
  const service = settings.service && new ServicePool(settings.service, log);
  void checkPrimary(service, settings, log);
  let number = 0;
  let closing = false;

  const onConnection = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const sessionLog = log.child({ session: ++number, client: socket.remoteAddress });
    void serve(socket, {
      settings,
      secureContext,
      keys,
      log: sessionLog,
      interceptor: makeDblink,
      opened: (session) => {
        sessions.add(session);
        if (closing) session.drain();
      },
      ended: (session) => sessions.delete(session),
    });
  };

  const servers: Server[] = [];
  try {
    for (const address of config.listen)
      servers.push(await listen(address, config.tcp.keepaliveMs, onConnection));
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  const addresses = servers.map(boundAddress);
  log.info({ addresses }, 'listening');

  return {
    addresses,
    async close(graceMs = 0) {
      closing = true;
      const stopped = servers.map((server) => new Promise((resolve) => server.close(resolve)));
      for (const session of sessions) session.drain();
      const deadline = Date.now() + graceMs;
      while (sessions.size > 0 && Date.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 50));
      for (const session of sessions) session.terminate();
      const leaving = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, 500);
      await Promise.all(stopped);
      await bridge.close();
      await service?.close();
      clearTimeout(leaving);
    },
  };
}

/**
 * Says at the start whether the service account can use the primary. The proxy starts either way: the primary may come
 * later, and clients log in with accounts of their own.
 */
async function checkPrimary(
  service: ServicePool | undefined,
  settings: RouterSettings,
  log: Logger,
): Promise<void> {
  if (service === undefined) return;
  try {
    const rows = await service.query(settings.service!.database, 'SHOW server_version');
    log.info({ version: rows[0]?.[0] }, 'primary reached with the service account');
  } catch (error) {
    log.warn({ err: (error as Error).message }, 'primary cannot be used with the service account');
  }
}

async function listen(
  address: ListenAddress,
  keepAliveMs: number,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  if (address.kind === 'unix') await removeStaleSocket(address.path);
  return new Promise((resolve, reject) => {
    const server = createServer(
      {
        // The startup reader takes exactly what belongs to it.
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: keepAliveMs > 0,
        keepAliveInitialDelay: keepAliveMs,
      },
      onConnection,
    );
    server.once('error', reject);
    server.listen(
      address.kind === 'tcp' ? { host: address.host, port: address.port } : { path: address.path },
      () => {
        server.off('error', reject);
        // Running out of file descriptors must not end the process; the listener goes on by itself.
        server.on('error', () => undefined);
        resolve(server);
      },
    );
  });
}

/** A process that was killed leaves its socket behind: nobody answers there, and nobody else can listen there. */
function removeStaleSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve();
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNREFUSED') return resolve();
      unlink(path, () => resolve());
    });
  });
}

function boundAddress(server: Server): BoundAddress {
  const address = server.address();
  if (typeof address === 'string') return { path: address };
  return address === null ? {} : { host: address.address, port: address.port };
}
