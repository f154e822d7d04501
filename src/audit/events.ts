/** What the audit says, a line for each event. What is not known, or does not apply, is left out. docs/audit.md says it to readers. */

/** Whose event it is. */
export interface AuditWho {
  /** Of the process, as in the log. */
  readonly session: number;
  readonly user: string | undefined;
  readonly database: string | undefined;
  /** The client's address; undefined for one that has come by a Unix socket. */
  readonly client: string | undefined;
  /** How deeply the session is nested in the client's; undefined for that one. */
  readonly depth?: number | undefined;
}

/** Where a connection leads. Names that may have a part of a secret in them are left out. */
export interface AuditTarget {
  /** The name by which a foreign or declared server was asked for. */
  readonly server?: string | undefined;
  readonly host?: string | undefined;
  /** What was connected to: an address, or the path of a socket. */
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
}

/** Why a session ended. */
export type EndReason =
  | 'client_terminated'
  | 'client_closed'
  | 'client_violation'
  | 'server_ended'
  | 'server_lost'
  | 'time_limit'
  | 'shutdown'
  | 'internal_error';

/** Why a client could not log in. `rejected`: it was refused, mostly by the primary. `unreachable`: the primary was. */
export type LoginFailure = EndReason | 'rejected' | 'unreachable';

export interface AuditEvents {
  session_opened: { readonly tls: boolean; readonly application?: string | undefined };
  session_ended: {
    readonly reason: EndReason;
    readonly sqlstate?: string | undefined;
    readonly duration_ms: number;
    readonly requests: number;
  };
  login_failed: {
    readonly tls: boolean;
    readonly reason: LoginFailure;
    readonly sqlstate?: string | undefined;
  };
  connection_opened: {
    readonly connection: number;
    readonly to: AuditTarget;
    readonly tls: boolean;
    readonly rule?: string | undefined;
    readonly read_only: boolean;
    readonly duration_ms: number;
  };
  connection_failed: {
    readonly to: AuditTarget;
    readonly rule?: string | undefined;
    readonly stage: 'before' | 'name' | 'network' | 'tls' | 'auth' | 'startup';
    readonly sqlstate: string;
    /** The system's error code. */
    readonly code?: string | undefined;
    readonly duration_ms: number;
  };
  connection_ended: {
    readonly connection: number;
    readonly reason: 'closed' | 'lost';
    readonly sqlstate?: string | undefined;
    readonly duration_ms: number;
  };
  statement: {
    readonly connection: number;
    readonly function: string;
    readonly keyword?: string | undefined;
    readonly fingerprint?: string | undefined;
    readonly text?: string | undefined;
    /** Only the beginning of the text is there. */
    readonly text_cut?: true | undefined;
    /** The text could not be read, so that nothing is told of it. */
    readonly unread?: true | undefined;
    readonly text_bytes: number;
    readonly rows: number;
    readonly bytes: number;
    readonly complete: boolean;
    readonly sqlstate?: string | undefined;
    readonly duration_ms: number;
  };
  refused: {
    readonly kind: 'policy' | 'access' | 'limit' | 'read_only';
    /** The rule, setting or guard that decided. */
    readonly by: string;
    readonly sqlstate: string;
    /** How often the process has refused something by this rule of the policy. */
    readonly count?: number | undefined;
    readonly to?: AuditTarget | undefined;
    readonly connection?: number | undefined;
    readonly function?: string | undefined;
    readonly tls?: boolean | undefined;
  };
  left_to_extension: { readonly functions: readonly string[]; readonly times: 'once' | 'each' };
  dropped: { readonly events: number };
}

/** What statements leave in the audit. */
export type AuditedStatements = 'none' | 'fingerprint' | 'full';
