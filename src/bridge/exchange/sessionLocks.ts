import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { FIRST_OBJECT } from '../../primary/marks.js';
import { PgError } from '../../wire/errors.js';
import type { Parameter, Rows, ServiceConnection } from '../service/serviceConnection.js';
import type { Membership } from '../service/services.js';
import type { BridgeAnswer } from './bridgeAnswer.js';
import {
  AFTER_FAILURE,
  answerTable,
  giveInTable,
  rowStep,
  saysTaken,
  UNLOCK_IF_HELD,
  VOUCH,
  VOUCH_NO_MORE,
  WAITS_FOR,
} from './handOver.js';
import { type BridgeRequest, polls } from './request.js';
import { SessionObject } from './sessionObject.js';

/** By what a session's functions know the proxy, and what they wait for. Random for every session. */
export interface SessionKeys {
  /** 32 hexadecimal digits, which every request of the session has. */
  readonly token: string;
  /** Keys of the two advisory locks. */
  readonly a: bigint;
  readonly b: bigint;
  /** OID of the large object that answers are handed over in. */
  readonly object: number;
}

/** How many OIDs there are for large objects, from FIRST_OBJECT on. */
const OBJECTS = 0x0fffffff;

/** Makes up the keys of a new session. */
export function makeSessionKeys(): SessionKeys {
  const random = randomBytes(32);
  return {
    token: random.toString('hex', 16, 32),
    a: random.readBigInt64BE(0),
    b: random.readBigInt64BE(8),
    object: FIRST_OBJECT + randomInt(OBJECTS),
  };
}

/** The value of the setting dblink_proxy.session, in which the session's functions find the keys. */
export const sessionSetting = (keys: SessionKeys): string =>
  `${keys.token}:${keys.a}:${keys.b}:${keys.object}`;

/** How often the proxy tries to take a lock that somebody else holds, with a pause between. */
const ATTEMPTS = 20;
const PAUSE_MS = 25;

/** How often the proxy goes on with another service connection when one is lost before it has served its purpose. */
const ATTACHMENTS = 5;

/** SQLSTATE of a lost service connection. */
const LOST = '08006';

/** The pause between two looks whether a function waits, at first and at most. */
const LOOK_AGAIN_MS = 1;
const MAX_LOOK_AGAIN_MS = 100;

/**
 * One session's side of the waiting. It holds exactly one of the session's two locks, on a service connection. To answer it
 * takes the other lock before it lets go of the first one. So a function that comes right behind finds one held.
 *
 * One thing is done after the other. When a call is cancelled while its answer is on its way, the next call's answer waits.
 */
