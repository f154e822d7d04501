import type { SocketAddress } from '../address.js';
import type { ScramKeys } from '../auth/scram.js';
import type { ErrorFields } from '../errors.js';
import type { TlsOptions } from '../tls/tls.js';
import type { KeepAlive } from './socket.js';

/** Everything that is needed to connect to one server and log in. */
export interface ConnectOptions {
  readonly address: SocketAddress;
  /** The server in messages, a byte string; from the address and the TLS server name by default (describeServer). */
  readonly describe?: string | undefined;
  readonly tls: TlsOptions;
  /**
   * The startup packet's parameters in this order: user, database, options … A string is a byte string, one character
   * for each byte, as in ErrorFields; a Buffer is taken as it is.
   */
  readonly startup: readonly (readonly [string, string | Buffer])[];
  /** The version to ask for, as protocolVersion(major, minor); 3.0 by default. */
  readonly protocolVersion?: number | undefined;
  readonly password?: Buffer | undefined;
  readonly channelBinding?: 'disable' | 'prefer' | 'require' | undefined;
  readonly requireAuth?: string | undefined;
  /** Whether a server without TLS may be sent the password itself. Default: yes, as in libpq. */
  readonly plainPassword?: boolean | undefined;
  /** For SCRAM, in the place of the password. */
  readonly scramKeys?: ScramKeys | undefined;
  /** For the whole of `connect`, second attempts included; none when 0 or left out. */
  readonly timeoutMs?: number | undefined;
  readonly keepAlive?: KeepAlive | undefined;
  /** For whom this is: what takes processor time is done for one owner after the other. */
  readonly owner?: object | undefined;
  readonly limits?:
    | {
        /** Longest message other than a row or COPY data. Default: 16 MiB. */
        readonly maxControlMessageBytes?: number | undefined;
        readonly maxScramIterations?: number | undefined;
      }
    | undefined;
  /** Takes notices from the first message on; becomes the client's `onNotice`. */
  readonly onNotice?: ((fields: ErrorFields) => void) | undefined;
}
