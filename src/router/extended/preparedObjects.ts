import { MessageSink } from '../../primary/answerSink.js';
import type { PrimaryLink } from '../../primary/primaryLink.js';
import { readBindNames, readTarget } from '../../wire/messages.js';
import { Frontend, TransactionStatus } from '../../wire/protocol.js';
import { readable } from '../readable.js';

const keyOf = (name: Buffer): string => name.toString('latin1');

/**
 * Keeps track, by name, of those of the client's prepared statements and portals that are of a certain kind, for as long as the
 * client has them (protocol documentation, "Extended Query").
 */
export class PreparedObjects<PreparedStatement, Portal> {
  readonly #statements = new Map<string, PreparedStatement>();
  /** `after`: how many ReadyForQuery messages have to come before the one that can end the portal. */
  readonly #portals = new Map<string, { readonly portal: Portal; readonly after: number }>();

  constructor(private readonly primary: PrimaryLink) {}

  get isEmpty(): boolean {
    return this.#statements.size === 0 && this.#portals.size === 0;
  }

  statement(name: Buffer): PreparedStatement | undefined {
    return this.#statements.get(keyOf(name));
  }

  prepare(name: Buffer, statement: PreparedStatement): void {
    this.#statements.set(keyOf(name), statement);
  }

  portal(name: Buffer): Portal | undefined {
    return this.#portals.get(keyOf(name))?.portal;
  }

  /** Notes a Bind. @param portal undefined when a portal of another kind takes the name */
  bind(name: Buffer, portal: Portal | undefined): void {
    if (portal === undefined) this.#portals.delete(keyOf(name));
    else {
      const { readies, queue } = this.primary;
      // Deleted first, so that the map is in the order of the last Binds: see ready().
      this.#portals.delete(keyOf(name));
      this.#portals.set(keyOf(name), { portal, after: readies + queue.boundaries });
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
    const objects: Map<string, unknown> = target === 'S' ? this.#statements : this.#portals;
    const key = keyOf(name);
    return objects.has(key) ? this.#close(Buffer.from(message), objects, key) : undefined;
  }

  async #close(message: Buffer, objects: Map<string, unknown>, key: string): Promise<void> {
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
