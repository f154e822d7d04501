import type { SessionAudit } from '../audit/index.js';
import type { ScramKeys } from '../wire/auth/scram.js';
import type { PgError } from '../wire/errors.js';
import type { WireClient } from '../wire/outbound/index.js';
import type { Turns } from '../wire/pace/turns.js';
import type { RemoteAdmission } from './connections/admission.js';
import type { Family } from './connections/family.js';
import type { ForeignServer } from './connections/foreignServer.js';
import type { HostRules } from './connections/hostAccess.js';
import type { KeptConnections } from './connections/keptConnections.js';
import type { OwnCluster, PrimaryServer } from './connections/ownCluster.js';
import type { Access } from './connections/permission.js';
import type { SessionMemory } from './memory.js';
import type { TextEffect } from './remote/textEffect.js';

/** How long things may take that are done for dblink calls, in ms; 0 for no limit. */
export interface RemoteTimes {
  /** Connecting to one address, the login included. */
  readonly remoteConnect: number;
  /** Finding the addresses of a host. */
  readonly lookup: number;
  /** A query string on a remote. */
  readonly remoteStatement: number;
  /** How long a connection that stays open may be unused outside of a transaction. */
  readonly idleDblink: number;
}

/** What a session's dblink functions know about the place where they run. It does not change during the session. */
export interface DblinkHome {
  /**
   * Where a connection string without a host leads: host name, address or socket directory of the primary, and its port.
   */
  readonly primaryHost: string;
  readonly primaryPort: number;
  /** The session's user and database, byte strings. */
  readonly user: string;
  readonly database: string;
  /**
   * How the client logged in, for use_scram_passthrough: its SCRAM keys; `relayed` when it used SCRAM but the proxy only
   * passed the exchange on; undefined when it did not use SCRAM.
   */
  readonly scram?: () => ScramKeys | 'relayed' | undefined;
  /** Who may reach what; without it, everybody everything. */
  readonly access?: Access;
  /** Is told of connections and statements; undefined without an audit. */
  readonly audit?: SessionAudit | undefined;
  /** Without these there is no limit. */
  readonly times?: RemoteTimes;
  /** What connection strings may use of the proxy's host; DEFAULT_HOST_RULES if it is not given. */
  readonly hostRules?: HostRules | undefined;
  /**
   * Shared by all sessions: limits how many connections are being made at a time. A connection keeps its turn from the
   * look-up of its host to the end of its login.
   */
  readonly logins?: Turns | undefined;
  /** The largest number of SCRAM iterations that a remote may ask for. */
  readonly maxScramIterations?: number | undefined;
  /** Gives places for remote connections; without it their number has no limit. */
  readonly admission?: RemoteAdmission;
  /** Keeps connections of single calls for the next ones; without it they are closed. */
  readonly kept?: KeptConnections;
  /** What SQL for a remote may do, as far as that can be told at once; without it, anything. */
  readonly effectOf?: (sql: Buffer) => TextEffect;
  /** The same for texts of any length. It may take its time for long ones. Without it no text is sent to a server that is read-only. */
  readonly readEffect?: (sql: Buffer) => TextEffect | Promise<TextEffect>;
  /** The session's part of the memory for results; without it there is no limit. */
  readonly memory?: SessionMemory;
  /**
   * Has connections that nobody uses leave databases, before a remote gets a command that wants them for itself
   * (databaseCommand.ts). Never rejects.
   * @param awaited whether the call waits until the command is over
   */
  readonly makeWay?: (databases: readonly string[], awaited: boolean) => Promise<void>;
  /** Whose turn it is where sessions take turns. By default the session's own; of nested sessions the client's. */
  readonly owner?: object;
  /** The client's user, by which connections are counted; by default the session's own. A byte string. */
  readonly countedFor?: string;
  /** What a client's session and those that are nested in it have together; without it the session is alone. */
  readonly family?: Family;
  /** Serves connections that lead to the primary's own cluster; without it they are as any other. */
  readonly nesting?: Nesting;
}

/** Serves the sessions that dblink connections to the primary's cluster are, so that dblink works in them, too. */
export interface Nesting {
  readonly ownCluster: OwnCluster;
  /**
   * Begins to serve the session of a connection that has just been made.
   * @throws PgError 54001 when it would be nested too deeply
   */
  serve(client: WireClient): void;
}

/** Facts about the session that may change from statement to statement. */
export interface DblinkFacts {
  /**
   * Whether the role whose rights count may be a superuser. false is certain. true is what was known before the call, and
   * has to be confirmed where it decides.
   */
  readonly superuser: boolean;
  /** Whether the client's transaction is read-only. */
  readonly readOnly: boolean;
  /** Asks the primary whether the role is a superuser now. @throws PgError what the primary raised */
  readonly confirmSuperuser: () => Promise<boolean>;
  /**
   * Finds the foreign server of a name, with the user mapping of the role whose rights count.
   * @param name at most as long as an identifier; a byte string
   * @param asOwner for dblink_connect_u: the rights of the function's owner count
   * @returns undefined when there is no such server
   * @throws PgError 42704 without a user mapping, 42501 without USAGE; the signal's reason
   */
  readonly findServer: (
    name: string,
    asOwner: boolean,
    signal: AbortSignal,
  ) => Promise<ForeignServer | undefined>;
  /**
   * Whether the role whose rights count is a member of one of these roles, whose names are text. Undefined when no role is proven.
   * @throws PgError what the primary raised
   */
  readonly isMember: (roles: readonly string[]) => Promise<boolean | undefined>;
  /** The primary's major version. Where versions of the extension differ, the proxy behaves as this one does. */
  readonly primaryMajor: number;
  /** The primary itself. Without it none of the session's connections are taken for such to its cluster. */
  readonly primaryServer?: PrimaryServer;
  /** The encoding of the database, by PostgreSQL's name. */
  readonly databaseEncoding: string;
}

/** The circumstances of one call of a dblink function. */
export interface CallContext {
  readonly facts: DblinkFacts;
  /** Takes a NOTICE that the client is to get. */
  readonly notice: (notice: PgError) => void;
  /** Aborted when the client cancels or a time limit passes; its reason is the PgError to raise. */
  readonly signal: AbortSignal;
}
