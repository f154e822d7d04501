import type { ErrorFields } from '../../wire/errors.js';
import { renderError, type WireClient } from '../../wire/outbound/index.js';
import type { ErrorBuffer } from './errorBuffer.js';

/** libpq's words for a connection that it knows to be lost, when a query is to be sent and when input is to be read. */
export const NO_CONNECTION = 'no connection to the server';
const NOT_OPEN = 'connection not open';
/** And when it waits for input nonetheless. */
const INVALID_SOCKET = 'invalid socket';

/**
 * What of the loss of a connection its user has been told. libpq learns of it only when it reads, in up to three steps:
 * the server's FATAL error, the end of the socket, and that there is no socket any more.
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

  /** The server's last words, if nobody has read them. */
  takeFatal(): ErrorFields | undefined {
    if (this.#fatalRead || this.client.lost === undefined) return undefined;
    this.#fatalRead = true;
    return this.client.lost.fields;
  }

  /** Input is read while no result is waited for (PQconsumeInput). */
  read(): void {
    const { lost } = this.client;
    if (lost === undefined) return;
    if (this.#noticed) this.errors.append(NOT_OPEN);
    else this.#notice(lost.reason);
  }

  /** A result is waited for. @returns libpq's whole account */
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
