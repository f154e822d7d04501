import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { byteString } from '../byteString.js';
import { systemCode, systemMessage, tlsReason } from '../connectErrors.js';
import { configuredFiles, type HostFile, type HostFiles } from '../host/hostFiles.js';
import { abortable } from '../pace/abortable.js';
import { DEFAULT_MIN_VERSION, TlsError, type TlsOptions } from './options.js';
import { loadSystemRoots } from './systemRoots.js';

const ROOT_ADVICE = '\nEither provide the file or change sslmode to disable server certificate verification.';

const fileError = (what: string, file: string, why: string): TlsError =>
  new TlsError(byteString(`${what} "${file}": ${why}`));

/** The words for a failure while TLS material was read: OpenSSL's if it has any, otherwise the system's. */
const failureWords = (error: unknown): string => tlsReason(error) ?? systemMessage(error);

/** What reads the files of one handshake, and what ends the reading. */
interface Source {
  readonly files: HostFiles;
  readonly signal: AbortSignal | undefined;
}

const isMissing = (error: unknown): boolean =>
  systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR';

async function readRoots(
  options: TlsOptions,
  { files, signal }: Source,
): Promise<'system' | readonly Buffer[] | undefined> {
  const { rootCertFile: file, mode } = options;
  if (file === 'system') return 'system';
  if (file !== undefined && file !== '') {
    const exists = await files.stat(file, signal).then(
      () => true,
      () => false,
    );
    signal?.throwIfAborted();
    if (exists) return [await readRootFile(file, { files, signal })];
  }
  if (mode !== 'verify-ca' && mode !== 'verify-full') return undefined;
  throw new TlsError(
    file === undefined || file === ''
      ? `could not get home directory to locate root certificate file${ROOT_ADVICE}`
      : byteString(`root certificate file "${file}" does not exist${ROOT_ADVICE}`),
  );
}

async function readRootFile(file: string, { files, signal }: Source): Promise<Buffer> {
  try {
    const { content } = await files.read(file, signal);
    // The runtime accepts a file without any certificate. It would then trust no server without saying why.
    if (!/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/.test(content.toString('latin1'))) {
      throw new Error('no certificate or crl found');
    }
    return content;
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError('could not read root certificate file', file, systemMessage(error));
  }
}

async function readRevoked(options: TlsOptions, { files, signal }: Source): Promise<Buffer[]> {
  const found: Buffer[] = [];
  const { crlFile, crlDirectory } = options;
  if (crlFile) {
    const file = await files.read(crlFile, signal).catch(() => undefined);
    if (file !== undefined) found.push(file.content);
  }
  if (crlDirectory) found.push(...(await files.readDirectory(crlDirectory, signal).catch(() => [])));
  signal?.throwIfAborted();
  // As in libpq, a list that cannot be read counts as none.
  return found.filter((list) => {
    try {
      createSecureContext({ ca: [], crl: list });
      return true;
    } catch {
      return false;
    }
  });
}

async function readKey(keyFile: string, { files, signal }: Source): Promise<Buffer> {
  try {
    const found = await files.stat(keyFile, signal);
    if (!found.isFile())
      throw new TlsError(byteString(`private key file "${keyFile}" is not a regular file`));
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof TlsError) throw error;
    if (isMissing(error)) {
      throw new TlsError(byteString(`certificate present, but not private key file "${keyFile}"`));
    }
    throw fileError('could not stat private key file', keyFile, systemMessage(error));
  }
  let key: HostFile;
  try {
    key = await files.read(keyFile, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError('could not load private key file', keyFile, systemMessage(error));
  }
  // A key that root owns may be readable by a group, so that a group of users can share it.
  const forbidden = key.uid === 0 ? 0o037 : 0o077;
  if (process.platform !== 'win32' && (key.mode & forbidden) !== 0) {
    throw new TlsError(
      byteString(
        `private key file "${keyFile}" has group or world access; file must have permissions u=rw (0600) or less ` +
          'if owned by the current user, or permissions u=rw,g=r (0640) or less if owned by root',
      ),
    );
  }
  return key.content;
}

/** Reads the client's certificate and its key. Without a certificate the result is empty. */
async function readIdentity(options: TlsOptions, source: Source): Promise<SecureContextOptions> {
  const { files, signal } = source;
  const { certFile, keyFile } = options;
  if (!certFile) return {};
  let cert: Buffer;
  try {
    await files.stat(certFile, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (isMissing(error)) return {};
    throw fileError('could not open certificate file', certFile, systemMessage(error));
  }
  try {
    cert = (await files.read(certFile, signal)).content;
    createSecureContext({ ca: [], cert });
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError('could not read certificate file', certFile, failureWords(error));
  }
  if (!keyFile) return { cert };
  const identity = { cert, key: await readKey(keyFile, source), passphrase: options.keyPassword };
  try {
    createSecureContext({ ca: [], ...identity });
  } catch (error) {
    throw fileError('could not load private key file', keyFile, failureWords(error));
  }
  return identity;
}

/** What a handshake needs. */
export interface TlsMaterial {
  readonly context: SecureContext;
  /** The server's certificate must be signed by a trusted one. */
  readonly verify: boolean;
}

/**
 * Reads the files that the options name, as libpq does before a handshake. They must be regular files of 1 MiB at most.
 * @param signal ends the reading
 * @throws TlsError with libpq's text; the signal's reason
 */
export async function readTlsMaterial(options: TlsOptions, signal?: AbortSignal): Promise<TlsMaterial> {
  const source: Source = { files: options.files ?? configuredFiles, signal };
  const roots = await readRoots(options, source);
  const identity = await readIdentity(options, source);
  const crl = roots === undefined ? [] : await readRevoked(options, source);
  if (roots === 'system') {
    const loaded = loadSystemRoots();
    await (signal === undefined ? loaded : abortable(loaded, signal));
  }
  try {
    const context = createSecureContext({
      ...identity,
      // With an empty list the runtime does not load its own collection, which takes time and would not be used.
      ...(roots === 'system' ? {} : { ca: [...(roots ?? [])] }),
      ...(crl.length > 0 && { crl }),
      minVersion: options.minVersion ?? DEFAULT_MIN_VERSION,
      ...(options.maxVersion !== undefined && { maxVersion: options.maxVersion }),
    });
    return { context, verify: roots !== undefined };
  } catch (error) {
    throw new TlsError(`could not create SSL context: ${failureWords(error)}`);
  }
}
