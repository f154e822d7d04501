import type { WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import type { RemoteAdmission } from './admission.js';
import { type Leave, placeOf } from './places.js';

/** How long a call waits for a connection to be as good as new. Then it opens another one. */
const PATIENCE_MS = 100;
/** How long a call waits for others to have left. */
const ROOM_MS = 200;
/** How many connections of one session are kept. */
const MOST_OF_ONE = 32;

/**
 * Libraries whose functions leave nothing in a session that DISCARD ALL does not take away. Of others, and of other languages than
 * these, that is not known: PL/Perl and PL/Python have variables of the session, dblink and postgres_fdw have connections.
 */
const LIBRARIES =
  `_int btree_gin btree_gist citext cube fuzzystrmatch hstore isn ltree pg_stat_statements pg_trgm pgcrypto seg tablefunc
  unaccent uuid-ossp`
    .split(/\s+/)
    .map((name) => `$libdir/${name}`);

/** The first OID of what was not made with the database cluster. */
const FIRST_OWN_OID = 16384;

/** It has to be alone in its Query. */
const DISCARD = Buffer.from('DISCARD ALL', 'latin1');

/**
 * What DISCARD ALL leaves as it is: the role that the session began with, and the seed of random(). It returns a row if nothing in
 * the database can have left anything else, and nothing else was done when the session began. No proxy on the way is to take it for a
 * statement that uses dblink, so it has not that word in it. The conditions are in a CASE, so that the planner does not look up how
 * often each of the libraries occurs, which took it longer than all the rest.
 */
const RESTORE = Buffer.from(
  `RESET ROLE; SELECT pg_catalog.setseed((('x' || pg_catalog.left(pg_catalog.gen_random_uuid()::text, 8))::bit(32)::integer / 2147483648.0))
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.oid >= ${FIRST_OWN_OID} AND CASE WHEN p.proname ~ '^db[l]ink' THEN true
    ELSE CASE (SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = p.prolang) WHEN 'internal' THEN false WHEN 'sql' THEN false
      WHEN 'plpgsql' THEN false WHEN 'c' THEN NOT p.probin = ANY ('{${LIBRARIES.join()}}') ELSE true END END)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtevent = 'login')`,
  'latin1',
);

/** Where a connection leads, and what tells it from others. */
export interface Identity {
  /** The servers. */
  readonly server: string;
  /** The servers and the login, with all credentials. */
  readonly login: string;
}

/** A connection that nobody uses. */
interface Kept {
  readonly owner: object;
  readonly identity: Identity;
  readonly client: WireClient;
  /** Whether it is as good as new. */
  readonly clean: Promise<boolean>;
  readonly clock: NodeJS.Timeout;
  /** Gives back its place, as its end does. */
  readonly leave: Leave;
  readonly gone: Promise<void>;
}

/**
 * Connections that were opened for a single call of dblink or dblink_exec, for the next such call of the same session with the same
 * credentials (docs/decisions/020-kept-connections.md).
 */
export class KeptConnections {
  readonly #byOwner = new Map<object, Set<Kept>>();
  /** How often one was asked for, and there was one that could be used, or not. */
  hits = 0;
  misses = 0;

  /** @param keepMs for how long a login counts; 0 keeps no connection */
  constructor(
    public keepMs: number,
    private readonly admission: RemoteAdmission,
  ) {}

  /** How many there are. */
  get count(): number {
    let count = 0;
    for (const own of this.#byOwner.values()) count += own.size;
    return count;
  }

  /** Whether there is one of this session. */
  has(owner: object): boolean {
    return this.#byOwner.has(owner);
  }

  /**
   * Keeps a connection, if it can be made as good as new, and there is room.
   * @param owner the session
   * @returns false when it is not kept, and to be closed
   */
  keep(owner: object, identity: Identity, client: WireClient): boolean {
    const restMs = client.madeAt + this.keepMs - performance.now();
    if (restMs <= 0 || client.state !== 'ready' || client.transactionStatus !== 'I') return false;
    const own = this.#byOwner.get(owner) ?? new Set();
    if (this.admission.servers.awaited(placeOf(client.address))) return false;
    const leave = own.size < MOST_OF_ONE ? this.admission.admitIdle() : undefined;
    if (leave === undefined) return false;
    const gone = new Promise<void>((resolve) => {
      client.whenReleased(() => {
        leave();
        resolve();
      });
    });
    client.onNotice = undefined;
    client.onNotification = undefined;
    const clock = setTimeout(() => this.#end(kept), restMs).unref();
    const kept: Kept = { owner, identity, client, clean: renewed(client), clock, leave, gone };
    client.onClose = () => this.#remove(kept);
    this.#byOwner.set(owner, own.add(kept));
    void kept.clean.then((clean) => {
      if (!clean) this.#end(kept);
    });
    return true;
  }

  #remove(kept: Kept): boolean {
    const own = this.#byOwner.get(kept.owner);
    if (own?.delete(kept) !== true) return false;
    if (own.size === 0) this.#byOwner.delete(kept.owner);
    clearTimeout(kept.clock);
    kept.client.onClose = undefined;
    return true;
  }

  #end(kept: Kept): void {
    if (this.#remove(kept)) kept.client.close();
  }

  /**
   * Takes a connection that was kept. It is like one that has just been made.
   * @returns undefined when there is none @throws the signal's reason
   */
  async take(owner: object, { login }: Identity, signal: AbortSignal): Promise<WireClient | undefined> {
    for (const kept of this.#byOwner.get(owner) ?? []) {
      if (kept.identity.login !== login) continue;
      this.#remove(kept);
      const { client } = kept;
      try {
        if ((await abortable(within(kept.clean, PATIENCE_MS), signal)) && client.state === 'ready') {
          kept.leave();
          this.hits++;
          return client;
        }
      } catch (error) {
        client.close();
        throw error;
      }
      client.close();
      break;
    }
    this.misses++;
    return undefined;
  }

  /** Closes those of a session: it does something that could be waiting for them, or that could change who may connect. */
  leave(owner: object): void {
    for (const kept of this.#byOwner.get(owner) ?? []) this.#end(kept);
  }

  /**
   * Closes one connection to a server that somebody waits for.
   * @param owner the session that waits: its own is the first to go
   * @param server see `placeOf`
   */
  giveWay(owner: object, server: string): void {
    const own = this.#byOwner.get(owner) ?? [];
    for (const kept of [own, ...this.#byOwner.values()].flatMap((group) => [...group])) {
      if (placeOf(kept.client.address) !== server) continue;
      this.#end(kept);
      return;
    }
  }

  /**
   * Closes connections where there is no room for another one, and waits a little until they are gone.
   * @param server only those to these servers; without it all
   * @returns whether there were any
   */
  async makeRoom(signal: AbortSignal, server?: string): Promise<boolean> {
    const all = [...this.#byOwner.values()].flatMap((own) => [...own]);
    const ended = all.filter(({ identity }) => server === undefined || identity.server === server);
    for (const kept of ended) this.#end(kept);
    const gone = Promise.all(ended.map((kept) => kept.gone)).then(() => true);
    if (ended.length > 0) await abortable(within(gone, ROOM_MS), signal);
    return ended.length > 0;
  }
}

/** Waits for something to be so, but not for long. */
async function within(what: Promise<boolean>, ms: number): Promise<boolean> {
  let clock: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    clock = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([what, late]);
  } finally {
    clearTimeout(clock);
  }
}

/** Makes a connection as good as new. @returns whether it is. Never rejects */
async function renewed(client: WireClient): Promise<boolean> {
  let failed = false;
  let last = '';
  const handler = {
    // Nothing is read of what a server sends here but the number of rows.
    rowDescription: () => 'discard' as const,
    commandComplete: (tag: string): void => {
      last = tag;
    },
    error: (): void => {
      failed = true;
    },
  };
  try {
    await client.queries([DISCARD, RESTORE], handler);
    return !failed && last === 'SELECT 1' && client.transactionStatus === 'I';
  } catch {
    return false;
  }
}

/** Words of commands that change who may connect, wait for connections to leave, or reset a session. */
const COMMANDS =
  /\b(?:(?:alter|create|drop)\b[^;]{0,100}?\b(?:role|user|group|database|system)|grant|revoke|discard)\b/i;
/** So much of a text is looked at. */
const HEAD_BYTES = 8192;

/** Whether a client's text may be such a command. Those that are made in functions are not seen. */
export const endsKeeping = (bytes: Buffer, start: number): boolean =>
  COMMANDS.test(bytes.toString('latin1', start, Math.min(bytes.length, start + HEAD_BYTES)));
