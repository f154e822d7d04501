import type { TransactionState } from '../../wire/outbound/index.js';

/** WARNING of a BEGIN inside a transaction block, which it then leaves as it is. */
const ALREADY_IN_TRANSACTION = '25001';
/** A ROLLBACK whose tag is that of ROLLBACK TO, and which, unlike that, ends the transaction and begins another. */
const ROLLBACK_AND_CHAIN = /\b(?:rollback|abort)\b(?:\s+(?:work|transaction))?\s+and\s+chain\b/i;

/**
 * The remote transaction that dblink_open has begun for its cursors, and how many of them are open: the last dblink_close
 * commits it (behaviour reference, section 5).
 *
 * The extension's flag outlives a ROLLBACK of the user's, so that there a dblink_close can commit a transaction that the
 * user has begun since. Here the command tags tell when the transaction has ended.
 */
export class CursorTransaction {
  /** Open cursors of the transaction, failed ones included; undefined when dblink_open has not begun one. */
  #cursors: number | undefined;
  #chains = false;
  #rolledBack = false;

  /** A query string is sent. @param status of the remote's transaction before it */
  sent(sql: Buffer, status: TransactionState): void {
    if (status === 'I') this.#cursors = undefined;
    this.#rolledBack = false;
    this.#chains = this.#cursors !== undefined && ROLLBACK_AND_CHAIN.test(sql.toString('latin1'));
  }

  /** A command of the string is complete. */
  completed(tag: string): void {
    if (tag === 'COMMIT' || tag === 'PREPARE TRANSACTION') this.#cursors = undefined;
    else if (tag === 'ROLLBACK') {
      // Or a ROLLBACK TO: what follows tells.
      this.#rolledBack = true;
      if (this.#chains) this.#cursors = undefined;
    } else if ((tag === 'BEGIN' || tag === 'START TRANSACTION') && this.#rolledBack) {
      this.#cursors = undefined;
    }
  }

  /** The remote has sent a notice. */
  noticed(sqlstate: string | undefined): void {
    // It comes before the tag of the BEGIN that changes nothing: the transaction has not ended.
    if (sqlstate === ALREADY_IN_TRANSACTION) this.#rolledBack = false;
  }

  /** dblink_open has begun it. */
  begin(): void {
    this.#cursors = 0;
  }

  /** dblink_open is about to make a cursor. */
  opening(): void {
    if (this.#cursors !== undefined) this.#cursors++;
  }

  /**
   * dblink_close has closed a cursor.
   * @param status of the remote's transaction
   * @returns whether that was the last one, so that the transaction is to be committed
   */
  closed(status: TransactionState): boolean {
    if (status === 'I') this.#cursors = undefined;
    if (this.#cursors === undefined || --this.#cursors > 0) return false;
    this.#cursors = undefined;
    return true;
  }
}
