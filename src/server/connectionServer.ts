import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import { Audit } from '../audit/index.js';
import type { Services } from '../bridge/service/services.js';
import type { Config } from '../config/index.js';
import { type Gauged, Metrics } from '../metrics/metrics.js';
import { TrafficSum } from '../metrics/traffic.js';
import { RefusalCounts } from '../policy/index.js';
import { ExtensionNotice } from '../router/extensionNotice.js';
import { serve } from '../session/serve.js';
import type { Session } from '../session/session.js';
import { readAuditTextAsync } from '../sql/index.js';
import { type CancelKey, CancelKeys, type CancelPeers } from '../wire/cancelKeys.js';
import { asText } from '../wire/encoding/transcode.js';
import { errorResponse, LimitReached, type PgError } from '../wire/errors.js';
import { cancelsDelivered } from '../wire/outbound/cancelRequest.js';
import { type Common, type Generation, makeGeneration } from './generation.js';
import { type Limited, limit, limitedBy } from './limited.js';
import type { Logger } from './log.js';
import { version } from './observe/version.js';
import { type Clock, SessionClock, systemClock } from './sessionClock.js';
import { routerSettings } from './sessionSettings.js';

/** How long the shutdown waits for cancel requests that are on their way. */
const CANCELS_LIMIT_MS = 3000;

/** The other processes of the same proxy, as far as there are any. */
export interface Colleagues extends CancelPeers {
  /** Has their service connections leave databases. Resolves when they have, or cannot. Never rejects. */
  vacate(databases: readonly string[]): Promise<void>;
}

/** Serves the connections of clients, wherever they were accepted, and has all that the sessions of a process share. */
export class ConnectionServer {
  readonly #sockets = new Set<Socket>();
  /** Of connections that have ended. */
  readonly #traffic = { clients: new TrafficSum(), primary: new TrafficSum() };
  readonly #metrics: Metrics | undefined;
  readonly #sessions = new Set<Session>();
  readonly #clock: SessionClock;
  /** The present one, and those before that sessions still have. */
  readonly #generations = new Set<Generation>();
  #number = 0;
  #closing: Promise<void> | undefined;
  /** When sessions are asked to end, and when those that have not ended are ended, by performance.now(). */
  #drainAt = Number.POSITIVE_INFINITY;
  #deadline = Number.POSITIVE_INFINITY;
  #draining = false;

  private constructor(
    private readonly log: Logger,
    private readonly keys: CancelKeys,
    private readonly limited: Limited,
    private readonly common: Common,
    private generation: Generation,
    clock: Clock,
  ) {
    this.#clock = new SessionClock(generation.settings.timeouts, this.#sessions, clock);
    this.#generations.add(generation);
    this.#metrics = common.metrics;
  }

  obstacle(): string | undefined {
    return this.limited.clients.full ? 'limits.clients is reached' : undefined;
  }

  /** What is counted, as JSON of prom-client's: one list for this process, or none. */
  async metrics(): Promise<readonly MetricObjectWithValues<MetricValue<string>>[][]> {
    return this.#metrics === undefined ? [] : [await this.#metrics.registry.getMetricsAsJSON()];
  }

