import { PgError } from '../../wire/errors.js';
import type { ServiceConnection } from '../service/serviceConnection.js';
import { type HandOver, makeObject, objectStep, removeObject, saysTaken } from './handOver.js';

/** How long a large object stays though nobody uses it. */
const IDLE_MS = 500;
/** The longest pause before its removal is tried again. */
const MAX_PAUSE_MS = 60_000;

const UNDEFINED_TABLE = '42P01';

/**
 * The large object in which a session's small answers are handed over in the higher isolation levels
 * (docs/decisions/007-large-objects.md). It is made with the first such answer, and removed some time after the last statement
 * that used it. Where it cannot be made or used, an answer goes into a table instead.
 */
export class SessionObject {
  /** `doubtful`: the object may exist or not. `refused`: there can be none. */
  #state: 'none' | 'made' | 'doubtful' | 'refused' = 'none';
  /** Will remove the object. Undefined while a function may still read it. */
  #timer: NodeJS.Timeout | undefined;
  /** How long to wait before the removal is tried. */
  #pauseMs = IDLE_MS;
  #closed = false;

  /**
   * @param oid of the large object
   * @param inTurn runs something when nothing else is being handed over; it may connect to the service connection
   */
  constructor(
    private readonly oid: number,
    private readonly inTurn: (
      act: (connect: () => Promise<ServiceConnection>) => Promise<void>,
    ) => Promise<void>,
  ) {}

  get #mayExist(): boolean {
    return this.#state === 'made' || this.#state === 'doubtful';
  }

  /**
   * Hands an answer over in the large object.
   * @returns whether the next lock was taken; undefined where only a table will do, and then nothing has been done
   * @throws PgError when the object cannot be used (any more), and then the next lock may have been taken; 08006 when the
   * connection is lost
   */
  async give(connection: ServiceConnection, handOver: HandOver): Promise<boolean | undefined> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const step = objectStep(handOver, this.oid);
    if (step === undefined || !(await this.#made(connection, handOver.request.pid))) return undefined;
    try {
      return saysTaken(await connection.pipeline([step]));
    } catch (error) {
      this.#state = 'doubtful';
      throw error;
    }
  }

  /** Makes the object if there is none. @returns whether there is one now */
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
    // Stays so until the server has said whether the object was made.
    this.#state = 'doubtful';
    try {
      const { length } = await connection.pipeline([makeObject(this.oid, pid)]);
      this.#state = length === 1 ? 'made' : 'refused';
    } catch (error) {
      if (!(error instanceof PgError) || connection.closed) throw error;
      this.#state = 'refused';
    }
  }

  /** Removes the object, if it exists. @throws PgError when it cannot be removed */
  async remove(connection: ServiceConnection): Promise<void> {
    if (!this.#mayExist) return;
    try {
      await connection.pipeline(removeObject(this.oid));
    } catch (error) {
      // The bridge has been uninstalled, and all its large objects with it.
      if (!(error instanceof PgError) || error.sqlstate !== UNDEFINED_TABLE) throw error;
    }
    this.#state = 'none';
    this.#pauseMs = IDLE_MS;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Called when no function reads any more what was handed over. Removes the object, unless the next answer comes soon. */
  removeLater(): void {
    if (this.#timer !== undefined || this.#closed || !this.#mayExist) return;
    const timer = setTimeout(() => {
      // Nothing is to be done, and nobody has to connect for it, if it was used again or removed before the turn for that came.
      const stillIdle = (): boolean => timer === this.#timer;
      this.inTurn(async (connect) => {
        if (stillIdle()) await this.remove(await connect());
      })
        .catch(() => undefined)
        .then(() => {
          if (!stillIdle()) return;
          this.#timer = undefined;
          // Tried again if it could not be removed: another connection may do it, or a lock may be gone by then.
          this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
          this.removeLater();
        });
    }, this.#pauseMs).unref();
    this.#timer = timer;
  }

  /** Called when the session is over. From now on only `remove` removes the object. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}
