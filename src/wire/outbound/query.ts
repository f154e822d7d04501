import { ServerViolation } from '../connectErrors.js';
import { type ErrorFields, parseFields } from '../errors.js';
import { isFatal } from '../errorText.js';
import type { Delivery } from '../framer.js';
import { Backend, Frontend } from '../protocol.js';
import { MessageWriter } from '../writer.js';

/**
 * Sends bytes to the server.
 * @param released called when the bytes are not needed any more
 * @returns false when more should wait for `drained` (backpressure)
 */
export type Send = (bytes: Buffer, released?: () => void) => boolean;

/** How the rows of a result are wanted, see QueryHandler.rowDescription. */
export type RowDelivery = 'rows' | 'raw' | 'discard';

/** The sending side of a COPY FROM STDIN. After `done`, `fail` or an error of the server, all calls do nothing. */
export interface CopyInControl {
  /** The whole CopyInResponse, which has the formats of the columns. */
  readonly message: Buffer;
  /** Sends bytes as a CopyData message. @returns false when more should wait for `onDrain` (backpressure) */
  write(bytes: Uint8Array): boolean;
  /**
   * Sends a complete CopyData message, header included.
   * @param released called when its bytes are not needed any more; never after the connection was lost
   * @returns as `write`
   */
  writeMessage(message: Buffer, released?: () => void): boolean;
  /** Called when what was written has gone out. */
  onDrain?: (() => void) | undefined;
  /** Ends the COPY (CopyDone). */
  done(): void;
  /** Makes the COPY fail (CopyFail). @param reason a byte string that becomes a part of the server's error message */
  fail(reason: string): void;
}

/**
 * Takes the results of one query, in the order in which they come. Every method may be left out. When a method throws, the
 * rest of the answer is read and dropped, and the query is rejected with what was thrown. The connection stays usable. Bytes that a
 * method is given are valid during the call only.
 */
export interface QueryHandler {
  /**
   * A result with rows begins. `message` is the whole RowDescription.
   * @returns how the rows are wanted. `rows`: one by one through `row`. `raw`: without a copy through `rawRows`. `discard`: not
   *   at all. Without this method the rows go to `row` or else to `rawRows`, whichever there is.
   */
  rowDescription?(message: Buffer): RowDelivery;
  /** One whole DataRow, not checked beyond its length. */
  row?(message: Buffer): void;
  /** Bytes of DataRow messages: any number of messages, or parts of them. */
  rawRows?(bytes: Buffer): void;
  /** A command has succeeded. @param tag its command tag, a byte string */
  commandComplete?(tag: string): void;
  /** The query contained no statement. */
  emptyQuery?(): void;
  /** An error of the query. An error that ends the connection (FATAL) is a part of ConnectionLost instead. */
  error?(fields: ErrorFields): void;
  /** COPY FROM STDIN begins, and its data was not sent with the query. Without this method the COPY is made to fail. */
  copyIn?(control: CopyInControl): void;
  /** COPY TO STDOUT begins. `message` is the whole CopyOutResponse. */
  copyOut?(message: Buffer): void;
  /** The content of one CopyData message. */
  copyData?(bytes: Buffer): void;
  /** The answer is complete. */
  ready?(): void;
}

/** Message types that only come in the answer to an extended query. */
const EXTENDED_ONLY: ReadonlySet<number> = new Set([
  Backend.parseComplete,
  Backend.bindComplete,
  Backend.closeComplete,
  Backend.noData,
  Backend.parameterDescription,
]);

/** Message types that may come in the answer to any query. */
const RESULT_TYPES: ReadonlySet<number> = new Set([
  Backend.commandComplete,
  Backend.copyBothResponse,
  Backend.copyData,
  Backend.copyDone,
  Backend.copyInResponse,
  Backend.copyOutResponse,
  Backend.dataRow,
  Backend.emptyQueryResponse,
  Backend.errorResponse,
  Backend.readyForQuery,
  Backend.rowDescription,
]);

