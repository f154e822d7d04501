import type { Session } from '../session/session.js';
import type { SessionTimes } from '../session/settings.js';
import { PgError } from '../wire/errors.js';
import { TransactionStatus } from '../wire/protocol.js';

/** What was seen of a session, and since when. */
interface Seen {
  readonly state: 'idle' | 'idle in transaction' | 'busy';
  readonly requests: number;
  readonly since: number;
  /** Since when it is in its transaction; undefined outside of one. */
  readonly transactionSince: number | undefined;
  readonly transactions: number;
}

/** What tells the time. */
export interface Clock {
  /** In ms, from any beginning. */
  now(): number;
  /** Does something again and again. @returns what ends that */
  every(ms: number, act: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  every(ms, act) {
    const timer = setInterval(act, ms).unref();
    return () => clearInterval(timer);
  },
};

/** How often sessions are looked at. A limit is kept to this much. */
const EVERY_MS = 500;

/**
 * Ends sessions that are idle, or in one transaction, for too long, but for those that replicate. They are looked at now and then: a statement that passes costs nothing
 * for it.
 */
export class SessionClock {
  readonly #seen = new WeakMap<Session, Seen>();
  #stop: (() => void) | undefined;

  /** @param sessions those that there are, whenever it looks */
  constructor(
    private times: SessionTimes,
    private readonly sessions: Iterable<Session>,
    private readonly clock: Clock,
  ) {
    this.keep(times);
  }

  /** Has other limits from now on. */
  keep(times: SessionTimes): void {
    this.times = times;
    this.stop();
    if ([times.idle, times.idleInTransaction, times.transaction].some((limit) => limit > 0))
      this.#stop = this.clock.every(EVERY_MS, () => this.#look(this.clock.now()));
  }

  stop(): void {
    this.#stop?.();
  }

  #look(now: number): void {
    for (const session of this.sessions) {
      if (!session.authenticated || session.replication) continue;
      const seen = this.#see(session, now);
      this.#seen.set(session, seen);
      const error = this.#exceeded(seen, now);
      if (error === undefined) continue;
      session.log.info({ sqlstate: error.sqlstate, reason: error.message }, 'session ended');
      session.terminate(error);
    }
  }

  #see(session: Session, now: number): Seen {
    const last = this.#seen.get(session);
    const { requests, transactions } = session;
    const inBlock = session.primary.status !== TransactionStatus.idle;
    const state = session.idle ? (inBlock ? 'idle in transaction' : 'idle') : 'busy';
    const isSame = last?.state === state && last.requests === requests;
    // A request outside of a block is a transaction, too.
    const inTransaction = inBlock || state === 'busy';
    const goesOn = last?.transactionSince !== undefined && last.transactions === transactions;
    return {
      state,
      requests,
      since: isSame ? last.since : now,
      transactions,
      transactionSince: inTransaction ? (goesOn ? last.transactionSince : now) : undefined,
    };
  }

  /** The error of a session that has been as it is for too long (PostgreSQL documentation, appendix A). */
  #exceeded({ state, since, transactionSince }: Seen, now: number): PgError | undefined {
    const { idle, idleInTransaction, transaction } = this.times;
    const isOver = (limit: number, begin = now): boolean => limit > 0 && now - begin >= limit;
    if (state === 'idle' && isOver(idle, since)) return ended('57P05', 'idle-session timeout', 'idle');
    if (state === 'idle in transaction' && isOver(idleInTransaction, since))
      return ended('25P03', 'idle-in-transaction timeout', 'idle_in_transaction');
    if (isOver(transaction, transactionSince)) return ended('25P04', 'transaction timeout', 'transaction');
    return undefined;
  }
}

const ended = (sqlstate: string, why: string, setting: string): PgError =>
  new PgError(sqlstate, `terminating connection due to ${why}`, {
    severity: 'FATAL',
    hint: `The setting "timeouts.${setting}" of the proxy says so.`,
  });
