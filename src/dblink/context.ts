import type { ScramKeys } from '../wire/auth/scram.js';
import type { PgError } from '../wire/errors.js';
import type { Turns } from '../wire/pace/turns.js';
import type { RemoteAdmission } from './connections/admission.js';
import type { ForeignServer } from './connections/foreignServer.js';
import type { HostRules } from './connections/hostAccess.js';
import type { SessionMemory } from './memory.js';

/** What a session's dblink functions know of the place where they run; fixed for the session. */
export interface DblinkHome {
  /** Where a connection string without a host leads. */
  readonly primaryHost: string;
  readonly primaryPort: number;
  /** The session's user and database, byte strings. */
  readonly user: string;
  readonly database: string;
  /**
   * How the client logged in, for use_scram_passthrough: its keys, `relayed` when it used SCRAM but the proxy only passed
   * the exchange on, or undefined when it did not use SCRAM.
   */
  readonly scram?: () => ScramKeys | 'relayed' | undefined;
  /** What connection strings may use of the proxy's host; superusers' by default. */
  readonly hostRules?: HostRules | undefined;
  /** Shared by all sessions: a turn for each connection that is being made, from its look-up to the end of its login. */
  readonly logins?: Turns | undefined;
  readonly maxScramIterations?: number | undefined;
  /** Gives places for connections; without it there is no limit. */
  readonly admission?: RemoteAdmission;
  /** The session's part of the memory for results; without it there is no limit. */
  readonly memory?: SessionMemory;
}

/** Facts about the session that may change from statement to statement. */
export interface DblinkFacts {
  /** Whether the current role is a superuser. */
  readonly superuser: boolean;
  /** Asks the primary whether that still holds. @throws PgError what the primary raised */
  readonly confirmSuperuser: () => Promise<boolean>;
  /**
   * The foreign server of that name, for the role whose rights the call has.
   * @param name at most as long as an identifier
   * @param asOwner dblink_connect_u: for the function's owner
   * @returns undefined when there is none
   * @throws PgError 42704 without a user mapping, 42501 without USAGE; the signal's reason
   */
  readonly findServer: (
    name: string,
    asOwner: boolean,
    signal: AbortSignal,
  ) => Promise<ForeignServer | undefined>;
  /** The primary's major version: the proxy follows it where versions differ. */
  readonly primaryMajor: number;
  /** The encoding of the database, PostgreSQL's name. */
  readonly databaseEncoding: string;
}

/** The circumstances of one call of a dblink function. */
export interface CallContext {
  readonly facts: DblinkFacts;
  /** Takes a NOTICE for the client. */
  readonly notice: (notice: PgError) => void;
  /** Aborted when the client cancels or a time limit passes; its reason is the PgError to raise. */
  readonly signal: AbortSignal;
}
