import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Config } from '../../config/index.js';
import { type CancelKey, ownerOf } from '../../wire/cancelKeys.js';
import { usable } from '../generation.js';
import { Neighbours } from '../life/neighbours.js';
import type { Logger } from '../log.js';
import { countersOf, type MetricsJson } from '../observe/metricsJson.js';
import { type ConnectionTaker, listen, type ProxySurroundings, type RunningProxy } from '../server.js';
import { routerSettings } from '../sessionSettings.js';
import type { ToSupervisor, ToWorker } from './workerMessages.js';
import { shareOf } from './workerShare.js';

/** A worker that ended sooner than this after its start is not replaced at once. */
const SOON_MS = 10_000;
/** How long its replacement waits then. */
const RESTART_DELAY_MS = 1_000;
/** How many connections wait while there is no worker. Further ones are closed. */
const MAX_WAITING = 1_000;
/** How much longer than their sessions workers may take to end. They wait for cancel requests that are on their way. */
const LAST_MOMENTS_MS = 10_000;

/** How long a worker may take to have another configuration. */
const RELOAD_MS = 30_000;

/** Of so many workers that have ended the counts are kept. */
const MOST_ENDED = 100;
/** How long one may take to tell what it counts. */
const METRICS_MS = 2_000;

/** A process that serves sessions. */
interface Place {
  readonly index: number;
  child: ChildProcess;
  startedAt: number;
  ready: boolean;
  /** How many connections it has, those on their way to it included. */
  connections: number;
  /** What it has told of its metrics last. */
  metrics: readonly MetricsJson[];
  /** Connections that are on their way to it. */
  readonly underWay: Set<Socket>;
}

/**
 * Starts the proxy as several processes. This one accepts connections and hands each to the worker that has the fewest. A worker
 * that ends takes its own sessions with it, and is replaced.
 * @param program the file that a worker runs
 * @throws the listener's error (EADDRINUSE, EACCES, …), or an Error with what kept a worker from starting
 */
export async function startSupervisor(
  config: Config,
  log: Logger,
  {
    count,
    program,
    neighbours = new Neighbours(),
    ...circumstances
  }: ProxySurroundings & { readonly count: number; readonly program: URL },
): Promise<RunningProxy> {
  const supervisor = new Supervisor(config, log, program, neighbours);
  await supervisor.start(count);
  log.info({ workers: count }, 'workers have started');
  return listen(config, log, supervisor, { ...circumstances, neighbours });
}

class Supervisor implements ConnectionTaker {
  readonly #places: Place[] = [];
  /** Accepted while there was no worker. */
  readonly #waiting: Socket[] = [];
  /** Databases that are being left: who waits for that, and which workers have not answered. */
  readonly #vacating = new Map<number, { readonly done: () => void; readonly left: Set<Place> }>();
  /** Who is being given another configuration: ends the waiting, with what is wrong if anything is. */
  readonly #reloading = new Map<
    number,
    { readonly place: Place; readonly over: (problem?: string) => void }
  >();
  /** Who is being asked for metrics. */
  readonly #counting = new Map<number, (metrics: readonly MetricsJson[]) => void>();
  /** Of workers that have ended. */
  #endedMetrics: MetricsJson[] = [];
  #number = 0;
  #closing = false;

  constructor(
    private config: Config,
    private readonly log: Logger,
    private readonly program: URL,
    private readonly neighbours: Neighbours,
  ) {}

  /** Starts the workers. @throws Error when one cannot start; all have ended then */
  async start(count: number): Promise<void> {
    try {
      await Promise.all(
        Array.from({ length: count }, (_, index) => {
          const place: Place = {
            index,
            child: this.#fork(),
            startedAt: 0,
            ready: false,
            connections: 0,
            metrics: [],
            underWay: new Set(),
          };
          this.#places.push(place);
          return this.#begin(place, count);
        }),
      );
    } catch (error) {
      await this.close(0, 0);
      throw error;
    }
  }

