import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createSecureContext,
  rootCertificates,
  type SecureContext,
  type SecureContextOptions,
} from 'node:tls';
import { byteString } from './address.js';
import { systemCode, systemMessage, tlsReason } from './clientErrors.js';
import { DEFAULT_MIN_VERSION, TlsError, type TlsOptions } from './tlsOptions.js';

const ROOT_ADVICE = '\nEither provide the file or change sslmode to disable server certificate verification.';

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

/** TLS ready for a handshake. */
export interface TlsMaterial {
  readonly context: SecureContext;
  /** The server's certificate must be signed by a trusted one. */
  readonly verify: boolean;
}

/**
 * Reads the files that the options name, as libpq does before a handshake.
 * @throws TlsError with libpq's text
 */
export async function readTlsMaterial(options: TlsOptions): Promise<TlsMaterial> {
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
