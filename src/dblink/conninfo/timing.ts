import type { ByteString } from './bytes.js';
import { type HostProblem, hostProblem } from './hosts.js';
import { invalidInteger, parseCInteger } from './integer.js';

/**
 * TCP keepalive. Where a number is absent the system's default stays. A number of 0 or less in the string means the same,
 * as the manual says. (libpq on Linux fails instead, since Linux refuses 0: `setsockopt(TCP_KEEPIDLE) failed: …`.)
 */
export interface Keepalive {
  readonly enabled: boolean;
  readonly idleSeconds?: number;
  /** Cannot be set from this runtime, like `count`; kept for completeness. */
  readonly intervalSeconds?: number;
  readonly count?: number;
}

/** The time limits of a connection, and what a wrong number among these options prevents. */
export interface Timing {
  /** Time for each address, in ms; 0 for no limit. */
  readonly connectTimeoutMs: number;
  readonly keepalive: Keepalive;
  /** A socket option is wrong. These are looked at for TCP only, when the address is known. */
  readonly tcpProblem?: HostProblem;
  /** connect_timeout is wrong. It is looked at when the first attempt is under way. */
  readonly timeoutProblem?: HostProblem;
}

/** Longest delay of a timer in this runtime; a longer one would fire at once. */
const MAX_TIMER_MS = 2147483647;

/** Reads connect_timeout, keepalives* and tcp_user_timeout; wrong integers become problems of hosts. */
export function resolveTiming(options: ReadonlyMap<string, ByteString>): Timing {
  let tcpProblem: HostProblem | undefined;
  const socketOption = (option: string): number | undefined => {
    const value = options.get(option);
    if (value === undefined) return undefined;
    const number = parseCInteger(value);
    if (number === undefined) {
      tcpProblem ??= hostProblem(invalidInteger(value, option), { prefixed: true });
    }
    return number;
  };
  const positive = (option: string): number | undefined => {
    const number = socketOption(option);
    return number === undefined || number <= 0 ? undefined : number;
  };

  const enabled = socketOption('keepalives') !== 0;
  const idleSeconds = enabled ? positive('keepalives_idle') : undefined;
  const intervalSeconds = enabled ? positive('keepalives_interval') : undefined;
  const count = enabled ? positive('keepalives_count') : undefined;
  socketOption('tcp_user_timeout');

  return {
    ...connectTimeout(options.get('connect_timeout')),
    keepalive: {
      enabled,
      ...(idleSeconds === undefined ? {} : { idleSeconds }),
      ...(intervalSeconds === undefined ? {} : { intervalSeconds }),
      ...(count === undefined ? {} : { count }),
    },
    ...(tcpProblem === undefined ? {} : { tcpProblem }),
  };
}

/** Zero and negative mean no limit; one second is rounded up to two, as libpq 15 does. */
function connectTimeout(value: ByteString | undefined): Pick<Timing, 'connectTimeoutMs' | 'timeoutProblem'> {
  if (value === undefined) return { connectTimeoutMs: 0 };
  const seconds = parseCInteger(value);
  if (seconds === undefined) {
    const error = invalidInteger(value, 'connect_timeout');
    return { connectTimeoutMs: 0, timeoutProblem: hostProblem(error, { prefixed: true, fatal: true }) };
  }
  if (seconds <= 0) return { connectTimeoutMs: 0 };
  return { connectTimeoutMs: Math.min(Math.max(seconds, 2) * 1000, MAX_TIMER_MS) };
}
