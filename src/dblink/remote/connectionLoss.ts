import type { ErrorFields } from '../../wire/errors.js';
import { renderError, type WireClient } from '../../wire/outbound/index.js';
import type { ErrorBuffer } from './errorBuffer.js';

/** libpq's text when a query is to be sent on a connection that it knows to be lost. */
export const NO_CONNECTION = 'no connection to the server';
/** libpq's text when input is to be read from such a connection. */
const NOT_OPEN = 'connection not open';
/** libpq's text when it waits for input from such a connection nonetheless. */
const INVALID_SOCKET = 'invalid socket';

/**
 * Keeps track of what has been said about the loss of a connection. libpq learns of the loss only when it reads, in up to
 * three steps. It finds the server's FATAL error, then the end of the socket, and then that there is no socket any more.
 */
export class ConnectionLoss {
  #noticed = false;
  #fatalRead = false;

  constructor(
    private readonly client: WireClient,
    private readonly errors: ErrorBuffer,
  ) {}

  /** The end of the socket has been noticed: nothing can be sent any more. */
  get noticed(): boolean {
    return this.#noticed;
  }

  /**
   * Takes the FATAL error with which the server ended the connection. undefined when there is none, or when it was taken
   * before.
   */
  takeFatal(): ErrorFields | undefined {
    if (this.#fatalRead || this.client.lost === undefined) return undefined;
    this.#fatalRead = true;
    return this.client.lost.fields;
  }

  /** Called when input is read and no result is waited for (PQconsumeInput). */
  read(): void {
    const { lost } = this.client;
    if (lost === undefined) return;
    if (this.#noticed) this.errors.append(NOT_OPEN);
    else this.#notice(lost.reason);
  }

  /** Called when a result is waited for. @returns the whole text of the error buffer */
  account(): string {
    const { lost } = this.client;
    const fatal = this.takeFatal();
    if (fatal !== undefined) this.errors.append(renderError(fatal));
    if (!this.#noticed) this.#notice(lost?.reason ?? NO_CONNECTION);
    this.errors.append(INVALID_SOCKET);
    return this.errors.text;
  }

  #notice(reason: string): void {
    this.#noticed = true;
    this.errors.append(reason);
  }
}
