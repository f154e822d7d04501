import { setMaxListeners } from 'node:events';
import type { PrimaryLink } from '../primary/primaryLink.js';
import { PgError } from '../wire/errors.js';
import type { RouterLog } from './settings.js';

const userCancelled = (): PgError => new PgError('57014', 'canceling statement due to user request');

const timedOut = (): PgError => new PgError('57014', 'canceling statement due to statement timeout');

/** Rows that are held for the statement that runs. */
export interface HeldResult {
  /** @param unread nobody reads the bytes any more, the system included */
  release(unread: boolean): void;
}

/**
 * The statement of a session that is carried out here: its clock, its cancel, the plan that serves it, and what is held for it.
 * One follows the other on the same object.
 */
export class CurrentStatement {
  #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** When it began, in ms. */
  #began = 0;
  /** The client asked to cancel what it sent last, and has not been told that it is over. */
  #cancelled = false;
  /** Between the beginning of a request that is carried out here and the ReadyForQuery behind it. */
  #active = false;
  #plan: string | undefined;
  #results: HeldResult[] = [];
  /** Calls that wait for a remote now. */
  #remoteCalls = 0;

  constructor(
    private readonly primary: PrimaryLink,
    private readonly log: RouterLog,
  ) {}

  /** Begins a statement: its clock and its place in the order of cancels. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#active = true;
    this.#abort = new AbortController();
    // Any number of calls of the statement listens.
    setMaxListeners(0, this.#abort.signal);
    // The request may have come while the statement was being looked at.
    if (this.#cancelled) this.#abort.abort(userCancelled());
    this.#began = Date.now();
  }

  /** What serves it, as far as it is known by now: the name of a plan. */
  planned(plan: string): void {
    this.#plan = plan;
  }

  /** Ends it. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#releaseResults();
    const plan = this.#plan;
    this.#plan = undefined;
    if (plan !== undefined) this.#served({ plan, durationMs: Date.now() - this.#began });
  }

  /**
   * A statement that was looked at when it was prepared is the primary's from then on: how often it is executed, and how long that
   * takes, is not known here. @param plan its name
   */
  passed(plan: string): void {
    this.#served({ plan });
  }

  /** Every statement that was looked at ends here: each time that it is carried out, or once when it is passed on. */
  #served(how: { readonly plan: string; readonly durationMs?: number }): void {
    this.log.debug(how, 'dblink statement');
  }

  /** Holds a result until the statement is over. */
  hold(result: HeldResult): void {
    this.#results.push(result);
  }

  #releaseResults(): void {
    const results = this.#results.splice(0);
    if (results.length === 0) return;
    // What has been sent to the primary may not have left.
    this.primary.whenWritten((unread) => {
      for (const result of results) result.release(unread);
    });
  }

  /**
   * The client asks to cancel. What a remote does for the statement is stopped, and what the statement would still ask of a
   * remote is refused.
   * @returns whether nothing but remote work is going on: then the primary has nothing to cancel
   */
  cancel(): boolean {
    // Nothing is being carried out here: it is for the primary alone.
    if (!this.#active) return false;
    this.#cancelled = true;
    this.#abort.abort(userCancelled());
    // A call may be asking the primary for a foreign server, or whether the role is still a superuser.
    return this.#remoteCalls > 0 && this.primary.queue.length === 0;
  }

  /** A request is being looked at or carried out here: until the next ReadyForQuery a cancel request is meant for it. */
  taken(): void {
    this.#active = true;
    this.log.trace({}, 'request taken');
  }

  /** A ReadyForQuery is on its way: a cancel request that came too late is over, and one that comes now is for nobody. */
  ready(): void {
    this.#active = false;
    this.#cancelled = false;
  }

  /** A cancel request has come for what is being looked at or carried out. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** @throws PgError 57014 when a cancel request has come for what is being looked at, before it has begun */
  throwIfCancelled(): void {
    if (this.#cancelled) throw userCancelled();
  }

  /** @throws PgError 57014 when it is to be stopped */
  throwIfStopped(): void {
    this.#abort.signal.throwIfAborted();
  }

  /** Why its remote work was stopped; undefined while it may go on. */
  get stopped(): unknown {
    return this.#abort.signal.aborted ? this.#abort.signal.reason : undefined;
  }

  /**
   * Does remote work for it, which its cancel and its clock end.
   * @param timeoutMs the session's statement_timeout, 0 for none; the clock starts with the first such work, since the primary's
   * own does not run while a remote works
   */
  async remotely<T>(timeoutMs: number, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#timer === undefined && timeoutMs > 0)
      this.#timer = setTimeout(() => this.#abort.abort(timedOut()), timeoutMs);
    this.#abort.signal.throwIfAborted();
    this.#remoteCalls++;
    try {
      return await act(this.#abort.signal);
    } finally {
      this.#remoteCalls--;
    }
  }

  /** The session is over. */
  close(): void {
    this.finish();
    this.#abort.abort(
      new PgError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' }),
    );
  }
}
