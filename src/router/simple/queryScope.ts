import { MessageSink } from '../../primary/answerSink.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { EscapeStrings } from '../../sql/index.js';
import { movePosition } from '../../sql/rewrite/qualifyCalls.js';
import type { PgError } from '../../wire/errors.js';
import { close } from '../../wire/messages.js';
import { EMPTY } from '../../wire/protocol.js';
import { HiddenBlock } from './hiddenBlock.js';

/** Whether the client has an unnamed prepared statement, as far as is known. */
export interface UnnamedStatement {
  unnamedStatement: boolean;
}

/** What the statements of one Query message have in common: its text, and the transaction that they are if there are several. */
export class QueryScope {
  /** The client's text as the parser reads it. */
  readonly text: Buffer;
  /** The block that stands for the implicit transaction of several statements. */
  readonly hidden: HiddenBlock;
  /** A statement has been answered without the primary, in the transaction that is not open there. */
  answered = false;
  /** The CommandComplete that may be sent only when the implicit transaction has been committed. */
  #heldTag: Buffer | undefined;
  /** A position in the text as one in the client's. */
  readonly #mapPosition: (position: number) => number;

  constructor(
    readonly context: SessionContext,
    { text, mapPosition }: EscapeStrings,
    /** There are several statements. */
    readonly several: boolean,
    private readonly unnamed: UnnamedStatement,
  ) {
    this.text = text;
    this.#mapPosition = mapPosition;
    this.hidden = new HiddenBlock(context);
  }

  /** Several statements are one transaction. @throws PrimaryRaised */
  async openHidden(): Promise<void> {
    if (this.several) await this.hidden.begin();
  }

  /** Ends what was opened with requests of the extended protocol. @throws PrimaryRaised */
  async finishBatch(): Promise<void> {
    if (!this.context.primary.batchOpen) return;
    this.forgetUnnamed();
    const error = await this.context.primary.sync();
    if (error !== undefined) throw new PrimaryRaised(error);
  }

  /** A Query leaves no unnamed statement or portal, neither the client's earlier ones nor those that a splice used. */
  forgetUnnamed(): void {
    const { primary } = this.context;
    if (!primary.queue.skipping) {
      primary.send(close('P', EMPTY), { kind: 'close', sink: new MessageSink() });
      primary.send(close('S', EMPTY), { kind: 'close', sink: new MessageSink() });
    }
    this.unnamed.unnamedStatement = false;
  }

  /** Keeps a CommandComplete back. */
  holdTag(tag: Buffer | undefined): void {
    this.#heldTag = tag;
  }

  /** Sends the one that is kept back. */
  releaseTag(): void {
    if (this.#heldTag === undefined) return;
    this.context.session.toClient(this.#heldTag);
    this.#heldTag = undefined;
  }

  /** An error with its position in the client's text. @param offset of the text that it was in */
  placed(error: PgError, offset = 0): PgError {
    return movePosition(error, (position) => this.#mapPosition(position + offset));
  }
}
