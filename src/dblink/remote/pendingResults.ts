import type { StatementAudit } from '../../audit/index.js';
import { owned } from '../../wire/channel/index.js';
import { appendChunk } from '../../wire/chunks.js';
import type { ErrorFields } from '../../wire/errors.js';
import type { RowDelivery, WireClient } from '../../wire/outbound/index.js';
import { renderError } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { watched } from '../auditing/watched.js';
import type { SessionMemory } from '../memory.js';
import type { ConnectionLoss } from './connectionLoss.js';
import type { CursorTransaction } from './cursorTransaction.js';
import type { ErrorBuffer } from './errorBuffer.js';
import { type Outcome, type ResultEvents, type ResultHandler, resultHandler } from './outcome.js';

/** How many bytes of rows dblink_is_busy takes in for a later dblink_get_result. */
const MAX_STORED_BYTES = 1024 * 1024;

/** What results have to do with beside their connection. */
interface Remembered {
  readonly errors: ErrorBuffer;
  readonly loss: ConnectionLoss;
  readonly transaction: CursorTransaction;
  readonly memory: SessionMemory;
  readonly audit: StatementAudit | undefined;
}

/**
 * The results of a query string that dblink_send_query has sent, taken one by one (behaviour reference, section 6).
 *
 * As with libpq, what the remote sends is looked at only when a function asks. It is never looked at further than to the
 * end of the next result, which waits until it is taken. Therefore `error_message` changes, and notifications come, when
 * they do with the extension.
 *
 * Unlike libpq this keeps no whole results: rows go to whoever takes them as they come. Before that, some two megabytes
 * wait here and in the WireClient, or less where sessions hold much memory. Then the remote has to wait, and the result
 * counts as ready.
 */
export class PendingResults {
  /** A result that is complete and has not been taken. */
  #ready: Outcome | undefined;
  /** The command tag of that result. */
  #tag = '';
  /** The description and the rows of the next result, while nobody takes them. */
  #description: Buffer | undefined;
  #stored: Buffer[] = [];
  #storedBytes = 0;
  /** How many of these bytes were taken from the session's memory. */
  #takenBytes = 0;
  /** The session's memory had no room for more. */
  #crowded = false;
  /** Takes the rows of the next result, while a call waits for it. */
  #reader: ResultHandler | undefined;
  /** The reader wants no more rows of this result. */
  #discarding = false;
  /** Nobody will ask for a result any more. */
  #givenUp = false;
  /** No further result will come: the remote is ready for another query, or its loss was the last one. */
  #ended = false;
  /** Wakes the call that waits for the next result. */
  #wake: () => void = () => {};
  /** Settled when the answer is complete or the connection lost; never rejected. */
  readonly over: Promise<void>;

  private readonly errors: ErrorBuffer;
  private readonly loss: ConnectionLoss;
  private readonly memory: SessionMemory;

  /** Sends the query string. @param remembered what belongs to the connection, and what is told of the string */
  constructor(
    private readonly client: WireClient,
    private readonly sql: Buffer,
    { errors, loss, transaction, memory, audit }: Remembered,
  ) {
    this.errors = errors;
    this.loss = loss;
    this.memory = memory;
    const events: ResultEvents = {
      begin: (description) => this.#begin(description),
      rows: (bytes) => this.#rows(bytes),
      result: (outcome, tag) => {
        transaction.completed(tag);
        this.#tag = tag;
        if (outcome.kind === 'rows') this.#reader?.end(tag);
        this.#complete(outcome);
      },
      error: (fields) => this.#fail(fields),
      ready: () => {
        this.#ended = true;
      },
    };
    const wake = (): void => this.#wake();
    this.over = client.query(sql, resultHandler(watched(events, audit))).then(wake, wake);
    client.hold();
  }

  /** Whether every result has been taken, and the remote is ready for another query. */
  get done(): boolean {
    return this.#ready === undefined && this.#ended;
  }

  /** Whether a result can be taken at once. */
  get ready(): boolean {
    return this.#ready !== undefined;
  }

  /**
   * Whether taking the next result would have to wait. A result that has begun, and that fills all the room for it,
   * counts as ready.
   */
  get busy(): boolean {
    return this.#ready === undefined && this.client.state === 'busy' && !this.#full;
  }