  #gauged(): Gauged {
    const { admission, kept, memory } = this.limited;
    return {
      remoteConnections: admission.open,
      keptConnections: kept.count,
      pool: kept,
      refusals: this.refusals,
      heldBytes: memory.used,
      clients: this.#traffic.clients.with(this.#sockets),
      primary: this.#traffic.primary.with([...this.#sessions].map(({ primary }) => primary.socket)),
    };
  }

  /** @throws Error a certificate or key that cannot be used, or the audit's file cannot be opened */
  static async open(
    config: Config,
    log: Logger,
    colleagues: Colleagues,
    clock = systemClock,
  ): Promise<ConnectionServer> {
    const settings = routerSettings(config);
    const limited = limitedBy(config, log);
    const metrics = config.http.listen && new Metrics(() => server.#gauged(), version());
    const policy = () => server.generation.settings.policy;
    const audit = openAudit(config, log);
    const common: Common = {
      ...limited,
      metrics,
      policy,
      refusals: new RefusalCounts(settings.policy),
      extensions: new ExtensionNotice(policy, audit !== undefined),
      audit,
      log,
      vacateOthers: (databases) => colleagues.vacate(databases),
    };
    const generation = await makeGeneration(config, common);
    const server = new ConnectionServer(log, new CancelKeys(colleagues), limited, common, generation, clock);
    return server;
  }

  /**
   * Has another configuration from now on: for sessions that come, and where the setting says so for those that are there. When this
   * rejects nothing has changed.
   * @throws Error a certificate or key that cannot be used
   */
  async reload(config: Config): Promise<void> {
    const next = await makeGeneration(config, this.common, this.generation);
    this.generation = next;
    this.#generations.add(next);
    this.log.level = config.log.level;
    this.#clock.keep(next.settings.timeouts);
    limit(this.limited, config);
    this.common.refusals.follow(next.settings.policy);
    this.#retire();
  }

  /** Those of all generations. */
  get #services(): Set<Services> {
    const servers = [...this.#generations].flatMap(({ servers }) => servers);
    return new Set(servers.map(({ services }) => services));
  }

  /** Forgets generations that no session has any more. */
  #retire(): void {
    for (const old of this.#generations) {
      if (old === this.generation || old.connections > 0) continue;
      this.#generations.delete(old);
      const used = this.#services;
      for (const { services } of old.servers) if (!used.has(services)) void services.close();
    }
  }

  /** Serves a connection that has just been accepted, from which nothing has been read. Never throws. */
  serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#traffic.clients.add(socket);
    });
    const began = performance.now();
    let over = (): void => {};
    const session = ++this.#number;
    const logOf = (client: string | undefined): Logger =>
      this.log.child({ session, client: client ?? 'unix socket' });
    const log = logOf(socket.remoteAddress);
    try {
      socket.once('close', this.limited.clients.accept());
    } catch (error) {
      turnAway(socket, error as PgError, log);
      const by = error instanceof LimitReached ? error.setting : '';
      this.common.audit?.turnedAway(socket.remoteAddress, by, (error as PgError).sqlstate);
      return;
    }
    const { generation } = this;
    generation.connections++;
    void serve(socket, {
      clients: this.limited.clients,
      audit: this.common.audit,
      number: session,
      settings: generation.settings,
      secureContext: generation.secureContext,
      keys: this.keys,
      log,
      logOf,
      servers: generation.list,
      opened: (session) => {
        this.#sessions.add(session);
        if (this.#draining) session.drain();
      },
      loggedIn: (session, database) => {
        const name = asText(database, session.primary.parameters.get('server_encoding') ?? 'UTF8');
        over = this.#metrics?.sessionOpened(name, (performance.now() - began) / 1000) ?? over;
      },
      turnedAway: (sqlstate) => this.#metrics?.clientRefused(sqlstate),
      ended: (session) => {
        over();
        this.#sessions.delete(session);
        this.#traffic.primary.add(session.primary.socket);
      },
    }).finally(() => {
      generation.connections--;
      this.#retire();
    });
  }

  /** Carries out a CancelRequest that another process was sent. */
  cancel(request: CancelKey): void {
    void this.keys.cancel(request);
  }

  /** How often the policy has refused something, by what decided. */
  get refusals(): ReadonlyMap<string, number> {
    return this.common.refusals.counts;
  }

  /** Opens the audit's file anew. */
  reopen(): void {
    this.common.audit?.reopen();
  }

  /** Has the service connections of this process leave databases. Never rejects. */
  vacate(databases: readonly string[]): Promise<void> {
    return Promise.all([...this.#services].map(({ presence }) => presence.vacateHere(databases))).then(
      () => undefined,
    );
  }

  /**
   * Ends everything. Clients may go on for a while, and leave. Then sessions in no transaction are told 57P01, the others at the end
   * of their transaction, at the latest after the grace period. What is cancelled then has been told so when this resolves. A further
   * call can only shorten the periods.
   */
  close(graceMs: number, leaveMs: number): Promise<void> {
    this.#drainAt = Math.min(this.#drainAt, performance.now() + leaveMs);
    this.#deadline = Math.min(this.#deadline, this.#drainAt + graceMs);
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Who has not logged in yet is to become a session first.
    while (this.#sockets.size > 0 && performance.now() < this.#drainAt) await delay(50);
    this.#draining = true;
    for (const session of this.#sessions) session.drain();
    while (this.#sessions.size > 0 && performance.now() < this.#deadline) await delay(50);
    this.#clock.stop();
    for (const session of this.#sessions) session.terminate();
    const leaving = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, 500);
    while (this.#sockets.size > 0) await delay(20);
    clearTimeout(leaving);
    // The process may end after this. What it has begun on servers has to be cancelled first: nobody else would stop it.
    await cancelsDelivered(CANCELS_LIMIT_MS);
    await Promise.all([...this.#services].map((services) => services.close()));
    const lost = (await this.common.audit?.close()) ?? 0;
    if (lost > 0) this.log.error({ lost }, 'events of the audit could not be written');
  }
}

/** The audit, if there is to be one. @throws the file system's error if its file cannot be opened */
function openAudit({ audit }: Config, log: Logger): Audit | undefined {
  const { file, statements, onFull, buffer } = audit;
  if (file === undefined) return undefined;
  return new Audit({
    file,
    statements,
    onFull,
    maxBytes: buffer,
    read: readAuditTextAsync,
    report(error, waiting) {
      if (error === undefined) log.info({ waiting }, 'the audit is written again');
      else log.error({ err: error.message, waiting, onFull }, 'the audit cannot be written');
    },
  });
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
