import type { WireClient } from '../../../wire/outbound/index.js';
import { leavesReadOnlyCall, writingBlock } from '../../errors.js';
import type { TextEffect } from '../textEffect.js';
import { MODE_SETTING, SessionMode } from './sessionMode.js';
import type { TextGuard } from './textGuard.js';

/**
 * Makes the session of a connection read-only for the calls of read-only transactions of the client's. The session's mode is changed for
 * such a call and changed back before the next other one, and only where it matters. A transaction of the remote's that has begun as one
 * that writes cannot be made another: there only plain queries are permitted.
 */
export class ReadOnlyCalls implements TextGuard {
  readonly always = false;
  readonly #mode: SessionMode;
  /** Whether the call that has the connection may not write. */
  #readOnly = false;
  /** The session's transactions begin read-only because of an earlier call. */
  #changed = false;

  /** @param effectOf reads SQL; a promise only for long texts */
  constructor(
    private readonly client: WireClient,
    effectOf: (sql: Buffer) => TextEffect | Promise<TextEffect>,
  ) {
    this.#mode = new SessionMode(client, effectOf);
  }

  begin(readOnly: boolean): void {
    this.#readOnly = readOnly;
  }

  /** @throws PgError 25006; the signal's reason */
  async admit(sql: Buffer, signal: AbortSignal): Promise<void> {
    const { client } = this;
    await this.#mode.settled(signal);
    if (!this.#readOnly) {
      if (!this.#changed || !isBetweenTransactions(client)) return;
      await this.#set('off', signal);
      this.#changed = false;
      return;
    }
    const effect = await this.#mode.effect(sql, signal);
    if (effect === 'reads') return;
    if (effect === 'anything') throw leavesReadOnlyCall();
    if (client.state !== 'ready' || client.transactionStatus === 'E') return;
    if (client.transactionStatus === 'T') {
      const mode = await this.#mode.run('SHOW transaction_read_only', signal);
      if (client.lost === undefined && mode !== 'on') throw writingBlock();
      return;
    }
    if ((await this.#mode.next(signal)) === 'on') return;
    this.#changed = true;
    await this.#set('on', signal);
  }

  /** @throws PgError 25006 when the remote has not become read-only */
  async #set(mode: 'on' | 'off', signal: AbortSignal): Promise<void> {
    const set = await this.#mode.run(`SET ${MODE_SETTING} = ${mode}; SHOW ${MODE_SETTING}`, signal);
    // One that stays read-only refuses by itself what the next call wants to write.
    if (mode === 'on' && set !== mode && this.client.lost === undefined) throw leavesReadOnlyCall();
  }
}

const isBetweenTransactions = (client: WireClient): boolean =>
  client.state === 'ready' && client.transactionStatus === 'I';
