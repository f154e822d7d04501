import type { Lease } from './connections/connections.js';
import type { CallContext } from './context.js';
import { cursorDoesNotExist, transactionFailed } from './errors.js';
import type { Outcome } from './remote/outcome.js';
import { ResultReader, type RowSink } from './remote/results.js';
import { malformed, relayFailure } from './remoteFailure.js';

/**
 * Cursors on a remote (behaviour reference, section 5). Their names and queries are put into the remote's statements
 * unchanged. When a call is aborted, the statement that runs on the remote is cancelled. A transaction that dblink_open
 * has begun stays open then, as after any failure, until the user rolls it back.
 */

const BEGIN = Buffer.from('BEGIN');
const COMMIT = Buffer.from('COMMIT');

/**
 * dblink_open: begins a transaction on the remote unless one is open, and declares the cursor.
 * @param cursor its name, a byte string
 * @returns `OK`, or `ERROR` after a failure with fail_on_error = false
 * @throws PgError the remote's error, 08006, XX000 when BEGIN fails
 */
export async function openCursor(
  lease: Lease,
  cursor: string,
  sql: Buffer,
  failOnError: boolean,
  call: CallContext,
): Promise<string> {
  const { connection } = lease;
  const { transaction } = connection;
  await connection.settled(call.signal);
  if (connection.transactionStatus === 'I') {
    await runCommand(lease, BEGIN, 'begin', call);
    transaction.begin();
  }
  // The cursor is counted even if it cannot be made: the extension's counter does the same.
  transaction.opening();
  const declare = Buffer.concat([Buffer.from(`DECLARE ${cursor} CURSOR FOR `, 'latin1'), sql]);
  const outcome = await connection.run(declare, undefined, call.signal, 'dblink_open');
  if (outcome.kind === 'command') return 'OK';
  relayFailure(outcome, `while opening cursor "${cursor}"`, lease, failOnError, call);
  return 'ERROR';
}

/**
 * dblink_fetch: has the sink take rows of the cursor.
 * @param howMany number of rows; negative to fetch backwards
 * @returns true for a result with columns; false after a failure with fail_on_error = false
 * @throws PgError the remote's error, 08006, 34000, 42804, and what the sink throws
 */
export async function fetchCursor(
  lease: Lease,
  cursor: string,
  howMany: number,
  failOnError: boolean,
  sink: RowSink,
  call: CallContext,
): Promise<boolean> {
  const { connection } = lease;
  // A failure of the sink must not end the query early: cancelling the FETCH would abort the cursor's transaction.
  const reader = new ResultReader(connection.client, sink, false);
  const fetch = Buffer.from(`FETCH ${howMany} FROM ${cursor}`, 'latin1');
  let outcome: Outcome;
  try {
    outcome = await connection.run(fetch, reader, call.signal, 'dblink_fetch');
    if (outcome.kind === 'rows') reader.finish();
  } catch (error) {
    outcome = malformed(lease, error);
  }
  if (outcome.kind === 'command') throw cursorDoesNotExist(cursor);
  if (outcome.kind === 'rows') return true;
  relayFailure(outcome, `while fetching from cursor "${cursor}"`, lease, failOnError, call);
  return false;
}

/**
 * dblink_close: closes the cursor. If it was the last one, commits the transaction that dblink_open began.
 * @returns `OK`, or `ERROR` after a failure with fail_on_error = false
 * @throws PgError the remote's error, 08006, XX000 when COMMIT fails
 */
export async function closeCursor(
  lease: Lease,
  cursor: string,
  failOnError: boolean,
  call: CallContext,
): Promise<string> {
  const { connection } = lease;
  const close = Buffer.from(`CLOSE ${cursor}`, 'latin1');
  const outcome = await connection.run(close, undefined, call.signal, 'dblink_close');
  if (outcome.kind !== 'command') {
    relayFailure(outcome, `while closing cursor "${cursor}"`, lease, failOnError, call);
    return 'ERROR';
  }
  if (connection.transaction.closed(connection.client.transactionStatus)) {
    await runCommand(lease, COMMIT, 'commit', call);
  }
  return 'OK';
}

async function runCommand(
  { connection }: Lease,
  sql: Buffer,
  command: 'begin' | 'commit',
  call: CallContext,
): Promise<void> {
  const by = command === 'begin' ? 'dblink_open' : 'dblink_close';
  const outcome = await connection.run(sql, undefined, call.signal, by);
  if (outcome.kind !== 'command') throw transactionFailed(command, connection.errorText);
}
