import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import { PgError } from '../../wire/errors.js';
import type { BindFields } from '../../wire/messages.js';
import { tell } from '../tell.js';

/** What one object takes beside its texts and values. */
const OVERHEAD_BYTES = 1024;

/** What the prepared statements and portals that a session keeps track of may take together. The unnamed ones do not count. */
export class PreparedLimits {
  #objects = 0;
  #bytes = 0;
  readonly #members: ((names: ReadonlySet<string>) => void)[] = [];

  /** @param bytes of all texts and values */
  constructor(
    private readonly objects: number,
    private readonly bytes: number,
  ) {}

  /** @param bytes of one object's texts and values @throws PgError 53400 when there is no room for one more */
  check(bytes: number): void {
    if (this.#objects >= this.objects)
      throw tooMany(`too many prepared statements and portals`, 'prepared_statements', `${this.objects}`);
    if (this.#bytes + bytes + OVERHEAD_BYTES > this.bytes)
      throw tooMany('too much memory for prepared statements', 'prepared_bytes', `${this.bytes} bytes`);
  }

  add(bytes: number): void {
    this.#objects++;
    this.#bytes += bytes + OVERHEAD_BYTES;
  }

  remove(bytes: number): void {
    this.#objects--;
    this.#bytes -= bytes + OVERHEAD_BYTES;
  }

  /** @param keepOnly forgets the statements that have none of these names */
  join(keepOnly: (names: ReadonlySet<string>) => void): void {
    this.#members.push(keepOnly);
  }

  /**
   * Makes room for one more object, where statements have been deallocated by SQL, which is not seen here. To be called when the primary
   * has answered everything.
   * @param check throws when there is no room
   * @throws PgError 53400; PrimaryRaised in a failed transaction
   */
  async room({ primary }: SessionContext, check: () => void): Promise<void> {
    try {
      check();
    } catch (full) {
      const { error, skipped, rows } = await primary.run({ sql: PREPARED_NAMES }, 'flush');
      if (error !== undefined) throw new PrimaryRaised(error);
      if (skipped) throw full;
      const names = new Set(rows.map(([name]) => name!.toString('latin1')));
      for (const keepOnly of this.#members) keepOnly(names);
      check();
    }
  }

  /** @param check throws when there is no room */
  has(check: () => void): boolean {
    try {
      check();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Looks whether there is room for what a message of the client's makes, about which nothing has been done. If there is none, the client
   * is told, and what follows is skipped.
   * @returns whether there is
   */
  async admits(context: SessionContext, check: () => void): Promise<boolean> {
    if (this.has(check)) return true;
    await context.primary.settled();
    if (context.primary.queue.skipping) return false;
    try {
      await this.room(context, check);
      return true;
    } catch (error) {
      await tell(context, error, { inTransaction: true });
      return false;
    }
  }
}

const PREPARED_NAMES = 'SELECT name FROM pg_catalog.pg_prepared_statements';

const tooMany = (what: string, setting: string, limit: string): PgError =>
  new PgError('53400', `${what}: the setting "limits.${setting}" of the proxy is ${limit}`, {
    detail: 'The proxy keeps those that call dblink.',
    hint: `Close those that are not needed any more, or raise "limits.${setting}".`,
  });

/** Objects of one kind by name, of which all but the unnamed one count. */
export class Tracked<T> {
  readonly #entries = new Map<string, { readonly object: T; readonly bytes: number }>();

  constructor(private readonly limits: PreparedLimits) {}

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.object;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** In the order in which they were set last. */
  *[Symbol.iterator](): Generator<readonly [string, T]> {
    for (const [key, { object }] of this.#entries) yield [key, object];
  }

  /** @throws PgError 53400 when there is no room for an object of this name */
  check(key: string, bytes: number): void {
    if (key !== '' && !this.#entries.has(key)) this.limits.check(key.length + bytes);
  }

  set(key: string, object: T, bytes: number): void {
    this.delete(key);
    this.#entries.set(key, { object, bytes });
    if (key !== '') this.limits.add(key.length + bytes);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    if (key !== '') this.limits.remove(key.length + entry.bytes);
  }
}

/** How long the values of a Bind are together. */
export const valueBytes = ({ values }: BindFields): number =>
  values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
