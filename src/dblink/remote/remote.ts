import type { ConnectionAudit, StatementAudit } from '../../audit/index.js';
import { asText } from '../../wire/encoding/transcode.js';
import { PgError } from '../../wire/errors.js';
import { renderError, type TransactionState, type WireClient } from '../../wire/outbound/index.js';
import { abortable, onAbort } from '../../wire/pace/abortable.js';
import { auditOf } from '../auditing/attempts.js';
import { watched } from '../auditing/watched.js';
import type { CallContext, DblinkFacts } from '../context.js';
import { alreadyInUse, type ConnectionLabel } from '../errors.js';
import type { DblinkFunction } from '../functions.js';
import type { SessionMemory } from '../memory.js';
import { cancelOfDead, cancelUntil, requestCancel } from './cancel.js';
import { ConnectionLoss, NO_CONNECTION } from './connectionLoss.js';
import { CursorTransaction } from './cursorTransaction.js';
import { ErrorBuffer } from './errorBuffer.js';
import { hasCertainLiterals } from './guard/sessionMode.js';
import type { TextGuard } from './guard/textGuard.js';
import { type Notification, NotificationQueue } from './notifications.js';
import { type Outcome, type ResultEvents, type ResultHandler, resultHandler } from './outcome.js';
import { PendingResults } from './pendingResults.js';

const IDLE_TOO_LONG =
  'the connection was closed because it was idle for too long: the setting "timeouts.idle_dblink" of the proxy says so';

const timedOut = (): PgError =>
  new PgError('57014', 'canceling statement due to timeout of remote statements', {
    hint: 'The setting "timeouts.remote_statement" of the proxy says so.',
  });

const BUSY = 'another command is already in progress';

/**
 * How long closing a connection waits for its query to be cancelled. Then the connection is closed nonetheless. A cancel
 * request that is on its way still arrives.
 */
const LEAVE_MS = 1_000;

/** SQLSTATEs of what was lost with its connection, and of what failed here. */
const LOST = '08006';
const INTERNAL = 'XX000';

/** What is going on between a connection and its remote. */
type Activity =
  | { readonly kind: 'idle' }
  /** A query string runs. If no call waits for it any more, it has been cancelled, and the next call waits for its end. */
  | { readonly kind: 'running'; readonly over: Promise<void> }
  /** Results of dblink_send_query have not been taken, or not to the end. */
  | { readonly kind: 'asynchronous'; readonly results: PendingResults };

const IDLE: Activity = { kind: 'idle' };

/** What holds for a connection. */
export interface ConnectionLimits {
  /** Decides which texts are sent; undefined: all. */
  readonly guard?: TextGuard | undefined;
  /** Makes one for a call of a read-only transaction, where such a call must not write; else undefined. */
  readonly guardNow?: (() => TextGuard | undefined) | undefined;
  /** How long a query string may run, and how long the connection may be idle outside of a transaction, in ms; 0 for no limit. */
  readonly statementMs?: number | undefined;
  readonly idleMs?: number | undefined;
}

/** One dblink connection: the protocol client, and what libpq and the extension would remember about the connection. */
export class RemoteConnection {
  readonly client: WireClient;
  readonly transaction = new CursorTransaction();
  readonly #errors: ErrorBuffer;
  readonly #loss: ConnectionLoss;
  readonly #notifications = new NotificationQueue();
  readonly #major: number;
  #activity: Activity = IDLE;
  /** Settled at the end of the query that the remote is being asked to cancel. */
  #abandoned: Promise<void> | undefined;
  /** The call that uses the connection. */
  #user: symbol | undefined;
  readonly #audit: ConnectionAudit | undefined;
  private guard: TextGuard | undefined;
  readonly #guardNow: () => TextGuard | undefined;
  readonly #statementMs: number;
  /** Runs from the last call on. Undefined where the connection may be idle for any time. */
  #idleClock: NodeJS.Timeout | undefined;
  readonly #idleMs: number;

  /**
   * @param major of the primary, whose libpq the extension would use
   * @param memory for results that wait to be taken
   * @param limits of what is done with it
   */
  constructor(
    client: WireClient,
    major: number,
    private readonly memory: SessionMemory,
    limits: ConnectionLimits = {},
  ) {
    const { guard, guardNow = () => undefined, statementMs = 0, idleMs = 0 } = limits;
    this.guard = guard;
    this.#guardNow = guardNow;
    this.#statementMs = statementMs;
    this.#idleMs = idleMs;
    this.client = client;
    this.#audit = auditOf(client);
    this.#major = major;
    this.#errors = new ErrorBuffer(major);
    this.#loss = new ConnectionLoss(client, this.#errors);
    client.onNotification = (...notification) => this.#notifications.add(...notification);
    client.onNotice = (fields) => this.transaction.noticed(fields.sqlstate);
    this.#restartIdle();
  }

