import { PgError } from '../../wire/errors.js';
import type { ServiceConnection } from '../service/serviceConnection.js';
import { type HandOver, makeObject, objectSteps, removeObject, saysTaken } from './handOver.js';

/** How long a large object stays though nobody uses it. */
const IDLE_MS = 500;
/** How long at most until its removal is tried again. */
const MAX_PAUSE_MS = 60_000;

const UNDEFINED_TABLE = '42P01';

/**
 * The large object in which a session's small answers of the higher isolation levels are handed over
 * (docs/decisions/007-large-objects.md): made with the first such answer, removed some time after the last statement that
 * used it. Where it cannot be had or used an answer goes into a table instead.
 */
export class SessionObject {
  /** `doubtful`: it may be there or not; `refused`: there can be none. */
  #state: 'none' | 'made' | 'doubtful' | 'refused' = 'none';
  /** Will remove it; none while a function may still read it. */
  #timer: NodeJS.Timeout | undefined;
  /** Until the next try of its removal. */
  #pauseMs = IDLE_MS;
  #closed = false;

  /**
   * @param oid of it
   * @param inTurn runs something when nothing else is being handed over, on the session's service connection
   */
  constructor(
    private readonly oid: number,
    private readonly inTurn: (act: (connection: ServiceConnection) => Promise<void>) => Promise<void>,
  ) {}

  get #mayExist(): boolean {
    return this.#state === 'made' || this.#state === 'doubtful';
  }

  /**
   * Hands an answer over in it.
   * @returns whether the next lock was taken; undefined where only a table will do: nothing has been done
   * @throws PgError when it is not to be had (any more): the next lock may have been taken; 08006 when the connection is lost
   */
  async give(connection: ServiceConnection, handOver: HandOver): Promise<boolean | undefined> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const steps = objectSteps(handOver, this.oid);
    if (steps === undefined || !(await this.#made(connection, handOver.request.pid))) return undefined;
    try {
      return saysTaken(await connection.pipeline(steps));
    } catch (error) {
      this.#state = 'doubtful';
      throw error;
    }
  }

  /** Makes it if need be. @returns whether there is one */
  async #made(connection: ServiceConnection, pid: number): Promise<boolean> {
    try {
      if (this.#state === 'doubtful') await this.remove(connection);
    } catch (error) {
      if (!(error instanceof PgError) || connection.closed) throw error;
      return false;
    }
    if (this.#state === 'none') await this.#make(connection, pid);
    return this.#state === 'made';
  }

  async #make(connection: ServiceConnection, pid: number): Promise<void> {
    // Until the server has said so.
    this.#state = 'doubtful';
    try {
      const { length } = await connection.pipeline([makeObject(this.oid, pid)]);
      this.#state = length === 1 ? 'made' : 'refused';
    } catch (error) {
      if (!(error instanceof PgError) || connection.closed) throw error;
      this.#state = 'refused';
    }
  }

  /** Removes it, if it is there. @throws PgError when it cannot be removed */
  async remove(connection: ServiceConnection): Promise<void> {
    if (!this.#mayExist) return;
    try {
      await connection.pipeline(removeObject(this.oid));
    } catch (error) {
      // The bridge has been uninstalled, which removes them.
      if (!(error instanceof PgError) || error.sqlstate !== UNDEFINED_TABLE) throw error;
    }
    this.#state = 'none';
    this.#pauseMs = IDLE_MS;
  }

  /** No function reads any more what was handed over: it is removed, unless the next answer comes soon. */
  removeLater(): void {
    if (this.#timer !== undefined || this.#closed || !this.#mayExist) return;
    const timer = setTimeout(() => {
      // Not if it was used again before its turn came.
      const stillIdle = (): boolean => timer === this.#timer;
      this.inTurn(async (connection) => {
        if (stillIdle()) await this.remove(connection);
      })
        .catch(() => undefined)
        .then(() => {
          if (!stillIdle()) return;
          this.#timer = undefined;
          // If it could not be removed: by another connection, when a lock is gone.
          this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
          this.removeLater();
        });
    }, this.#pauseMs).unref();
    this.#timer = timer;
  }

  /** The session is over: what `removeLater` would do is for `remove` now. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}