  get #full(): boolean {
    return this.#storesNoMore || this.client.full;
  }

  get #storesNoMore(): boolean {
    return this.#storedBytes > MAX_STORED_BYTES || this.#crowded;
  }

  /** Looks at what has come, up to the end of the next result. */
  look(): void {
    if (this.#ready !== undefined || this.#storesNoMore) return;
    this.client.proceed();
    this.#rest();
    if (!this.#ended) this.#noteFatal();
  }

  /**
   * Takes the next result.
   * @param reader takes its rows; undefined drops them
   * @returns how it ended; `none` when none is left
   * @throws the signal's reason; the caller gives up the rest then, see `giveUp`
   */
  async next(reader: ResultHandler | undefined, signal: AbortSignal): Promise<Outcome> {
    this.#attach(reader);
    try {
      while (this.#ready === undefined && !this.done) {
        const woken = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.client.proceed();
        this.#noteLoss();
        if (this.#ready === undefined && !this.done) await abortable(woken, signal);
      }
    } finally {
      this.#rest();
      this.#reader = undefined;
      this.#discarding = false;
    }
    const outcome: Outcome = this.#ready ?? { kind: 'none' };
    if (outcome.kind !== 'none') this.errors.handOut(outcome.kind === 'error' ? outcome.text : '');
    this.#ready = undefined;
    return outcome;
  }

  /** Drops whatever is still to come. Nobody asks for a result any more. */
  giveUp(): void {
    this.#givenUp = true;
    this.#ready = undefined;
    this.#dropStored();
    this.client.resume();
    // Not at once: `proceed` must not be called from a handler, and the caller may be a handler that is taking rows.
    queueMicrotask(() => this.client.proceed());
  }

  /** From now on nobody looks at what comes. A connection that is ready for another query is not held. */
  #rest(): void {
    if (!this.#ended && !this.#givenUp) this.client.hold();
  }

  /** Sets who takes the rows of the next result, and hands over those that have been stored. */
  #attach(reader: ResultHandler | undefined): void {
    const description = this.#description;
    const stored = this.#stored;
    this.#dropStored();
    this.#reader = reader;
    this.#discarding = reader === undefined;
    if (description === undefined || reader === undefined) return;
    this.#discarding = reader.begin(description) === 'discard';
    for (const bytes of stored) if (!this.#discarding) reader.rawRows(bytes);
    if (this.#ready?.kind === 'rows') reader.end(this.#tag);
  }

  #dropStored(): void {
    this.#description = undefined;
    this.#stored = [];
    this.#storedBytes = 0;
    this.memory.give(this.#takenBytes);
    this.#takenBytes = 0;
    this.#crowded = false;
  }

  #begin(description: Buffer): RowDelivery {
    if (this.#givenUp) return 'discard';
    if (this.#reader !== undefined) {
      const wanted = this.#reader.begin(description);
      this.#discarding = wanted === 'discard';
      return wanted;
    }
    if (!this.#discarding) this.#description = Buffer.from(description);
    return this.#discarding ? 'discard' : 'raw';
  }

  #rows(bytes: Buffer): void {
    if (this.#givenUp || this.#discarding) return;
    if (this.#reader !== undefined) {
      this.#reader.rawRows(bytes);
      return;
    }
    appendChunk(this.#stored, owned(bytes));
    this.#storedBytes += bytes.length;
    if (this.memory.tryTake(bytes.length)) this.#takenBytes += bytes.length;
    else this.#crowded = true;
    if (this.#storesNoMore) this.client.hold();
  }

  #complete(outcome: Outcome): void {
    if (this.#givenUp) return;
    this.#ready = outcome;
    this.client.hold();
    this.#wake();
  }

  #fail(fields: ErrorFields): void {
    // The extension neither returns nor looks at rows that come before an error.
    this.#dropStored();
    const text = renderError(fields, {
      sql: this.sql,
      encoding: this.client.parameters.get('client_encoding') ?? 'UTF8',
      libpqMajor: this.errors.libpqMajor,
    });
    if (!this.#givenUp) this.errors.append(text);
    this.#complete({ kind: 'error', fields, text });
  }

  /** The FATAL error with which the remote has ended the connection is a result of its own. */
  #noteFatal(): void {
    const fields = this.#ready === undefined ? this.loss.takeFatal() : undefined;
    if (fields !== undefined) this.#fail(fields);
  }

  /**
   * The loss of the connection makes the last results: the server's FATAL error, if there is one, then libpq's own text.
   */
  #noteLoss(): void {
    if (this.client.lost === undefined || this.#ended) return;
    this.#noteFatal();
    if (this.#ready !== undefined) return;
    this.#ended = true;
    this.#dropStored();
    this.#ready = { kind: 'error', fields: undefined, text: this.loss.account() };
  }
}
