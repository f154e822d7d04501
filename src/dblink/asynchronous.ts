import type { Lease } from './connections/connections.js';
import type { CallContext } from './context.js';
import { notSent } from './errors.js';
import type { Outcome, QueryOutcome } from './remote/outcome.js';
import { ResultReader, type RowSink } from './remote/results.js';
import { malformed, relayFailure } from './remoteFailure.js';

/**
 * dblink_send_query (behaviour reference, section 6).
 * @returns 1 when the query string was sent; 0 when it was not, and the client gets the reason in a NOTICE
 */
export async function sendQuery({ connection }: Lease, sql: Buffer, call: CallContext): Promise<0 | 1> {
  const refused = await connection.send(sql, call.signal, 'dblink_send_query');
  if (refused === undefined) return 1;
  call.notice(notSent(refused));
  return 0;
}

/**
 * dblink_get_result: takes the next result of the query string that dblink_send_query sent. The result counts as taken
 * even if something is wrong with it.
 * @returns `nothing` when no result is left, and after an error with fail_on_error = false
 * @throws PgError the remote's error, 08006, 42804, and what the sink throws
 */
export async function getResult(
  lease: Lease,
  failOnError: boolean,
  sink: RowSink,
  call: CallContext,
): Promise<QueryOutcome> {
  const { connection } = lease;
  // A failure of the sink must not end the query early: the results behind this one are still wanted.
  const reader = new ResultReader(connection.client, sink, false);
  let outcome: Outcome;
  try {
    outcome = await connection.nextResult(reader, call.signal);
    if (outcome.kind === 'rows') reader.finish();
  } catch (error) {
    outcome = malformed(lease, error);
  }
  if (outcome.kind === 'none') return { kind: 'nothing' };
  if (outcome.kind === 'command') return { kind: 'status', tag: outcome.tag };
  if (outcome.kind === 'rows') return { kind: 'rows' };
  relayFailure(outcome, 'while executing query', lease, failOnError, call);
  return { kind: 'nothing' };
}
