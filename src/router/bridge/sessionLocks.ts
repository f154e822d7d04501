import { randomBytes } from 'node:crypto';
import { PgError } from '../../wire/errors.js';
import { type Answer, encodeAnswer } from './answer.js';
import type { BridgeRequest } from './request.js';
import type { Membership } from './services.js';

/** By what a session's functions know the proxy, and wait for it. */
export interface SessionKeys {
  readonly token: string;
  /** Advisory lock keys. */
  readonly a: bigint;
  readonly b: bigint;
}

export function makeSessionKeys(): SessionKeys {
  const random = randomBytes(32);
  return {
    token: random.toString('hex', 16, 32),
    a: random.readBigInt64BE(0),
    b: random.readBigInt64BE(8),
  };
}

/** The value of the setting that tells the session's functions. */
export const sessionSetting = (keys: SessionKeys): string => `${keys.token}:${keys.a}:${keys.b}`;

/** COPY BINARY of one row: signature, flags, extension, then the row (PostgreSQL documentation, COPY). */
const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const COPY_TRAILER = Buffer.from([0xff, 0xff]);

/**
 * One session's side of the waiting: holds exactly one of its two locks on a service connection, and to answer takes the
 * other one before it lets go, so that a function that comes right behind finds one held.
 */
export class SessionLocks {
  #membership: Membership | undefined;
  #held: 'a' | 'b' | undefined;

  constructor(
    private readonly keys: SessionKeys,
    private readonly join: () => Promise<Membership>,
  ) {}

  /** The services of the session's database, once it has joined them. */
  get services(): Membership['services'] | undefined {
    return this.#membership?.services;
  }

  /**
   * Makes sure that a lock is held that a function can wait for.
   * @throws PgError 08001 when there is no service connection, and what else stands in the way
   */
  async attach(): Promise<Membership> {
    if (this.#membership?.connection.closed) this.#lost();
    this.#membership ??= await this.join();
    if (this.#held === undefined) {
      if (!(await this.#hold('a'))) throw locked();
      this.#held = 'a';
    }
    return this.#membership;
  }

  #lost(): void {
    this.#membership?.leave();
    this.#membership = undefined;
    this.#held = undefined;
  }

  async #hold(key: 'a' | 'b'): Promise<boolean> {
    const [row] = await this.#membership!.connection.query('SELECT dblink_proxy.hold($1)', [
      this.keys[key].toString(),
    ]);
    return row?.[0]?.toString() === 't';
  }

  /**
   * Hands over the answer and ends the waiting.
   * @returns the side table that the answer is in, if any
   * @throws PgError when the answer cannot be stored (22021: bytes that are not of the encoding): nothing has been
   * answered; ConnectionLost
   */
  async give(request: BridgeRequest, answer: Answer): Promise<string | undefined> {
    const { connection } = await this.attach();
    const held = this.#held!;
    const next = held === 'a' ? 'b' : 'a';
    const parts = encodeAnswer(answer);
    if (request.mode === 'row') {
      const [row] = await connection.query('CALL dblink_proxy.give($1, $2, $3, $4, $5, NULL)', [
        String(request.pid),
        request.id,
        { binary: parts },
        this.keys[next].toString(),
        this.keys[held].toString(),
      ]);
      this.#held = row?.[0]?.toString() === 't' ? next : undefined;
      return undefined;
    }
    const taken = await this.#hold(next);
    const table = `answer_${request.pid}_${request.id.replaceAll('-', '')}`;
    try {
      await connection.script(
        `CREATE UNLOGGED TABLE dblink_proxy.${table} (parts text[], must_release boolean) WITH (autovacuum_enabled = off);
         REVOKE ALL ON dblink_proxy.${table} FROM PUBLIC; COPY dblink_proxy.${table} FROM STDIN WITH (FORMAT binary, FREEZE)`,
        (copy) => {
          const fields = Buffer.alloc(2 + 4);
          fields.writeInt16BE(2, 0);
          fields.writeInt32BE(parts.length, 2);
          const release = Buffer.from([0, 0, 0, 1, taken ? 0 : 1]);
          copy.write(Buffer.concat([COPY_HEADER, fields, parts, release, COPY_TRAILER]));
          copy.done();
        },
      );
    } catch (error) {
      if (taken) await connection.query('SELECT pg_advisory_unlock($1)', [this.keys[next].toString()]);
      throw error;
    }
    await connection.query('SELECT pg_advisory_unlock($1)', [this.keys[held].toString()]);
    this.#held = taken ? next : undefined;
    return table;
  }

  /** Takes back what was handed over to a process. */
  async forget(pid: number): Promise<void> {
    if (this.#membership === undefined || this.#membership.connection.closed) return;
    await this.#membership.connection.query('DELETE FROM dblink_proxy.answer WHERE pid = $1', [String(pid)]);
  }

  /** The session is over: a function that still waits finds no answer. */
  async release(pid: number | undefined): Promise<void> {
    const membership = this.#membership;
    const held = this.#held;
    this.#membership = undefined;
    this.#held = undefined;
    if (membership === undefined) return;
    const { connection } = membership;
    try {
      if (pid !== undefined && !connection.closed) {
        await connection.query('DELETE FROM dblink_proxy.answer WHERE pid = $1', [String(pid)]);
      }
      if (held !== undefined && !connection.closed) {
        await connection.query('SELECT pg_advisory_unlock($1)', [this.keys[held].toString()]);
      }
    } catch {
      // With the connection its locks are gone.
      if (!connection.closed && held !== undefined) connection.close();
    } finally {
      membership.leave();
    }
  }
}

const locked = (): PgError =>
  new PgError('55P03', "another session holds this session's advisory locks of dblink-proxy", {
    hint: 'Look for its locks in pg_locks, and end it, or connect again.',
  });
