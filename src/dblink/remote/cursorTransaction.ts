import type { TransactionState } from '../../wire/outbound/index.js';

/** SQLSTATE of the WARNING of a BEGIN inside a transaction block. Such a BEGIN changes nothing. */
const ALREADY_IN_TRANSACTION = '25001';
/**
 * ROLLBACK AND CHAIN. Its command tag is the same as that of ROLLBACK TO. But it ends the transaction, and begins
 * another.
 */
const ROLLBACK_AND_CHAIN = /\b(?:rollback|abort)\b(?:\s+(?:work|transaction))?\s+and\s+chain\b/i;

/**
 * The remote transaction that dblink_open has begun for its cursors, and how many of them are open. The dblink_close of
 * the last one commits it (behaviour reference, section 5).
 *
 * The extension's flag outlives a ROLLBACK by the user. So there a dblink_close can commit a transaction that the user
 * has begun since. Here the command tags tell when the transaction has ended.
 */
export class CursorTransaction {
  /** Open cursors of the transaction, failed ones included; undefined when dblink_open has not begun one. */
  #cursors: number | undefined;
  /** The string that runs may hold ROLLBACK AND CHAIN. */
  #chains = false;
  /** The string that runs has had a command with the tag ROLLBACK, which may have ended the transaction. */
  #rolledBack = false;

  /** Called when a query string is sent. @param status of the remote's transaction before it */
  sent(sql: Buffer, status: TransactionState): void {
    if (status === 'I') this.#cursors = undefined;
    this.#rolledBack = false;
    this.#chains = this.#cursors !== undefined && ROLLBACK_AND_CHAIN.test(sql.toString('latin1'));
  }

  /** Called when a command of the string is complete. */
  completed(tag: string): void {
    if (tag === 'COMMIT' || tag === 'PREPARE TRANSACTION') this.#cursors = undefined;
    else if (tag === 'ROLLBACK') {
      // This may also have been a ROLLBACK TO. What follows tells: a BEGIN without a warning shows that the transaction
      // had ended.
      this.#rolledBack = true;
      if (this.#chains) this.#cursors = undefined;
    } else if ((tag === 'BEGIN' || tag === 'START TRANSACTION') && this.#rolledBack) {
      this.#cursors = undefined;
    }
  }

  /** Called when the remote has sent a notice. */
  noticed(sqlstate: string | undefined): void {
    // This warning comes before the tag of a BEGIN that changes nothing. So the transaction has not ended.
    if (sqlstate === ALREADY_IN_TRANSACTION) this.#rolledBack = false;
  }

  /** Called when dblink_open has begun the transaction. */
  begin(): void {
    this.#cursors = 0;
  }

  /** Called when dblink_open is about to make a cursor. */
  opening(): void {
    if (this.#cursors !== undefined) this.#cursors++;
  }

  /**
   * Called when dblink_close has closed a cursor.
   * @param status of the remote's transaction
   * @returns whether that was the last cursor, so that the transaction is to be committed
   */
  closed(status: TransactionState): boolean {
    if (status === 'I') this.#cursors = undefined;
    if (this.#cursors === undefined || --this.#cursors > 0) return false;
    this.#cursors = undefined;
    return true;
  }
}