export class SessionLocks {
  #membership: Membership | undefined;
  #held: 'a' | 'b' | undefined;
  /** The lock that will be held when the answer that is on its way has been given. */
  #next: 'a' | 'b' | undefined;
  /** The request that will be answered. */
  #expected: BridgeRequest | undefined;
  /** The request of a function that polls, until its answer is on its way. */
  #polling: BridgeRequest | undefined;
  /** The function that waits is to find no answer. So no lock is taken until one asks again, or the statement ends. */
  #withdrawn = false;
  /** The request whose function certainly waits for the lock that is held, or is about to. See `expect`. */
  #certain: BridgeRequest | undefined;
  /** The process that the membership's connection vouches for. */
  #vouched: number | undefined;
  #services: Membership['services'] | undefined;
  #closed = false;
  /** Whether the table of answers may hold some of the session. */
  #answered = false;
  readonly #object: SessionObject;
  /** How many statements have ended. */
  #ended = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly keys: SessionKeys,
    private readonly join: () => Promise<Membership>,
  ) {
    this.#object = new SessionObject(keys.object, (act) =>
      this.#inTurn(() => act(async () => (await this.#attach()).connection)),
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
    membership.onWanted = () => this.vacate();
    this.#services = membership.services;
    if (this.#held !== undefined || this.#withdrawn) return membership;
    await this.#prepared(membership);
    // A function that has seen no lock, or another one, may find the new one before it waits, or may take the next one for it.
    this.#certain = undefined;
    // The session itself can hold one of the locks for a while: see dblink_proxy.ask().
    for (let attempt = 0; this.#held === undefined; attempt++) {
      if (await this.#hold('a')) this.#held = 'a';
      else if (await this.#hold('b')) this.#held = 'b';
      else if (attempt >= ATTEMPTS) throw locked();
      else await delay(PAUSE_MS);
    }
    return membership;
  }

  /** Whether a function waits for a lock, or may soon, or has yet to find its answer. */
  get #needed(): boolean {
    return this.#expected !== undefined && this.#expected !== this.#polling;
  }

  /** Takes a lock again. A function that finds none to wait for soon concludes that there will be no answer. */
  readonly #attachSoon = (): void => {
    if (this.#needed) this.attach().catch(() => undefined);
  };

  /**
   * Asks the primary something on the service connection. Asks again when the connection is lost meanwhile.
   * @throws PgError see `attach`, and what the primary raised
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
   * Says to the functions of the session's process that the proxy answers them (askFunction.ts).
   * @param pid the process
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

  /** Makes sure that everything by which a function is answered is there. @throws PgError see `attach`; Replacing */
  async prepare(): Promise<void> {
    await this.#prepared(await this.attach());
  }

  /** The service schema was there when the connection was opened, but may have been uninstalled since. */
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
   * Says that a function has asked, and will be given an answer.
   *
   * The request names the lock that was held when the function looked. That lock may have been let go of since, for an earlier
   * call that a cancel or a time limit has ended. Then it must not be taken again before the function has seen that: the
   * function would wait for it as if there were no answer yet. Where the function has seen no lock held, both are such locks.
   */
  expect(request: BridgeRequest): void {
    this.#expected = request;
    this.#polling = polls(request) ? request : undefined;
    this.#withdrawn = false;
    const held = this.#membership?.connection.closed ? undefined : (this.#next ?? this.#held);
    this.#certain = held !== undefined && request.held === held ? request : undefined;
  }

  /**
   * Hands over the answer where the function looks for it, and ends the waiting. Does nothing when nobody waits for the answer.
   * @param waits whether the function still waits
   * @param making called with the name of a side table, before it is made
   * @throws PgError when the answer cannot be stored, and then nothing has been answered (22021: bytes that are not of the
   * encoding); 08006 when the service connection is lost, and its locks with it
   */
  give(
    request: BridgeRequest,
    answer: BridgeAnswer,
    waits: () => boolean,
    making: (table: string) => void,
  ): Promise<void> {
    const ended = this.#ended;
    return this.#inTurn(async () => {
      if (request === this.#polling) this.#polling = undefined;
      try {
        await this.#give(request, answer, waits, making);
      } finally {
        // The statement has ended while the answer was on its way.
        if (ended !== this.#ended) this.#object.removeLater();
        // Another call may have come right behind, and finds no lock held.
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
    let { connection } = await this.#attach();
    // A function that polls cannot miss its answer.
    if (polls(request) ? !waits() : !(await this.#isAwaited(connection, request, waits))) return;
    if (request.mode === 'row') {
      this.#answered = true;
      await this.#swapLocks(connection, async (held, next) =>
        saysTaken(await connection.pipeline([rowStep({ request, answer, held, next }, this.keys.a)])),
      );
      return;
    }
    if (request.mode === 'object') {
      const given = await this.#swapLocks(connection, (held, next) =>
        this.#object.give(connection, { request, answer, held, next }),
      ).catch((error: unknown) => {
        // Somebody may have removed the large object, for instance. A table is tried instead.
        if (connection.closed) throw error;
        return false;
      });
      if (given) return;
      // The lock may have been lost with the failure.
      ({ connection } = await this.#attach());
      if (polls(request) ? !waits() : !(await this.#isAwaited(connection, request, waits))) return;
    }
    making(answerTable(request));
    await this.#swapLocks(connection, (held, next) =>
      giveInTable(connection, { request, answer, held, next }),
    );
  }

  /**
   * Waits until pg_locks shows that the function waits for the lock that is held, whatever its request says.
   * @returns false when it no longer waits @throws PgError see `attach`
   */
  isAwaited(request: BridgeRequest, waits: () => boolean): Promise<boolean> {
    return this.#inTurn(async () => {
      const { connection } = await this.#attach();
      this.#certain = undefined;
      return this.#isAwaited(connection, request, waits);
    });
  }

  /** Waits until it is certain that the function waits for the lock that is held. @returns false when it no longer waits */
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
   * Lets go of the lock that is held, and holds the other one instead.
   * @param act takes the next lock, hands over the answer, and lets go of the lock that is held; gives whether the next lock was
   * taken, or undefined when it has done nothing
   * @returns whether the answer has been handed over
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
      // The function may have seen the next lock taken.
      this.#certain = undefined;
      // The next lock may have been taken, and outlives the transaction that took it. The other one may be gone.
      if (!connection.closed) await this.#putBack(connection, next);
      throw error;
    } finally {
      this.#next = undefined;
    }
  }

  /** After a hand-over that has failed: makes sure of the one lock, and lets the other one go. */
  async #putBack(connection: ServiceConnection, next: 'a' | 'b'): Promise<void> {
    const keys = [this.keys[this.#held!], this.keys[next]].map(String);
    try {
      const [row] = await connection.query(AFTER_FAILURE, keys);
      if (row?.[0]?.toString() !== 't') this.#held = undefined;
    } catch {
      // A lock that nobody knows of would stay for ever. With the connection it goes, and another one takes its place.
      connection.close();
    }
  }

  /** Called when a statement has ended. No function reads any more what was handed over. */
  statementEnded(): void {
    this.#ended++;
    this.#expected = undefined;
    this.#withdrawn = false;
    this.#object.removeLater();
  }

  /**
   * Lets go of the lock without an answer, so that the function that waits finds that there is none.
   * @param waits whether the function still waits
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

  /** Called when the session is over. A function that still waits finds no answer. */
  release(): Promise<void> {
    this.#closed = true;
    this.#object.close();
    return this.#inTurn(() => this.#leave());
  }

  /** Gives up the place on the service connection until it is needed again, unless a function needs it. Never rejects. */
  vacate(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#needed) await this.#leave();
    });
  }

  async #leave(): Promise<void> {
    const membership = this.#membership;
    const held = this.#held;
    const vouched = this.#vouched;
    this.#membership = undefined;
    this.#held = undefined;
    this.#vouched = undefined;
    if (membership === undefined) return;
    const { connection } = membership;
    try {
      if (this.#answered && !connection.closed) {
        await connection.query('DELETE FROM dblink_proxy.answer WHERE session = $1', [
          this.keys.a.toString(),
        ]);
        this.#answered = false;
      }
      // Where the large object cannot be removed now, the sweep does it later. The connection stays: others use it, too.
      if (!connection.closed) await this.#object.remove(connection).catch(() => undefined);
      if (vouched !== undefined && !connection.closed) {
        await connection.query(VOUCH_NO_MORE, [String(vouched)]);
      }
      if (held !== undefined && !connection.closed) {
        await connection.query('SELECT pg_advisory_unlock($1)', [this.keys[held].toString()]);
      }
    } catch {
      // Closing the connection lets its locks go.
      if (!connection.closed && held !== undefined) connection.close();
    } finally {
      membership.leave();
    }
  }
}

const over = (): PgError => new PgError('08006', 'the session is over');

const locked = (): PgError =>
  new PgError('55P03', "another session holds this session's advisory locks of dblink-proxy", {
    hint: 'Look for its locks in pg_locks, and end it, or connect again.',
  });
