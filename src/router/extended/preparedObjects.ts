import { MessageSink } from '../../primary/answerSink.js';
import type { PrimaryLink } from '../../primary/primaryLink.js';
import { FORWARD } from '../../primary/responseQueue.js';
import type { SessionContext } from '../../session/context.js';
import { readBindNames, readTarget } from '../../wire/messages.js';
import { Frontend, TransactionStatus } from '../../wire/protocol.js';
import { readable } from '../readable.js';
import { type PreparedLimits, Tracked } from './preparedLimits.js';

const keyOf = (name: Buffer): string => name.toString('latin1');

/**
 * Keeps track, by name, of those of the client's prepared statements and portals that are of a certain kind, for as long as the
 * client has them (protocol documentation, "Extended Query").
 */
export class PreparedObjects<PreparedStatement, Portal> {
  readonly #statements: Tracked<PreparedStatement>;
  /** `after`: how many ReadyForQuery messages have to come before the one that can end the portal. */
  readonly #portals: Tracked<{ readonly portal: Portal; readonly after: number }>;

  /** @param limits of all that the session keeps track of */
  constructor(
    private readonly primary: PrimaryLink,
    limits: PreparedLimits,
  ) {
    this.#statements = new Tracked(limits);
    this.#portals = new Tracked(limits);
    limits.join((names) => {
      for (const [name] of [...this.#statements])
        if (name !== '' && !names.has(name)) this.#statements.delete(name);
    });
  }

  get isEmpty(): boolean {
    return this.#statements.size === 0 && this.#portals.size === 0;
  }

  statement(name: Buffer): PreparedStatement | undefined {
    return this.#statements.get(keyOf(name));
  }

  /** @param bytes of its texts @throws PgError 53400 when there is no room for a statement of this name */
  checkStatement(name: Buffer, bytes: number): void {
    this.#statements.check(keyOf(name), bytes);
  }

  /** @param bytes of its values @throws PgError 53400 when there is no room for a portal of this name */
  checkPortal(name: Buffer, bytes: number): void {
    this.#portals.check(keyOf(name), bytes);
  }

  /** @param bytes of its texts */
  prepare(name: Buffer, statement: PreparedStatement, bytes: number): void {
    this.#statements.set(keyOf(name), statement, bytes);
  }

  portal(name: Buffer): Portal | undefined {
    return this.#portals.get(keyOf(name))?.portal;
  }

  /** Notes a Bind. @param portal undefined when a portal of another kind takes the name @param bytes of its values */
  bind(name: Buffer, portal: Portal | undefined, bytes = 0): void {
    if (portal === undefined) this.#portals.delete(keyOf(name));
    else {
      const { readies, queue } = this.primary;
      // They are in the order of the last Binds: see ready().
      this.#portals.set(keyOf(name), { portal, after: readies + queue.boundaries }, bytes);
    }
  }

  /** The name is another statement's from now on. */
  forget(name: Buffer): void {
    this.#statements.delete(keyOf(name));
  }

  /** Called when a Query or another Parse replaces the unnamed statement. */
  forgetUnnamed(): void {
    this.#statements.delete('');
    this.#portals.delete('');
  }

  /** Called for a message that is too long to be looked at. A Bind takes its portal over, whatever it is. @param head of the message */
  unseen(type: number, head: Buffer): void {
    const names = type === Frontend.bind ? readable(() => readBindNames(head)) : undefined;
    if (names !== undefined) this.bind(names.portal, undefined);
  }

  /**
   * Handles a Close message. When it is about one of these objects it is sent, and its answer is awaited: behind an error the
   * primary skips the Close, and still has the object.
   * @returns undefined when the message is about another object and is to be forwarded
   */
  close(message: Buffer): Promise<void> | undefined {
    const { target, name } = readTarget(message);
    const objects: Tracked<unknown> = target === 'S' ? this.#statements : this.#portals;
    const key = keyOf(name);
    return objects.has(key) ? this.#close(Buffer.from(message), objects, key) : undefined;
  }

  async #close(message: Buffer, objects: Tracked<unknown>, key: string): Promise<void> {
    const sink = new MessageSink({ message: () => true });
    this.primary.send(message, { kind: 'close', sink });
    this.primary.flush();
    const { skipped } = await sink.answered;
    if (!skipped) objects.delete(key);
  }

  /** Called when the client has been sent a ReadyForQuery. Outside of a transaction block it leaves no portal. */
  ready(): void {
    if (this.#portals.size === 0 || this.primary.status !== TransactionStatus.idle) return;
    // Portals that were bound further on in the pipeline, behind the request that this ReadyForQuery answers, stay.
    for (const [name, { after }] of this.#portals) {
      if (after >= this.primary.readies) break;
      this.#portals.delete(name);
    }
  }
}

/**
 * Handles a Bind that goes to the primary as it is. The portal has what its statement has.
 * @returns undefined when it is to be forwarded at once
 */
export function bindForwarded<T>(
  context: SessionContext,
  limits: PreparedLimits,
  objects: PreparedObjects<T, T>,
  message: Buffer,
): Promise<void> | undefined {
  const { portal, statement } = readBindNames(message);
  const object = objects.statement(statement);
  if (object === undefined || portal.length === 0) {
    objects.bind(portal, object);
    return undefined;
  }
  const check = () => objects.checkPortal(portal, 0);
  if (limits.has(check)) {
    objects.bind(portal, object);
    return undefined;
  }
  const [kept, name] = [Buffer.from(message), Buffer.from(portal)];
  return (async () => {
    if (!(await limits.admits(context, check))) return;
    objects.bind(name, object);
    context.primary.expect(FORWARD.bind);
    context.primary.write(kept);
  })();
}
