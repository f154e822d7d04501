import { PgError, parseFields } from '../wire/errors.js';
import { type BindFields, bindParts, close, describe, execute, parse, SYNC } from '../wire/messages.js';
import { Backend } from '../wire/protocol.js';
import { MessageReader } from '../wire/reader.js';
import type { RequestKind, ResponseSink } from './responseQueue.js';

/** What the primary answered to a statement of the proxy's own. */
export interface OwnResult {
  /** The whole RowDescription message. Undefined when the statement returns no rows. */
  readonly description: Buffer | undefined;
  /** The values of each row; null is SQL's NULL. */
  readonly rows: readonly (readonly (Buffer | null)[])[];
  /** The error that the primary raised, if it did. */
  readonly error: PgError | undefined;
  /** The primary skipped the statement, or a part of it, because an earlier request of the batch failed. */
  readonly skipped: boolean;
}

/** A statement of the proxy's own, with the values of its parameters. */
export interface OwnQuery {
  readonly sql: string | Buffer;
  /** OIDs of the parameters' types, as in Parse. */
  readonly types?: readonly number[];
  /** Formats of the values, as in Bind: 0 text, 1 binary. */
  readonly formats?: readonly number[];
  readonly values?: readonly (Buffer | null)[];
  /** Formats of the result's columns, as in Bind. */
  readonly resultFormats?: readonly number[];
  /** Makes the whole Bind message that is sent in the place of the proper one. @param name of the prepared statement */
  readonly bind?: (name: Buffer) => Buffer;
  /** Whether the client gets the notices that the SQL raises, for example when it contains expressions of the client's. */
  readonly notices?: boolean;
  /** Whether what is known of the session may be wrong afterwards (see PrimaryLink.changes). */
  readonly changes?: boolean;
  /** Sees every notice that comes while the statement runs, before anybody else does. @returns true: nobody else is to see it */
  readonly notice?: (message: Buffer) => boolean;
}

/**
 * How far a statement of the proxy's own goes. `parse`: it is only parsed. `description`: it is parsed and described. `bind`: it is
 * parsed, bound and planned. `end`: it is executed as well.
 */
export type Until = 'parse' | 'description' | 'bind' | 'end';

/** A request of one kind, and its bytes in one or more parts. */
type Request = [RequestKind, Buffer | readonly Buffer[]];

/**
 * The requests of the extended protocol that a statement is sent as.
 * @param name of the prepared statement and of the portal; both are closed at the end
 * @param end `sync`: a Sync comes last; `flush`: no request follows, and the Flush is left to the caller
 */
export function ownRequests(own: OwnQuery, name: Buffer, end: 'flush' | 'sync', until: Until): Request[] {
  const requests: Request[] = [['parse', parse(name, own.sql, own.types ?? [])]];
  const binds = until === 'bind' || until === 'end';
  if (until === 'description') requests.push(['describe', describe('S', name)]);
  if (binds) requests.push(['bind', own.bind?.(name) ?? bindParts(ownBind(own, name))]);
  if (until === 'end') requests.push(['describe', describe('P', name)], ['execute', execute(name)]);
  if (binds) requests.push(['close', close('P', name)]);
  requests.push(['close', close('S', name)]);
  if (end === 'sync') requests.push(['sync', SYNC]);
  return requests;
}

const ownBind = (own: OwnQuery, name: Buffer): BindFields => ({
  portal: name,
  statement: name,
  formats: own.formats ?? [],
  values: own.values ?? [],
  resultFormats: own.resultFormats ?? [],
});

/** Reads the values of a DataRow. They are copies, so they outlive the message. */
const readRow = (message: Buffer): (Buffer | null)[] => {
  const reader = new MessageReader(Buffer.from(message));
  return Array.from({ length: reader.uint16() }, () => reader.value());
};

/** Collects the answers to the requests that make up one statement of the proxy's own. */
export class OwnSink implements ResponseSink {
  readonly passRows = false;
  #description: Buffer | undefined;
  readonly #rows: (Buffer | null)[][] = [];
  #error: PgError | undefined;
  #skipped = false;

  readonly muted: boolean;

  /**
   * @param outstanding number of requests that have not been answered or skipped yet
   * @param done called once, when the last of them has been
   */
  constructor(
    private outstanding: number,
    private readonly own: OwnQuery,
    private readonly done: (result: OwnResult) => void,
  ) {
    this.muted = own.notices !== true;
  }

  notice(message: Buffer): boolean {
    return this.own.notice?.(message) ?? false;
  }

  message(type: number, message: Buffer, last: boolean): boolean {
    if (type === Backend.rowDescription) this.#description = Buffer.from(message);
    else if (type === Backend.dataRow) this.#rows.push(readRow(message));
    else if (type === Backend.errorResponse) this.#error ??= PgError.from(parseFields(message));
    if (last) this.#count();
    return false;
  }

  skipped(): void {
    this.#skipped = true;
    this.#count();
  }

  #count(): void {
    if (--this.outstanding > 0) return;
    this.done({
      description: this.#description,
      rows: this.#rows,
      error: this.#error,
      skipped: this.#skipped,
    });
  }
}