const SYNC = new MessageWriter(Frontend.sync).end();
const COPY_DONE = new MessageWriter(Frontend.copyDone).end();

/** The data of a COPY FROM STDIN and its end, for behind a simple query. A server that has refused the query ignores them. */
export const wholeCopy = (data: Buffer): Buffer =>
  Buffer.concat([new MessageWriter(Frontend.copyData, data.length).bytes(data).end(), COPY_DONE]);

const copyFail = (reason: string): Buffer =>
  new MessageWriter(Frontend.copyFail).cstring(reason.replaceAll('\0', ' '), 'latin1').end();

/**
 * The answer to one query, from the first message to ReadyForQuery, or to several that were sent at once. It decides which messages may come, and which method of
 * the handler takes them (protocol documentation, "Message Flow"). It knows no socket.
 */
export class QueryExchange {
  #handler: QueryHandler;
  readonly #extended: boolean;
  readonly #send: Send;
  /** Set while rows may come. */
  #rows: RowDelivery | undefined;
  /** Set during a COPY. */
  #copy: 'in' | 'out' | 'both' | undefined;
  /** Set while the server takes COPY data. */
  #copyControl: CopyInControl | undefined;
  #fatal: ErrorFields | undefined;
  #failure: { readonly cause: unknown } | undefined;
  /** The data of the next COPY FROM STDIN is with the server already. */
  #copySent: boolean;

  /** How many ReadyForQuery are to come. */
  #left: number;

  /**
   * @param kind whether it is an extended query; `copy`: a simple one with the data of its one COPY FROM STDIN behind it
   * @param send writes to the server
   * @param queries how many simple queries have been sent at once
   */
  constructor(handler: QueryHandler, kind: 'simple' | 'copy' | 'extended', send: Send, queries = 1) {
    this.#handler = handler;
    this.#left = queries;
    this.#extended = kind === 'extended';
    this.#copySent = kind === 'copy';
    this.#send = send;
  }

  /** The FATAL error that came in this answer. */
  get fatal(): ErrorFields | undefined {
    return this.#fatal;
  }

  /** What a method of the handler threw, if one did. */
  get failure(): { readonly cause: unknown } | undefined {
    return this.#failure;
  }

