import type { EndReason, LoginFailure } from './events.js';

/** Times of sessions, and of logins. */
const TIMES: ReadonlySet<string> = new Set(['57P05', '25P03', '25P04', '57014']);

/** Why a session has ended that the proxy has ended with an error. */
export function endReason(sqlstate: string): EndReason {
  if (TIMES.has(sqlstate)) return 'time_limit';
  if (sqlstate === '57P01') return 'shutdown';
  if (sqlstate === '08006') return 'server_lost';
  return sqlstate === 'XX000' ? 'internal_error' : 'client_violation';
}

/** Why a client could not log in. */
export function loginFailure(sqlstate: string): LoginFailure {
  if (sqlstate === '08001') return 'unreachable';
  const reason = endReason(sqlstate);
  return reason === 'client_violation' && sqlstate !== '08P01' ? 'rejected' : reason;
}
