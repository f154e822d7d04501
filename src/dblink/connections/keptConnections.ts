import { randomInt } from 'node:crypto';
import type { WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { parseDataRow } from '../../wire/rows.js';
import type { Leave, RemoteAdmission } from './admission.js';

/** What SQL for a remote may do: nothing; change rows, and nothing of the session; anything. */
export type TextEffect = 'reads' | 'writes' | 'anything';

/** How long a call waits for a connection to be as good as new. Then it opens another one. */
const PATIENCE_MS = 100;
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
 * What DISCARD ALL leaves as it is: the role that the session began with, and the seed of random(). The second column says whether
 * nothing in the database can have left anything else.
 */
const restore = (): Buffer =>
  Buffer.from(
    `RESET ROLE; SELECT pg_catalog.setseed(${randomInt(-(2 ** 31), 2 ** 31) / 2 ** 31}), NOT EXISTS (SELECT FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.oid >= ${FIRST_OWN_OID} AND l.lanname NOT IN ('internal', 'sql', 'plpgsql')
  AND NOT (l.lanname = 'c' AND p.probin = ANY ('{${LIBRARIES.join()}}')))`,
    'latin1',
  );

/** A connection that nobody uses. */
interface Kept {
  readonly owner: object;
  readonly identity: string;
  readonly client: WireClient;
  /** Whether it is as good as new. */
  readonly clean: Promise<boolean>;
  readonly clock: NodeJS.Timeout;
  /** Gives back its place, as its end does. */
  readonly leave: Leave;
}

/**
 * Connections that were opened for a single call of dblink or dblink_exec, for the next such call of the same session with the same
 * credentials (docs/decisions/020-kept-connections.md).
 */
export class KeptConnections {
  readonly #kept = new Set<Kept>();

  /** @param keepMs how long a connection is kept; 0 for not at all */
  constructor(
    private readonly keepMs: number,
    private readonly admission: RemoteAdmission,
  ) {}

  /** How many there are of this session. */
  of(owner: object): number {
    if (this.#kept.size === 0) return 0;
    let count = 0;
    for (const kept of this.#kept) if (kept.owner === owner) count++;
    return count;
  }

  /**
   * Keeps a connection, if it can be made as good as new, and there is room. Otherwise it closes it.
   * @param owner the session @param identity of the server and the credentials, see openRemote
   */
  keep(owner: object, identity: string, client: WireClient): void {
    const leave = this.#admit(owner);
    if (leave === undefined || client.state !== 'ready' || client.transactionStatus !== 'I') {
      leave?.();
      client.close();
      return;
    }
    client.whenReleased(leave);
    client.onNotice = undefined;
    client.onNotification = undefined;
    const clock = setTimeout(() => this.#end(kept), this.keepMs).unref();
    const kept: Kept = {
      owner,
      identity,
      client,
      clean: renewed(client),
      clock,
      leave,
    };
    client.onClose = () => this.#remove(kept);
    this.#kept.add(kept);
    void kept.clean.then((clean) => {
      if (!clean) this.#end(kept);
    });
  }

  #admit(owner: object): Leave | undefined {
    if (this.keepMs === 0) return undefined;
    return this.of(owner) < MOST_OF_ONE ? this.admission.admitIdle() : undefined;
  }

  #remove(kept: Kept): boolean {
    if (!this.#kept.delete(kept)) return false;
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
  async take(owner: object, identity: string, signal: AbortSignal): Promise<WireClient | undefined> {
    for (const kept of this.#kept) {
      if (kept.owner !== owner || kept.identity !== identity) continue;
      this.#remove(kept);
      const { client } = kept;
      try {
        if (await abortable(soon(kept.clean), signal)) {
          kept.leave();
          return client;
        }
      } catch (error) {
        client.close();
        throw error;
      }
      client.close();
    }
    return undefined;
  }

  /** Closes those of a session: it does something that could be waiting for them, or that could change who may connect. */
  leave(owner: object): void {
    for (const kept of this.#kept) if (kept.owner === owner) this.#end(kept);
  }

  /** Closes all, where there is no room for another connection. @returns whether there were any, when they are gone */
  async makeRoom(): Promise<boolean> {
    const gone = [...this.#kept].map((kept) => {
      this.#end(kept);
      return new Promise<void>((resolve) => kept.client.whenReleased(resolve));
    });
    await Promise.all(gone);
    return gone.length > 0;
  }
}

/** Whether something is so within the time that a call waits. */
async function soon(clean: Promise<boolean>): Promise<boolean> {
  let clock: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    clock = setTimeout(() => resolve(false), PATIENCE_MS);
  });
  try {
    return await Promise.race([clean, late]);
  } finally {
    clearTimeout(clock);
  }
}

/** Makes a connection as good as new. @returns whether it is. Never rejects */
async function renewed(client: WireClient): Promise<boolean> {
  let failed = false;
  let stateless = false;
  const handler = {
    rowDescription: () => 'rows' as const,
    row: (message: Buffer): void => {
      stateless = parseDataRow(message)[1]?.toString('latin1') === 't';
    },
    error: (): void => {
      failed = true;
    },
  };
  try {
    await client.query(DISCARD, handler);
    if (!failed) await client.query(restore(), handler);
    return !failed && stateless && client.transactionStatus === 'I';
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
