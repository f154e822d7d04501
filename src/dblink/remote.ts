import { isFatal, type QueryHandler, renderError, type WireClient } from '../wire/client.js';
import type { ErrorFields } from '../wire/errors.js';
import { abortable } from './abortable.js';

/** How a query string ended: its last result, as libpq would report it. */
export type Outcome =
  /** A command; `tag` is its command tag. */
  | { readonly kind: 'command'; readonly tag: string }
  /** A result with columns, complete. */
  | { readonly kind: 'rows' }
  | { readonly kind: 'error'; readonly fields: ErrorFields | undefined; readonly text: string }
  /** An empty query string. */
  | { readonly kind: 'empty' }
  /** COPY from or to the client; it was refused or its data dropped. */
  | { readonly kind: 'copy' };

/** What takes the rows of a query string's results while they arrive. */
export interface ResultHandler {
  /** Set by who runs the query: ends it at once, with this reason, and has the remote cancel it. */
  giveUp: ((reason: unknown) => void) | undefined;
  /** A result with columns begins; see QueryHandler.rowDescription. */
  begin(description: Buffer): 'raw' | 'discard';
  rawRows(bytes: Buffer): void;
  /** A result with columns is complete. */
  end(tag: string): void;
}

/** How long to wait before a query that was cancelled and goes on is cancelled again; doubled each time. */
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

const NO_CONNECTION = 'no connection to the server';
const INVALID_SOCKET = 'invalid socket';

/** One dblink connection: the protocol client, and what libpq would remember beside it. */
export class RemoteConnection {
  readonly client: WireClient;
  /** libpq's error buffer, a byte string; empty is OK (behaviour reference, section 3.3). */
  errorText = '';
  /** The remote ended the connection and no call has reported it yet. */
  #lossUnreported = true;
  /** A query that was given up (cancelled) and is not over yet. */
  #abandoned: Promise<void> | undefined;
  readonly #libpqMajor: number;

  /** @param libpqMajor of the libpq that the extension would use, which is its server's */
  constructor(client: WireClient, libpqMajor: number) {
    this.client = client;
    this.#libpqMajor = libpqMajor;
  }

  /** Whether a query can be sent: false once the loss of the connection has been reported. */
  get sendable(): boolean {
    return this.client.state !== 'closed' || this.#lossUnreported;
  }

  /** Notes that a query could not be sent. @returns libpq's reason */
  refuse(): string {
    this.errorText = NO_CONNECTION;
    return NO_CONNECTION;
  }

  /**
   * Runs a query string with the simple protocol, as dblink does.
   * @throws the signal's reason as soon as it is aborted, or that for which the handler has given up: the remote query is
   * cancelled, and the connection is usable again when that has taken effect (the next call waits for it)
   */
  async run(sql: Buffer, results: ResultHandler | undefined, signal: AbortSignal): Promise<Outcome> {
    if (this.#abandoned !== undefined) await abortable(this.#abandoned, signal);
    signal.throwIfAborted();
    this.errorText = '';
    if (this.client.state === 'closed') return this.#lost(undefined);

    let outcome: Outcome = { kind: 'empty' };
    let live = true;
    let inRows = false;
    const handler: QueryHandler = {
      rowDescription: (message) => {
        inRows = true;
        return (live && results?.begin(message)) || 'discard';
      },
      rawRows: (bytes) => {
        if (live) results?.rawRows(bytes);
      },
      commandComplete: (tag) => {
        // The end of a COPY is a command tag of its own, but libpq has stopped at the COPY.
        if (outcome.kind === 'copy') return;
        if (inRows && live) results?.end(tag);
        outcome = inRows ? { kind: 'rows' } : { kind: 'command', tag };
        inRows = false;
      },
      error: (fields) => {
        if (outcome.kind === 'copy' || !live) return;
        this.errorText = renderError(fields, {
          sql,
          encoding: this.client.parameters.get('client_encoding') ?? 'UTF8',
          libpqMajor: this.#libpqMajor,
        });
        outcome = { kind: 'error', fields, text: this.errorText };
      },
      copyIn: (control) => {
        outcome = { kind: 'copy' };
        control.fail('COPY FROM STDIN is not supported by dblink');
      },
      copyOut: () => {
        outcome = { kind: 'copy' };
      },
    };
    const finished = this.client.query(sql, handler).catch((error: unknown) => {
      // The loss of a connection that nobody waits for any more is reported by the next call.
      if (live) outcome = this.#lost(error, outcome);
    });
    const givenUp = new Promise<never>((_, reject) => {
      if (results !== undefined) results.giveUp = reject;
    });
    try {
      await abortable(Promise.race([finished, givenUp]), signal);
    } catch (reason) {
      live = false;
      if (this.client.state !== 'busy') throw reason;
      this.#abandoned = finished.finally(() => {
        this.#abandoned = undefined;
      });
      void this.#cancelUntil(finished);
      // What is not read cannot end.
      this.client.resume();
      throw reason;
    }
    return outcome;
  }

  /** Has the remote cancel the query, again and again: a cancel request can overtake the query that it is meant for. */
  async #cancelUntil(finished: Promise<void>): Promise<void> {
    let over = false;
    let timer: NodeJS.Timeout | undefined;
    const ended = finished.then(() => {
      over = true;
      clearTimeout(timer);
    });
    for (let waitMs = FIRST_RETRY_MS; !over; waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)) {
      await this.client.cancel().catch(() => undefined);
      const pause = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, waitMs).unref();
      });
      if (!over) await Promise.race([ended, pause]);
      clearTimeout(timer);
    }
  }

  /** The remote ended the connection: not an error of its own, but libpq's account of it (08006). */
  #lost(error: unknown, before?: Outcome): Outcome {
    this.#lossUnreported = false;
    if (before?.kind === 'error' && before.fields !== undefined && !isFatal(before.fields)) return before;
    const account = error instanceof Error ? error.message : (this.client.closedReason ?? NO_CONNECTION);
    // Before 14 libpq's last words replace those before them.
    const text = this.#libpqMajor < 14 ? INVALID_SOCKET : `${account}\n${INVALID_SOCKET}`;
    this.errorText = text;
    return { kind: 'error', fields: undefined, text };
  }

  /** Ends the connection; a query that still runs is cancelled, for the remote may not notice otherwise. */
  close(): void {
    if (this.client.state === 'busy') {
      void this.client
        .cancel(1000)
        .catch(() => undefined)
        .finally(() => this.client.destroy());
    } else this.client.close();
  }
}
