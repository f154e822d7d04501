import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { CancelKeys } from '../wire/cancelKeys.js';
import { PgError, protocolViolation } from '../wire/errors.js';
import { NoProxyHeader, readProxyHeader } from '../wire/names/proxyHeader.js';
import { EMPTY, RequestCode } from '../wire/protocol.js';
import {
  Incomprehensible,
  parseStartupPacket,
  readChunk,
  refusal,
  type StartupPacket,
  StartupReader,
  unsupportedProtocol,
} from '../wire/startup.js';
import { ALPN_PROTOCOL } from '../wire/tls/tls.js';
import type { RouterLog } from './settings.js';

/** The first byte of a TLS handshake. A client that begins with it negotiates TLS without an SSLRequest (PostgreSQL 17). */
const TLS_HANDSHAKE = 0x16;

const REFUSED = 'client refused before its session began';

/** What accepting a client takes. */
export interface AcceptOptions {
  /** Undefined refuses TLS. */
  readonly secureContext: SecureContext | undefined;
  readonly keys: CancelKeys;
  /** 0 for no limit. */
  readonly loginTimeoutMs: number;
  /** For the TLS handshake, in ms; 0 for no limit but that of the login. */
  readonly tlsHandshakeMs: number;
  readonly log: RouterLog;
  /** Whether connections from this address begin with a PROXY header. */
  readonly isBalancer: (address: string | undefined) => boolean;
  /** What the primary says to a startup packet that is refused here, if it can be asked. Never rejects. */
  readonly refusalOf: (packet: Buffer, signal: AbortSignal) => Promise<Buffer | undefined>;
}

/** A client that has said who it is and what it wants, but has not authenticated. */
export interface AcceptedClient {
  /** The socket to go on with: the TLS one if TLS was negotiated. */
  readonly socket: Socket;
  readonly tls: boolean;
  /** Where the client is; undefined for one that has come by a Unix socket. */
  readonly address: string | undefined;
  readonly startup: StartupPacket & { kind: 'startup' };
  /** What was read behind the startup packet. */
  readonly rest: Buffer;
  /** The clock that began at accept. It is to be stopped when the client is authenticated or gone. */
  readonly clock: LoginClock;
}

/** The time that a client has from accept to the end of its login. */
export class LoginClock {
  readonly #timer: NodeJS.Timeout | undefined;
  /** What happens when the time is up. */
  onExpiry: () => void;

