import { isAscii } from '../../../wire/encoding/encoding.js';
import type { WireClient } from '../../../wire/outbound/index.js';
import { abortable } from '../../../wire/pace/abortable.js';
import { EMPTY } from '../../../wire/protocol.js';
import type { TextEffect } from '../textEffect.js';

/** Whether transactions that begin in a session are read-only. */
export const MODE_SETTING = 'default_transaction_read_only';

/** Encodings in which a longer character can become, or have in it, what ends a literal: a backslash or a quote. */
const AMBIGUOUS: ReadonlySet<string> = new Set([
  ...['SJIS', 'SHIFT_JIS_2004', 'EUC_JIS_2004', 'BIG5', 'GBK', 'GB18030', 'UHC', 'JOHAB'],
]);

/** Whether it is certain where a remote sees literals in a text. @param encoding the remote's client_encoding */
export const hasCertainLiterals = (sql: Buffer, encoding: string): boolean =>
  !AMBIGUOUS.has(encoding) || isAscii(sql);

/** Answers are short. A remote that says more is not asked to the end. */
const MOST_BYTES = 64;

/** The type byte, the length, the number of columns, and the value's length come in front of the value of a row. */
const ROW_HEAD_BYTES = 11;

/** What keeps a remote session read-only asks this: what a text could do, and in which mode the session is. */
export class SessionMode {
  /** Settled when the remote has answered. */
  #asking: Promise<void> | undefined;

  /** @param effectOf reads SQL; a promise only for long texts */
  constructor(
    private readonly client: WireClient,
    private readonly effectOf: (sql: Buffer) => TextEffect | Promise<TextEffect>,
  ) {}

  /** Waits for the answer to a question of a call that was given up. @throws the signal's reason */
  async settled(signal: AbortSignal): Promise<void> {
    while (this.#asking !== undefined) await abortable(this.#asking, signal);
  }

  /** What a text may do, as the remote would read it. @throws the signal's reason */
  async effect(sql: Buffer, signal: AbortSignal): Promise<TextEffect> {
    const encoding = this.client.parameters.get('client_encoding') ?? '';
    if (!hasCertainLiterals(sql, encoding)) return 'anything';
    return abortable(Promise.resolve(this.effectOf(sql)), signal);
  }

  /** The mode of the transaction that begins next. Before PostgreSQL 14 a remote does not report it. @throws the signal's reason */
  async next(signal: AbortSignal): Promise<string | undefined> {
    return this.client.parameters.get(MODE_SETTING) ?? this.run(`SHOW ${MODE_SETTING}`, signal);
  }

  /** Runs SQL of the proxy's own. @returns the value of the last row; undefined without one @throws the signal's reason */
  run(sql: string, signal: AbortSignal): Promise<string | undefined> {
    return abortable(this.#run(Buffer.from(sql)), signal);
  }

  async #run(sql: Buffer): Promise<string | undefined> {
    let row: Buffer = EMPTY;
    const asked = this.client.query(sql, {
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
    return row.length > ROW_HEAD_BYTES ? row.toString('latin1', ROW_HEAD_BYTES) : undefined;
  }
}
