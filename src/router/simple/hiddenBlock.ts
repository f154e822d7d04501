import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';

/**
 * A transaction block that the client does not see. It stands for the implicit transaction of a Query with several statements
 * (docs/decisions/001-hidden-block.md), and stays open from one statement to the next.
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

  /** Ends it, if it is open. The client gets the notices of that. @throws PrimaryRaised when it cannot be committed */
  async end(how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    const { error } = await this.context.primary.run({ sql: how, notices: true, changes: true }, 'sync');
    if (error !== undefined) throw new PrimaryRaised(error);
  }

  /** Rolls it back after an error, if it is open. The client is told nothing. */
  async abandon(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.context.primary.run({ sql: 'ROLLBACK', changes: true }, 'sync');
  }

  /** Called when the client begins a block of its own: from now on the open block is the client's. */
  handOver(): void {
    this.#open = false;
  }
}