  /** @param limitMs 0 for no limit */
  constructor(limitMs: number, onExpiry: () => void) {
    this.onExpiry = onExpiry;
    this.#timer = limitMs === 0 ? undefined : setTimeout(() => this.onExpiry(), limitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/**
 * Serves a new connection up to its startup packet. That covers encryption requests, cancel requests and bad packets.
 * @returns undefined when the connection needs no session; it is closed then
 */
export async function acceptClient(raw: Socket, options: AcceptOptions): Promise<AcceptedClient | undefined> {
  const { log } = options;
  let socket = raw;
  raw.setNoDelay(true);
  raw.on('error', () => undefined);
  const clock = new LoginClock(options.loginTimeoutMs, () => {
    log.info({}, 'client sent no startup packet within the login timeout');
    socket.destroy();
    raw.destroy();
  });
  raw.once('close', () => clock.stop());

  let packet: Buffer | 'tls' | undefined;
  /** Whether the primary would refuse the packet, too. */
  let isItsBusiness = false;
  try {
    const address = options.isBalancer(raw.remoteAddress) ? await addressBehind(raw) : raw.remoteAddress;
    // The balancer only looked whether somebody is there.
    if (address === 'gone') {
      socket.destroy();
      return undefined;
    }
    let reader = new StartupReader(socket);
    /** Which encryption cannot be asked for any more: each can once, and none behind one that was accepted. */
    const settled = { ssl: false, gssenc: false };
    let tls = false;
    let asked = false;
    for (;;) {
      const directTls = (first: number) => first === TLS_HANDSHAKE && !tls && !asked;
      packet = undefined;
      isItsBusiness = false;
      packet = await reader.next(options.secureContext === undefined ? undefined : directTls);
      if (packet === undefined) {
        socket.destroy();
        return undefined;
      }
      if (packet === 'tls') {
        const direct = await upgrade(raw, options.secureContext!, reader.rest, options.tlsHandshakeMs);
        socket = direct;
        // As in PostgreSQL. Without ALPN, a client of another protocol could be made to talk to the proxy.
        if (direct.alpnProtocol !== ALPN_PROTOCOL) {
          throw new Incomprehensible(
            'received direct SSL connection request without ALPN protocol negotiation extension',
          );
        }
        tls = true;
        reader = new StartupReader(socket);
        continue;
      }
      isItsBusiness = true;
      const request = parseStartupPacket(packet);
      switch (request.kind) {
        case 'ssl': {
          if (settled.ssl) throw unsupportedProtocol(RequestCode.ssl);
          asked = true;
          const accepted = options.secureContext !== undefined && !tls;
          settled.ssl = true;
          settled.gssenc ||= accepted;
          isItsBusiness = false;
          if (!accepted) socket.write('N');
          if (reader.rest.length > 0) throw unencryptedData('SSL request');
          if (!accepted) break;
          socket.write('S');
          socket = await upgrade(raw, options.secureContext!, EMPTY, options.tlsHandshakeMs);
          tls = true;
          reader = new StartupReader(socket);
          break;
        }
        case 'gssenc':
          if (settled.gssenc) throw unsupportedProtocol(RequestCode.gssenc);
          asked = true;
          settled.gssenc = true;
          isItsBusiness = false;
          socket.write('N');
          if (reader.rest.length > 0) throw unencryptedData('GSSAPI encryption request');
          break;
        case 'cancel':
          await options.keys.cancel({ processId: request.processId, secret: request.key });
          socket.end();
          setTimeout(() => socket.destroy(), 1000).unref();
          clock.stop();
          return undefined;
        case 'startup':
          return { socket, tls, address, startup: request, rest: reader.rest, clock };
      }
    }
  } catch (error) {
    if (error instanceof PgError) {
      log.info({ err: error.message, sqlstate: error.sqlstate }, REFUSED);
      const came = packet === 'tls' ? undefined : packet;
      const left = new AbortController();
      raw.once('close', () => left.abort());
      const words = isItsBusiness && came ? await options.refusalOf(came, left.signal) : undefined;
      clock.stop();
      socket.end(words ?? refusal(error, came));
    } else if (error instanceof Incomprehensible || error instanceof NoProxyHeader) {
      clock.stop();
      log.info({ err: error.message }, REFUSED);
      // What has come and was not read would make a reset of the end.
      socket.resume().end();
    } else {
      clock.stop();
      log.info({ err: (error as Error).message }, 'client connection failed before its session began');
      socket.destroy();
    }
    setTimeout(() => socket.destroy(), 1000).unref();
    return undefined;
  }
}

/**
 * Reads a balancer's PROXY header.
 * @returns the client's address; the balancer's own where it does not say one; `gone` if the connection ends without a byte
 * @throws NoProxyHeader
 */
async function addressBehind(raw: Socket): Promise<string | undefined> {
  const { remoteAddress } = raw;
  let bytes: Buffer = EMPTY;
  for (;;) {
    const header = readProxyHeader(bytes);
    if (header !== undefined) {
      if (bytes.length > header.length) raw.unshift(bytes.subarray(header.length));
      return header.address ?? remoteAddress;
    }
    const chunk = await readChunk(raw);
    if (chunk === undefined && bytes.length === 0) return 'gone';
    if (chunk === undefined) throw new NoProxyHeader('a connection ended before its PROXY header did');
    bytes = Buffer.concat([bytes, chunk]);
  }
}

const unencryptedData = (behind: string): PgError =>
  protocolViolation(
    `received unencrypted data after ${behind}`,
    'This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.',
  );

/**
 * Does the TLS handshake as the server.
 * @param first bytes of the handshake that have been read already
 * @param limitMs 0 for no limit
 */
function upgrade(
  raw: Socket,
  secureContext: SecureContext,
  first: Buffer,
  limitMs: number,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    if (first.length > 0) raw.unshift(first);
    const socket = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: [ALPN_PROTOCOL] });
    const late =
      limitMs > 0
        ? setTimeout(
            () => fail(new Error('the TLS handshake took longer than "timeouts.tls_handshake"')),
            limitMs,
          )
        : undefined;
    const fail = (error?: Error) => {
      clearTimeout(late);
      reject(error ?? new Error('connection closed during the TLS handshake'));
    };
    socket.once('error', fail);
    const closed = () => fail();
    raw.once('close', closed);
    socket.once('end', closed);
    socket.once('secure', () => {
      clearTimeout(late);
      socket.off('error', fail);
      raw.off('close', closed);
      socket.on('error', () => undefined);
      socket.off('end', closed);
      socket.allowHalfOpen = true;
      resolve(socket);
    });
  });
}
