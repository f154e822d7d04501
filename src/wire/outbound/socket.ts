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

/** TCP keepalive; on with the system's times unless stated. */
export interface KeepAlive {
  readonly enabled: boolean;
  readonly idleMs?: number | undefined;
}

export interface SocketOptions {
  /** The server in messages (see describeServer); computed from the address and the TLS server name by default. */
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

export const isEncrypted = (socket: ServerSocket): socket is TLSSocket => socket instanceof TLSSocket;

/**
 * The options for one more attempt after the server answered a startup packet with an error before authentication was
 * complete, as libpq makes it: without TLS after `prefer` with it, with TLS after `allow` without it; undefined when
 * there is nothing else to try. What it returns is not to be given to this function again.
 */
export function retryAfterRefusal(tls: TlsOptions, socket: { encrypted: boolean }): TlsOptions | undefined {
  if (tls.mode === 'prefer' && socket.encrypted) return { ...tls, mode: 'disable' };
  if (tls.mode === 'allow' && !socket.encrypted) return { ...tls, mode: 'prefer', fallback: false };
  return undefined;
}

/**
 * Opens a connection to a server, with TLS as the mode asks, ready for a startup packet. Under `prefer`, a failed
 * handshake is followed by a second connection without TLS. For what to do when the server then refuses the startup,
 * see `retryAfterRefusal`.
 *
 * An error listener is attached to the socket, so that an early error cannot end the process; the caller attaches its
 * own listeners in the same turn in which the promise settles.
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

const earlierFailures = new WeakMap<ServerSocket, ConnectError>();

/** An error on this socket's startup, with the text of the failed handshake in front that led to this socket. */
export function withEarlierFailure(socket: ServerSocket, error: unknown): unknown {
  const earlier = earlierFailures.get(socket);
  return earlier !== undefined && error instanceof ConnectError ? earlier.followedBy(error) : error;
}

/** One way to reach a server; `open` may be called more than once. */
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

  /** @param tls undefined: without asking for TLS */
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
      // libpq does not show such an error: it comes from somebody who has not proved to be the server.
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

  /** Sends SSLRequest and takes the one byte that answers it; what follows stays in the socket. */
  async #ask(raw: Socket): Promise<number> {
    const answered = settle(raw, 'readable', (error) =>
      this.#error(socketFailure(error, false, false), { stage: 'tls', code: systemCode(error) }),
    );
    raw.write(SSL_REQUEST);
    await answered;
    const answer: Buffer | null = raw.read(1);
    // `readable` is also the event of an orderly end.
    if (answer === null) throw this.#error(socketFailure(undefined, false, false), { stage: 'tls' });
    raw.removeAllListeners('readable');
    return answer[0]!;
  }

  #error(text: string, failure: ConstructorParameters<typeof ConnectError>[1]): ConnectError {
    return connectError(this.#describe, text, failure);
  }
}

/** Waits for an event of a socket, or for its end, which `failure` turns into an error. */
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
