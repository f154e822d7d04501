import type { Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { accountOptions, ServiceConnection } from '../bridge/service/serviceConnection.js';
import { Services } from '../bridge/service/services.js';
import type { Config } from '../config/index.js';
import { RemoteAdmission } from '../dblink/connections/admission.js';
import { MemoryBudget } from '../dblink/memory.js';
import { makeRouter } from '../router/router.js';
import { ClientAdmission } from '../session/clientAdmission.js';
import { serve } from '../session/serve.js';
import type { Session } from '../session/session.js';
import type { ServiceAccount } from '../session/settings.js';
import { CancelKeys } from '../wire/cancelKeys.js';
import { errorResponse, type PgError } from '../wire/errors.js';
import { Descriptors } from '../wire/host/descriptors.js';
import { cancelsDelivered } from '../wire/outbound/cancelRequest.js';
import { clientContext } from '../wire/tls/clientContext.js';
import { descriptorLimit, openDescriptors } from './descriptorLimit.js';
import { type BoundAddress, boundAddress, openListener } from './listener.js';
import type { Logger } from './log.js';
import { logSeldom } from './seldom.js';
import { routerSettings } from './sessionSettings.js';

/** How long the shutdown waits for cancel requests that are on their way. */
const CANCELS_LIMIT_MS = 3000;

/** A proxy that has been started. */
export interface RunningProxy {
  readonly addresses: readonly BoundAddress[];
  /**
   * Stops the proxy. There are no new connections. Sessions in no transaction are told 57P01 at once, the others at the end of
   * their transaction, at the latest after the grace period. What is cancelled then has been told so when this resolves. A
   * further call can only shorten the period.
   * @param graceMs the grace period; by default none
   */
  close(graceMs?: number): Promise<void>;
}

/** Starts the proxy. @throws the listener's error (EADDRINUSE, EACCES, …) or that of reading a certificate */
export async function startProxy(config: Config, log: Logger): Promise<RunningProxy> {
  const settings = routerSettings(config);
  const secureContext = settings.clientTls && clientContext(settings.clientTls);
  const keys = new CancelKeys();
  const sessions = new Set<Session>();
  const sockets = new Set<Socket>();
  const bridge = new Services(
    { ...settings.primary, maxScramIterations: settings.dblink.maxScramIterations },
    log,
  );
  const { limits } = config;
  const nearlyUsedUp = logSeldom<undefined>((missed) => {
    log.warn({ missed }, 'file descriptors are nearly used up (ulimit -n)');
  });
  const descriptors = new Descriptors(
    descriptorLimit(),
    openDescriptors() + config.listen.length,
    limits.reservedDescriptors,
    () => nearlyUsedUp(undefined),
  );
  const clients = new ClientAdmission(limits.clients, descriptors);
  const route = await makeRouter(settings, {
    services: bridge,
    admission: new RemoteAdmission(
      { perSession: limits.remoteConnectionsPerSession, inAll: limits.remoteConnections },
      descriptors,
      logSeldom((missed, error) =>
        log.error({ err: error.message, missed }, 'a dblink connection cannot be opened'),
      ),
    ),
    memory: new MemoryBudget(limits.memory),
  });
  void checkPrimary(settings.service, log);
  let number = 0;
  let closing = false;

  const onConnection = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const sessionLog = log.child({ session: ++number, client: socket.remoteAddress ?? 'unix socket' });
    try {
      socket.once('close', clients.accept());
    } catch (error) {
      turnAway(socket, error as PgError, sessionLog);
      return;
    }
    void serve(socket, {
      clients,
      settings,
      secureContext,
      keys,
      log: sessionLog,
      route,
      opened: (session) => {
        sessions.add(session);
        if (closing) session.drain();
      },
      ended: (session) => sessions.delete(session),
    });
  };

  const exhausted = logSeldom((missed, error: NodeJS.ErrnoException) => {
    log.error({ err: error.message, missed }, 'connections cannot be accepted');
  });

  const servers: Server[] = [];
  try {
    for (const address of config.listen) {
      servers.push(
        await openListener(address, {
          keepAliveMs: config.tcp.keepalive,
          socketMode: config.unixSocketMode,
          onConnection,
          onError: exhausted,
        }),
      );
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  const addresses = servers.map(boundAddress);
  log.info({ addresses }, 'listening');

  let deadline = Number.POSITIVE_INFINITY;
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    closing = true;
    const stopped = servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const session of sessions) session.drain();
    while (sessions.size > 0 && Date.now() < deadline) await delay(50);
    for (const session of sessions) session.terminate();
    const leaving = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, 500);
    await Promise.all(stopped);
    // The process may end after this. What it has begun on servers has to be cancelled first: nobody else would stop it.
    await cancelsDelivered(CANCELS_LIMIT_MS);
    await bridge.close();
    clearTimeout(leaving);
  };

  return {
    addresses,
    close(graceMs = 0) {
      deadline = Math.min(deadline, Date.now() + graceMs);
      closed ??= close();
      return closed;
    },
  };
}

/** Ends a connection before anything has been read from it. */
function turnAway(socket: Socket, error: PgError, log: Logger): void {
  log.info({ sqlstate: error.sqlstate, reason: error.message }, 'client refused');
  socket.on('error', () => undefined);
  socket.end(errorResponse(error));
  // Bytes that were not read would turn the end into a reset, and the message would be lost.
  socket.resume();
  setTimeout(() => socket.destroy(), 1000).unref();
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
