import { readdir, readFile, stat } from 'node:fs/promises';
import { isIP, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  connect,
  createSecureContext,
  rootCertificates,
  type SecureContext,
  type SecureContextOptions,
  type SecureVersion,
  type TLSSocket,
} from 'node:tls';
import { byteString } from './address.js';
import { systemCode, systemMessage, tlsReason } from './clientErrors.js';
import { hostMismatch } from './tlsCertificate.js';

/** libpq's sslmode. */
export type TlsMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** TLS as libpq's parameters describe it (PostgreSQL documentation, "SSL Support" of libpq). */
export interface TlsOptions {
  /** Ignored for Unix sockets, as by libpq. */
  readonly mode: TlsMode;
  /** `direct` (libpq 17) begins TLS without asking, and needs mode require or stronger. Default: postgres. */
  readonly negotiation?: 'postgres' | 'direct' | undefined;
  /** The host as the user named it: what verify-full compares and what SNI announces. */
  readonly serverName?: string | undefined;
  /** Whether to announce a serverName that is a name, not an address. Default: true. */
  readonly sni?: boolean | undefined;
  /** The client's certificate and its key, sent when the server asks; no certificate if the file does not exist. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly keyPassword?: string | undefined;
  /**
   * Trusted certificates. Where the file exists the server's certificate is verified in every mode; where it does not,
   * verify-ca and verify-full fail. `system` (libpq 16) stands for the runtime's own collection. The caller fills in
   * libpq's default, `~/.postgresql/root.crt`.
   */
  readonly rootCertFile?: string | undefined;
  /** Revoked certificates; ignored if they do not exist. */
  readonly crlFile?: string | undefined;
  readonly crlDirectory?: string | undefined;
  /** Default: TLSv1.2. */
  readonly minVersion?: SecureVersion | undefined;
  readonly maxVersion?: SecureVersion | undefined;
  /** Whether a failed handshake under `prefer` is followed by an attempt without TLS. Default: true. */
  readonly fallback?: boolean | undefined;
}

/** The name of the protocol in TLS (ALPN), registered for PostgreSQL and offered by libpq 17 and later. */
export const ALPN_PROTOCOL = 'postgresql';

const DEFAULT_MIN_VERSION: SecureVersion = 'TLSv1.2';

const ROOT_ADVICE = '\nEither provide the file or change sslmode to disable server certificate verification.';

/** TLS could not be set up; the message is libpq's, as a byte string. */
export class TlsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TlsError';
  }
}

const fileError = (what: string, file: string, why: string): TlsError =>
  new TlsError(byteString(`${what} "${file}": ${why}`));

/** The words of a failure while TLS material was read: OpenSSL's, or the system's. */
const failureWords = (error: unknown): string => tlsReason(error) ?? systemMessage(error);

