import type { ServiceConnection } from './serviceConnection.js';

/** How many connections hold locks and hand over answers. The sessions of a database share them. */
const MAX_SHARED = 3;
/** A further one is opened when each has this many sessions. */
const SESSIONS_PER_CONNECTION = 16;
/**
 * How often sessions are made to give up their places at most. A command for which that matters takes as long by itself; whoever
 * sends others, which are refused at once, must not keep sessions busy with leaving and coming back.
 */
const LEAVING_PAUSE_MS = 5_000;

/** A session's place on a shared connection. */
export interface SessionPlace {
  /** Called when the connection is lost; must not throw. */
  onLost: (() => void) | undefined;
  /** Called when others would have the session leave. It does, unless a function waits for its answer. Must not reject. */
  onWanted?: () => Promise<void>;
}

/** A shared connection, and the sessions on it. */
export interface SharedConnection {
  readonly connection: ServiceConnection;
  readonly sessions: Set<SessionPlace>;
}

/** The shared connections to one database, and who has a place on them. */
export class SharedConnections {
  readonly #all: SharedConnection[] = [];
  /** By performance.now(). */
  #leftAt = Number.NEGATIVE_INFINITY;

  get first(): ServiceConnection | undefined {
    return this.#all[0]?.connection;
  }

  /** Whether a session has a place on one of them. */
  get used(): boolean {
    return this.#all.some(({ sessions }) => sessions.size > 0);
  }

  add(shared: SharedConnection): void {
    this.#all.push(shared);
  }

  remove(shared: SharedConnection): void {
    const index = this.#all.indexOf(shared);
    if (index >= 0) this.#all.splice(index, 1);
  }

  /** The one with the fewest sessions. */
  least(): SharedConnection | undefined {
    // Whoever could not leave one in order has closed it.
    for (const shared of this.#all.filter(({ connection }) => connection.closed)) this.remove(shared);
    return this.#all.reduce<SharedConnection | undefined>(
      (least, one) => (least === undefined || one.sessions.size < least.sessions.size ? one : least),
      undefined,
    );
  }

  /** The one that a further session is to join, unless a further one is to be opened. */
  withRoom(): SharedConnection | undefined {
    const least = this.least();
    const full = least !== undefined && least.sessions.size >= SESSIONS_PER_CONNECTION;
    return full && this.#all.length < MAX_SHARED ? undefined : least;
  }

  /**
   * Has all sessions give up their places that no function of theirs waits on, if that was not done just before. Never rejects.
   * @returns whether they were asked
   */
  async haveSessionsLeave(): Promise<boolean> {
    const now = performance.now();
    if (!this.used || now - this.#leftAt < LEAVING_PAUSE_MS) return false;
    this.#leftAt = now;
    const sessions = this.#all.flatMap((shared) => [...shared.sessions]);
    await Promise.all(sessions.map(({ onWanted }) => onWanted?.()));
    return true;
  }

  /** Closes them all. They are not lost. */
  close(): void {
    for (const { connection } of this.#all.splice(0)) {
      connection.onLost = undefined;
      connection.close();
    }
  }
}
