import type { ErrorFields } from '../../wire/errors.js';
import type { QueryHandler, RowDelivery } from '../../wire/outbound/index.js';

/** A result, or the end of a query string, as libpq would report it. */
export type Outcome =
  /** A command; `tag` is its command tag. */
  | { readonly kind: 'command'; readonly tag: string }
  /** A result with columns, complete. */
  | { readonly kind: 'rows' }
  /** An error; `text` is libpq's text for it. `fields` is undefined when it comes from libpq and not from the server. */
  | { readonly kind: 'error'; readonly fields: ErrorFields | undefined; readonly text: string }
  /** An empty query string. */
  | { readonly kind: 'empty' }
  /** COPY from or to the client; it was refused or its data dropped. */
  | { readonly kind: 'copy' }
  /** No result: all of them have been taken. */
  | { readonly kind: 'none' }
  /** Nothing was sent; `text` is libpq's reason. */
  | { readonly kind: 'refused'; readonly text: string };

/** What a function of rows returned, apart from the rows themselves, which its sink was given. */
export type QueryOutcome =
  /** Rows: those of the last result that the sink was given. */
  | { readonly kind: 'rows' }
  /** The last statement was a command: one row with its tag. */
  | { readonly kind: 'status'; readonly tag: string }
  /** No rows, whatever columns the caller expects. Rows that the sink was given do not count, and are not converted. */
  | { readonly kind: 'nothing' };

/** Takes the rows of a query string's results while they arrive. Bytes that it is given are valid during the call only. */
export interface ResultHandler {
  /**
   * Set by whoever runs the query, if the query can be ended early. The handler calls it to end the query with this
   * reason; then the remote is asked to cancel it.
   */
  giveUp: ((reason: unknown) => void) | undefined;
  /** A result with columns begins; see QueryHandler.rowDescription. */
  begin(description: Buffer): 'raw' | 'discard';
  /** Bytes of DataRow messages, any number of messages and parts of them. */
  rawRows(bytes: Buffer): void;
  /** A result with columns is complete. */
  end(tag: string): void;
}

/** The results of a query string, one after the other, as they come. Bytes are valid during the call only. */
export interface ResultEvents {
  /** A result with columns begins; see QueryHandler.rowDescription. */
  begin(description: Buffer): RowDelivery;
  /** Bytes of DataRow messages, any number of messages and parts of them. */
  rows(bytes: Buffer): void;
  /** A result is complete. @param outcome how it ended @param tag command tag; '' if there is none */
  result(outcome: Outcome & { readonly kind: 'command' | 'rows' | 'empty' | 'copy' }, tag: string): void;
  error(fields: ErrorFields): void;
  /** The answer is complete. */
  ready?(): void;
}

/**
 * Sorts the answer to a query string into results. At a COPY from or to the client libpq would stop, so the COPY is the
 * last result. A COPY from the client is made to fail; the data of a COPY to the client are dropped. Whatever else the
 * string does has no result.
 */
export function resultHandler(events: ResultEvents): QueryHandler {
  let inRows = false;
  let copying = false;
  const copy = (): void => {
    if (copying) return;
    copying = true;
    events.result({ kind: 'copy' }, '');
  };
  return {
    rowDescription: (description) => {
      inRows = true;
      return copying ? 'discard' : events.begin(description);
    },
    rawRows: (bytes) => events.rows(bytes),
    commandComplete: (tag) => {
      const outcome: Outcome = inRows ? { kind: 'rows' } : { kind: 'command', tag };
      inRows = false;
      if (!copying) events.result(outcome, tag);
    },
    emptyQuery: () => {
      if (!copying) events.result({ kind: 'empty' }, '');
    },
    error: (fields) => {
      inRows = false;
      if (!copying) events.error(fields);
    },
    copyIn: (control) => {
      copy();
      control.fail('COPY FROM STDIN is not supported by dblink');
    },
    copyOut: copy,
    ready: () => events.ready?.(),
  };
}
