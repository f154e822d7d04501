import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { PgError } from '../../wire/errors.js';
import { type Answer, copyAnswer } from './answer.js';
import { type HandOver, makeObject, objectSteps, removeObjects, rowSteps } from './handOver.js';
import { FIRST_OBJECT } from './identifiers.js';
import type { BridgeRequest } from './request.js';
import type { ServiceConnection, Step } from './serviceConnection.js';
import { PART_TABLE } from './serviceSchema.js';
import type { Membership } from './services.js';

/** By what a session's functions know the proxy, and wait for it. */
export interface SessionKeys {
  readonly token: string;
  /** Advisory lock keys. */
  readonly a: bigint;
  readonly b: bigint;
  /** OID of the large object that answers are handed over in. */
  readonly object: number;
}

/** OIDs for large objects, from FIRST_OBJECT on. */
const OBJECTS = 0x0fffffff;

export function makeSessionKeys(): SessionKeys {
  const random = randomBytes(32);
  return {
    token: random.toString('hex', 16, 32),
    a: random.readBigInt64BE(0),
    b: random.readBigInt64BE(8),
    object: FIRST_OBJECT + randomInt(OBJECTS),
  };
}

/** The value of the setting that tells the session's functions. */
export const sessionSetting = (keys: SessionKeys): string =>
  `${keys.token}:${keys.a}:${keys.b}:${keys.object}`;

/** The table in which a request of the mode `table` is answered. */
const answerTable = ({ pid, id }: BridgeRequest): string => `answer_${pid}_${id.replaceAll('-', '')}`;

/** Gives back a lock on the connection that this runs on, if it is held there. */
const UNLOCK_IF_HELD = `SELECT pg_advisory_unlock($1) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()
  AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $1`;

const UNDEFINED_TABLE = '42P01';

/** @returns whether the next lock was taken: the one row of such steps says so (handOver.ts) */
const runSteps = async (connection: ServiceConnection, steps: readonly Step[]): Promise<boolean> =>
  (await connection.pipeline(steps))[0]?.[0]?.toString() === 't';

/** How often, with a pause between, a lock is tried for that somebody else holds. */
const ATTEMPTS = 20;
const PAUSE_MS = 25;

/** How long a large object stays though nobody uses it. */
const OBJECT_IDLE_MS = 500;

/**
 * One session's side of the waiting: holds exactly one of its two locks on a service connection, and to answer takes the
 * other one before it lets go, so that a function that comes right behind finds one held.
 *
 * One thing is done after the other: a call that was cancelled while its answer was on its way is followed by the next
 * call's.
 */
