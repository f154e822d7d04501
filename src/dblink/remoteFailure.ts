import type { Lease } from './connections/connections.js';
import type { CallContext } from './context.js';
import { MalformedResult, remoteError } from './errors.js';
import type { Outcome } from './remote/outcome.js';

/**
 * Tells of a result that is not what a function wanted, as an error or, with fail_on_error = false, as a NOTICE (behaviour
 * reference, section 3.2). Of what is not the server's error (a lost connection, a result of another kind, an empty
 * string, a COPY) the error buffer has the message, if there is one: also that of a query that was refused meanwhile.
 * @param phrase what the function was doing, for the context line
 * @throws PgError the remote's error; 08006 without one
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
 * Waits for a result whose rows a reader takes.
 * @param act waits for it and for what the reader objects to
 * @returns the outcome; an error for rows that are none by the protocol, which the error buffer then has
 */
export async function reading({ connection }: Lease, act: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof MalformedResult)) throw error;
    connection.errorText = error.message;
    return { kind: 'error', fields: undefined, text: error.message };
  }
}
