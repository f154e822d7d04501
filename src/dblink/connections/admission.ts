import { LimitReached, type PgError } from '../../wire/errors.js';
import type { Descriptors } from '../../wire/host/descriptors.js';
import { type Leave, Places } from './places.js';

/** How many remote connections there may be at a time; 0 for no limit. */
export interface RemoteLimits {
  readonly perSession: number;
  readonly inAll: number;
  readonly perUser: number;
  readonly perServer: number;
  /** How long a call waits for one of its user's, or of its server's, in ms; 0 for no limit. */
  readonly waitMs: number;
}

/** Limits the remote connections of all sessions: each connection needs a place. */
export class RemoteAdmission {
  /** By the client's user, a byte string. */
  readonly users: Places;
  /** By server, see `placeOf`. */
  readonly servers: Places;
  #open = 0;

  constructor(
    private limits: RemoteLimits,
    private readonly descriptors: Descriptors,
    /** Called when the system had no descriptor for a connection that had been given a place. */
    readonly exhausted: (error: Error) => void,
  ) {
    const { perUser, perServer, waitMs } = limits;
    this.users = new Places('remote_connections_per_user', perUser, waitMs);
    this.servers = new Places('remote_connections_per_server', perServer, waitMs);
  }

  /** How many connections there are. */
  get open(): number {
    return this.#open;
  }

  /** Has other limits from now on. Connections that are open stay open. */
  limit(limits: RemoteLimits): void {
    this.limits = limits;
    this.users.change(limits.perUser, limits.waitMs);
    this.servers.change(limits.perServer, limits.waitMs);
  }

  /**
   * Takes a place for one more connection. The last tenth of all places is kept for sessions that have no connection yet.
   * @param held how many connections the session has
   * @throws PgError 53300 when a limit is reached, or when the process has too few file descriptors left
   */
  admit(held: number): Leave {
    const { perSession, inAll } = this.limits;
    if (perSession > 0 && held >= perSession)
      throw tooMany('dblink connections of one session', 'remote_connections_per_session', perSession);
    const free = inAll - this.#open;
    if (inAll > 0 && (free <= 0 || (held > 0 && free <= Math.floor(inAll / 10))))
      throw tooMany('dblink connections of all sessions', 'remote_connections', inAll);
    if (!this.descriptors.take('remote')) throw noDescriptors();
    this.#open++;
    return this.#leaving();
  }

  /** Takes a place for a connection that nobody uses. @returns undefined unless half of all places and descriptors are free */
  admitIdle(): Leave | undefined {
    const { inAll } = this.limits;
    if (inAll > 0 && this.#open >= inAll / 2) return undefined;
    if (!this.descriptors.take('spare')) return undefined;
    this.#open++;
    return this.#leaving();
  }

  #leaving(): Leave {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#open--;
      this.descriptors.give();
    };
  }
}

const tooMany = (what: string, setting: string, value: number): PgError =>
  new LimitReached(
    `limits.${setting}`,
    '53300',
    `too many ${what}: the setting "limits.${setting}" of the proxy is ${value}`,
    {
      hint: `Close connections with dblink_disconnect(), or raise "limits.${setting}".`,
    },
  );

const noDescriptors = (): PgError =>
  new LimitReached(
    'ulimit -n',
    '53300',
    'too many dblink connections: the file descriptors of the proxy are nearly used up',
    {
      detail: 'What is left is kept for logins (the setting "limits.reserved_descriptors").',
      hint: "Close connections with dblink_disconnect(), or raise the limit of the proxy's process (ulimit -n).",
    },
  );
