import { MessageSink } from '../../primary/answerSink.js';
import type { PrimaryLink } from '../../primary/primaryLink.js';
import { readTarget } from '../../wire/messages.js';
import { TransactionStatus } from '../../wire/protocol.js';

const keyOf = (name: Buffer): string => name.toString('latin1');

/**
 * Which of the client's prepared statements and portals are of a certain kind, by name, for as long as the primary has them
 * (protocol documentation, "Extended Query").
 */
export class PreparedObjects<PreparedStatement, Portal> {
  readonly #statements = new Map<string, PreparedStatement>();
  readonly #portals = new Map<string, { readonly portal: Portal; readonly after: number }>();

  constructor(private readonly primary: PrimaryLink) {}

  get hasStatements(): boolean {
    return this.#statements.size > 0;
  }

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

  /** @param portal undefined: one of another kind takes the name */
  bind(name: Buffer, portal: Portal | undefined): void {
    if (portal === undefined) this.#portals.delete(keyOf(name));
    else {
      const { readies, queue } = this.primary;
      // In the order in which they were bound last: see ready().
      this.#portals.delete(keyOf(name));
      this.#portals.set(keyOf(name), { portal, after: readies + queue.boundaries });
    }
  }

  /** A Query or another Parse replaces the unnamed statement. */
  forgetUnnamed(): void {
    this.#statements.delete('');
    this.#portals.delete('');
  }

  /**
   * A Close message. One that is about one of these is sent and waited for: behind an error the primary skips it, and has
   * the object still.
   * @returns undefined when it is about none: it is to be forwarded
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

  /** A ReadyForQuery passed: outside of a transaction block no portal is left. */
  ready(): void {
    if (this.#portals.size === 0 || this.primary.status !== TransactionStatus.idle) return;
    // Those that were bound behind this ReadyForQuery's request, further on in the pipeline, live.
    for (const [name, { after }] of this.#portals) {
      if (after >= this.primary.readies) break;
      this.#portals.delete(name);
    }
  }
}
