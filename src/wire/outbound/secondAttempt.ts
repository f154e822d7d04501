import { ConnectError } from '../connectErrors.js';
import type { TlsOptions } from '../tls/tls.js';
import { retryAfterRefusal } from './socket.js';

/** Makes an attempt to log in, and the second one that libpq makes after a refusal (retryAfterRefusal). @throws ConnectError */
export async function withSecondAttempt<T>(
  tls: TlsOptions,
  attempt: (tls: TlsOptions) => Promise<T>,
): Promise<T> {
  try {
    return await attempt(tls);
  } catch (first) {
    if (!(first instanceof ConnectError) || !first.refused) throw first;
    const other = retryAfterRefusal(tls, first);
    if (other === undefined) throw first;
    try {
      return await attempt(other);
    } catch (second) {
      throw second instanceof ConnectError ? first.followedBy(second) : second;
    }
  }
}
