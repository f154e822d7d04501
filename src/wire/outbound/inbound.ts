import { lostSynchronization, ServerViolation } from '../connectErrors.js';
import { type ErrorFields, parseFields } from '../errors.js';
import { isFatal } from '../errorText.js';
import { type Delivery, Framer } from '../framer.js';
import { LoopShare } from '../pace/loopShare.js';
import { Backend, MAX_MESSAGE_BYTES } from '../protocol.js';
import { MessageReader } from '../reader.js';
import type { QueryExchange } from './query.js';
import type { StartupExchange, StartupStep } from './startup.js';

/** The transaction status of a ReadyForQuery: idle, in a transaction block, in a failed transaction block. */
export type TransactionState = 'I' | 'T' | 'E';

/** Takes what does not belong to the answer of the present query. */
export interface InboundListener {
  /**
   * Called when the following messages are held back so that other connections have their turn. They are to be resumed in a
   * later turn of the event loop.
   */
  giveWay(): void;
  /** Takes a message of the startup that must be acted on. What follows is held back until `resume`. */
  startupStep(step: Exclude<StartupStep, { kind: 'continue' }>): void;
  /** The query's answer is complete. */
  answered(exchange: QueryExchange): void;
  notice(fields: ErrorFields): void;
  notification(processId: number, channel: Buffer, payload: Buffer): void;
}

/** Longest message other than rows and COPY data, unless the caller says otherwise. */
const DEFAULT_MAX_CONTROL_BYTES = 16 * 1024 * 1024;
/** As in libpq, a longer message must be of one of the types that may be long (LONG_TYPES). */
const MAX_SHORT_MESSAGE_BYTES = 30_000;
/** How many parameters a server may report, and how long a ParameterStatus may be. */
const MAX_PARAMETERS = 1000;
const MAX_PARAMETER_BYTES = 65_536;

/** The shortest length field that a message of the startup has. */
const SHORTEST_BYTES = 8;

const LONG_TYPES: ReadonlySet<number> = new Set([
  Backend.rowDescription,
  Backend.dataRow,
  Backend.copyData,
  Backend.functionCallResponse,
  Backend.errorResponse,
  Backend.noticeResponse,
  Backend.notificationResponse,
]);

/**
 * Sorts the messages that a server sends on one connection. Those that may come at any time are dealt with here. All others go
 * to the startup or to the present query. It knows no socket. The methods that take or release bytes throw the errors that end
 * the connection: ServerViolation, PgError 08P01, ConnectError.
 */
export class Inbound {
  readonly #startup: StartupExchange;
  readonly #listener: InboundListener;
  readonly #maxControlBytes: number;
  readonly #framer: Framer;
  readonly #parameters = new Map<string, string>();
  #started = false;
  #exchange: QueryExchange | undefined;
  #transactionStatus: TransactionState = 'I';
  #fatal: ErrorFields | undefined;
  #closed = false;

  constructor(
    startup: StartupExchange,
    listener: InboundListener,
    maxControlBytes = DEFAULT_MAX_CONTROL_BYTES,
  ) {
    this.#startup = startup;
    this.#listener = listener;
    this.#maxControlBytes = maxControlBytes;
    const share = new LoopShare(() => {
      this.hold();
      listener.giveWay();
    });
    this.#framer = new Framer({
      // A peer that is no PostgreSQL server may never send a whole header.
      begins: (type) => {
        if (!this.#started) this.#startup.head(type, SHORTEST_BYTES);
        return false;
      },
      head: (type, length) => {
        share.passed();
        return this.#head(type, length - 1);
      },
      whole: (type, message) => {
        if (type === Backend.noticeResponse) share.notice(message.length);
        else share.read(message.length);
        if (!this.#closed) this.#whole(type, message);
        return false;
      },
      pass: (bytes) => {
        this.#exchange?.pass(bytes);
        share.passing(bytes.length);
      },
      badLength: (type, length) => {
        throw lostSynchronization(type, length);
      },
    });
  }

  /** The present values that the server has reported by ParameterStatus; byte strings. */
  get parameters(): ReadonlyMap<string, string> {
    return this.#parameters;
  }

  /** The transaction status of the last ReadyForQuery. */
  get transactionStatus(): TransactionState {
    return this.#transactionStatus;
  }

  /** Whether the startup is complete. */
  get started(): boolean {
    return this.#started;
  }

  /** The FATAL error with which the server has announced the end of the connection. */
  get fatal(): ErrorFields | undefined {
    return this.#exchange?.fatal ?? this.#fatal;
  }

