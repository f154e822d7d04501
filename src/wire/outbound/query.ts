import { ServerViolation } from '../connectErrors.js';
import { type ErrorFields, parseFields } from '../errors.js';
import { isFatal } from '../errorText.js';
import type { Delivery } from '../framer.js';
import { Backend, Frontend } from '../protocol.js';
import { MessageWriter } from '../writer.js';

/** @returns false when more should wait for `drained` @param released called when the bytes are not needed any more */
export type Send = (bytes: Buffer, released?: () => void) => boolean;

/** What to do with the rows of a result. */
export type RowDelivery = 'rows' | 'raw' | 'discard';

/** The client's side of a COPY FROM STDIN. After `done`, `fail` or an error of the server, all calls do nothing. */
export interface CopyInControl {
  /** The whole CopyInResponse: the formats of the columns. */
  readonly message: Buffer;
  /** Sends CopyData. @returns false when more should wait for `onDrain` */
  write(bytes: Uint8Array): boolean;
  /**
   * Sends a whole CopyData message, see `write`.
   * @param released called when its bytes are not needed any more; never after the connection was lost
   */
  writeMessage(message: Buffer, released?: () => void): boolean;
  /** Called when what was written has gone out. */
  onDrain?: (() => void) | undefined;
  done(): void;
  /** @param reason a byte string; it becomes a part of the server's error message */
  fail(reason: string): void;
}

/**
 * Takes the results of one query, in the order in which they come. Every method may be left out. When one throws, the
 * rest of the answer is read and dropped, and the query is rejected with what was thrown; the connection stays usable.
 */
export interface QueryHandler {
  /**
   * A result with rows begins. `message` is the whole RowDescription.
   * @returns how the rows are wanted: `rows` one by one through `row`; `raw` as the bytes of DataRow messages, any
   *   number of them and parts of them, through `rawRows` without a copy; `discard` not at all. Without this method:
   *   by which of the two methods there is.
   */
  rowDescription?(message: Buffer): RowDelivery;
  /** One whole DataRow, not checked beyond its length; valid during the call only. */
  row?(message: Buffer): void;
  rawRows?(bytes: Buffer): void;
  /** @param tag a byte string */
  commandComplete?(tag: string): void;
  emptyQuery?(): void;
  /** An error of the query. One that ends the connection (FATAL) comes with ConnectionLost instead. */
  error?(fields: ErrorFields): void;
  /** COPY FROM STDIN; without this method the COPY is made to fail. */
  copyIn?(control: CopyInControl): void;
  /** COPY TO STDOUT begins. `message` is the whole CopyOutResponse. */
  copyOut?(message: Buffer): void;
  /** The content of one CopyData message; valid during the call only. */
  copyData?(bytes: Buffer): void;
  /** The answer is complete. */
  ready?(): void;
}

/** Types that answer an extended query and have no place in the answer to a simple one. */
const EXTENDED_ONLY: ReadonlySet<number> = new Set([
  Backend.parseComplete,
  Backend.bindComplete,
  Backend.closeComplete,
  Backend.noData,
  Backend.parameterDescription,
]);

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

const copyFail = (reason: string): Buffer =>
  new MessageWriter(Frontend.copyFail).cstring(reason.replaceAll('\0', ' '), 'latin1').end();

/**
 * The answer to one query, from the first message to ReadyForQuery: which messages may come, and which method of the
 * handler takes them (protocol documentation, "Message Flow"). Knows no socket.
 */
export class QueryExchange {
  #handler: QueryHandler;
  readonly #extended: boolean;
  readonly #send: Send;
  #rows: RowDelivery | undefined;
  #copy: 'in' | 'out' | 'both' | undefined;
  #copyControl: CopyInControl | undefined;
  #fatal: ErrorFields | undefined;
  #failure: { readonly cause: unknown } | undefined;

  /** @param send writes to the server */
  constructor(handler: QueryHandler, extended: boolean, send: Send) {
    this.#handler = handler;
    this.#extended = extended;
    this.#send = send;
  }

  /** The FATAL error that came in this answer. */
  get fatal(): ErrorFields | undefined {
    return this.#fatal;
  }

  /** What a method of the handler threw. */
  get failure(): { readonly cause: unknown } | undefined {
    return this.#failure;
  }

  /** @throws ServerViolation for a type that cannot come now */
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

  /** Bytes of the messages that `head` let pass: of rows, or of a COPY that nobody wants. */
  pass(bytes: Buffer): void {
    if (this.#rows === 'raw') this.#call((handler) => handler.rawRows?.(bytes));
  }

  /** One whole message. @returns whether it was the last one, ReadyForQuery */
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
        // Streaming replication: asked to end at once, what comes until then is dropped.
        this.#endOfResult();
        this.#copy = 'both';
        this.#send(COPY_DONE);
        return false;
      case Backend.copyDone:
        this.#copy = undefined;
        return false;
      case Backend.readyForQuery:
        this.#endOfResult();
        // A FATAL error that did not end the connection was an error like any other.
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

  /** What was sent has gone out. */
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
    // The server reads no COPY data any more, but has ignored the Sync that came before them.
    const swallowedSync = this.#extended && this.#copyControl !== undefined;
    this.#endOfResult();
    if (swallowedSync) this.#send(SYNC);
    if (isFatal(fields)) this.#fatal = fields;
    else this.#call((handler) => handler.error?.(fields));
  }

  #copyIn(message: Buffer): void {
    this.#endOfResult();
    this.#copy = 'in';
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

  /** The one place where the handler is called: what it throws stays here. */
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

/** libpq's text for a message that has no place here. */
export const unexpected = (type: number): ServerViolation =>
  new ServerViolation(
    `unexpected response from server; first received character was "${String.fromCharCode(type)}"`,
  );