export class SessionLocks {
  #membership: Membership | undefined;
  #held: 'a' | 'b' | undefined;
  #services: Membership['services'] | undefined;
  #closed = false;
  /** The session's large object; `doubtful`: it may be there or not. */
  #object: 'none' | 'made' | 'doubtful' | 'refused' = 'none';
  /** Will remove it; none while a function may still read it. */
  #objectTimer: NodeJS.Timeout | undefined;
  /** How many statements have ended. */
  #ended = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly keys: SessionKeys,
    private readonly join: () => Promise<Membership>,
  ) {}

  /** The services of the session's database, once it has joined them. */
  get services(): Membership['services'] | undefined {
    return this.#services;
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(act);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /**
   * Makes sure that a lock is held that a function can wait for.
   * @throws PgError 08001 when there is no service connection, 55P03 when others hold the locks, 08006 when the session
   * is over, and what else stands in the way
   */
  async attach(): Promise<Membership> {
    const membership = this.#membership;
    if (membership !== undefined && !membership.connection.closed && this.#held !== undefined) {
      return membership;
    }
    return this.#inTurn(() => this.#attach());
  }

  async #attach(): Promise<Membership> {
    if (this.#closed) throw over();
    if (this.#membership?.connection.closed) this.#lost();
    this.#membership ??= await this.join();
    const membership = this.#membership;
    this.#services = membership.services;
    if (this.#held === undefined) await this.#prepared(membership);
    // The session itself can hold one, for a while: dblink_proxy.ask().
    for (let attempt = 0; this.#held === undefined; attempt++) {
      if (await this.#hold('a')) this.#held = 'a';
      else if (await this.#hold('b')) this.#held = 'b';
      else if (attempt >= ATTEMPTS) throw locked();
      else await delay(PAUSE_MS);
    }
    return membership;
  }

  /** Makes sure that everything is there by which a function can be answered. @throws PgError see `attach` */
  async prepare(): Promise<void> {
    await this.#prepared(await this.attach());
  }

  /** What was there when the connection was opened may have been uninstalled since. */
  async #prepared({ connection, services }: Membership): Promise<void> {
    const [row] = await connection.query("SELECT to_regprocedure('dblink_proxy.hold(bigint)')");
    if (row?.[0] === null) await services.prepare(connection);
  }

  #lost(): void {
    this.#membership?.leave();
    this.#membership = undefined;
    this.#held = undefined;
  }

  async #hold(key: 'a' | 'b'): Promise<boolean> {
    const [row] = await this.#membership!.connection.query('SELECT dblink_proxy.hold($1)', [
      this.keys[key].toString(),
    ]);
    return row?.[0]?.toString() === 't';
  }

  /**
   * Hands over the answer, where the function looks for it, and ends the waiting.
   * @param making called with the name of a side table, before it is made
   * @throws PgError when the answer cannot be stored (22021: bytes that are not of the encoding): nothing has been
   * answered; 08006 when the service connection is lost, and its locks with it
   */
  give(request: BridgeRequest, answer: Answer, making: (table: string) => void): Promise<void> {
    const ended = this.#ended;
    return this.#inTurn(async () => {
      try {
        await this.#give(request, answer, making);
      } finally {
        // Cancelled while the answer was on its way.
        if (ended !== this.#ended) this.#removeLater();
      }
    });
  }

  async #give(request: BridgeRequest, answer: Answer, making: (table: string) => void): Promise<void> {
    const { connection } = await this.#attach();
    const held = this.#held!;
    const next = held === 'a' ? 'b' : 'a';
    const handOver = { request, answer, held: this.keys[held], next: this.keys[next] };
    try {
      const taken = await this.#store(connection, handOver, making);
      this.#held = taken ? next : undefined;
    } catch (error) {
      // A lock outlives the transaction that took it.
      if (!connection.closed) await connection.query(UNLOCK_IF_HELD, [this.keys[next].toString()]);
      throw error;
    }
  }

  /** @returns whether the next lock was taken */
  async #store(
    connection: ServiceConnection,
    handOver: HandOver,
    making: (table: string) => void,
  ): Promise<boolean> {
    const { mode } = handOver.request;
    if (mode === 'row') return runSteps(connection, rowSteps(handOver, this.keys.a));
    const taken = mode === 'object' ? await this.#giveObject(connection, handOver) : undefined;
    if (taken !== undefined) return taken;
    const table = answerTable(handOver.request);
    making(table);
    return this.#giveTable(connection, handOver, table);
  }

  /** In the session's large object. @returns whether the next lock was taken; undefined where only a table will do */
  async #giveObject(connection: ServiceConnection, handOver: HandOver): Promise<boolean | undefined> {
    clearTimeout(this.#objectTimer);
    this.#objectTimer = undefined;
    if (this.#object === 'none' || this.#object === 'doubtful') {
      this.#object = await this.#makeObject(connection, handOver.request.pid);
    }
    const steps = this.#object === 'made' ? objectSteps(handOver, this.keys.object) : undefined;
    if (steps === undefined) return undefined;
    try {
      return await runSteps(connection, steps);
    } catch (error) {
      this.#object = 'doubtful';
      if (connection.closed) throw error;
      // Others have removed it, for instance; the lock may have been taken all the same.
      await connection.query(UNLOCK_IF_HELD, [handOver.next.toString()]);
      return undefined;
    }
  }

  async #makeObject(connection: ServiceConnection, pid: number): Promise<'made' | 'refused'> {
    try {
      await this.#removeObject(connection);
      // Until the server has said so.
      this.#object = 'doubtful';
      const { length } = await connection.pipeline([makeObject(this.keys.object, pid)]);
      return length === 1 ? 'made' : 'refused';
    } catch (error) {
      if (error instanceof PgError && !connection.closed) return 'refused';
      throw error;
    }
  }

  async #removeObject(connection: ServiceConnection): Promise<void> {
    if (this.#object !== 'made' && this.#object !== 'doubtful') return;
    try {
      await connection.query(removeObjects('o.id = $1'), [String(this.keys.object)]);
    } catch (error) {
      // The bridge has been uninstalled, which removes them.
      if (!(error instanceof PgError) || error.sqlstate !== UNDEFINED_TABLE) throw error;
    }
    this.#object = 'none';
  }

  /** In a table of its own, which every snapshot sees. @returns whether the next lock was taken */
  async #giveTable(
    connection: ServiceConnection,
    { answer, held, next }: HandOver,
    table: string,
  ): Promise<boolean> {
    let taken = false;
    await connection.script(
      `SELECT dblink_proxy.hold('${next}');
       CREATE TABLE dblink_proxy.${table} (LIKE ${PART_TABLE} INCLUDING STORAGE);
       REVOKE ALL ON dblink_proxy.${table} FROM PUBLIC;
       COPY dblink_proxy.${table} FROM STDIN WITH (FORMAT binary, FREEZE)`,
      (copy, [row]) => {
        taken = row?.[0]?.toString() === 't';
        copy.write(copyAnswer(answer, !taken));
        copy.done();
      },
    );
    await connection.query('SELECT pg_advisory_unlock($1)', [held.toString()]);
    return taken;
  }

  /** No function reads any more what was handed over: the large object is removed, unless the next one comes soon. */
  statementEnded(): void {
    this.#ended++;
    this.#removeLater();
  }

  #removeLater(): void {
    if (this.#objectTimer !== undefined || this.#closed) return;
    if (this.#object !== 'made' && this.#object !== 'doubtful') return;
    const remove = async (): Promise<void> => {
      // Used again before its turn came.
      if (timer !== this.#objectTimer) return;
      this.#objectTimer = undefined;
      await this.#removeObject((await this.#attach()).connection);
    };
    const timer = setTimeout(() => {
      // If the connection was lost, by the next one.
      this.#inTurn(remove).catch(() => this.#removeLater());
    }, OBJECT_IDLE_MS).unref();
    this.#objectTimer = timer;
  }

  /**
   * Lets go of the lock though there is no answer: a function that waits finds that there is none.
   * @param waits whether it still does
   */
  withdraw(waits: () => boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (!waits()) return;
      const held = this.#held;
      const connection = this.#membership?.connection;
      if (held === undefined || connection === undefined || connection.closed) return;
      this.#held = undefined;
      await connection.query(UNLOCK_IF_HELD, [this.keys[held].toString()]);
    });
  }

  /** The session is over: a function that still waits finds no answer. @param answered there can be answers to take back */
  release(answered: boolean): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#objectTimer);
    return this.#inTurn(async () => {
      const membership = this.#membership;
      const held = this.#held;
      this.#membership = undefined;
      this.#held = undefined;
      if (membership === undefined) return;
      const { connection } = membership;
      try {
        if (answered && !connection.closed) {
          await connection.query('DELETE FROM dblink_proxy.answer WHERE session = $1', [
            this.keys.a.toString(),
          ]);
        }
        if (!connection.closed) await this.#removeObject(connection);
        if (held !== undefined && !connection.closed) {
          await connection.query('SELECT pg_advisory_unlock($1)', [this.keys[held].toString()]);
        }
      } catch {
        // With the connection its locks are gone.
        if (!connection.closed && held !== undefined) connection.close();
      } finally {
        membership.leave();
      }
    });
  }
}

const over = (): PgError => new PgError('08006', 'the session is over');

const locked = (): PgError =>
  new PgError('55P03', "another session holds this session's advisory locks of dblink-proxy", {
    hint: 'Look for its locks in pg_locks, and end it, or connect again.',
  });
