import { randomBytes } from 'node:crypto';
import type { Parameter } from '../../bridge/service/serviceConnection.js';
import { MessageSink } from '../../primary/answerSink.js';
import type { PrimaryLink } from '../../primary/primaryLink.js';
import { PgError } from '../../wire/errors.js';
import { query } from '../../wire/messages.js';
import type { ClientPlace } from './nestedPlace.js';

/** The database of the process $1 of the primary, if it holds the advisory lock $2 there. */
const HOLDER = `SELECT d.datname FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory' AND l.granted
  AND l.objsubid = 1 AND l.pid = $1 AND (l.classid::bigint << 32 | l.objid::bigint) = $2`;

/** The database of the process $1, if the role $2 may connect to it. */
const IS_IN = `SELECT a.datname FROM pg_stat_activity a WHERE a.pid = $1 AND has_database_privilege($2::name, a.datid, 'CONNECT')`;

/**
 * Shows that whoever answers on a nested session's connection has a session with the primary, and in which database. It says nothing
 * about rights. Without it a remote of anybody's that only claims to be the primary could have the proxy connect to wherever the remote
 * itself cannot.
 *
 * Between two statements it takes an advisory lock that nobody else knows of, and lets it go at once. A function that asks in the middle
 * of a statement waits for the session's own lock, which is as good: the bridge looks for that before it does anything (`confirm`).
 */
export class SessionProof {
  #database: string | undefined;
  #given = false;
  /** Of the lock. A function could see it in pg_locks only while the session runs nothing. */
  readonly #key = randomBytes(8).readBigInt64BE(0);

  /** @param process that the session's connection says it is */
  constructor(
    private readonly client: ClientPlace,
    private readonly primary: PrimaryLink,
    private readonly process: () => { readonly processId: number } | undefined,
  ) {}

  /** Whether it has been shown. */
  get given(): boolean {
    return this.#given;
  }

  /** A function of the process waits for the session's lock in the database. */
  confirm(): void {
    this.#given = true;
  }

  /**
   * The database that the session is in, a byte string. As long as nothing is shown it is one that the client's user could connect to.
   * @throws PgError 55000 when there is none; 08001
   */
  async database(): Promise<string> {
    this.#database ??= await this.#ask(IS_IN, this.client.user);
    if (this.#database === undefined) throw notProven();
    return this.#database;
  }

  /** Shows it between two statements. @returns whether it is shown, as far as the primary can be asked */
  async give(): Promise<boolean> {
    if (this.#given) return true;
    const key = this.#key;
    let database: string | undefined;
    try {
      if (!(await this.#run(`SELECT pg_catalog.pg_try_advisory_lock(${key})`))) return false;
      database = await this.#ask(HOLDER, key.toString()).catch(() => undefined);
    } finally {
      // It is taken once for each lock, also for one that a cancelled unlocking has left.
      await this.#run(`SELECT pg_catalog.pg_advisory_unlock(${key})`);
    }
    if (database === undefined) return false;
    this.#database = database;
    this.#given = true;
    return true;
  }

  /** Runs SQL in the session. @returns whether it succeeded */
  async #run(sql: string): Promise<boolean> {
    const sink = new MessageSink({ muted: true });
    this.primary.send(query(Buffer.from(sql)), { kind: 'query', sink, harmless: true });
    const { error, skipped } = await sink.answered;
    return error === undefined && !skipped;
  }

  async #ask(sql: string, parameter: Parameter): Promise<string | undefined> {
    const { services, database, asker } = this.client;
    const membership = await services(database).join(asker);
    try {
      const params = [String(this.process()?.processId ?? 0), parameter];
      const [row] = await membership.connection.query(sql, params);
      return row?.[0]?.toString('latin1');
    } finally {
      membership.leave();
    }
  }
}

const notProven = (): PgError =>
  new PgError('55000', 'dblink calls of this session are not carried out by dblink-proxy', {
    detail: 'The session did not show that it is one of the primary.',
  });
