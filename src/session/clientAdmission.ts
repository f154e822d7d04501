import { PgError } from '../wire/errors.js';
import type { Descriptors } from '../wire/host/descriptors.js';

/** How many connections there may be beyond the limit of clients, for those that have not sent a startup packet yet. */
const UNKNOWN_CLIENTS = 100;

/** Gives a place back. A second call does nothing. */
type Leave = () => void;

/** Lets clients in as long as there is room for them. */
export class ClientAdmission {
  #connections = 0;
  #clients = 0;

  /** @param limit of clients; 0 for none */
  constructor(
    private readonly limit: number,
    private readonly descriptors: Descriptors,
  ) {}

  /** Takes a place for a connection that has just been accepted. @throws PgError 53300 */
  accept(): Leave {
    if (this.limit > 0 && this.#connections >= this.limit + UNKNOWN_CLIENTS) throw this.#tooMany();
    return this.#take(() => {
      this.#connections++;
      return () => this.#connections--;
    });
  }

  /** Takes a place for a client that wants a session, and for its connection to the primary. @throws PgError 53300 */
  admit(): Leave {
    if (this.limit > 0 && this.#clients >= this.limit) throw this.#tooMany();
    return this.#take(() => {
      this.#clients++;
      return () => this.#clients--;
    });
  }

  #take(enter: () => () => void): Leave {
    if (!this.descriptors.take('login')) throw noDescriptors();
    const leave = enter();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      leave();
      this.descriptors.give();
    };
  }

  #tooMany(): PgError {
    return new PgError(
      '53300',
      `sorry, too many clients already: the setting "limits.clients" of the proxy is ${this.limit}`,
      { severity: 'FATAL' },
    );
  }
}

const noDescriptors = (): PgError =>
  new PgError('53300', 'sorry, too many clients already: the file descriptors of the proxy are used up', {
    severity: 'FATAL',
    hint: 'Raise the limit of its process (ulimit -n), or lower "limits.remote_connections" or "limits.clients".',
  });
