import { LimitReached, type PgError } from '../wire/errors.js';
import type { Descriptors } from '../wire/host/descriptors.js';
import type { MemoryCeiling } from '../wire/host/memoryCeiling.js';

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
  /** So many that these keep out may wait. */
  readonly waitingClients: number;
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

/** What clients have in common by which they are counted. */
interface Group {
  readonly setting: string;
  readonly limit: number;
  readonly key: string;
}

/** A client that waits. */
interface WaitingClient {
  readonly arrival: Arrival;
  readonly enter: () => void;
}

/** Lets clients in as long as there is room for them. */
export class ClientAdmission {
  #connections = 0;
  #clients = 0;
  /** How many there are of each user, database and address. */
  readonly #counts = new Map<string, number>();
  /** In the order in which they came. */
  readonly #waiting = new Set<WaitingClient>();

  constructor(
    private limits: ClientLimits,
    private readonly descriptors: Descriptors,
    private readonly ceiling?: MemoryCeiling,
  ) {}

  /** Whether there is no place left for anybody. */
  get full(): boolean {
    const { clients } = this.limits;
    return clients > 0 && this.#clients >= clients;
  }

  /** Has other limits from now on. Who is there stays. */
  limit(limits: ClientLimits): void {
    this.limits = limits;
    this.#callIn();
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
   * @throws PgError 53300; 53200 when the process has too much memory
   */
  admit(arrival?: Arrival): Leave {
    if (this.ceiling?.exceeded === true) throw this.ceiling.error('FATAL');
    const obstacle = this.#obstacle(arrival);
    if (obstacle !== undefined) throw obstacle();
    const keys = this.#groups(arrival).map(({ key }) => key);
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

  /**
   * As `admit`, but where a limit is reached the client waits, if it may.
   * @param signal ends the wait: it then fails as it would have at once
   * @param waits called when it has to
   * @throws PgError 53300
   */
  async enter(arrival: Arrival, signal: AbortSignal, waits: () => void = () => {}): Promise<Leave> {
    const mayWait = this.#waiting.size < this.limits.waitingClients && !signal.aborted;
    if (!mayWait || this.#obstacle(arrival) === undefined) return this.admit(arrival);
    waits();
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        this.#waiting.delete(waiting);
        signal.removeEventListener('abort', enter);
        try {
          resolve(this.admit(arrival));
        } catch (error) {
          reject(error as Error);
        }
      };
      const waiting: WaitingClient = { arrival, enter };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', enter, { once: true });
    });
  }

  /** Lets those in who wait and for whom there is room now. */
  #callIn(): void {
    for (const waiting of this.#waiting) {
      if (this.#obstacle(waiting.arrival) !== undefined) continue;
      waiting.enter();
    }
  }

  /** By what a client is counted, also where that has no limit: a reload may bring one. */
  #groups(arrival: Arrival | undefined): readonly Group[] {
    if (arrival === undefined) return [];
    const { clientsPerUser, clientsPerDatabase, clientsPerAddress } = this.limits;
    // Nobody has proven yet to be who they say. So that of the address holds for everybody.
    const ofAddress: Group = {
      setting: 'limits.clients_per_address',
      limit: clientsPerAddress,
      key: `address ${arrival.address ?? ''}`,
    };
    if (this.#isReserved(arrival)) return [ofAddress];
    return [
      { setting: 'limits.clients_per_user', limit: clientsPerUser, key: `user ${arrival.user}` },
      {
        setting: 'limits.clients_per_database',
        limit: clientsPerDatabase,
        key: `database ${arrival.database}`,
      },
      ofAddress,
    ];
  }

  #isReserved(arrival: Arrival | undefined): boolean {
    return arrival !== undefined && this.limits.reservedUsers.includes(arrival.user);
  }

  /** What keeps a client out: makes the error that says so. */
  #obstacle(arrival: Arrival | undefined): (() => PgError) | undefined {
    const { clients, reservedClients } = this.limits;
    const isReserved = this.#isReserved(arrival);
    const room = isReserved ? clients : Math.max(1, clients - reservedClients);
    if (clients > 0 && this.#clients >= room)
      return () =>
        isReserved || reservedClients === 0 || this.#clients >= clients
          ? tooMany('limits.clients', clients)
          : reserved(reservedClients);
    const full = this.#groups(arrival).find(
      ({ key, limit }) => limit > 0 && (this.#counts.get(key) ?? 0) >= limit,
    );
    return full && (() => tooMany(full.setting, full.limit));
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
      this.#callIn();
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
