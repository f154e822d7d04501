import type { AuditedStatements } from '../audit/index.js';
import type { WrittenAccess, WrittenPolicy } from '../policy/index.js';
import type { DeclaredServer } from '../primary/declaredServers.js';
import type { ListenAddress } from './listen.js';
import type { Renamed } from './names.js';
import type { PrimaryAddress } from './primary.js';
import type { SourceValues } from './schema.js';

/** Paths of the certificate chain and the private key, both PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** What is configured for the databases of one name. */
export interface DatabaseConfig {
  readonly primary: PrimaryAddress;
}

/** The schema's values with everything that has a default present. */
export type Complete = {
  [Name in keyof SourceValues]-?: NonNullable<SourceValues[Name]> extends infer Group
    ? Name extends 'databases' | 'tls' | 'listen' | 'unix_socket_mode' | 'access' | 'proxy_protocol'
      ? Group
      : Group extends object
        ? { readonly [Inner in keyof Group]-?: NonNullable<Group[Inner]> }
        : Group
    : never;
};

/**
 * The configuration as the rest of the program sees it: checked and complete. Only the schema says what a setting does and which
 * unit it has. Settings have the same names here as in the file, but in camel case.
 */
export interface Config {
  readonly listen: readonly ListenAddress[];
  /** Mode of Unix sockets. Undefined leaves it to the process's umask. */
  readonly unixSocketMode: number | undefined;
  /** By database name. `*` stands for every other. Empty only if `embedded` is set or the check was partial. */
  readonly databases: ReadonlyMap<string, DatabaseConfig>;
  readonly embedded: boolean;
  /** How many processes serve sessions. */
  readonly workers: number;
  readonly auth: Complete['auth'];
  readonly applicationNameAddHost: boolean;
  /** Addresses, networks and names of networks. */
  readonly proxyProtocol: readonly string[];
  readonly access: readonly WrittenAccess[];
  readonly tls: TlsFiles | undefined;
  readonly log: Renamed<Complete['log']>;
  readonly audit: {
    /** A path, or `stderr`; undefined for no audit. */
    readonly file: string | undefined;
    readonly statements: AuditedStatements;
    readonly onFull: 'wait' | 'drop';
    readonly buffer: number;
  };
  readonly timeouts: Renamed<Complete['timeouts']>;
  readonly limits: Renamed<Complete['limits']>;
  readonly dblink: Omit<Renamed<Complete['dblink']>, 'servers'> & {
    readonly servers: readonly DeclaredServer[];
  };
  readonly policy: WrittenPolicy;
  readonly tcp: Renamed<Complete['tcp']>;
  readonly http: {
    /** Undefined for nowhere. */
    readonly listen: (ListenAddress & { kind: 'tcp' }) | undefined;
    readonly token: string | undefined;
  };
  /** The value of each setting that has one, by its key. Some are secret. */
  readonly values: Readonly<Record<string, unknown>>;
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
