import { errorResponse, PgError, parseFields } from '../wire/errors.js';
import { Backend } from '../wire/protocol.js';
import type { ResponseSink } from './responseQueue.js';

/** The primary's answer to one request. */
export interface Answer {
  /** The error that the primary raised, if it did. */
  readonly error: PgError | undefined;
  /** The primary skipped the request, because an earlier one failed. */
  readonly skipped: boolean;
  /** Whether a notice came while the answer did. */
  readonly noticed: boolean;
  /** The whole RowDescription message, if one came. */
  readonly description: Buffer | undefined;
  /** The whole ParameterDescription message, if one came. */
  readonly parameters: Buffer | undefined;
}

/** What a MessageSink does with the messages of the answer. */
export interface SinkOptions {
  /** Whether rows and COPY data go to the client without being looked at. Default: no. */
  readonly passRows?: boolean;
  /** Whether notices that come while the answer does are kept from the client. Default: no. */
  readonly muted?: boolean;
  /** Sees every other message of the answer. @returns whether it goes to the client; without this function none does */
  readonly message?: (type: number, message: Buffer) => boolean;
}

/** Takes the answer to one request. */
export class MessageSink implements ResponseSink {
  readonly passRows: boolean;
  readonly muted: boolean;
  /** Resolves when the answer is complete, or when the request has been skipped. Never rejects. */
  readonly answered: Promise<Answer>;
  readonly #options: SinkOptions;
  #resolve!: (answer: Answer) => void;
  #error: PgError | undefined;
  #noticed = false;
  #description: Buffer | undefined;
  #parameters: Buffer | undefined;

  constructor(options: SinkOptions = {}) {
    this.#options = options;
    this.passRows = options.passRows ?? false;
    this.muted = options.muted ?? false;
    this.answered = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The error that a whole ErrorResponse carries. */
  static errorOf(message: Buffer): PgError {
    return PgError.from(parseFields(message));
  }

  notice(): boolean {
    this.#noticed = true;
    return false;
  }

  message(type: number, message: Buffer, last: boolean): boolean {
    if (type === Backend.errorResponse) this.#error ??= MessageSink.errorOf(message);
    else if (type === Backend.rowDescription) this.#description = Buffer.from(message);
    else if (type === Backend.parameterDescription) this.#parameters = Buffer.from(message);
    const goesOn = this.#options.message?.(type, message) ?? false;
    if (last) this.#settle(false);
    return goesOn;
  }

  skipped(): void {
    this.#settle(true);
  }

  #settle(skipped: boolean): void {
    this.#resolve({
      error: this.#error,
      skipped,
      noticed: this.#noticed,
      description: this.#description,
      parameters: this.#parameters,
    });
  }
}

type ToClient = (message: Buffer) => void;
type MapError = (error: PgError) => PgError;

/** Makes a sink that forwards the answer. @param map changes an error before the client gets it */
export const forwardAnswer = (toClient: ToClient, map: MapError = (error) => error): MessageSink =>
  new MessageSink({
    passRows: true,
    message: (type, message) => {
      if (type !== Backend.errorResponse) return true;
      toClient(errorResponse(map(MessageSink.errorOf(message))));
      return false;
    },
  });

/** Makes a sink that forwards only an error, and nothing else of the answer. @param map changes it before the client gets it */
export const forwardError = (toClient: ToClient, map: MapError = (error) => error): MessageSink =>
  new MessageSink({
    message: (type, message) => {
      if (type === Backend.errorResponse) toClient(errorResponse(map(MessageSink.errorOf(message))));
      return false;
    },
  });
