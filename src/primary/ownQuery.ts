import { PgError, parseFields } from '../wire/errors.js';
import { type BindFields, bindParts, close, describe, execute, parse, SYNC } from '../wire/messages.js';
import { Backend } from '../wire/protocol.js';
import { MessageReader } from '../wire/reader.js';
import type { RequestKind, ResponseSink } from './responseQueue.js';

/** The answer to SQL of the proxy's own. */
export interface OwnResult {
  /** Whole RowDescription message, if the statement returns rows. */
  readonly description: Buffer | undefined;
  readonly rows: readonly (readonly (Buffer | null)[])[];
  readonly error: PgError | undefined;
  /** The primary skipped (part of) it, because an earlier request of the batch failed. */
  readonly skipped: boolean;
}

export interface OwnQuery {
  readonly sql: string | Buffer;
  readonly types?: readonly number[];
  readonly formats?: readonly number[];
  readonly values?: readonly (Buffer | null)[];
  readonly resultFormats?: readonly number[];
  /** Whether the client gets notices that the SQL raises (it contains expressions of the client's). */
  readonly notices?: boolean;
  /** Whether what is known of the session may be wrong afterwards. */
  readonly changes?: boolean;
  /** Sees every notice that comes meanwhile, before anybody else. @returns whether nobody else is to */
  readonly notice?: (message: Buffer) => boolean;
}

/** How far a statement of the proxy's own goes: to its end, or only to be parsed, or to be parsed, bound and planned. */
export type Until = 'parse' | 'bind' | 'end';

/** A request, of one kind, in one or more parts. */
type Request = [RequestKind, Buffer | readonly Buffer[]];

/**
 * What a statement is sent as, by the extended protocol.
 * @param name of the statement and the portal, which are closed at the end @param end a Sync comes last, or nothing
 */
export function ownRequests(own: OwnQuery, name: Buffer, end: 'flush' | 'sync', until: Until): Request[] {
  const requests: Request[] = [['parse', parse(name, own.sql, own.types ?? [])]];
  if (until !== 'parse') requests.push(['bind', bindParts(ownBind(own, name))]);
  if (until === 'end') requests.push(['describe', describe('P', name)], ['execute', execute(name)]);
  if (until !== 'parse') requests.push(['close', close('P', name)]);
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

/** Reads the values of a DataRow; copies, so they outlive the message. */
const readRow = (message: Buffer): (Buffer | null)[] => {
  const reader = new MessageReader(Buffer.from(message));
  return Array.from({ length: reader.uint16() }, () => reader.value());
};

/** Collects the answers to the requests that one statement of the proxy's own is made of. */
export class OwnSink implements ResponseSink {
  readonly passRows = false;
  #description: Buffer | undefined;
  readonly #rows: (Buffer | null)[][] = [];
  #error: PgError | undefined;
  #skipped = false;

  readonly muted: boolean;

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
