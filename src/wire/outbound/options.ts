import type { SocketAddress } from '../address.js';
import type { ScramKeys } from '../auth/scram.js';
import type { ConnectionLost } from '../connectErrors.js';
import type { ErrorFields } from '../errors.js';
import type { TlsOptions } from '../tls/tls.js';
import type { KeepAlive } from './socket.js';

/** Everything that is needed to connect to one server and log in. */
export interface ConnectOptions {
  readonly address: SocketAddress;
  /** How messages name the server, a byte string. Default: made of the address and the TLS server name (describeServer). */
  readonly describe?: string | undefined;
  readonly tls: TlsOptions;
  /**
   * The startup packet's parameters in the order in which they are sent: user, database, options … A string is a byte string,
   * one character for each byte, as in ErrorFields. A Buffer is taken as it is.
   */
  readonly startup: readonly (readonly [string, string | Buffer])[];
  /** The protocol version to ask for, as protocolVersion(major, minor). Default: 3.0. */
  readonly protocolVersion?: number | undefined;
  /** The least one that will do: a server that offers an older one is not used. Default: 3.0. */
  readonly minProtocolVersion?: number | undefined;
  readonly password?: Buffer | undefined;
  readonly channelBinding?: 'disable' | 'prefer' | 'require' | undefined;
  /** libpq's require_auth, see AuthenticatorOptions. */
  readonly requireAuth?: string | undefined;
  /** Whether the password itself may be sent on a connection without TLS. Default: yes, as in libpq. */
  readonly plainPassword?: boolean | undefined;
  /** Used for SCRAM instead of the password. */
  readonly scramKeys?: ScramKeys | undefined;
  /** Time limit for the whole of `connect`, second attempts included. No limit when 0 or left out. */
  readonly timeoutMs?: number | undefined;
  readonly keepAlive?: KeepAlive | undefined;
  /** For whom the connection is made. Owners take turns when keys are derived from passwords (KeyOwner). */
  readonly owner?: object | undefined;
  readonly limits?:
    | {
        /** Longest message other than a row or COPY data. Default: 16 MiB. */
        readonly maxControlMessageBytes?: number | undefined;
        /** The largest number of iterations that a server may ask for. Default: DEFAULT_MAX_SCRAM_ITERATIONS. */
        readonly maxScramIterations?: number | undefined;
      }
    | undefined;
  /** Called once when a connection that was made has ended. Must not throw. @param lost whether by anybody but its owner */
  readonly onEnd?: ((reason: ConnectionLost, lost: boolean) => void) | undefined;
  /** Takes notices from the first message on, and becomes `onNotice` of the WireClient. */
  readonly onNotice?: ((fields: ErrorFields) => void) | undefined;
}
