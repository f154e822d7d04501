import type { PrimaryLink } from '../../primary/primaryLink.js';
import { FORWARD } from '../../primary/responseQueue.js';
import type { Interceptor, Session } from '../../session/session.js';
import { mayConcernDblink } from '../../sql/index.js';
import { Frontend } from '../../wire/protocol.js';
import type { NestedEntry } from './nestedEntry.js';

/**
 * The interceptor of a nested session. Most of these sessions use no dblink, and many are there for one statement. So what serves them
 * is made only when something comes that has to do with dblink.
 */
export class NestedInterceptor implements Interceptor {
  readonly #primary: PrimaryLink;
  #server: Interceptor | undefined;
  /** It is being found out whether a Query is served here. */
  #deciding = false;
  /** A cancel request has come meanwhile. */
  #cancelled = false;
  #closed = false;

  /** @param make what serves the session */
  constructor(
    private readonly session: Session,
    private readonly entry: NestedEntry,
    private readonly make: () => Interceptor,
  ) {
    this.#primary = session.primary;
  }

  get #made(): Interceptor {
    if (this.#server === undefined) {
      this.#server = this.make();
      this.#server.ready();
    }
    return this.#server;
  }

  /** Whether dblink has not been used in it, so that it has no connections. */
  get pristine(): boolean {
    return this.#server === undefined;
  }

  get tracking(): boolean {
    return this.#server?.tracking ?? false;
  }

  intercept(type: number, message: Buffer): Promise<void> | undefined {
    const served =
      type === Frontend.query && !this.#primary.queue.copyIn ? this.entry.query(message) : undefined;
    if (served === undefined) return this.#server?.intercept(type, message);
    // The message is valid only now, and is handled later.
    return this.#whenDecided(Buffer.from(message), served);
  }

  unseen(type: number, head: Buffer): void {
    this.#server?.unseen(type, head);
  }

  async #whenDecided(message: Buffer, served: Promise<boolean>): Promise<void> {
    this.#deciding = true;
    this.#cancelled = false;
    const here = await served;
    this.#deciding = false;
    if (this.#closed) return;
    const taken = here ? this.#made.intercept(Frontend.query, message) : undefined;
    if (taken === undefined) {
      this.#primary.expect(FORWARD.query);
      this.#primary.write(message);
    }
    if (this.#cancelled) this.session.cancel();
    return taken;
  }

  ready(): void {
    this.#server?.ready();
  }

  notice(message: Buffer, muted: boolean, cut: boolean): boolean {
    const server = this.#concerned(message);
    return server === undefined ? !muted : server.notice(message, muted, cut);
  }

  error(message: Buffer): Buffer {
    this.entry.error(message);
    return this.#concerned(message)?.error(message) ?? message;
  }

  /** What serves the session, where that has begun, or begins with this message. */
  #concerned(message: Buffer): Interceptor | undefined {
    return !this.#closed && mayConcernDblink(message, 0) ? this.#made : this.#server;
  }

  settled(): void {
    this.#server?.settled();
  }

  get serving(): boolean {
    return this.#deciding || (this.#server?.serving ?? false);
  }

  cancel(): boolean {
    this.#cancelled ||= this.#deciding;
    return this.#server?.cancel() ?? false;
  }

  close(): void {
    this.#closed = true;
    this.#server?.close();
  }
}