  #fork(): ChildProcess {
    return fork(this.program, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  /** Has a new process take its place. Resolves when it is ready. @throws Error when it cannot start */
  #begin(place: Place, count: number): Promise<void> {
    const { child } = place;
    place.startedAt = performance.now();
    this.#say(place, {
      kind: 'start',
      config: shareOf(this.config, place.index, count),
      index: place.index,
      count,
    });
    return new Promise((resolve, reject) => {
      child.on('message', (message: ToSupervisor) => {
        if (message.kind === 'ready') {
          place.ready = true;
          for (const socket of this.#waiting.splice(0)) this.serve(socket);
          resolve();
        } else if (message.kind === 'failed') reject(new Error(`a worker cannot start: ${message.message}`));
        else this.#hear(place, message);
      });
      child.on('error', (error) => {
        this.log.error({ worker: place.index, err: error.message }, 'a worker cannot be reached');
        reject(error);
        // The system could not make the process, so it does not end either.
        if (child.pid === undefined) this.#ended(place, null);
      });
      child.once('exit', (code, signal) => {
        reject(new Error(`a worker ended while it started (${signal ?? `exit code ${code}`})`));
        child.removeAllListeners('message');
        this.#ended(place, code ?? signal);
      });
    });
  }

  #ended(place: Place, cause: number | NodeJS.Signals | null): void {
    place.ready = false;
    this.#endedMetrics.push(...place.metrics.map(countersOf));
    if (this.#endedMetrics.length > MOST_ENDED) this.#endedMetrics.shift();
    place.metrics = [];
    for (const socket of place.underWay) socket.destroy();
    place.underWay.clear();
    for (const id of this.#vacating.keys()) this.#vacated(id, place);
    // The one that takes its place begins with the new configuration.
    for (const { place: asked, over } of [...this.#reloading.values()]) if (asked === place) over();
    if (this.#closing) return;
    this.log.error(
      { worker: place.index, cause, connections: place.connections },
      'a worker has ended; its sessions are lost, and it is replaced',
    );
    place.connections = 0;
    const soon = performance.now() - place.startedAt < SOON_MS;
    setTimeout(() => this.#replace(place), soon ? RESTART_DELAY_MS : 0);
  }

  #replace(place: Place): void {
    if (this.#closing) return;
    place.child = this.#fork();
    this.#begin(place, this.#places.length).catch((error: Error) => {
      this.log.error({ worker: place.index, err: error.message }, 'a worker could not be replaced');
      // One that could not begin still runs. Its end has it replaced later.
      place.child.kill();
    });
  }

  /** Hands a connection to the worker that has the fewest. */
  serve(socket: Socket): void {
    const ready = this.#places.filter((place) => place.ready);
    if (ready.length === 0) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(socket.on('error', () => undefined));
      else socket.destroy();
      return;
    }
    const place = ready.reduce((least, one) => (one.connections < least.connections ? one : least));
    place.connections++;
    place.underWay.add(socket);
    this.#say(place, { kind: 'connection' }, socket);
  }

  #say(place: Place, message: ToWorker, socket?: Socket): void {
    place.child.send(message, socket, {}, (error) => {
      if (socket === undefined) return;
      place.underWay.delete(socket);
      // The process has ended. That is noticed and logged elsewhere.
      if (error !== null) socket.destroy();
    });
  }

  #hear(place: Place, message: ToSupervisor): void {
    switch (message.kind) {
      case 'left':
        place.connections--;
        return;
      case 'cancel':
        this.cancel(message.request);
        this.#say(place, { kind: 'done', id: message.id });
        return;
      case 'elsewhere':
        this.neighbours.cancel(message.request);
        return;
      case 'vacate':
        void Promise.all([
          this.#vacate(message.databases, place),
          this.neighbours.vacate(message.databases),
        ]).then(() => this.#say(place, { kind: 'done', id: message.id }));
        return;
      case 'vacated':
        this.#vacated(message.id, place);
        return;
      case 'reloaded':
        this.#reloading.get(message.id)?.over(message.problem);
        return;
      case 'metrics':
        this.#counting.get(message.id)?.(message.metrics);
    }
  }

  /** Hands a cancel request to the worker that has made its key. */
  cancel(request: CancelKey): void {
    const owner = this.#places[ownerOf(request.secret, { count: this.#places.length }) ?? 0];
    if (owner?.ready === true) this.#say(owner, { kind: 'cancel', request });
    // A worker that has ended has no sessions. The process before may have the one that is meant.
    else this.neighbours.cancel(request);
  }

  /** Has the service connections of all workers leave databases. */
  vacate(databases: readonly string[]): Promise<void> {
    return this.#vacate(databases);
  }

  /** Asks all workers but one. Resolves when they have, or are gone. */
  #vacate(databases: readonly string[], asking?: Place): Promise<void> {
    const left = new Set(this.#places.filter((place) => place !== asking && place.ready));
    if (left.size === 0) return Promise.resolve();
    const id = ++this.#number;
    return new Promise((done) => {
      this.#vacating.set(id, { done, left });
      for (const place of left) this.#say(place, { kind: 'vacate', id, databases });
    });
  }

  #vacated(id: number, place: Place): void {
    const asked = this.#vacating.get(id);
    if (asked === undefined) return;
    asked.left.delete(place);
    if (asked.left.size > 0) return;
    this.#vacating.delete(id);
    asked.done();
  }

  /** Gives all workers another configuration. A worker that cannot use it is logged. @throws Error what this process cannot use */
  async reload(config: Config): Promise<void> {
    // What this process cannot use the workers are not given.
    usable(routerSettings(config));
    this.config = config;
    this.log.level = config.log.level;
    const running = this.#places.filter(({ child }) => child.connected);
    const problems = await Promise.all(running.map((place) => this.#reload(place)));
    // This process could use it, so that it is in use, and what takes their places has it, too.
    problems.forEach((problem, i) => {
      if (problem === undefined) return;
      const worker = running[i]!.index;
      this.log.error({ worker, err: problem }, 'a worker goes on with the settings of before');
    });
  }

  /** @returns what is wrong, if anything is */
  #reload(place: Place): Promise<string | undefined> {
    const id = ++this.#number;
    return new Promise((resolve) => {
      const over = (problem?: string): void => {
        clearTimeout(late);
        this.#reloading.delete(id);
        resolve(problem);
      };
      const late = setTimeout(() => over('it does not answer'), RELOAD_MS);
      this.#reloading.set(id, { place, over });
      const config = shareOf(this.config, place.index, this.#places.length);
      this.#say(place, { kind: 'reload', id, config });
    });
  }

  obstacle(): string | undefined {
    return this.#places.some(({ ready }) => ready) ? undefined : 'no process serves';
  }

  /** What the workers count, and those that have ended have counted: a sum must not fall. One that is late tells what it told last. */
  async metrics(): Promise<readonly MetricsJson[]> {
    const ready = this.#places.filter((place) => place.ready);
    const told = await Promise.all(ready.map((place) => this.#metricsOf(place)));
    return [...this.#endedMetrics, ...told.flat()];
  }

  #metricsOf(place: Place): Promise<readonly MetricsJson[]> {
    const id = ++this.#number;
    return new Promise((resolve) => {
      const over = (metrics: readonly MetricsJson[]): void => {
        clearTimeout(late);
        this.#counting.delete(id);
        place.metrics = metrics;
        resolve(metrics);
      };
      const late = setTimeout(() => over(place.metrics), METRICS_MS).unref();
      this.#counting.set(id, over);
      this.#say(place, { kind: 'metrics', id });
    });
  }

  reopen(): void {
    for (const place of this.#places) if (place.ready) this.#say(place, { kind: 'reopen' });
  }

  /** Has all workers end. A further call can only shorten the periods. */
  async close(graceMs: number, leaveMs: number): Promise<void> {
    this.#closing = true;
    for (const socket of this.#waiting.splice(0)) socket.destroy();
    const running = this.#places.filter(
      ({ child }) => child.pid !== undefined && child.exitCode === null && child.signalCode === null,
    );
    await Promise.all(
      running.map(async (place) => {
        const ended = once(place.child, 'exit');
        this.#say(place, { kind: 'close', graceMs, leaveMs });
        const stuck = setTimeout(() => place.child.kill('SIGKILL'), leaveMs + graceMs + LAST_MOMENTS_MS);
        await ended;
        clearTimeout(stuck);
      }),
    );
  }
}
