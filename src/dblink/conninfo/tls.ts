import { type ByteString, textOf } from './bytes.js';
import { chooseOption } from './choice.js';
import { conninfoError, plain } from './error.js';

/** The values of sslmode. */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

const TLS_VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

/**
 * How TLS is to be used. None of it applies to Unix sockets, not even `require`.
 *
 * The files are paths only. libpq looks whether they exist while it connects, and whoever connects must do the same. It
 * makes no difference whether the path was given or is a default below `~/.postgresql`:
 *
 * - `rootCertFile` exists: the server's chain is verified, in every mode. It does not exist: `verify-ca` and
 *   `verify-full` fail (`root certificate file "…" does not exist`), other modes do not verify. The value `system` means
 *   the trusted roots of the platform.
 * - `certFile` does not exist: no client certificate, without an error. It exists: `keyFile` must too (`certificate
 *   present, but not private key file "…"`) and must not be readable by others.
 * - `crlFile` and `crlDir` are used if they exist, together with `rootCertFile` only.
 */
export interface ConninfoTls {
  readonly mode: SslMode;
  /** `direct`: TLS from the first byte with ALPN `postgresql`, no SSLRequest. */
  readonly negotiation: 'postgres' | 'direct';
  /** Send the host's name in the handshake, if it is a name and not an address. */
  readonly sni: boolean;
  /**
   * Whether a client certificate is sent. `disable`: never. `allow`: if there is one. `require`: the server must ask for
   * it, and it must be sent.
   */
  readonly certMode: 'disable' | 'allow' | 'require';
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Not enumerable, so that it does not slip into a log with the rest. */
  readonly keyPassword?: ByteString;
  readonly rootCertFile?: string;
  readonly crlFile?: string;
  readonly crlDir?: string;
  readonly minVersion?: TlsVersion;
  readonly maxVersion?: TlsVersion;
}

/**
 * Reads the ssl* options.
 *
 * @throws ConninfoError for wrong values, for an empty range of versions, and for modes too weak for
 * `sslnegotiation=direct` or `sslrootcert=system`.
 */
export function resolveTls(
  options: ReadonlyMap<string, ByteString>,
  homedir: string | undefined,
): ConninfoTls {
  const mode = chooseOption(options, 'sslmode', SSL_MODES, 'prefer');
  const negotiation = chooseOption(options, 'sslnegotiation', ['postgres', 'direct'], 'postgres');
  if (negotiation === 'direct' && ['disable', 'allow', 'prefer'].includes(mode)) {
    throw conninfoError`weak sslmode "${plain(mode)}" may not be used with sslnegotiation=direct (use "require", "verify-ca", or "verify-full")`;
  }
  if (options.get('sslrootcert') === 'system' && mode !== 'verify-full') {
    throw conninfoError`weak sslmode "${plain(mode)}" may not be used with sslrootcert=system (use "verify-full")`;
  }
  const minVersion = tlsVersion(options, 'ssl_min_protocol_version');
  const maxVersion = tlsVersion(options, 'ssl_max_protocol_version');
  if (minVersion !== undefined && maxVersion !== undefined) {
    if (TLS_VERSIONS.indexOf(minVersion) > TLS_VERSIONS.indexOf(maxVersion)) {
      throw conninfoError`invalid SSL protocol version range`;
    }
  }
  const tls: ConninfoTls = {
    mode,
    negotiation,
    sni: (options.get('sslsni') ?? '1').startsWith('1'),
    certMode: chooseOption(options, 'sslcertmode', ['disable', 'allow', 'require'], 'allow'),
    ...resolveFiles(options, homedir),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
  };
  const keyPassword = options.get('sslpassword');
  if (keyPassword) Object.defineProperty(tls, 'keyPassword', { value: keyPassword });
  return tls;
}

type TlsFiles = Pick<ConninfoTls, 'certFile' | 'keyFile' | 'rootCertFile' | 'crlFile' | 'crlDir'>;

function resolveFiles(options: ReadonlyMap<string, ByteString>, homedir: string | undefined): TlsFiles {
  const given = (option: string): string | undefined => {
    const value = options.get(option);
    return value ? textOf(value) : undefined;
  };
  const inHome = (name: string): string | undefined =>
    homedir === undefined ? undefined : `${homedir}/.postgresql/${name}`;

  const crlDir = given('sslcrldir');
  const files = {
    certFile: given('sslcert') ?? inHome('postgresql.crt'),
    keyFile: given('sslkey') ?? inHome('postgresql.key'),
    rootCertFile: given('sslrootcert') ?? inHome('root.crt'),
    // The default list is looked for only if neither a file nor a directory was named.
    crlFile: given('sslcrl') ?? (crlDir === undefined ? inHome('root.crl') : undefined),
    crlDir,
  };
  return Object.fromEntries(Object.entries(files).filter(([, path]) => path !== undefined));
}

/** TLS version names are matched without regard to case; empty means no bound. */
function tlsVersion(options: ReadonlyMap<string, ByteString>, option: string): TlsVersion | undefined {
  const given = options.get(option);
  if (given === undefined || given === '') return undefined;
  const version = TLS_VERSIONS.find((candidate) => candidate.toLowerCase() === given.toLowerCase());
  if (version === undefined) throw conninfoError`invalid ${plain(option)} value: "${given}"`;
  return version;
}
