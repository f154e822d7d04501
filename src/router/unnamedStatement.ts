import { MessageSink } from '../primary/answerSink.js';
import type { PrimaryLink } from '../primary/primaryLink.js';
import { close, SYNC } from '../wire/messages.js';
import { EMPTY } from '../wire/protocol.js';

/**
 * The unnamed prepared statement as the primary has it. It is not always the client's: the primary does not see each Parse that the
 * client sends. Where it has an older one, that is dropped, so that no Bind can reach it.
 */
export class UnnamedStatement {
  constructor(private readonly primary: PrimaryLink) {}

  /** Whether the primary may have one. */
  present = false;

  /** Has the primary drop it, as it does first of all for a Parse that names no statement. Resolves when it has. */
  async drop(): Promise<void> {
    const { primary } = this;
    // What is sent behind an error is skipped, and the primary keeps what it has.
    if (!this.present || primary.queue.skipping) return;
    this.present = false;
    const sink = new MessageSink();
    const alone = !primary.batchOpen;
    primary.send(close('S', EMPTY), { kind: 'close', sink });
    // Outside of a batch nothing may be left open.
    if (alone) primary.send(SYNC, { kind: 'sync', sink: new MessageSink() });
    else primary.flush();
    const { skipped } = await sink.answered;
    if (skipped) this.present = true;
  }
}
