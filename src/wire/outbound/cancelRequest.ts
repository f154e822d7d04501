import { setTimeout as delay } from 'node:timers/promises';
import { describeServer, type SocketAddress } from '../address.js';
import { ConnectError, connectError } from '../connectErrors.js';
import { RequestCode } from '../protocol.js';
import type { TlsOptions } from '../tls/tls.js';
import { MessageWriter } from '../writer.js';
import { Deadline } from './deadline.js';
import type { ConnectOptions } from './options.js';
import { openServerSocket } from './socket.js';

/** The server process that a CancelRequest is for, and how to reach its server. */
export interface CancelTarget {
  readonly address: SocketAddress;
  readonly tls: TlsOptions;
  readonly processId: number;
  /** The whole secret of the cancel key: 4 bytes in protocol 3.0, up to 256 in 3.2. */
  readonly secretKey: Buffer;
  /** The server in messages; from the address and the TLS server name by default (describeServer). */
  readonly describe?: string | undefined;
}

/** How long a cancel request may take unless the caller says otherwise. */
export const DEFAULT_CANCEL_TIMEOUT_MS = 10_000;

/** A CancelRequest packet (protocol documentation, "Canceling Requests in Progress"). */
export const cancelRequest = (processId: number, secretKey: Buffer): Buffer =>
  new MessageWriter().int32(RequestCode.cancel).int32(processId).bytes(secretKey).end();

/**
 * Sends a CancelRequest on a connection of its own and waits until the server closes that connection. By then the server has
 * passed the request on, so that it cannot hit a statement that is sent afterwards. The server sends no answer, so nothing
 * tells whether there was anything to cancel.
 * @throws ConnectError when the server cannot be reached, or does not close the connection in time; the signal's reason
 */
export function sendCancelRequest(
  target: CancelTarget,
  timeoutMs = DEFAULT_CANCEL_TIMEOUT_MS,
  signal?: AbortSignal,
): Promise<void> {
  const sent = send(target, timeoutMs, signal);
  underway.add(sent);
  const over = (): void => void underway.delete(sent);
  sent.then(over, over);
  return sent;
}

/** A connection whose query is to be cancelled. */
export interface SentCancel {
  readonly processId: number;
  /** Undefined when the server has not given any. */
  readonly secretKey: Buffer | undefined;
  /** Whether the connection is encrypted. The request is then encrypted as well. */
  readonly encrypted: boolean;
  readonly describe: string;
}

/** Sends the cancel request for a connection, in the way that it was made. @throws ConnectError as `sendCancelRequest` */
export function cancelOf(
  { address, tls }: Pick<ConnectOptions, 'address' | 'tls'>,
  { secretKey, encrypted, ...request }: SentCancel,
  timeoutMs?: number,
): Promise<void> {
  if (secretKey === undefined) throw new ConnectError('no cancellation key received', { stage: 'startup' });
  const verified = tls.mode === 'verify-ca' || tls.mode === 'verify-full' ? tls.mode : 'require';
  const mode = encrypted ? verified : 'disable';
  return sendCancelRequest({ ...request, address, tls: { ...tls, mode }, secretKey }, timeoutMs);
}

/** The cancel requests of this process that have not been delivered yet. */
const underway = new Set<Promise<void>>();

/** Waits until no cancel request of this process is under way any more, but at most `limitMs`. */
export async function cancelsDelivered(limitMs: number): Promise<void> {
  const limit = delay(limitMs, undefined, { ref: false });
  const deadline = performance.now() + limitMs;
  // A query that is given up now sends its cancel request in a later turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  while (underway.size > 0 && performance.now() < deadline) {
    await Promise.race([limit, Promise.allSettled(underway)]);
  }
}

async function send(target: CancelTarget, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  const describe = target.describe ?? describeServer(target.address, target.tls.serverName);
  const timeUp = (): Error => connectError(describe, 'cancel request timed out', { stage: 'network' });
  const deadline = new Deadline(timeoutMs, signal, timeUp);
  try {
    const socket = await openServerSocket(target.address, target.tls, deadline.signal, { describe });
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        reject(deadline.signal.reason);
        socket.destroy();
      };
      deadline.signal.addEventListener('abort', abort, { once: true });
      // A reset counts as the end, too: the server may close without having read everything that TLS has sent.
      socket.once('close', () => {
        deadline.signal.removeEventListener('abort', abort);
        resolve();
      });
      socket.resume();
      socket.write(cancelRequest(target.processId, target.secretKey));
    });
  } finally {
    deadline.dispose();
  }
}
