import { MessageSink } from '../../primary/answerSink.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { EscapeStrings } from '../../sql/index.js';
import { movePosition } from '../../sql/rewrite/qualifyCalls.js';
import type { PgError } from '../../wire/errors.js';
import { close } from '../../wire/messages.js';
import { EMPTY } from '../../wire/protocol.js';
import type { UnnamedStatement } from '../unnamedStatement.js';
import { HiddenBlock } from './hiddenBlock.js';

/** What the statements of one Query message have in common: its text and, if there are several, their implicit transaction. */
export class QueryScope {
  /** The client's text as the parser reads it. */
  readonly text: Buffer;
  /** The block that stands for the implicit transaction of several statements. */
  readonly hidden: HiddenBlock;
  /** Whether a statement has been answered without the primary, so that its transaction is not open there. */
  answered = false;
  /** A CommandComplete that may be sent only when the implicit transaction has been committed. */
  #heldTag: Buffer | undefined;
  /** Maps an error position in `text` to one in what the client sent. */
  readonly #mapPosition: (position: number) => number;

  constructor(
    readonly context: SessionContext,
    { text, mapPosition }: EscapeStrings,
    /** Whether the Query has several statements. */
    readonly several: boolean,
    private readonly unnamed: UnnamedStatement,
  ) {
    this.text = text;
    this.#mapPosition = mapPosition;
    this.hidden = new HiddenBlock(context);
  }

  /** Opens the hidden block if there are several statements, since those are one transaction. @throws PrimaryRaised */
  async openHidden(): Promise<void> {
    if (this.several) await this.hidden.begin();
  }

  /** Whether a batch was opened with requests of the extended protocol. */
  get inBatch(): boolean {
    return this.context.primary.batchOpen;
  }

  /** Ends that batch, if there is one. @throws PrimaryRaised */
  async finishBatch(): Promise<void> {
    if (!this.inBatch) return;
    this.forgetUnnamed();
    const error = await this.context.primary.sync();
    if (error !== undefined) throw new PrimaryRaised(error);
  }

  /**
   * Closes the unnamed statement and portal. A Query leaves none, neither those that the client had before nor those that a
   * splice has used.
   */
  forgetUnnamed(): void {
    const { primary } = this.context;
    this.unnamed.present = primary.queue.skipping;
    if (this.unnamed.present) return;
    primary.send(close('P', EMPTY), { kind: 'close', sink: new MessageSink() });
    primary.send(close('S', EMPTY), { kind: 'close', sink: new MessageSink() });
  }

  /** Keeps a CommandComplete back. @param tag undefined when the one that is kept back is not to be sent at all */
  holdTag(tag: Buffer | undefined): void {
    this.#heldTag = tag;
  }

  /** Sends the CommandComplete that is kept back, if there is one. */
  releaseTag(): void {
    if (this.#heldTag === undefined) return;
    this.context.session.toClient(this.#heldTag);
    this.#heldTag = undefined;
  }

  /** An error with its position in what the client sent. @param offset in characters, of the text that raised it within `text` */
  placed(error: PgError, offset = 0): PgError {
    return movePosition(error, (position) => this.#mapPosition(position + offset));
  }
}
