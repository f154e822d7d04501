import type { HostRules } from '../dblink/connections/hostAccess.js';
import type { AccessRule, Destination, Policy } from '../policy/index.js';
import type { DeclaredServer } from '../primary/declaredServers.js';
import type { SocketAddress } from '../wire/address.js';
import type { KeepAlive } from '../wire/outbound/socket.js';
import type { TlsOptions } from '../wire/tls/tls.js';

/** Where the primary is and how it is reached. */
export interface PrimarySettings {
  readonly address: SocketAddress;
  /** Host name or socket directory. A dblink connection string without a host leads to this name and port. */
  readonly name: string;
  readonly port: number;
  readonly tls: TlsOptions;
  /** Whether a password may be sent to it in clear text without TLS. */
  readonly plainPassword: boolean;
  readonly keepAlive: KeepAlive;
}

/** The proxy's own account on the primary. It is never the client's. */
export interface ServiceAccount {
  readonly address: SocketAddress;
  readonly tls: TlsOptions;
  /** Whether its password may be sent in clear text without TLS. Default: no. */
  readonly plainPassword?: boolean;
  readonly keepAlive?: KeepAlive;
  readonly user: string;
  readonly password: string | undefined;
  /** The database to connect to when no session's database is meant. */
  readonly database: string;
}

/** How long sessions may be in a state, in ms; 0 for no limit. */
export interface SessionTimes {
  readonly idle: number;
  readonly idleInTransaction: number;
  readonly transaction: number;
}

/**
 * What sessions and the router have to know of the configuration. Settings that come from the configuration file unchanged have
 * the same names here (docs/configuration.md).
 */
export interface RouterSettings {
  /** `relay`: the client authenticates to the primary; `password`: the proxy asks the client and does it itself. */
  readonly auth: 'relay' | 'password';
  readonly primary: PrimarySettings;
  /** Undefined when the primary's URL names no user. */
  readonly service: ServiceAccount | undefined;
  /** Certificate and key for clients; undefined refuses TLS. */
  readonly clientTls: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  /** In ms; 0 for no limit. */
  readonly timeouts: SessionTimes & {
    readonly login: number;
    readonly tlsHandshake: number;
    readonly connect: number;
    readonly lookup: number;
    readonly remoteConnect: number;
    readonly remoteStatement: number;
    readonly idleDblink: number;
  };
  readonly limits: {
    readonly statementBytes: number;
    readonly spliceBytes: number;
    readonly collectedRows: number;
    readonly preparedStatements: number;
    readonly preparedBytes: number;
    readonly pipelinedBytes: number;
    readonly remoteLoginsPerSession: number;
    readonly remoteLogins: number;
  };
  /** Whether the primary is told by application_name where clients are. */
  readonly applicationNameAddHost: boolean;
  /** Whether connections from this address begin with a PROXY header. */
  readonly isBalancer: (address: string | undefined) => boolean;
  /** Who may ask for a session. */
  readonly access: readonly AccessRule[];
  readonly policy: Policy;
  /** Whether an address and port are the proxy's own. */
  readonly isOwn: (destination: Destination, port: number) => boolean;
  readonly dblink: HostRules & {
    readonly schemas: readonly string[];
    readonly calls: 'proxy' | 'primary';
    readonly bridge: 'auto' | 'always' | 'off';
    readonly maxScramIterations: number;
    /** In ms: how long connections of single calls are kept for the next one; 0 for not at all. */
    readonly keep: number;
    readonly servers: readonly DeclaredServer[];
  };
}

/** A hint: what to do when a primary without TLS asks for a password in clear text. */
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