  /** libpq's error buffer, a byte string; empty is OK (behaviour reference, section 3.3). */
  get errorText(): string {
    return this.#errors.text;
  }

  set errorText(text: string) {
    this.#errors.text = text;
  }

  /**
   * Takes the connection for one call, which may run several query strings.
   * @returns a function that gives it back. When the call is aborted the connection is given back by itself.
   * @throws PgError 55006 while another call has it (behaviour reference, section 6, "Re-entrancy")
   */
  acquire(label: ConnectionLabel, { facts, signal }: CallContext): () => void {
    this.refuseInUse(label);
    this.serves(facts);
    const user = Symbol();
    const release = (): void => {
      taken();
      this.#restartIdle();
      if (this.#user === user) this.#user = undefined;
    };
    this.#user = user;
    const taken = onAbort(signal, release);
    return release;
  }

  /** Is told of the circumstances in which texts come that are not the connection's own. */
  serves({ readOnly }: Pick<DblinkFacts, 'readOnly'>): void {
    // The policy may have changed since the last call.
    const guard = readOnly ? this.#guardNow() : undefined;
    this.guard ??= guard;
    this.guard?.begin(guard !== undefined);
  }

  /** The clock has run out since the last call. What the connection is kept busy or open for starts it again. */
  #idle(): void {
    const { client } = this;
    const isIdle =
      this.#user === undefined && this.#current().kind === 'idle' && client.transactionStatus === 'I';
    if (isIdle) client.close(IDLE_TOO_LONG);
    else this.#restartIdle();
  }

  #restartIdle(): void {
    clearTimeout(this.#idleClock);
    if (this.#idleMs > 0 && this.client.lost === undefined)
      this.#idleClock = setTimeout(() => this.#idle(), this.#idleMs).unref();
  }

  /** @throws PgError 55006 while a call has the connection */
  refuseInUse(label: ConnectionLabel): void {
    if (this.#user !== undefined) throw alreadyInUse(label);
  }

  /** Whether the remote's session cannot write. */
  get readOnly(): boolean {
    return this.guard?.always === true;
  }

  /** Whether results of dblink_send_query are pending. */
  get hasResults(): boolean {
    return this.#current().kind === 'asynchronous';
  }

  /**
   * The remote's transaction status as libpq sees it. undefined when libpq cannot tell, because results are pending or
   * the connection is lost.
   */
  get transactionStatus(): TransactionState | undefined {
    const idle = this.#current().kind === 'idle' && !this.#loss.noticed;
    return idle ? this.client.transactionStatus : undefined;
  }

  /** The activity; results that have all been taken make it idle. */
  #current(): Activity {
    const activity = this.#activity;
    if (activity.kind === 'asynchronous' && activity.results.done) this.#activity = IDLE;
    return this.#activity;
  }

  /** Waits for the end of the query that an earlier call has given up. @throws the signal's reason */
  async settled(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.#activity.kind === 'running') await abortable(this.#activity.over, signal);
    signal.throwIfAborted();
  }

  /** Prepares for sending a query. @returns libpq's reason why it cannot be sent; undefined when it can */
  #refusal(): string | undefined {
    const during = this.#current().kind !== 'idle';
    if (this.#loss.noticed) return this.#errors.refuse(NO_CONNECTION, during);
    if (during) return this.#errors.refuse(BUSY, during);
    this.#errors.clear();
    return undefined;
  }

  /** Waits until the audit has room for what is to be told of a statement. @throws the signal's reason */
  async #whenAudited(signal: AbortSignal): Promise<void> {
    if (this.#audit?.makesWait === true) await abortable(this.#audit.room(), signal);
  }

  /** @throws as TextGuard */
  async #admit(
    guard: TextGuard,
    sql: Buffer,
    { signal, by }: { readonly signal: AbortSignal; readonly by: DblinkFunction | undefined },
  ): Promise<void> {
    try {
      await guard.admit(sql, signal);
    } catch (error) {
      if (by !== undefined && error instanceof PgError && !signal.aborted)
        this.#audit?.refused(by, error.sqlstate);
      throw error;
    }
  }

