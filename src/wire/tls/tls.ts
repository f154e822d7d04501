import { isIP, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { systemCode, systemMessage, tlsReason } from '../connectErrors.js';
import { hostMismatch } from './certificate.js';
import { readTlsMaterial } from './material.js';
import { DEFAULT_MIN_VERSION, TlsError, type TlsOptions } from './options.js';

export { TlsError, type TlsMode, type TlsOptions } from './options.js';

/** The protocol's name in TLS (ALPN), which is registered for PostgreSQL and offered by libpq 17 and later. */
export const ALPN_PROTOCOL = 'postgresql';

/**
 * Starts TLS on an open connection and checks the server's certificate as the mode asks. The caller owns the raw socket, and
 * destroys it when this fails or takes too long.
 * @param signal ends the reading of files; the handshake ends when the raw socket is destroyed
 * @throws TlsError with libpq's text; the signal's reason
 */
export async function startTls(raw: Socket, options: TlsOptions, signal?: AbortSignal): Promise<TLSSocket> {
  const { context, verify } = await readTlsMaterial(options, signal);
  const { serverName, sni = true } = options;
  if (raw.destroyed) throw raw.errored ?? new TlsError('SSL SYSCALL error: EOF detected');
  // Bytes that came before the handshake would otherwise be taken as a part of it.
  if (raw.readableLength > 0) throw new TlsError('received unencrypted data after SSL response');
  const socket = connect({
    socket: raw,
    secureContext: context,
    ALPNProtocols: [ALPN_PROTOCOL],
    ...(sni && serverName && isIP(serverName) === 0 && { servername: serverName }),
    // The certificate is checked below, by libpq's rules and with libpq's error messages.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  try {
    await handshake(socket, options);
    check(socket, options, verify);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

function handshake(socket: TLSSocket, options: TlsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    // This listener stays after the handshake, because an error that nobody listens for would end the process.
    socket.on('error', (error) => reject(new TlsError(handshakeFailure(error, options))));
    socket.once('close', () => reject(new TlsError('SSL SYSCALL error: EOF detected')));
    socket.once('secureConnect', resolve);
  });
}

/** OpenSSL's words for two sides that have no version of TLS in common. */
const VERSION_REASONS: ReadonlySet<string> = new Set([
  'bad protocol version number',
  'no protocols available',
  'tlsv1 alert protocol version',
  'unknown protocol',
  'unknown ssl version',
  'unsupported protocol',
  'unsupported ssl version',
  'version too high',
  'version too low',
  'wrong ssl version',
  'wrong version number',
]);

function handshakeFailure(error: Error, options: TlsOptions): string {
  const reason = tlsReason(error);
  if (reason !== undefined) {
    if (!VERSION_REASONS.has(reason)) return `SSL error: ${reason}`;
    const { minVersion = DEFAULT_MIN_VERSION, maxVersion = 'TLSv1.3' } = options;
    return (
      `SSL error: ${reason}\nThis may indicate that the server does not support any SSL protocol version ` +
      `between ${minVersion} and ${maxVersion}.`
    );
  }
  // The runtime reports the end of the connection as a reset, but without the name of a system call.
  if (systemCode(error) === 'ECONNRESET' && (error as NodeJS.ErrnoException).syscall === undefined) {
    return 'SSL SYSCALL error: EOF detected';
  }
  return `SSL SYSCALL error: ${systemMessage(error)}`;
}

function check(socket: TLSSocket, options: TlsOptions, verify: boolean): void {
  if (verify && !socket.authorized) throw new TlsError('SSL error: certificate verify failed');
  const alpn = socket.alpnProtocol;
  if (options.negotiation === 'direct' && !alpn) {
    throw new TlsError('direct SSL connection was established without ALPN protocol negotiation extension');
  }
  if (alpn && alpn !== ALPN_PROTOCOL) {
    throw new TlsError('SSL connection was established with unexpected ALPN protocol');
  }
  if (options.mode !== 'verify-full') return;
  if (!options.serverName) throw new TlsError('host name must be specified for a verified SSL connection');
  const certificate = peerCertificate(socket);
  if (certificate === undefined)
    throw new TlsError('certificate could not be obtained: no SSL error reported');
  let problem: string | undefined;
  try {
    problem = hostMismatch(certificate, options.serverName);
  } catch {
    problem = "could not get server's host name from server certificate";
  }
  if (problem !== undefined) throw new TlsError(problem);
}

/** The server's certificate in DER, for channel binding and for the check of its names. */
export function peerCertificate(socket: TLSSocket): Buffer | undefined {
  return socket.getPeerX509Certificate()?.raw;
}
