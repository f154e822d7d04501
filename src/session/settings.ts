import type { HostRules } from '../dblink/connections/hostAccess.js';
import type { DeclaredServer } from '../primary/declaredServers.js';
import type { SocketAddress } from '../wire/address.js';
import type { TlsOptions } from '../wire/tls/tls.js';

/** Where the primary is and how it is reached. */
export interface PrimarySettings {
  readonly address: SocketAddress;
  /** Host name, or socket directory, and port: where a dblink connection string without a host leads. */
  readonly name: string;
  readonly port: number;
  readonly tls: TlsOptions;
  /** Whether a password may be sent to it in clear text without TLS. */
  readonly plainPassword: boolean;
}

/** The proxy's own account on the primary, never the client's. */
export interface ServiceAccount {
  readonly address: SocketAddress;
  readonly tls: TlsOptions;
  /** Whether its password may be sent in clear text without TLS. Default: no. */
  readonly plainPassword?: boolean;
  readonly user: string;
  readonly password: string | undefined;
  /** Where it connects when no session's database is meant. */
  readonly database: string;
}

/** What the router has to know of the configuration. */
export interface RouterSettings {
  /** `relay`: the client authenticates to the primary; `password`: the proxy asks the client and does it itself. */
  readonly auth: 'relay' | 'password';
  readonly primary: PrimarySettings;
  /** Undefined when the primary's URL names no user. */
  readonly service: ServiceAccount | undefined;
  /** Certificate and key for clients; undefined refuses TLS. */
  readonly clientTls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  /** From accept until the client is authenticated; 0 for no limit. */
  readonly loginTimeoutMs: number;
  /** Until the primary has accepted a connection; 0 for no limit. */
  readonly primaryConnectTimeoutMs: number;
  /** Largest Query or Parse that is inspected for dblink calls. */
  readonly maxStatementBytes: number;
  /** Largest result of a remote that is handed to the primary in memory. */
  readonly maxSpliceBytes: number;
  /** Connections to remotes that are being opened at a time: of one session, and of all beside one of each. */
  readonly remoteLogins: { readonly perSession: number; readonly total: number };
  /** The most SCRAM iterations that a remote or the primary may ask the proxy for. */
  readonly maxScramIterations: number;
  /** What connection strings may use of the proxy's host. */
  readonly hostRules: HostRules;
  /** Servers that are found by name where the primary has no foreign server of that name. */
  readonly servers: readonly DeclaredServer[];
  /** Schemas in which the names of dblink's functions mean dblink. */
  readonly dblinkSchemas: readonly string[];
  /** Calls of the extension's own functions are the primary's to carry out, where it has the extension. */
  readonly leaveToExtension: boolean;
  /** Whether functions of the primary can have dblink calls carried out. */
  readonly bridge: boolean;
  /** Leave to the bridge whatever it can serve, for comparisons. */
  readonly bridgeOnly: boolean;
}

/** What to do where a primary without TLS asks for a password in clear text. */
export const CLEARTEXT_HINT =
  'Use TLS to the primary (sslmode=verify-full), or another method than "password" in its pg_hba.conf. To send passwords in ' +
  'clear text all the same, put sslmode=disable&allow_cleartext=true into the URL of the setting "primary".';

/** The part of a logger that the router needs. */
export interface RouterLog {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