/** The kind of file, or undefined if it does not exist. */
async function statFile(file: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

async function readRoots(options: TlsOptions): Promise<readonly string[] | readonly Buffer[] | undefined> {
  const { rootCertFile: file, mode } = options;
  if (file === 'system') return rootCertificates;
  const exists = file !== undefined && file !== '' && (await statFile(file).catch(() => undefined));
  if (exists) {
    try {
      const roots = await readFile(file);
      // The runtime takes a file without any certificate silently, and then trusts nobody without saying why.
      if (!/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/.test(roots.toString('latin1'))) {
        throw new Error('no certificate or crl found');
      }
      return [roots];
    } catch (error) {
      throw fileError('could not read root certificate file', file, systemMessage(error));
    }
  }
  if (mode !== 'verify-ca' && mode !== 'verify-full') return undefined;
  throw new TlsError(
    file === undefined || file === ''
      ? `could not get home directory to locate root certificate file${ROOT_ADVICE}`
      : byteString(`root certificate file "${file}" does not exist${ROOT_ADVICE}`),
  );
}

async function readRevoked(options: TlsOptions): Promise<Buffer[]> {
  const files = options.crlFile ? [options.crlFile] : [];
  if (options.crlDirectory) {
    const names = await readdir(options.crlDirectory).catch(() => []);
    for (const name of names) files.push(join(options.crlDirectory, name));
  }
  const found = await Promise.all(files.map((file) => readFile(file).catch(() => undefined)));
  const lists: Buffer[] = [];
  for (const list of found) {
    if (list === undefined) continue;
    try {
      createSecureContext({ ca: [], crl: list });
      lists.push(list);
    } catch {
      // As in libpq, a list that cannot be read counts as none.
    }
  }
  return lists;
}

async function readKey(keyFile: string): Promise<Buffer> {
  let found: Awaited<ReturnType<typeof statFile>>;
  try {
    found = await statFile(keyFile);
  } catch (error) {
    throw fileError('could not stat private key file', keyFile, systemMessage(error));
  }
  if (found === undefined) {
    throw new TlsError(byteString(`certificate present, but not private key file "${keyFile}"`));
  }
  if (!found.isFile()) throw new TlsError(byteString(`private key file "${keyFile}" is not a regular file`));
  // A key of root's may be readable by a group, so that a group of users can share it.
  const forbidden = Number(found.uid) === 0 ? 0o037 : 0o077;
  if (process.platform !== 'win32' && (Number(found.mode) & forbidden) !== 0) {
    throw new TlsError(
      byteString(
        `private key file "${keyFile}" has group or world access; file must have permissions u=rw (0600) or less ` +
          'if owned by the current user, or permissions u=rw,g=r (0640) or less if owned by root',
      ),
    );
  }
  try {
    return await readFile(keyFile);
  } catch (error) {
    throw fileError('could not load private key file', keyFile, systemMessage(error));
  }
}

/** The client's certificate with its key, or nothing where there is no certificate. */
async function readIdentity(options: TlsOptions): Promise<SecureContextOptions> {
  const { certFile, keyFile } = options;
  if (!certFile) return {};
  let cert: Buffer;
  try {
    if ((await statFile(certFile)) === undefined) return {};
  } catch (error) {
    throw fileError('could not open certificate file', certFile, systemMessage(error));
  }
  try {
    cert = await readFile(certFile);
    createSecureContext({ ca: [], cert });
  } catch (error) {
    throw fileError('could not read certificate file', certFile, failureWords(error));
  }
  if (!keyFile) return { cert };
  const identity = { cert, key: await readKey(keyFile), passphrase: options.keyPassword };
  try {
    createSecureContext({ ca: [], ...identity });
  } catch (error) {
    throw fileError('could not load private key file', keyFile, failureWords(error));
  }
  return identity;
}

interface Prepared {
  readonly context: SecureContext;
  /** The server's certificate must be signed by a trusted one. */
  readonly verify: boolean;
}

async function prepare(options: TlsOptions): Promise<Prepared> {
  const roots = await readRoots(options);
  const identity = await readIdentity(options);
  const crl = roots === undefined ? [] : await readRevoked(options);
  try {
    const context = createSecureContext({
      ...identity,
      // An empty list keeps the runtime from loading its own collection, which takes time and would not be used.
      ca: roots === undefined ? [] : [...roots],
      ...(crl.length > 0 && { crl }),
      minVersion: options.minVersion ?? DEFAULT_MIN_VERSION,
      ...(options.maxVersion !== undefined && { maxVersion: options.maxVersion }),
    });
    return { context, verify: roots !== undefined };
  } catch (error) {
    throw new TlsError(`could not create SSL context: ${failureWords(error)}`);
  }
}

/**
 * Makes TLS of an open connection and checks the server as the mode asks. The caller owns the raw socket and destroys
 * it when this fails or when it loses patience.
 * @throws TlsError with libpq's text
 */
export async function startTls(raw: Socket, options: TlsOptions): Promise<TLSSocket> {
  const { context, verify } = await prepare(options);
  const { serverName, sni = true } = options;
  if (raw.destroyed) throw raw.errored ?? new TlsError('SSL SYSCALL error: EOF detected');
  // Bytes that came before the handshake would otherwise be taken for a part of it.
  if (raw.readableLength > 0) throw new TlsError('received unencrypted data after SSL response');
  const socket = connect({
    socket: raw,
    secureContext: context,
    ALPNProtocols: [ALPN_PROTOCOL],
    ...(sni && serverName && isIP(serverName) === 0 && { servername: serverName }),
    // Checked below, by libpq's rules and with its words.
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
    // Stays after the handshake: an error that nobody listens for would end the process.
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
  // The runtime reports the end of the connection as a reset of its own, without a system call.
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

/** The server's certificate in DER, for channel binding. */
export function peerCertificate(socket: TLSSocket): Buffer | undefined {
  return socket.getPeerX509Certificate()?.raw;
}
