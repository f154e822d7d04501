import type { ServiceConnection } from './serviceConnection.js';

/** How many connections there are. */
interface Numbers {
  /** Usually. */
  readonly usual: number;
  /** At most, where results take long. */
  readonly most: number;
  /** At most for the sessions of one user. */
  readonly mostOfOne: number;
}

/** For the sessions of clients. */
const OF_CLIENTS: Numbers = { usual: 3, most: 12, mostOfOne: 6 };
/** For each depth of sessions that are nested in others, and for what waits for nobody. */
const OTHERS: Numbers = { usual: 1, most: 3, mostOfOne: 2 };
/** How long somebody waits before there are more than usual. */
const IMPATIENT_MS = 250;
/** How long there are no more than usual after a further connection was refused: the server may have no more to give. */
const PAUSE_MS = 10_000;

interface Waiter {
  readonly user: unknown;
  /** By performance.now(). */
  readonly since: number;
  readonly start: (isMore: boolean) => void;
}

/**
 * Service connections that are used by one at a time: for large results, for replacing the schema, for reading user mappings. How
 * long a large result takes is up to whoever sends or reads it. Of those who wait, the one whose user has the fewest connections
 * comes first.
 */
export class BulkConnections {
  readonly #idle: ServiceConnection[] = [];
  #busy = 0;
  readonly #busyOf = new Map<unknown, number>();
  #waiting: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;
  #noMoreUntil = 0;

  constructor(
    private readonly connect: () => Promise<ServiceConnection>,
    private readonly numbers = OF_CLIENTS,
  ) {}

  /**
   * Runs something on a connection of its own.
   * @param user whose turn it is @param signal ends the waiting for a connection
   * @throws what `act` throws; PgError 08001; the signal's reason
   */
  async run<T>(
    act: (connection: ServiceConnection) => Promise<T>,
    user?: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    for (;;) {
      const isMore = await this.#turn(user, signal);
      let connection: ServiceConnection | undefined;
      try {
        connection = this.takeIdle();
        if (connection === undefined) {
          try {
            connection = await this.connect();
          } catch (error) {
            if (!isMore) throw error;
            // Waits for one of the usual connections instead.
            this.#noMoreUntil = performance.now() + PAUSE_MS;
            continue;
          }
        }
        return await act(connection);
      } finally {
        if (connection !== undefined && !connection.closed) this.giveBack(connection);
        this.#count(user, -1);
        this.#next();
      }
    }
  }

  /** A connection that nobody uses, to be handed back by `giveBack`, if there is one. */
  takeIdle(): ServiceConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || !connection.closed) return connection;
    }
  }

  /** Keeps an open connection for whoever needs one next, if it is not one too many. */
  giveBack(connection: ServiceConnection): void {
    if (this.#idle.length < this.numbers.usual) this.#idle.push(connection);
    else connection.close();
  }

  #count(user: unknown, by: number): void {
    this.#busy += by;
    const count = (this.#busyOf.get(user) ?? 0) + by;
    if (count === 0) this.#busyOf.delete(user);
    else this.#busyOf.set(user, count);
  }

  /** Waits for a turn. @returns whether there are more connections than usual then */
  #turn(user: unknown, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const giveUp = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== waiter);
        reject(signal?.reason);
      };
      const start = (isMore: boolean): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve(isMore);
      };
      const waiter: Waiter = { user, since: performance.now(), start };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(waiter);
      this.#next();
    });
  }

  #next(): void {
    clearTimeout(this.#timer);
    while (this.#waiting.length > 0) {
      const busy = ({ user }: Waiter): number => this.#busyOf.get(user) ?? 0;
      const next = this.#waiting.reduce((least, one) => (busy(one) < busy(least) ? one : least));
      const isMore = this.#busy >= this.numbers.usual;
      if (isMore && !this.#mayHaveMore(next)) break;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#count(next.user, 1);
      next.start(isMore);
    }
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#next(), IMPATIENT_MS).unref();
  }

  #mayHaveMore({ user, since }: Waiter): boolean {
    const now = performance.now();
    return (
      this.#busy < this.numbers.most &&
      (this.#busyOf.get(user) ?? 0) < this.numbers.mostOfOne &&
      now - since >= IMPATIENT_MS &&
      now >= this.#noMoreUntil
    );
  }

  /** Closes the connections that nobody uses. */
  close(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }
}

/**
 * Those of a database, by how deeply the sessions that use them are nested in others. A result on its way to a session can wait for one
 * on its way to a session that is nested in it, so each depth has connections of its own: nobody waits for who waits for them.
 */
export class BulkConnectionsByDepth {
  readonly #byDepth = new Map<number | undefined, BulkConnections>();

  constructor(private readonly connect: () => Promise<ServiceConnection>) {}

  /** @param depth 0 for the sessions of clients; undefined for what is short and waits for nobody */
  at(depth: number | undefined): BulkConnections {
    const known = this.#byDepth.get(depth);
    if (known !== undefined) return known;
    const made = new BulkConnections(this.connect, depth === 0 ? OF_CLIENTS : OTHERS);
    this.#byDepth.set(depth, made);
    return made;
  }

  /** Closes the connections that nobody uses. */
  close(): void {
    for (const connections of this.#byDepth.values()) connections.close();
  }
}
