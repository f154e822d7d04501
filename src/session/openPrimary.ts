import type { Socket } from 'node:net';
import { PgError } from '../wire/errors.js';
import { isEncrypted, openServerSocket, retryAfterRefusal } from '../wire/outbound/socket.js';
import { Backend } from '../wire/protocol.js';
import type { Route } from './route.js';
import type { RouterSettings } from './settings.js';

/** A server that sessions may be on. */
export interface ServerChoice {
  readonly settings: RouterSettings;
  readonly route: Route;
  /**
   * What is wrong with it for new sessions; undefined if nothing is. Never rejects.
   */
  unfit(): Promise<string | undefined>;
}

/** The servers that sessions may be on. */
export interface ServerList {
  /** In the order in which they are to be tried, for one session. */
  readonly order: () => readonly ServerChoice[];
  /** Whether a server that is unfit is taken where none is fit. */
  readonly elseAny: boolean;
}

/**
 * Finds the first server that is fit and to which a connection can be made.
 * @param connect makes it
 * @throws PgError 08001 with what is wrong with each of them; the signal's reason
 */
export async function firstFit<T>(
  { order, elseAny }: ServerList,
  signal: AbortSignal,
  connect: (server: ServerChoice) => Promise<T>,
): Promise<T> {
  const servers = order();
  const failures: string[] = [];
  const passes = elseAny ? [true, false] : [true];
  for (const asked of passes) {
    for (const server of servers) {
      const unfit = asked ? await server.unfit() : undefined;
      signal.throwIfAborted();
      if (unfit !== undefined) {
        failures.push(unfit);
        continue;
      }
      try {
        return await connect(server);
      } catch (error) {
        signal.throwIfAborted();
        failures.push((error as Error).message);
      }
    }
  }
  throw unreachable(failures);
}

const unreachable = (failures: readonly string[]): PgError =>
  new PgError('08001', 'the proxy could not connect to the primary server', {
    severity: 'FATAL',
    detail: [...new Set(failures)].join('\n'),
    hint: 'Is the primary running, and reachable from where the proxy runs? See the setting "primary".',
  });

/**
 * Opens a session's connection to its primary and sends the startup packet. When the primary refuses that, libpq tries once more
 * (pg_hba.conf may have hostssl or hostnossl rules): without TLS for `sslmode=prefer`, with TLS for `allow`. So does this. The
 * answer to the last attempt is the client's.
 *
 * @param startup the client's startup packet
 * @param signal ends the attempt; the promise is then rejected with the signal's reason
 * @returns the socket, from which the primary's answer is still to be read
 * @throws ConnectError, or a TimeoutError when the primary did not accept a connection within the time that is set for it
 */
export async function openPrimary(
  settings: RouterSettings,
  startup: Buffer,
  signal: AbortSignal,
): Promise<Socket> {
  const { address, tls, keepAlive } = settings.primary;
  const limit = settings.timeouts.connect;
  const open = async (options: typeof tls): Promise<Socket> => {
    const signals = limit === 0 ? [signal] : [signal, AbortSignal.timeout(limit)];
    const socket = await openServerSocket(address, options, AbortSignal.any(signals), { keepAlive });
    socket.setNoDelay(true);
    socket.write(startup);
    return socket;
  };
  const first = await open(tls);
  const other = retryAfterRefusal(tls, { encrypted: isEncrypted(first) });
  if (other === undefined || (await firstByte(first, signal)) !== Backend.errorResponse) return first;
  first.destroy();
  return open(other);
}

/** The type of the first message on a socket. The message stays in the socket. Undefined when the socket ends instead. */
function firstByte(socket: Socket, signal: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      socket.off('readable', onReadable);
      socket.off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) {
        if (socket.readableEnded) onClose();
        return;
      }
      socket.unshift(chunk);
      settle(() => resolve(chunk[0]));
    };
    const onClose = (): void => settle(() => resolve(undefined));
    const onAbort = (): void => {
      socket.destroy();
      settle(() => reject(signal.reason));
    };
    socket.on('readable', onReadable);
    socket.on('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
