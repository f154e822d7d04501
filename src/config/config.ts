import type { DeclaredServer } from '../primary/declaredServers.js';
import type { ListenAddress } from './listen.js';
import type { PrimaryAddress } from './primary.js';
import type { LogLevel } from './schema.js';

/** How clients are authenticated; see the setting `auth`. */
export type AuthMode = 'relay' | 'password';

/** Paths of the certificate chain and the private key, both PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** What is configured for the databases of one name. */
export interface DatabaseConfig {
  readonly primary: PrimaryAddress;
}

/** The configuration as the rest of the program sees it: checked, complete, with units in the names. */
export interface Config {
  readonly listen: readonly ListenAddress[];
  /** Mode of Unix sockets that are listened on; undefined: the umask's. */
  readonly unixSocketMode: number | undefined;
  /** By database name; `*` stands for every other. Empty only if `embedded` is set or the check was partial. */
  readonly databases: ReadonlyMap<string, DatabaseConfig>;
  readonly embedded: boolean;
  readonly auth: AuthMode;
  readonly tls: TlsFiles | undefined;
  readonly log: {
    readonly level: LogLevel;
    /** `auto`: on a terminal. */
    readonly pretty: 'auto' | 'true' | 'false';
  };
  /** 0 means no limit. */
  readonly timeouts: {
    /** From accept to the end of authentication. */
    readonly loginMs: number;
    /** Opening a connection to the primary. */
    readonly connectMs: number;
    /** Grace for running transactions at shutdown. */
    readonly shutdownMs: number;
  };
  readonly limits: {
    /** Longest Query or Parse text that is searched for dblink. */
    readonly statementBytes: number;
    /** Largest remote result handed to the primary in memory. */
    readonly spliceBytes: number;
    /** Connections to remotes that are being opened at a time: of one session, and of all beside one of each. */
    readonly remoteLoginsPerSession: number;
    readonly remoteLogins: number;
    /** Of all such results together; 0 means no limit, here and below. */
    readonly memoryBytes: number;
    readonly clients: number;
    readonly remoteConnections: number;
    readonly remoteConnectionsPerSession: number;
    /** File descriptors that remote connections leave for logins. */
    readonly reservedDescriptors: number;
  };
  readonly dblink: {
    readonly schemas: readonly string[];
    /** Who answers where the primary has the extension itself. */
    readonly calls: 'proxy' | 'primary';
    readonly bridge: 'auto' | 'always' | 'off';
    /** Whose connection strings may name files of the proxy's host, and be completed from its environment. */
    readonly hostFiles: 'superusers' | 'everybody' | 'nobody';
    readonly hostEnvironment: 'superusers' | 'everybody' | 'nobody';
    /** The most that a server may ask for. */
    readonly maxScramIterations: number;
    /** Found by name where the primary has no foreign server of that name. */
    readonly servers: readonly DeclaredServer[];
  };
  readonly tcp: {
    /** Idle time before the first probe; 0 switches probes off. */
    readonly keepaliveMs: number;
  };
  /** Combinations that are allowed but deserve a line in the log at the start. */
  readonly warnings: readonly string[];
}

/** The primary that serves `database`, or undefined if none is configured for it. */
export function primaryFor(config: Config, database: string): PrimaryAddress | undefined {
  return (config.databases.get(database) ?? config.databases.get('*'))?.primary;
}

/** The same configuration with `primary` serving every database. */
export function withPrimary(config: Config, primary: PrimaryAddress): Config {
  return { ...config, databases: new Map([['*', { primary }]]) };
}
