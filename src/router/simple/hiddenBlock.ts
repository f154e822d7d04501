import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';

/**
 * A transaction block that the client does not see: it stands for the implicit transaction of a Query of several statements
 * (docs/decisions/001-hidden-block.md), and keeps it open between them.
 */
export class HiddenBlock {
  #open = false;

  constructor(private readonly context: SessionContext) {}

  get isOpen(): boolean {
    return this.#open;
  }

  /** Begins it, unless there is a block already. @throws PrimaryRaised */
  async begin(): Promise<void> {
    if (this.#open || this.context.inBlock) return;
    const { error } = await this.context.primary.run({ sql: 'BEGIN' }, 'sync');
    if (error !== undefined) throw new PrimaryRaised(error);
    this.#open = true;
  }

  /** Ends it, with the notices of that. @throws PrimaryRaised when it cannot be committed */
  async end(how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    const { error } = await this.context.primary.run({ sql: how, notices: true }, 'sync');
    if (error !== undefined) throw new PrimaryRaised(error);
  }

  /** Rolls it back after an error, without a word to the client. */
  async abandon(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.context.primary.run({ sql: 'ROLLBACK' }, 'sync');
  }

  /** The client has begun a block of its own: it is that one from now on. */
  handOver(): void {
    this.#open = false;
  }
}
