import { constants } from 'node:os';
import { ConnectError, type WireClient } from '../../wire/outbound/index.js';

/** How long dblink_cancel_query waits for the server to take the request (17 and later; earlier ones wait for ever). */
const CANCEL_TIMEOUT_MS = 30_000;
const TIMED_OUT = 'cancel request timed out';

/**
 * How long to wait before a query that goes on in spite of a cancel request is cancelled again. The time is doubled after
 * each request, up to LAST_RETRY_MS.
 */
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

/** What dblink_cancel_query returns for a connection that is known to have ended. @param major of the primary */
export const cancelOfDead = (major: number): string =>
  major >= 17 ? 'connection not open' : 'PQcancel() -- no cancel object supplied';

/**
 * Asks the remote once to cancel what the connection does, as dblink_cancel_query does (behaviour reference, section 6).
 * @param major of the primary
 * @returns `OK`, or libpq's text of why the request could not be sent
 */
export async function requestCancel(client: WireClient, major: number): Promise<string> {
  try {
    await client.cancel(CANCEL_TIMEOUT_MS);
    return 'OK';
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (error.message.endsWith(TIMED_OUT)) return TIMED_OUT;
    return major >= 17 ? error.message : before17(error);
  }
}

/**
 * The text of PQcancel, which dblink uses before 17. PQcancel is safe in a signal handler. So it gives the number of the
 * system's error instead of its words, and a newline.
 */
function before17(error: ConnectError): string {
  const number = constants.errno[error.code as keyof typeof constants.errno];
  if (number === undefined) return `PQcancel() -- ${error.message}\n`;
  return `PQcancel() -- connect() failed: error ${number}\n`;
}

/**
 * Asks the remote to cancel a query, again and again until the query ends. A single cancel request is not enough: it can
 * overtake the query that it is meant for.
 */
export async function cancelUntil(client: WireClient, finished: Promise<void>): Promise<void> {
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const ended = finished.then(() => {
    over = true;
    clearTimeout(timer);
  });
  for (let waitMs = FIRST_RETRY_MS; !over; waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)) {
    await client.cancel().catch(() => undefined);
    const pause = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs).unref();
    });
    if (!over) await Promise.race([ended, pause]);
    clearTimeout(timer);
  }
}
