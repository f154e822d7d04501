import { LimitReached, type PgError } from '../wire/errors.js';
import type { Descriptors } from '../wire/host/descriptors.js';

/** How many connections there may be beyond the limit of clients, for those that have not sent a startup packet yet. */
const UNKNOWN_CLIENTS = 100;

/** Gives a place back. A second call does nothing. */
type Leave = () => void;

/** How many clients there may be at a time; 0 for no limit. */
export interface ClientLimits {
  readonly clients: number;
  readonly clientsPerUser: number;
  readonly clientsPerDatabase: number;
  readonly clientsPerAddress: number;
  /** So many of all are for certain users alone. */
  readonly reservedClients: number;
  /** Users for whom these are, and for whom only the limits of all and of their address hold. Byte strings. */
  readonly reservedUsers: readonly string[];
}

/** A client that wants a session. User and database are byte strings. */
export interface Arrival {
  readonly user: string;
  readonly database: string;
  /** Undefined for one that has come by a socket: those count together. */
  readonly address: string | undefined;
}

/** Lets clients in as long as there is room for them. */
export class ClientAdmission {
  #connections = 0;
  #clients = 0;
  /** How many there are of each user, database and address. */
  readonly #counts = new Map<string, number>();

  constructor(
    private limits: ClientLimits,
    private readonly descriptors: Descriptors,
  ) {}

  /** Whether there is no place left for anybody. */
  get full(): boolean {
    const { clients } = this.limits;
    return clients > 0 && this.#clients >= clients;
  }

  /** Has other limits from now on. Who is there stays. */
  limit(limits: ClientLimits): void {
    this.limits = limits;
  }

  /** Takes a place for a connection that has just been accepted. @throws PgError 53300 */
  accept(): Leave {
    const { clients } = this.limits;
    if (clients > 0 && this.#connections >= clients + UNKNOWN_CLIENTS)
      throw tooMany('limits.clients', clients);
    return this.#take(() => {
      this.#connections++;
      return () => this.#connections--;
    });
  }

  /**
   * Takes a place for a client that wants a session, and for its connection to the primary.
   * @param arrival undefined for one that is not known yet
   * @throws PgError 53300
   */
  admit(arrival?: Arrival): Leave {
    const keys = this.#check(arrival);
    return this.#take(() => {
      this.#clients++;
      for (const key of keys) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
      return () => {
        this.#clients--;
        for (const key of keys) {
          const left = this.#counts.get(key)! - 1;
          if (left > 0) this.#counts.set(key, left);
          else this.#counts.delete(key);
        }
      };
    });
  }

  /** @returns by what the client is to be counted @throws PgError 53300 */
  #check(arrival: Arrival | undefined): readonly string[] {
    const { clients, clientsPerUser, clientsPerDatabase, clientsPerAddress, reservedClients, reservedUsers } =
      this.limits;
    const isReserved = arrival !== undefined && reservedUsers.includes(arrival.user);
    const room = isReserved ? clients : Math.max(1, clients - reservedClients);
    if (clients > 0 && this.#clients >= room)
      throw isReserved || reservedClients === 0 || this.#clients >= clients
        ? tooMany('limits.clients', clients)
        : reserved(reservedClients);
    if (arrival === undefined) return [];
    // Nobody has proven yet to be who they say. So that of the address holds for everybody.
    const groups = [
      ['limits.clients_per_user', isReserved ? 0 : clientsPerUser, `user ${arrival.user}`],
      ['limits.clients_per_database', isReserved ? 0 : clientsPerDatabase, `database ${arrival.database}`],
      ['limits.clients_per_address', clientsPerAddress, `address ${arrival.address ?? ''}`],
    ] as const;
    for (const [setting, limit, key] of groups)
      if (limit > 0 && (this.#counts.get(key) ?? 0) >= limit) throw tooMany(setting, limit);
    // Counted where there is no limit, too: a reload may bring one.
    return groups
      .filter(([setting]) => !isReserved || setting === 'limits.clients_per_address')
      .map(([, , key]) => key);
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
}

const tooMany = (setting: string, limit: number): PgError =>
  new LimitReached(
    setting,
    '53300',
    `sorry, too many clients already: the setting "${setting}" of the proxy is ${limit}`,
    {
      severity: 'FATAL',
    },
  );

const reserved = (limit: number): PgError =>
  new LimitReached(
    'limits.reserved_clients',
    '53300',
    `remaining clients are reserved: the setting "limits.reserved_clients" of the proxy is ${limit}`,
    { severity: 'FATAL', hint: 'They are for the users that "limits.reserved_users" names.' },
  );

const noDescriptors = (): PgError =>
  new LimitReached(
    'ulimit -n',
    '53300',
    'sorry, too many clients already: the file descriptors of the proxy are used up',
    {
      severity: 'FATAL',
      hint: 'Raise the limit of its process (ulimit -n), or lower "limits.remote_connections" or "limits.clients".',
    },
  );
