import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { connectTarget, describeServer, type SocketAddress, socketPathProblem } from '../address.js';
import { byteString } from '../byteString.js';
import { ConnectError, connectError, socketFailure, systemCode, systemMessage } from '../connectErrors.js';
import { lookupConfigured } from '../names/configuredNames.js';
import { nameFailure } from '../names/nameError.js';
import { RequestCode } from '../protocol.js';
import { startTls, TlsError, type TlsMode, type TlsOptions } from '../tls/tls.js';
import { MessageWriter } from '../writer.js';

/** TCP keepalive. By default it is on, with the system's times. */
export interface KeepAlive {
  readonly enabled: boolean;
  /** How long the connection may be idle before the first probe is sent. Default: the system's time. */
  readonly idleMs?: number | undefined;
}

/** How a connection to a server is opened, beside address and TLS. */
export interface SocketOptions {
  /** How messages name the server. Default: made of the address and the TLS server name (describeServer). */
  readonly describe?: string | undefined;
  readonly keepAlive?: KeepAlive | undefined;
}

/** A socket on which a startup packet may be sent. */
export type ServerSocket = Socket | TLSSocket;

const VERIFIED_MODES: ReadonlySet<TlsMode> = new Set(['require', 'verify-ca', 'verify-full']);

const ANSWER_TLS = 'S'.charCodeAt(0);
const ANSWER_PLAIN = 'N'.charCodeAt(0);
const ANSWER_ERROR = 'E'.charCodeAt(0);

/** SSLRequest (protocol documentation, "SSL Session Encryption"). */
const SSL_REQUEST: Buffer = new MessageWriter().int32(RequestCode.ssl).end();

/** Whether the connection uses TLS. */
export const isEncrypted = (socket: ServerSocket): socket is TLSSocket => socket instanceof TLSSocket;

/**
 * The options for one more attempt, which libpq makes after the server has answered a startup packet with an error before
 * authentication was complete. With `prefer` an attempt with TLS is followed by one without, and with `allow` an attempt
 * without TLS by one with it. What this returns must not be given to this function again.
 * @param socket whether the refused attempt was encrypted
 * @returns undefined when there is nothing else to try
 */
export function retryAfterRefusal(tls: TlsOptions, socket: { encrypted: boolean }): TlsOptions | undefined {
  if (tls.mode === 'prefer' && socket.encrypted) return { ...tls, mode: 'disable' };
  if (tls.mode === 'allow' && !socket.encrypted) return { ...tls, mode: 'prefer', fallback: false };
  return undefined;
}

/**
 * Opens a connection to a server, with TLS as the mode asks, ready for a startup packet. With `prefer`, a failed handshake is
 * followed by a second connection without TLS. What to do when the server then refuses the startup packet, see
 * `retryAfterRefusal`.
 *
 * The socket has an error listener, so that an early error cannot end the process. The caller must attach its own listeners in
 * the same turn of the event loop in which the promise settles.
 * @param signal ends the attempt; the promise is then rejected with the signal's reason
 * @throws ConnectError of stage network or tls, with libpq's text
 */
export async function openServerSocket(
  address: SocketAddress,
  tls: TlsOptions,
  signal?: AbortSignal,
  options: SocketOptions = {},
): Promise<ServerSocket> {
  const describe = options.describe ?? describeServer(address, tls.serverName);
  const problem = socketPathProblem(address);
  if (problem !== undefined) throw new ConnectError(problem, { stage: 'network' });
  const attempt = new Attempt(address, describe, options, signal);
  if ('path' in address || tls.mode === 'disable' || tls.mode === 'allow') return attempt.open(undefined);
  if (tls.negotiation === 'direct' && !VERIFIED_MODES.has(tls.mode)) {
    throw new ConnectError(
      `weak sslmode "${tls.mode}" may not be used with sslnegotiation=direct (use "require", "verify-ca", or "verify-full")`,
      { stage: 'tls' },
    );
  }
  try {
    return await attempt.open(tls);
  } catch (error) {
    const again =
      error instanceof ConnectError && error.encrypted && tls.mode === 'prefer' && tls.fallback !== false;
    if (!again) throw error;
    try {
      const socket = await attempt.open(undefined);
      earlierFailures.set(socket, error);
      return socket;
    } catch (second) {
      throw second instanceof ConnectError ? error.followedBy(second) : second;
    }
  }
}

/** For a socket that was opened after a failed handshake (`prefer`): the error of that handshake. */
const earlierFailures = new WeakMap<ServerSocket, ConnectError>();

/**
 * The error of a startup on this socket. If the socket was opened after a failed handshake, the text of that failure is put in
 * front.
 */
export function withEarlierFailure(socket: ServerSocket, error: unknown): unknown {
  const earlier = earlierFailures.get(socket);
  return earlier !== undefined && error instanceof ConnectError ? earlier.followedBy(error) : error;
}

