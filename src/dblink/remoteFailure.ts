import type { Lease } from './connections/connections.js';
import type { CallContext } from './context.js';
import { MalformedResult, remoteError } from './errors.js';
import type { Outcome } from './remote/outcome.js';

/**
 * Reports a result that is not what a function wanted: as an error or, with fail_on_error = false, as a NOTICE (behaviour
 * reference, section 3.2).
 *
 * The result need not be an error of the server. The connection may have been lost, the result may be of another kind or
 * a COPY, or the string may have been empty. Then the message is what the error buffer holds, if it holds anything. That
 * can also be the message of a query that was refused meanwhile.
 * @param phrase what the function was doing, for the context line
 * @throws PgError the remote's error; 08006 if it has no SQLSTATE
 */
export function relayFailure(
  outcome: Outcome,
  phrase: string,
  { connection, label }: Lease,
  failOnError: boolean,
  call: CallContext,
): void {
  const fields = outcome.kind === 'error' ? outcome.fields : undefined;
  const fallback = fields === undefined ? connection.errorText : '';
  const severity = failOnError ? 'ERROR' : 'NOTICE';
  const error = remoteError(fields, fallback, phrase, label, severity);
  if (failOnError) throw error;
  call.notice(error);
}

/**
 * The outcome of a result whose rows violate the protocol: an error, whose message is put into the error buffer.
 * @param error what was thrown while a reader took the rows
 * @throws any other error as it is
 */
export function malformed({ connection }: Lease, error: unknown): Outcome {
  if (!(error instanceof MalformedResult)) throw error;
  connection.errorText = error.message;
  return { kind: 'error', fields: undefined, text: error.message };
}