  /** How a message is to be delivered. @throws ServerViolation for a type that cannot come now */
  head(type: number): Delivery {
    if (!RESULT_TYPES.has(type) && !(this.#extended && EXTENDED_ONLY.has(type))) {
      throw unexpected(type);
    }
    if (type === Backend.dataRow) {
      if (this.#rows === undefined) {
        throw new ServerViolation(
          'server sent data ("D" message) without prior row description ("T" message)',
        );
      }
      return this.#rows === 'rows' ? 'whole' : 'pass';
    }
    if (type === Backend.copyData) {
      if (this.#copy !== 'out' && this.#copy !== 'both') throw unexpected(type);
      return this.#copy === 'out' && this.#handler.copyData !== undefined ? 'whole' : 'pass';
    }
    return 'whole';
  }

  /** Takes bytes of the messages that `head` let pass: rows, or the data of a COPY that nobody wants. */
  pass(bytes: Buffer): void {
    if (this.#rows === 'raw') this.#call((handler) => handler.rawRows?.(bytes));
  }

  /** Takes one whole message. @returns whether it was the last one, ReadyForQuery */
  message(type: number, message: Buffer): boolean {
    switch (type) {
      case Backend.dataRow:
        this.#call((handler) => handler.row?.(message));
        return false;
      case Backend.copyData:
        this.#call((handler) => handler.copyData?.(message.subarray(5)));
        return false;
      case Backend.rowDescription:
        this.#describe(message);
        return false;
      case Backend.commandComplete: {
        this.#endOfResult();
        const end = message.indexOf(0, 5);
        const tag = message.toString('latin1', 5, end < 0 ? message.length : end);
        this.#call((handler) => handler.commandComplete?.(tag));
        return false;
      }
      case Backend.emptyQueryResponse:
        this.#endOfResult();
        this.#call((handler) => handler.emptyQuery?.());
        return false;
      case Backend.errorResponse:
        this.#error(parseFields(message));
        return false;
      case Backend.copyInResponse:
        this.#copyIn(message);
        return false;
      case Backend.copyOutResponse:
        this.#endOfResult();
        this.#copy = 'out';
        this.#call((handler) => handler.copyOut?.(message));
        return false;
      case Backend.copyBothResponse:
        // Streaming replication: the server is asked to end it at once, and what comes until then is dropped.
        this.#endOfResult();
        this.#copy = 'both';
        this.#send(COPY_DONE);
        return false;
      case Backend.copyDone:
        this.#copy = undefined;
        return false;
      case Backend.readyForQuery:
        this.#endOfResult();
        if (--this.#left > 0) return false;
        // The connection has survived the FATAL error, so it was an error like any other.
        if (this.#fatal !== undefined) {
          const fields = this.#fatal;
          this.#call((handler) => handler.error?.(fields));
        }
        this.#call((handler) => handler.ready?.());
        return true;
      default:
        return false;
    }
  }

  /** Called when what was sent has gone out. */
  drained(): void {
    const control = this.#copyControl;
    if (control?.onDrain !== undefined) this.#call(() => control.onDrain?.());
  }

  #endOfResult(): void {
    this.#rows = undefined;
    this.#copy = undefined;
    this.#copyControl = undefined;
  }

  #describe(message: Buffer): void {
    this.#endOfResult();
    this.#rows = 'discard';
    this.#call((handler) => {
      this.#rows =
        handler.rowDescription?.(message) ?? (handler.row ? 'rows' : handler.rawRows ? 'raw' : 'discard');
    });
  }

  #error(fields: ErrorFields): void {
    // The server reads no more COPY data, but it has ignored the Sync that was sent before the data.
    const swallowedSync = this.#extended && this.#copyControl !== undefined;
    this.#endOfResult();
    if (swallowedSync) this.#send(SYNC);
    if (isFatal(fields)) this.#fatal = fields;
    else this.#call((handler) => handler.error?.(fields));
  }

  #copyIn(message: Buffer): void {
    this.#endOfResult();
    this.#copy = 'in';
    if (this.#copySent) {
      this.#copySent = false;
      return;
    }
    const finish = (end: Buffer): void => {
      if (this.#copyControl !== control) return;
      this.#copyControl = undefined;
      this.#send(end);
      // During COPY the server ignores Sync, so the one that ended the extended query must be repeated.
      if (this.#extended) this.#send(SYNC);
    };
    const control: CopyInControl = {
      message: Buffer.from(message),
      write: (bytes) =>
        control.writeMessage(new MessageWriter(Frontend.copyData, bytes.length).bytes(bytes).end()),
      writeMessage: (message, released) =>
        this.#copyControl === control ? this.#send(message, released) : true,
      done: () => finish(COPY_DONE),
      fail: (reason) => finish(copyFail(reason)),
    };
    this.#copyControl = control;
    if (this.#handler.copyIn === undefined) control.fail('COPY FROM STDIN is not supported here');
    else this.#call((handler) => handler.copyIn?.(control));
  }

  /** The only place where the handler is called. What the handler throws is kept in `failure` and goes no further. */
  #call(use: (handler: QueryHandler) => void): void {
    try {
      use(this.#handler);
    } catch (cause) {
      this.#failure = { cause };
      this.#handler = {};
      if (this.#rows !== undefined) this.#rows = 'discard';
      this.#copyControl?.fail('the client has given up');
    }
  }
}

/** The error for a message that may not come now, in libpq's words. */
export const unexpected = (type: number): ServerViolation =>
  new ServerViolation(
    `unexpected response from server; first received character was "${String.fromCharCode(type)}"`,
  );
