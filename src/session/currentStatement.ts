import { setMaxListeners } from 'node:events';
import type { Metrics } from '../metrics/metrics.js';
import type { PrimaryLink } from '../primary/primaryLink.js';
import { PgError } from '../wire/errors.js';
import { keepsListener } from '../wire/pace/abortable.js';
import type { RouterLog } from './settings.js';

const userCancelled = (): PgError => new PgError('57014', 'canceling statement due to user request');

const timedOut = (): PgError => new PgError('57014', 'canceling statement due to statement timeout');

/** Any number of calls of a statement may listen to its signal. */
function abortController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, keepsListener(controller.signal));
  return controller;
}

/** Rows that are held in memory for the statement that runs. */
export interface HeldResult {
  /** Gives the memory back. @param unread whether nobody reads the bytes any more, the system included */
  release(unread: boolean): void;
}

/**
 * The statement of a session that is carried out here: its clock, its cancel, the plan that serves it, and what is held for it. A
 * session has one such object, for one statement after another.
 */
export class CurrentStatement {
  /** Ends the remote work of the statement. */
  #abort = abortController();
  /** The statement's clock. Undefined until remote work begins. */
  #timer: NodeJS.Timeout | undefined;
  /** When the statement began, in ms. */
  #began = 0;
  /** The client asked to cancel what it sent last, and has not been told yet that this is over. */
  #cancelled = false;
  /** True from the beginning of a request that is carried out here to the ReadyForQuery behind it. */
  #active = false;
  #plan: string | undefined;
  #results: HeldResult[] = [];
  /** How many rows have been collected for the statement. */
  #rows = 0;
  /** Number of calls that are waiting for a remote. */
  #remoteCalls = 0;

  constructor(
    private readonly primary: PrimaryLink,
    private readonly log: RouterLog,
    private readonly metrics?: Pick<Metrics, 'served'>,
  ) {}

  /** Begins a statement. From now on cancel requests are meant for it. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#active = true;
    // Whoever listens to it has stopped when its statement is over, so the next statement can have it.
    if (this.#abort.signal.aborted) this.#abort = abortController();
    // A cancel request may have come while the statement was being looked at.
    if (this.#cancelled) this.#abort.abort(userCancelled());
    this.#began = performance.now();
    this.#rows = 0;
  }

  /** Notes what serves the statement, as far as that is known by now. @param plan its name */
  planned(plan: string): void {
    this.#plan = plan;
  }

  /** Ends the statement: stops its clock, gives back what is held for it, and logs its plan. A second call does nothing. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#releaseResults();
    const plan = this.#plan;
    this.#plan = undefined;
    if (plan !== undefined) this.#served({ plan, durationMs: performance.now() - this.#began });
  }

  /**
   * Logs a statement that was looked at when it was prepared, and that is left to the primary from then on. How often it is
   * executed, and how long that takes, is not known here.
   * @param plan its name
   */
  passed(plan: string): void {
    this.#served({ plan });
  }

  /** Every statement that was looked at ends here: each time when it is carried out, or once when it is passed on. */
  #served({ plan, durationMs }: { readonly plan: string; readonly durationMs?: number }): void {
    this.metrics?.served(plan, durationMs === undefined ? undefined : durationMs / 1000);
    this.log.debug(
      durationMs === undefined ? { plan } : { plan, durationMs: Math.round(durationMs) },
      'dblink statement',
    );
  }

  /** Holds a result until the statement is over. */
  hold(result: HeldResult): void {
    this.#results.push(result);
  }

  /** Counts a row that is kept for the statement. @param limit of their number @throws PgError 54000 beyond it */
  collects(limit: number): void {
    if (++this.#rows <= limit) return;
    throw new PgError('54000', `the statement needs more than ${limit} rows of remotes in memory`, {
      hint: 'Let remote queries return less, or raise the setting "limits.collected_rows" of the proxy.',
    });
  }

  #releaseResults(): void {
    const results = this.#results;
    if (results.length === 0) return;
    this.#results = [];
    // What has been sent to the primary may not have left for it yet.
    this.primary.whenWritten((unread) => {
      for (const result of results) result.release(unread);
    });
  }

  /** Whether a call is being carried out on a remote. */
  get calls(): boolean {
    return this.#remoteCalls > 0;
  }

  /**
   * The client asks to cancel. What a remote is doing for the statement is stopped. What the statement would still ask of a
   * remote is refused.
   * @returns whether nothing but remote work is going on: then the primary has nothing to cancel
   */
  cancel(): boolean {
    // Nothing is being carried out here, so the cancel request is for the primary alone.
    if (!this.#active) return false;
    this.#cancelled = true;
    this.#abort.abort(userCancelled());
    // A call may be asking the primary for a foreign server, or whether the role is still a superuser.
    return this.#remoteCalls > 0 && this.primary.queue.length === 0;
  }

  /** Called when a request is taken over. Until the next ReadyForQuery a cancel request is meant for that request. */
  taken(): void {
    this.#active = true;
    this.log.trace({}, 'request taken');
  }

  /**
   * Called when a ReadyForQuery has been sent to the client. A cancel request that came before is settled. One that comes after
   * it has nothing to cancel, and must not hit the next statement.
   */
  ready(): void {
    this.#active = false;
    this.#cancelled = false;
  }

  /** Whether a cancel request has come for what is being looked at or carried out. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** For a request that is looked at and has not begun. @throws PgError 57014 when a cancel request has come for it */
  throwIfCancelled(): void {
    if (this.#cancelled) throw userCancelled();
  }

  /** For a statement that has begun. @throws PgError why its remote work was stopped: 57014, 57P01 when the session is over */
  throwIfStopped(): void {
    this.#abort.signal.throwIfAborted();
  }

  /** Why the statement's remote work was stopped. Undefined while it may go on. */
  get stopped(): unknown {
    return this.#abort.signal.aborted ? this.#abort.signal.reason : undefined;
  }

  /**
   * Does remote work for the statement. Its cancel and its clock end that work. The clock starts with the statement's first
   * remote work, since the primary's own clock does not run while a remote works.
   * @param timeoutMs the session's statement_timeout, 0 for none
   * @throws PgError 57014 when it has been stopped, 57P01 when the session is over; what `act` throws
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

  /** Called when the session is over. Remote work ends with 57P01. */
  close(): void {
    this.finish();
    this.#abort.abort(
      new PgError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' }),
    );
  }
}