  /** What the audit is told of a statement of a function. A statement of nobody's is the proxy's own, of which nothing is told. */
  #audited(sql: Buffer, by: DblinkFunction | undefined): StatementAudit | undefined {
    if (by === undefined) return undefined;
    const encoding = this.client.parameters.get('client_encoding') ?? 'UTF8';
    const isReadable = hasCertainLiterals(sql, encoding);
    return this.#audit?.statement(by, sql, { isReadable, asText: (bytes) => asText(bytes, encoding) });
  }

  /**
   * Runs a query string with the simple protocol, as dblink does. When the signal is aborted or the handler gives up, the
   * remote query is cancelled. The connection is usable again when that has taken effect; the next call waits for it.
   * @param results takes the rows; undefined drops them
   * @param by the function that runs it, for the audit
   * @returns the last result of the string; `refused` if it was not sent
   * @throws the signal's reason as soon as it is aborted; the reason with which the handler has given up; PgError 25006
   */
  async run(
    sql: Buffer,
    results: ResultHandler | undefined,
    signal: AbortSignal,
    by?: DblinkFunction,
  ): Promise<Outcome> {
    if (this.#audit !== undefined) await this.#whenAudited(signal);
    if (this.#activity.kind === 'running') await this.settled(signal);
    signal.throwIfAborted();
    if (this.guard !== undefined) await this.#admit(this.guard, sql, { signal, by });
    const refused = this.#refusal();
    if (refused !== undefined) return { kind: 'refused', text: refused };
    if (this.client.lost !== undefined) return this.#lost();

    let outcome: Outcome = { kind: 'empty' };
    let live = true;
    this.transaction.sent(sql, this.client.transactionStatus);
    const audited = this.#audited(sql, by);
    const events: ResultEvents = {
      begin: (description) => (live && results?.begin(description)) || 'discard',
      rows: (bytes) => {
        if (live) results?.rawRows(bytes);
      },
      result: (result, tag) => {
        this.transaction.completed(tag);
        if (live && result.kind === 'rows') results?.end(tag);
        outcome = result;
      },
      error: (fields) => {
        if (!live) return;
        const text = renderError(fields, {
          sql,
          encoding: this.client.parameters.get('client_encoding') ?? 'UTF8',
          libpqMajor: this.#major,
        });
        this.#errors.append(text);
        outcome = { kind: 'error', fields, text };
      },
    };
    let told: Promise<void> | undefined;
    const idle = (complete: boolean): void => {
      told = audited?.over(complete);
      this.#activity = IDLE;
    };
    const answer = this.client.query(sql, resultHandler(watched(events, audited)));
    const over = answer.then(
      () => idle(true),
      () => {
        // The loss of a connection that nobody waits for any more is reported by the next call.
        if (live) outcome = this.#lost(outcome);
        audited?.failed(LOST);
        idle(false);
      },
    );
    this.#activity = { kind: 'running', over };
    let settled = (): void => {};
    let clock: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        if (this.#statementMs > 0) clock = setTimeout(() => reject(timedOut()), this.#statementMs);
        if (results !== undefined) results.giveUp = reject;
        settled = onAbort(signal, () => reject(signal.reason as Error));
        void over.then(resolve);
      });
    } catch (reason) {
      live = false;
      audited?.failed(reason instanceof PgError ? reason.sqlstate : INTERNAL);
      this.#abandon(over);
      throw reason;
    } finally {
      clearTimeout(clock);
      settled();
    }
    // A text that takes long to read for the audit keeps only those waiting who have sent it.
    if (told !== undefined) await abortable(told, signal);
    return outcome;
  }

  /**
   * The outcome of a query during which the remote ended the connection: libpq's account of the loss (08006). If the
   * remote has sent an error before, that error stays the outcome.
   */
  #lost(before?: Outcome): Outcome {
    const error = before?.kind === 'error' ? before : undefined;
    const text = this.#loss.account();
    if (error === undefined) return { kind: 'error', fields: undefined, text };
    this.errorText = error.text;
    return error;
  }

  /**
   * Has the remote cancel a query that nobody waits for any more. Its answer is read on, since what is not read cannot
   * end.
   */
  #abandon(over: Promise<void>): void {
    if (this.#abandoned === over) return;
    this.#abandoned = over;
    if (this.client.state !== 'busy') return;
    void cancelUntil(this.client, over);
    this.client.resume();
  }

  /**
   * Sends a query string without waiting for it (dblink_send_query).
   * @returns libpq's reason why it could not be sent; undefined when it was
   * @throws the signal's reason, if it is aborted before a query that was given up has ended; PgError 25006
   */
  async send(sql: Buffer, signal: AbortSignal, by?: DblinkFunction): Promise<string | undefined> {
    if (this.#audit !== undefined) await this.#whenAudited(signal);
    await this.settled(signal);
    if (this.guard !== undefined) await this.#admit(this.guard, sql, { signal, by });
    const refused = this.#refusal();
    if (refused !== undefined) return refused;
    this.transaction.sent(sql, this.client.transactionStatus);
    const { client, transaction, memory } = this;
    const audit = this.#audited(sql, by);
    const results = new PendingResults(client, sql, {
      errors: this.#errors,
      loss: this.#loss,
      transaction,
      memory,
      audit,
    });
    if (audit !== undefined)
      void results.over.then(() => {
        if (client.lost !== undefined) audit.failed(LOST);
        audit.over(client.lost === undefined);
      });
    this.#activity = { kind: 'asynchronous', results };
    // Nobody may be waiting for its results. The remote's own error becomes one of them.
    if (this.#statementMs > 0) {
      const clock = setTimeout(() => void cancelUntil(client, results.over), this.#statementMs).unref();
      void results.over.then(() => clearTimeout(clock));
    }
    return undefined;
  }

  /**
   * Takes the next result of `send`. When the signal is aborted, the rest of the results is lost, and what runs on the
   * remote is cancelled. The connection is usable again when that has taken effect; the next call waits for it.
   * @param reader takes its rows; undefined drops them
   * @returns how it ended; `none` when none is left
   * @throws the signal's reason as soon as it is aborted
   */
  async nextResult(reader: ResultHandler | undefined, signal: AbortSignal): Promise<Outcome> {
    await this.settled(signal);
    const activity = this.#current();
    if (activity.kind !== 'asynchronous') return { kind: 'none' };
    const { results } = activity;
    // Done at once, in the event: the connection's next call may come right with the abort, and must not find results
    // that have been given up.
    const giveUp = (): void => {
      const over = results.over.finally(() => {
        this.#activity = IDLE;
      });
      this.#activity = { kind: 'running', over };
      results.giveUp();
      this.#abandon(over);
    };
    const settled = onAbort(signal, giveUp);
    try {
      return await results.next(reader, signal);
    } finally {
      settled();
    }
  }

  /** Takes and drops all results of `send`. @throws as nextResult */
  async discardResults(signal: AbortSignal): Promise<void> {
    while ((await this.nextResult(undefined, signal)).kind !== 'none');
  }

  /** Whether taking the next result of `send` would have to wait, judged by what has come by now. */
  async isBusy(signal: AbortSignal): Promise<boolean> {
    await this.#consume(signal);
    const activity = this.#current();
    return activity.kind === 'asynchronous' && activity.results.busy;
  }

  /** Takes the notifications that have come by now. */
  async takeNotifications(signal: AbortSignal): Promise<readonly Notification[]> {
    await this.#consume(signal);
    return this.#notifications.take();
  }

  /** Looks at what has come by now, without waiting for more. */
  async #consume(signal: AbortSignal): Promise<void> {
    await this.settled(signal);
    await arrived();
    // More may have come than is looked at in one turn of the event loop.
    while (this.client.givingWay) {
      await arrived();
      signal.throwIfAborted();
    }
    const activity = this.#current();
    if (activity.kind === 'asynchronous') {
      const { results } = activity;
      const ready = results.ready;
      results.look();
      // libpq finds the server's last words before it finds the end of the socket.
      if (!ready && results.ready) return;
    } else if (this.#loss.takeFatal() !== undefined) return;
    this.#loss.read();
  }

  /**
   * Asks the remote to cancel what runs.
   * @returns `OK`, or libpq's text of why the request could not be sent
   * @throws the signal's reason
   */
  async cancel(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    if (this.#loss.noticed) return cancelOfDead(this.#major);
    // libpq does not know of the loss yet. It would send the request, and a server never says what became of a request.
    if (this.client.lost !== undefined) return 'OK';
    return abortable(requestCancel(this.client, this.#major), signal);
  }

  /**
   * Ends the connection. A query that still runs is cancelled first, and again while it goes on: a request can overtake
   * the query. The remote would not notice by itself that nobody is there for the query any more.
   */
  close(): void {
    const { client } = this;
    clearTimeout(this.#idleClock);
    if (client.state !== 'busy') {
      if (this.#activity.kind === 'asynchronous') this.#activity.results.giveUp();
      client.close();
      return;
    }
    const late = setTimeout(() => client.destroy(), LEAVE_MS).unref();
    void this.#leave().finally(() => {
      clearTimeout(late);
      client.close();
    });
  }

  /** Gives up what runs. @returns settled when it is over */
  #leave(): Promise<void> {
    const activity = this.#activity;
    if (activity.kind === 'idle') return Promise.resolve();
    const { over } = activity.kind === 'running' ? activity : activity.results;
    if (activity.kind === 'asynchronous') activity.results.giveUp();
    this.#abandon(over);
    return over;
  }
}

/** Resolves when what lay in the sockets' buffers has been read: by then the event loop has looked at all sockets. */
async function arrived(): Promise<void> {
  // The first turn may only end a look at the sockets that has begun. The second one is a whole look.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
