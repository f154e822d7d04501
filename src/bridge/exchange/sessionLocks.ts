import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { FIRST_OBJECT } from '../../primary/marks.js';
import { PgError } from '../../wire/errors.js';
import type { Parameter, Rows, ServiceConnection } from '../service/serviceConnection.js';
import type { Membership } from '../service/services.js';
import type { BridgeAnswer } from './answer.js';
import {
  answerTable,
  giveInTable,
  rowSteps,
  saysTaken,
  UNLOCK_IF_HELD,
  VOUCH,
  VOUCH_NO_MORE,
  WAITS_FOR,
} from './handOver.js';
import type { BridgeRequest } from './request.js';
import { SessionObject } from './sessionObject.js';

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

/** How often, with a pause between, a lock is tried for that somebody else holds. */
const ATTEMPTS = 20;
const PAUSE_MS = 25;

/** How often a service connection is joined that is lost before it holds a lock. */
const ATTACHMENTS = 5;

/** SQLSTATE of a lost service connection. */
const LOST = '08006';

/** Between two looks whether a function waits. */
const LOOK_AGAIN_MS = 1;
const MAX_LOOK_AGAIN_MS = 100;

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
  /** What will be held when the answer that is being given has been. */
  #next: 'a' | 'b' | undefined;
  /** The request that will be answered. */
  #expected: BridgeRequest | undefined;
  /** The function that waits is to find that there will be no answer: no lock is taken until it asks again, or is over. */
  #withdrawn = false;
  /** The request of which it is certain for which lock its function waits, or is about to: see `expect`. */
  #certain: BridgeRequest | undefined;
  /** The process that the membership's connection vouches for. */
  #vouched: number | undefined;
  #services: Membership['services'] | undefined;
  #closed = false;
  readonly #object: SessionObject;
  /** How many statements have ended. */
  #ended = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly keys: SessionKeys,
    private readonly join: () => Promise<Membership>,
  ) {
    this.#object = new SessionObject(keys.object, (act) =>
      this.#inTurn(async () => act((await this.#attach()).connection)),
    );
  }

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
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attachOnce();
      } catch (error) {
        // The connection that replaces a lost one can be lost, too.
        const lost = error instanceof PgError && error.sqlstate === LOST && !this.#closed;
        if (!lost || attempt === ATTACHMENTS) throw error;
      }
    }
  }

  async #attachOnce(): Promise<Membership> {
    if (this.#closed) throw over();
    if (this.#membership?.connection.closed) this.#lost();
    const membership = (this.#membership ??= await this.join());
    membership.onLost = this.#attachSoon;
    this.#services = membership.services;
    if (this.#held !== undefined || this.#withdrawn) return membership;
    await this.#prepared(membership);
    // Whoever saw none, or another one, may find it before it waits, or take the next one for it.
    this.#certain = undefined;
    // The session itself can hold one, for a while: dblink_proxy.ask().
    for (let attempt = 0; this.#held === undefined; attempt++) {
      if (await this.#hold('a')) this.#held = 'a';
      else if (await this.#hold('b')) this.#held = 'b';
      else if (attempt >= ATTEMPTS) throw locked();
      else await delay(PAUSE_MS);
    }
    return membership;
  }

  /** A function that finds no lock to wait for takes it, soon, that there will be no answer. */
  readonly #attachSoon = (): void => {
    if (this.#expected !== undefined) this.attach().catch(() => undefined);
  };

  /**
   * Asks the primary something on the service connection; again, when that is lost meanwhile.
   * @throws PgError see `attach`
   */
  async query(sql: string, params: readonly Parameter[]): Promise<Rows> {
    for (let attempt = 1; ; attempt++) {
      const { connection } = await this.attach();
      try {
        return await connection.query(sql, params);
      } catch (error) {
        if (!connection.closed || attempt === ATTACHMENTS) throw error;
      }
    }
  }

  /**
   * Says to the functions of the session's process that the proxy answers it.
   * @throws PgError see `attach`
   */
  async vouch(pid: number): Promise<void> {
    await this.attach();
    await this.#inTurn(async () => {
      const { connection } = await this.#attach();
      if (this.#vouched !== undefined) return;
      const [row] = await connection.query(VOUCH, [String(pid)]);
      if (row?.[0]?.toString() !== 't') throw locked();
      this.#vouched = pid;
    });
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
    this.#vouched = undefined;
  }

  async #hold(key: 'a' | 'b'): Promise<boolean> {
    const [row] = await this.#membership!.connection.query('SELECT dblink_proxy.hold($1)', [
      this.keys[key].toString(),
    ]);
    return row?.[0]?.toString() === 't';
  }

  /**
   * A function has asked, and will be given an answer. It has named the lock that was held when it looked; a lock that has
   * been let go of since, for an earlier call that a cancel or a time limit has ended, must not be taken again before the
   * function has seen that: it would wait for it as if there were no answer yet. Where it has seen none, both are such locks.
   */
  expect(request: BridgeRequest): void {
    this.#expected = request;
    this.#withdrawn = false;
    const held = this.#membership?.connection.closed ? undefined : (this.#next ?? this.#held);
    this.#certain = held !== undefined && request.held === held ? request : undefined;
  }

  /**
   * Hands over the answer, where the function looks for it, and ends the waiting; does nothing when nobody waits for it.
   * @param waits whether the function still does
   * @param making called with the name of a side table, before it is made
   * @throws PgError when the answer cannot be stored (22021: bytes that are not of the encoding): nothing has been
   * answered; 08006 when the service connection is lost, and its locks with it
   */
  give(
    request: BridgeRequest,
    answer: BridgeAnswer,
    waits: () => boolean,
    making: (table: string) => void,
  ): Promise<void> {
    const ended = this.#ended;
    return this.#inTurn(async () => {
      try {
        await this.#give(request, answer, waits, making);
      } finally {
        // Cancelled while the answer was on its way.
        if (ended !== this.#ended) this.#object.removeLater();
        // Another call may have come right behind.
        if (this.#held === undefined && this.#membership?.connection.closed === false) this.#attachSoon();
      }
    });
  }

  async #give(
    request: BridgeRequest,
    answer: BridgeAnswer,
    waits: () => boolean,
    making: (table: string) => void,
  ): Promise<void> {
    const { connection } = await this.#attach();
    if (!(await this.#isAwaited(connection, request, waits))) return;
    if (request.mode === 'row') {
      await this.#swapLocks(connection, async (held, next) =>
        saysTaken(await connection.pipeline(rowSteps({ request, answer, held, next }, this.keys.a))),
      );
      return;
    }
    if (request.mode === 'object') {
      const given = await this.#swapLocks(connection, (held, next) =>
        this.#object.give(connection, { request, answer, held, next }),
      ).catch((error: unknown) => {
        // Others have removed it, for instance.
        if (connection.closed) throw error;
        return false;
      });
      if (given || !(await this.#isAwaited(connection, request, waits))) return;
    }
    making(answerTable(request));
    await this.#swapLocks(connection, (held, next) =>
      giveInTable(connection, { request, answer, held, next }),
    );
  }

  /** Waits until it is certain that the function waits for the lock that is held. @returns false when it waits no more */
  async #isAwaited(
    connection: ServiceConnection,
    request: BridgeRequest,
    waits: () => boolean,
  ): Promise<boolean> {
    let pauseMs = LOOK_AGAIN_MS;
    while (waits() && !this.#closed) {
      if (this.#certain === request) return true;
      const held = this.keys[this.#held!].toString();
      const [row] = await connection.query(WAITS_FOR, [String(request.pid), held]);
      if (row?.[0]?.toString() === 't') {
        this.#certain = request;
      } else {
        await delay(pauseMs);
        pauseMs = Math.min(2 * pauseMs, MAX_LOOK_AGAIN_MS);
      }
    }
    return false;
  }

  /**
   * Lets go of the lock that is held, for the other one.
   * @param act takes the next lock, hands over, and lets go of the one that is held; says whether the next one was taken, or
   * nothing when it has done nothing
   * @returns whether it has handed over
   */
  async #swapLocks(
    connection: ServiceConnection,
    act: (held: bigint, next: bigint) => Promise<boolean | undefined>,
  ): Promise<boolean> {
    const next = this.#held === 'a' ? 'b' : 'a';
    this.#next = next;
    try {
      const taken = await act(this.keys[this.#held!], this.keys[next]);
      if (taken === undefined) return false;
      this.#held = taken ? next : undefined;
      return true;
    } catch (error) {
      // The function may have seen it taken.
      this.#certain = undefined;
      // A lock outlives the transaction that took it.
      if (!connection.closed) await connection.query(UNLOCK_IF_HELD, [this.keys[next].toString()]);
      throw error;
    } finally {
      this.#next = undefined;
    }
  }

  /** No function reads any more what was handed over. */
  statementEnded(): void {
    this.#ended++;
    this.#expected = undefined;
    this.#withdrawn = false;
    this.#object.removeLater();
  }

  /**
   * Lets go of the lock though there is no answer: a function that waits finds that there is none.
   * @param waits whether it still does
   */
  withdraw(waits: () => boolean): Promise<void> {
    return this.#inTurn(async () => {
      if (!waits()) return;
      this.#withdrawn = true;
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
    this.#object.close();
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
        // Where it cannot be removed now the sweep does it: the connection is others' as well, and goes on.
        if (!connection.closed) await this.#object.remove(connection).catch(() => undefined);
        if (this.#vouched !== undefined && !connection.closed) {
          await connection.query(VOUCH_NO_MORE, [String(this.#vouched)]);
        }
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
