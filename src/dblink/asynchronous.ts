import type { Lease } from './connections/connections.js';
import type { CallContext } from './context.js';
import { notSent } from './errors.js';
import type { QueryOutcome } from './remote/outcome.js';
import { ResultReader, type RowSink } from './remote/results.js';
import { reading, relayFailure } from './remoteFailure.js';

/** dblink_send_query: 1 when the string was sent; 0, and a NOTICE, when not (behaviour reference, section 6). */
export async function sendQuery({ connection }: Lease, sql: Buffer, call: CallContext): Promise<0 | 1> {
  const refused = await connection.send(sql, call.signal);
  if (refused === undefined) return 1;
  call.notice(notSent(refused));
  return 0;
}

/**
 * dblink_get_result: the next result, or nothing when there is none left. Whatever is wrong with a result, it is taken.
 * @throws PgError the remote's error, 08006, 42804, and what the sink throws
 */
export async function getResult(
  lease: Lease,
  failOnError: boolean,
  sink: RowSink,
  call: CallContext,
): Promise<QueryOutcome> {
  const { connection } = lease;
  // Not ended early by a failure of the sink: the results behind this one are still wanted.
  const reader = new ResultReader(connection.client, sink, false);
  const outcome = await reading(lease, async () => {
    const ended = await connection.nextResult(reader, call.signal);
    if (ended.kind === 'rows') reader.finish();
    return ended;
  });
  if (outcome.kind === 'none') return { kind: 'nothing' };
  if (outcome.kind === 'command') return { kind: 'status', tag: outcome.tag };
  if (outcome.kind === 'rows') return { kind: 'rows' };
  relayFailure(outcome, 'while executing query', lease, failOnError, call);
  return { kind: 'nothing' };
}
