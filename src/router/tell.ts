import { PrimaryRaised } from '../primary/raised.js';
import type { SessionContext } from '../session/context.js';
import { errorResponse, PgError } from '../wire/errors.js';

/** How the client is told of an error. */
export interface Telling {
  /** Whether a transaction is open that the error has to fail. */
  readonly inTransaction: boolean;
  /** Gives the error its place in the client's text. */
  readonly place?: (error: PgError) => PgError;
}

/**
 * Tells the client of an error that ends what it asked for, and leaves the primary's transaction as the error leaves it: an error of
 * the primary's own has done so already.
 * @throws the error itself, when the primary is lost or it is none of those that a client is told
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
