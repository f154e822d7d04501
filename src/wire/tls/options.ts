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
  /** Who reads these files; as those of the configuration by default. */
  readonly files?: HostFiles | undefined;
  /** Default: TLSv1.2. */
  readonly minVersion?: SecureVersion | undefined;
  readonly maxVersion?: SecureVersion | undefined;
  /** Whether a failed handshake under `prefer` is followed by an attempt without TLS. Default: true. */
  readonly fallback?: boolean | undefined;
}

export const DEFAULT_MIN_VERSION: SecureVersion = 'TLSv1.2';

/** TLS could not be set up; the message is libpq's, as a byte string. */
export class TlsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TlsError';
  }
}