/** One server and how to reach it. `open` may be called more than once. */
class Attempt {
  readonly #address: SocketAddress;
  readonly #describe: string;
  readonly #options: SocketOptions;
  readonly #signal: AbortSignal | undefined;

  constructor(address: SocketAddress, describe: string, options: SocketOptions, signal?: AbortSignal) {
    this.#address = address;
    this.#describe = describe;
    this.#options = options;
    this.#signal = signal;
  }

  /** Opens a connection. @param tls undefined: TLS is not asked for @throws ConnectError, the signal's reason */
  async open(tls: TlsOptions | undefined): Promise<ServerSocket> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    const { enabled = true, idleMs = 0 } = this.#options.keepAlive ?? {};
    const raw = connect({
      ...connectTarget(this.#address),
      lookup: lookupConfigured,
      noDelay: true,
      keepAlive: enabled,
      keepAliveInitialDelay: idleMs,
    });
    // An error that nobody listens for would end the process.
    raw.on('error', () => {});
    const abort = (): void => {
      raw.destroy();
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await this.#connected(raw);
      return tls === undefined ? raw : await this.#negotiate(raw, tls);
    } catch (error) {
      raw.destroy();
      if (signal?.aborted) throw signal.reason;
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  #connected(raw: Socket): Promise<void> {
    const hint =
      'path' in this.#address
        ? '\n\tIs the server running locally and accepting connections on that socket?'
        : '\n\tIs the server running on that host and accepting TCP/IP connections?';
    return settle(raw, 'connect', (error) => {
      const code = systemCode(error);
      const failure = nameFailure(error);
      if ('host' in this.#address && failure !== undefined) {
        return new ConnectError(
          byteString(`could not translate host name "${this.#address.host}" to address: ${failure}`),
          { stage: 'network', code },
        );
      }
      if (code === 'EMFILE' || code === 'ENFILE') {
        return this.#error(`could not create socket: ${systemMessage(error)}`, { stage: 'network', code });
      }
      return this.#error(`${error === undefined ? 'Connection closed' : systemMessage(error)}${hint}`, {
        stage: 'network',
        code,
      });
    });
  }

  async #negotiate(raw: Socket, tls: TlsOptions): Promise<ServerSocket> {
    if (tls.negotiation !== 'direct') {
      const answer = await this.#ask(raw);
      if (answer === ANSWER_PLAIN) {
        if (!VERIFIED_MODES.has(tls.mode)) return raw;
        throw this.#error('server does not support SSL, but SSL was required', { stage: 'tls' });
      }
      // As in libpq the error itself is not shown: the peer has not proved that it is the server.
      if (answer === ANSWER_ERROR) {
        throw this.#error('server sent an error response during SSL exchange', { stage: 'tls' });
      }
      if (answer !== ANSWER_TLS) {
        const received = String.fromCharCode(answer);
        throw this.#error(`received invalid response to SSL negotiation: ${received}`, { stage: 'tls' });
      }
      if (raw.readableLength > 0) {
        throw this.#error('received unencrypted data after SSL response', { stage: 'tls' });
      }
    }
    try {
      return await startTls(raw, tls, this.#signal);
    } catch (error) {
      this.#signal?.throwIfAborted();
      const text = error instanceof TlsError ? error.message : systemMessage(error);
      throw this.#error(text, { stage: 'tls', code: systemCode(error), encrypted: true });
    }
  }

  /** Sends SSLRequest and takes the one byte that answers it. What follows stays in the socket. */
  async #ask(raw: Socket): Promise<number> {
    const answered = settle(raw, 'readable', (error) =>
      this.#error(socketFailure(error, false, false), { stage: 'tls', code: systemCode(error) }),
    );
    raw.write(SSL_REQUEST);
    await answered;
    const answer: Buffer | null = raw.read(1);
    // The event `readable` also comes at an orderly end.
    if (answer === null) throw this.#error(socketFailure(undefined, false, false), { stage: 'tls' });
    raw.removeAllListeners('readable');
    return answer[0]!;
  }

  #error(text: string, failure: ConstructorParameters<typeof ConnectError>[1]): ConnectError {
    return connectError(this.#describe, text, failure);
  }
}

/** Waits for an event of a socket. If the socket closes first, `failure` makes the error. */
function settle(
  socket: Socket,
  event: 'connect' | 'readable',
  failure: (error: Error | undefined) => ConnectError,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let error: Error | undefined;
    const onError = (cause: Error): void => {
      error = cause;
    };
    const onClose = (): void => {
      done();
      reject(failure(error));
    };
    const onEvent = (): void => {
      done();
      resolve();
    };
    const done = (): void => {
      socket.off('error', onError);
      socket.off('close', onClose);
      socket.off(event, onEvent);
    };
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.on(event, onEvent);
  });
}
