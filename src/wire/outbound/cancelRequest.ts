import { setTimeout as delay } from 'node:timers/promises';
import { describeServer, type SocketAddress } from '../address.js';
import { connectError } from '../connectErrors.js';
import { RequestCode } from '../protocol.js';
import type { TlsOptions } from '../tls/tls.js';
import { MessageWriter } from '../writer.js';
import { Deadline } from './deadline.js';
import { openServerSocket } from './socket.js';

export interface CancelTarget {
  readonly address: SocketAddress;
  readonly tls: TlsOptions;
  readonly processId: number;
  /** Whole, whatever its length: 4 bytes in protocol 3.0, up to 256 in 3.2. */
  readonly secretKey: Buffer;
  readonly describe?: string | undefined;
}

/** How long a cancel request may take unless the caller says otherwise. */
export const DEFAULT_CANCEL_TIMEOUT_MS = 10_000;

/** A CancelRequest packet (protocol documentation, "Canceling Requests in Progress"). */
export const cancelRequest = (processId: number, secretKey: Buffer): Buffer =>
  new MessageWriter().int32(RequestCode.cancel).int32(processId).bytes(secretKey).end();

/**
 * Sends a CancelRequest on a connection of its own and waits until the server closes it: by then the server has passed
 * the request on, so that it cannot hit a statement that is sent afterwards. There is no other answer, and none that
 * tells whether there was anything to cancel.
 * @throws ConnectError when the server cannot be reached, or does not close within the time
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

const underway = new Set<Promise<void>>();

/** Waits until no cancel request of this process is on its way any more, so long at most. */
export async function cancelsDelivered(limitMs: number): Promise<void> {
  const limit = delay(limitMs, undefined, { ref: false });
  const deadline = Date.now() + limitMs;
  // What is given up now asks for its cancel in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  while (underway.size > 0 && Date.now() < deadline) {
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
      // A reset counts as the end, too: the server closes without having read what TLS may still have sent.
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
