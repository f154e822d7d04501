import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Services } from '../bridge/service/services.js';
import type { Config } from '../config/index.js';
import { RemoteAdmission } from '../dblink/connections/admission.js';
import { MemoryBudget } from '../dblink/memory.js';
import { makeRouter } from '../router/router.js';
import { ClientAdmission } from '../session/clientAdmission.js';
import type { Route } from '../session/route.js';
import { serve } from '../session/serve.js';
import type { Session } from '../session/session.js';
import type { RouterSettings } from '../session/settings.js';
import { byteString } from '../wire/byteString.js';
import { type CancelKey, CancelKeys, type CancelPeers } from '../wire/cancelKeys.js';
import { errorResponse, type PgError } from '../wire/errors.js';
import { Descriptors } from '../wire/host/descriptors.js';
import { cancelsDelivered } from '../wire/outbound/cancelRequest.js';
import { clientContext } from '../wire/tls/clientContext.js';
import { descriptorLimit, openDescriptors } from './descriptorLimit.js';
import type { Logger } from './log.js';
import { logSeldom } from './seldom.js';
import { SessionClock } from './sessionClock.js';
import { routerSettings } from './sessionSettings.js';

/** How long the shutdown waits for cancel requests that are on their way. */
const CANCELS_LIMIT_MS = 3000;

/** The other processes of the same proxy, where there are several. */
export interface Colleagues extends CancelPeers {
  /** Has their service connections leave databases. Resolves when they have, or cannot. Never rejects. */
  vacate(databases: readonly string[]): Promise<void>;
}

/** Serves the connections of clients, wherever they were accepted, and has all that the sessions of a process share. */
export class ConnectionServer {
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<Session>();
  readonly #clock: SessionClock;
  #number = 0;
  #closing: Promise<void> | undefined;
  /** When sessions that have not ended are ended, by Date.now(). */
  #deadline = Number.POSITIVE_INFINITY;

  private constructor(
    private readonly settings: RouterSettings,
    private readonly log: Logger,
    private readonly keys: CancelKeys,
    private readonly clients: ClientAdmission,
    private readonly shared: { readonly services: Services; readonly route: Route },
    private readonly secureContext: ReturnType<typeof clientContext> | undefined,
  ) {
    this.#clock = new SessionClock(settings.timeouts, this.#sessions);
  }

  /** @throws the file system's error if a certificate or key cannot be read */
  static async open(config: Config, log: Logger, colleagues?: Colleagues): Promise<ConnectionServer> {
    const settings = routerSettings(config);
    const secureContext = settings.clientTls && clientContext(settings.clientTls);
    const { limits } = config;
    const services = new Services(
      { ...settings.primary, maxScramIterations: settings.dblink.maxScramIterations },
      log,
      colleagues && ((databases) => colleagues.vacate(databases)),
    );
    const nearlyUsedUp = logSeldom<undefined>((missed) => {
      log.warn({ missed }, 'file descriptors are nearly used up (ulimit -n)');
    });
    const descriptors = new Descriptors(
      descriptorLimit(),
      openDescriptors() + config.listen.length,
      limits.reservedDescriptors,
      () => nearlyUsedUp(undefined),
    );
    const route = await makeRouter(settings, {
      services,
      admission: new RemoteAdmission(
        { perSession: limits.remoteConnectionsPerSession, inAll: limits.remoteConnections },
        descriptors,
        logSeldom((missed, error) =>
          log.error({ err: error.message, missed }, 'a dblink connection cannot be opened'),
        ),
      ),
      memory: new MemoryBudget(limits.memory),
    });
    const clients = new ClientAdmission(
      { ...limits, reservedUsers: limits.reservedUsers.map((name) => byteString(name)) },
      descriptors,
    );
    const keys = new CancelKeys(colleagues);
    return new ConnectionServer(settings, log, keys, clients, { services, route }, secureContext);
  }

  /** Serves a connection that has just been accepted, from which nothing has been read. Never throws. */
  serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const session = ++this.#number;
    const logOf = (client: string | undefined): Logger =>
      this.log.child({ session, client: client ?? 'unix socket' });
    const log = logOf(socket.remoteAddress);
    try {
      socket.once('close', this.clients.accept());
    } catch (error) {
      turnAway(socket, error as PgError, log);
      return;
    }
    void serve(socket, {
      clients: this.clients,
      settings: this.settings,
      secureContext: this.secureContext,
      keys: this.keys,
      log,
      logOf,
      route: this.shared.route,
      opened: (session) => {
        this.#sessions.add(session);
        if (this.#closing !== undefined) session.drain();
      },
      ended: (session) => this.#sessions.delete(session),
    });
  }

  /** Carries out a CancelRequest that another process was sent. */
  cancel(request: CancelKey): void {
    void this.keys.cancel(request);
  }

  /** Has the service connections of this process leave databases. Never rejects. */
  vacate(databases: readonly string[]): Promise<void> {
    return this.shared.services.presence.vacateHere(databases);
  }

  /**
   * Ends everything. Sessions in no transaction are told 57P01 at once, the others at the end of their transaction, at the latest
   * after the grace period. What is cancelled then has been told so when this resolves. A further call can only shorten the period.
   */
  close(graceMs: number): Promise<void> {
    this.#deadline = Math.min(this.#deadline, Date.now() + graceMs);
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const session of this.#sessions) session.drain();
    while (this.#sessions.size > 0 && Date.now() < this.#deadline) await delay(50);
    this.#clock.stop();
    for (const session of this.#sessions) session.terminate();
    const leaving = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, 500);
    while (this.#sockets.size > 0) await delay(20);
    clearTimeout(leaving);
    // The process may end after this. What it has begun on servers has to be cancelled first: nobody else would stop it.
    await cancelsDelivered(CANCELS_LIMIT_MS);
    await this.shared.services.close();
  }
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
