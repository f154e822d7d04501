import { isAscii } from '../../wire/encoding/encoding.js';
import type { WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { EMPTY } from '../../wire/protocol.js';
import { leavesReadOnly, leftReadOnly } from '../errors.js';
import type { TextEffect } from './textEffect.js';

/** Encodings in which a longer character can become, or have in it, what ends a literal: a backslash or a quote. */
const AMBIGUOUS: ReadonlySet<string> = new Set([
  ...['SJIS', 'SHIFT_JIS_2004', 'EUC_JIS_2004', 'BIG5', 'GBK', 'GB18030', 'UHC', 'JOHAB'],
]);

/** The option with which such a session begins. What a role or database has as its own default gives way to it. */
export const READ_ONLY_OPTION = '-c default_transaction_read_only=on';

const SETTING = 'default_transaction_read_only';
const ASK = Buffer.from(`SHOW ${SETTING}`);

/** The answer is short. A remote that says more is not asked to the end. */
const MOST_BYTES = 64;

/**
 * Keeps the session of a connection to a server that is declared `read_only`. The remote refuses to write, as long as its transactions
 * begin read-only. So text that could begin another one is not sent, and before each text the remote has to have said that its
 * default still holds: a function that the text calls could have changed it.
 */
export class ReadOnlySession {
  /** Settled when the remote has answered. */
  #asking: Promise<void> | undefined;

  /** @param effectOf reads SQL; a promise only for long texts */
  constructor(
    private readonly client: WireClient,
    private readonly effectOf: (sql: Buffer) => TextEffect | Promise<TextEffect>,
  ) {}

  /**
   * Permits a text, or throws. To be called right before it is sent, while nothing runs on the connection.
   * @throws PgError 25006; the signal's reason
   */
  async admit(sql: Buffer, signal: AbortSignal): Promise<void> {
    // A call that was given up may have left the question.
    while (this.#asking !== undefined) await abortable(this.#asking, signal);
    const encoding = this.client.parameters.get('client_encoding') ?? '';
    if (AMBIGUOUS.has(encoding) && !isAscii(sql)) throw leavesReadOnly();
    if ((await abortable(Promise.resolve(this.effectOf(sql)), signal)) === 'anything') throw leavesReadOnly();
    const { client } = this;
    // Nothing can be written in a block that has failed, and what was set in it is taken back with it.
    if (client.state !== 'ready' || client.transactionStatus === 'E') return;
    const mode = client.parameters.get(SETTING) ?? (await abortable(this.#ask(), signal));
    if (client.lost === undefined && mode !== 'on') throw leftReadOnly();
  }

  /** Asks a remote that does not report the setting, as before PostgreSQL 14. */
  async #ask(): Promise<string | undefined> {
    let row: Buffer = EMPTY;
    const asked = this.client.query(ASK, {
      rowDescription: () => 'raw',
      rawRows: (bytes) => {
        row = Buffer.concat([row, bytes]).subarray(0, MOST_BYTES);
      },
    });
    const over = asked.then(
      () => undefined,
      () => undefined,
    );
    this.#asking = over;
    await over;
    this.#asking = undefined;
    // The type byte, the length, the number of columns, and the value's length come in front of the value.
    return row.length > ROW_HEAD_BYTES ? row.toString('latin1', ROW_HEAD_BYTES) : undefined;
  }
}

const ROW_HEAD_BYTES = 11;
