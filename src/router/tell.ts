import { PrimaryRaised } from '../primary/raised.js';
import type { SessionContext } from '../session/context.js';
import { errorResponse, PgError } from '../wire/errors.js';

/** How the client is told of an error. */
export interface Telling {
  /** Whether a transaction is open, which the error has to fail. */
  readonly inTransaction: boolean;
  /** Changes the error's position to the one in the client's text. */
  readonly place?: (error: PgError) => PgError;
}

/**
 * Tells the client of an error that ends what the client asked for, and fails the primary's transaction. An error that the
 * primary itself raised has failed it already.
 * @throws the error itself when the primary is lost, or when it is neither a PgError nor a PrimaryRaised
 */
export async function tell(
  context: SessionContext,
  error: unknown,
  { inTransaction, place }: Telling,
): Promise<void> {
  if (context.primary.closed) throw error;
  const raised = error instanceof PrimaryRaised;
  const told = raised ? error.error : error;
  if (!(told instanceof PgError)) throw error;
  if (!raised && inTransaction) await context.failTransaction(told);
  const shown = raised ? told : context.encodings.inClient(told);
  context.session.toClient(errorResponse(place?.(shown) ?? shown));
}
