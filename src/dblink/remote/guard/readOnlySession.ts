import type { WireClient } from '../../../wire/outbound/index.js';
import { leavesReadOnly, leftReadOnly } from '../../errors.js';
import type { TextEffect } from '../textEffect.js';
import { MODE_SETTING, SessionMode } from './sessionMode.js';
import type { TextGuard } from './textGuard.js';

/** The option with which such a session begins. What a role or database has as its own default gives way to it. */
export const READ_ONLY_OPTION = `-c ${MODE_SETTING}=on`;

/**
 * Keeps the session of a connection to a server that is declared `read_only`. The remote refuses to write, as long as its transactions
 * begin read-only. So text that could begin another one is not sent, and before each text the remote has to have said that its
 * default still holds: a function that the text calls could have changed it.
 */
export class ReadOnlySession implements TextGuard {
  readonly always = true;
  readonly #mode: SessionMode;

  /** @param effectOf reads SQL; a promise only for long texts */
  constructor(
    private readonly client: WireClient,
    effectOf: (sql: Buffer) => TextEffect | Promise<TextEffect>,
  ) {
    this.#mode = new SessionMode(client, effectOf);
  }

  begin(): void {}

  /** @throws PgError 25006; the signal's reason */
  async admit(sql: Buffer, signal: AbortSignal): Promise<void> {
    await this.#mode.settled(signal);
    if ((await this.#mode.effect(sql, signal)) === 'anything') throw leavesReadOnly();
    const { client } = this;
    // Nothing can be written in a block that has failed, and what was set in it is taken back with it.
    if (client.state !== 'ready' || client.transactionStatus === 'E') return;
    const mode = await this.#mode.next(signal);
    if (client.lost === undefined && mode !== 'on') throw leftReadOnly();
  }
}
