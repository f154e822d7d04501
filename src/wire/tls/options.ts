import type { SecureVersion } from 'node:tls';
import type { HostFiles } from '../host/hostFiles.js';

/** libpq's sslmode. */
export type TlsMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** TLS as libpq's parameters describe it (PostgreSQL documentation, "SSL Support" of libpq). */
export interface TlsOptions {
  /** Ignored for Unix sockets, as by libpq. */
  readonly mode: TlsMode;
  /** `direct` (libpq 17) begins TLS without asking, and needs mode require or stronger. Default: postgres. */
  readonly negotiation?: 'postgres' | 'direct' | undefined;
  /** The host as the user named it. verify-full compares it with the certificate, and SNI announces it. */
  readonly serverName?: string | undefined;
  /** Whether SNI announces serverName. An address is never announced. Default: true. */
  readonly sni?: boolean | undefined;
  /** The client's certificate, sent when the server asks for it. If the file does not exist there is no certificate. */
  readonly certFile?: string | undefined;
  /** The private key of the client's certificate. */
  readonly keyFile?: string | undefined;
  readonly keyPassword?: string | undefined;
  /**
   * Trusted certificates. If the file exists, the server's certificate is verified in every mode. If it does not exist,
   * verify-ca and verify-full fail. `system` (libpq 16) stands for the runtime's own collection. The caller fills in
   * libpq's default, `~/.postgresql/root.crt`.
   */
  readonly rootCertFile?: string | undefined;
  /** A list of revoked certificates. It is ignored if it cannot be read. */
  readonly crlFile?: string | undefined;
  /** A directory with such lists. Those that cannot be read are ignored. */
  readonly crlDirectory?: string | undefined;
  /** What reads these files. Default: `configuredFiles`, which is for files that the configuration names. */
  readonly files?: HostFiles | undefined;
  /** Default: TLSv1.2. */
  readonly minVersion?: SecureVersion | undefined;
  readonly maxVersion?: SecureVersion | undefined;
  /** Whether a failed handshake under `prefer` is followed by an attempt without TLS. Default: true. */
  readonly fallback?: boolean | undefined;
}

/** The oldest version of TLS that is used unless another is asked for. */
export const DEFAULT_MIN_VERSION: SecureVersion = 'TLSv1.2';

/** TLS could not be set up. The message is libpq's, a byte string. */
export class TlsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TlsError';
  }
}
