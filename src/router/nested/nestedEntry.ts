import { MessageSink } from '../../primary/answerSink.js';
import { NOT_THROUGH_PROXY, SESSION_SETTING } from '../../primary/marks.js';
import type { PrimaryLink } from '../../primary/primaryLink.js';
import { mayConcernDblink } from '../../sql/index.js';
import { query } from '../../wire/messages.js';
import { TransactionStatus } from '../../wire/protocol.js';

const HEADER_BYTES = 5;

/** A command that takes settings back is short. Of a longer text nothing is looked for. */
const SHORT_BYTES = 4096;
const TAKES_BACK = /reset|discard|rollback|abort/i;

const NOT_THROUGH = Buffer.from(NOT_THROUGH_PROXY);

/** SQL that makes the setting by which functions know the proxy. @param value of the setting */
export const entrySql = (value: string): string => `SET ${SESSION_SETTING} = '${value}'`;

/**
 * How a nested session becomes one that is served. A client's session has the setting in its startup packet. Here it is made by a
 * statement that is sent right in front of the first one, so that nobody waits for it, and again when it may have been taken back.
 */
export class NestedEntry {
  #made = false;
  #served: Promise<boolean> = Promise.resolve(false);

  /**
   * @param sql see `entrySql`
   * @param isProven whether the session is one of the primary's; asked when it begins to matter
   */
  constructor(
    private readonly primary: PrimaryLink,
    private readonly sql: string,
    private readonly isProven: () => Promise<boolean>,
  ) {}

  /**
   * Called with every Query that is about to be sent.
   * @returns undefined where it has nothing to do with dblink; else whether this session serves it
   */
  query(message: Buffer): Promise<boolean> | undefined {
    // In a transaction block it takes no snapshot, and goes if the block is rolled back.
    if (!this.#made && this.primary.status !== TransactionStatus.failed) this.#make();
    if (message.length <= SHORT_BYTES && TAKES_BACK.test(message.toString('latin1', HEADER_BYTES)))
      this.#made = false;
    if (!mayConcernDblink(message, HEADER_BYTES)) return undefined;
    return this.#served.then((served) => served && this.isProven());
  }

  /** Called for every error. A function that has not found the setting says so: something that it called took it back. */
  error(message: Buffer): void {
    if (message.includes(NOT_THROUGH)) this.#made = false;
  }

  #make(): void {
    this.#made = true;
    const sink = new MessageSink({ muted: true });
    this.primary.send(query(Buffer.from(this.sql)), { kind: 'query', sink, harmless: true });
    this.#served = sink.answered.then(({ error }) => {
      // It may have been cancelled, for instance.
      if (error !== undefined) this.#made = false;
      return error === undefined;
    });
  }
}