  /** Whether messages are held back until `resume`. */
  get held(): boolean {
    return this.#framer.stopped;
  }

  /** Whether a part of a message has come, and nothing else is held back. */
  get midMessage(): boolean {
    return this.#framer.midMessage || this.#framer.collecting !== undefined;
  }

  /** How many bytes are held back. */
  get heldBytes(): number {
    return this.#framer.heldBytes;
  }

  /** Holds back what follows the present message, until `resume`. */
  hold(): void {
    this.#framer.stop();
  }

  /** From here on the server's messages are the answer to this query. */
  begin(exchange: QueryExchange): void {
    this.#exchange = exchange;
  }

  /** Takes the next bytes of the server. */
  push(chunk: Buffer): void {
    this.#framer.push(chunk);
  }

  /** Goes on with what was held back. */
  resume(): void {
    this.#framer.resume();
  }

  /** The connection has ended: ignores everything from here on. */
  close(): void {
    this.#closed = true;
    this.#exchange = undefined;
  }

  /** Tells the present query that what was sent to the server has gone out. */
  drained(): void {
    this.#exchange?.drained();
  }

  /** @param length the message's own length field, which does not count the type */
  #head(type: number, length: number): Delivery {
    if (this.#closed) return 'pass';
    if (!this.#started) this.#startup.head(type, length);
    if (length > MAX_SHORT_MESSAGE_BYTES && !LONG_TYPES.has(type)) throw lostSynchronization(type, length);
    const bulk = type === Backend.dataRow || type === Backend.copyData;
    if (length > (bulk ? MAX_MESSAGE_BYTES : this.#maxControlBytes)) throw lostSynchronization(type, length);
    switch (type) {
      case Backend.noticeResponse:
      case Backend.notificationResponse:
      case Backend.parameterStatus:
        return 'whole';
      default:
        if (this.#exchange !== undefined) return this.#exchange.head(type);
        // While no query runs, a message is refused at its header. A long one is not collected first.
        if (this.#started && type !== Backend.errorResponse) throw arrivedWhileIdle(type);
        return 'whole';
    }
  }

  #whole(type: number, message: Buffer): void {
    switch (type) {
      case Backend.noticeResponse:
        this.#listener.notice(parseFields(message));
        return;
      case Backend.notificationResponse: {
        const reader = new MessageReader(message);
        const processId = reader.int32();
        const channel = reader.cbytes();
        this.#listener.notification(processId, channel, reader.cbytes());
        return;
      }
      case Backend.parameterStatus:
        this.#setParameter(new MessageReader(message));
        return;
    }
    if (!this.#started) this.#startupStep(this.#startup.message(type, message), message);
    else if (this.#exchange !== undefined) this.#answer(this.#exchange, type, message);
    else if (type !== Backend.errorResponse) throw arrivedWhileIdle(type);
    else {
      // An error that answers no query: either the server ends the connection, or the error is treated like a notice.
      const fields = parseFields(message);
      if (isFatal(fields)) this.#fatal = fields;
      else this.#listener.notice(fields);
    }
  }

  #setParameter(reader: MessageReader): void {
    if (reader.remaining > MAX_PARAMETER_BYTES) throw new ServerViolation('received too long a parameter');
    const name = reader.cstring('latin1');
    this.#parameters.set(name, reader.cstring('latin1'));
    if (this.#parameters.size > MAX_PARAMETERS) throw new ServerViolation('received too many parameters');
  }

  #startupStep(step: StartupStep, message: Buffer): void {
    if (step.kind === 'continue') return;
    if (step.kind === 'ready') {
      this.#readTransactionStatus(message);
      this.#started = true;
    }
    // Messages after the last step of the startup wait, too, until the caller has had its turn to attach its listeners.
    this.#framer.stop();
    this.#listener.startupStep(step);
  }

  #answer(exchange: QueryExchange, type: number, message: Buffer): void {
    if (!exchange.message(type, message)) return;
    this.#readTransactionStatus(message);
    // A method of the handler may have ended the connection.
    if (this.#closed) return;
    this.#exchange = undefined;
    this.#listener.answered(exchange);
  }

  #readTransactionStatus(message: Buffer): void {
    const letter = message.toString('latin1', 5);
    if (letter !== 'I' && letter !== 'T' && letter !== 'E') {
      throw new ServerViolation('server sent an unknown transaction status');
    }
    this.#transactionStatus = letter;
  }
}

const arrivedWhileIdle = (type: number): ServerViolation =>
  new ServerViolation(`message type 0x${type.toString(16).padStart(2, '0')} arrived from server while idle`);
