import type { ClientEncoding } from '../compare/encoding.js';
import type { KnownDifference } from '../compare/known-differences.js';

/**
 * A case: what a client does. What should come back is never written down: the extension says it.
 *
 * Placeholders in SQL and parameters: `{R}` the remote's connection string (keywords, superuser), `{URI}` the same as a
 * URI, `{host}`, `{port}` of the remote, `{lport}` the primary's own port as a client of this side sees it, `{text}`
 * text beyond ASCII in the session's encoding.
 */
export interface Case {
  readonly name: string;
  readonly steps: readonly Step[];
  /** SQL that makes ready the schema `scratch` (first in the search_path) of the remote's database. */
  readonly remote?: string;
  /** The same for the database the client connects to. */
  readonly local?: string;
  /** Who logs in; the superuser otherwise. */
  readonly user?: string;
  /** Limits the case to these transports; reason in a comment at the case. */
  readonly transports?: readonly Transport[];
  /** Limits the case to these contexts; reason in a comment at the case. */
  readonly contexts?: readonly Context[];
  /** Limits the case to these sessions; reason in a comment at the case. */
  readonly sessions?: readonly SessionName[];
  /** The case is meaningful from this major of the servers on. */
  readonly minMajor?: number;
  /** … and up to this one. */
  readonly maxMajor?: number;
  /** Entry of known-differences.ts that applies to this case. */
  readonly differs?: KnownDifference;
  /** Needs functions named like dblink's on the primary: the case is not played in the session `bare`. */
  readonly bridged?: true;
}

export type Step = string | StatementStep | FlowStep | OutsideStep;

/** One statement with parameters; always sent with the extended protocol. */
export interface StatementStep {
  readonly sql: string;
  readonly params: readonly Parameter[];
  /** Parameter types to state in Parse; 0 or nothing lets the server infer. */
  readonly types?: readonly number[];
}

/** Text, or a value that has a binary form of its own (int4, bool, bytes as they are). */
export type Parameter = string | number | boolean | Buffer | null;

/** Messages of the extended protocol exactly as given, whatever the transport of the variant. */
export interface FlowStep {
  readonly flow: readonly FlowItem[];
}

export type FlowItem =
  | { readonly op: 'query'; readonly sql: string }
  | { readonly op: 'parse'; readonly name: string; readonly sql: string; readonly types: readonly number[] }
  | {
      readonly op: 'bind';
      readonly portal: string;
      readonly statement: string;
      readonly params: readonly Parameter[];
      readonly paramFormats: readonly number[];
      readonly resultFormats: readonly number[];
    }
  | { readonly op: 'describe' | 'close'; readonly kind: 'S' | 'P'; readonly name: string }
  | { readonly op: 'execute'; readonly portal: string; readonly maxRows: number }
  | { readonly op: 'sync' }
  /** Flush, then wait for all answers due so far before sending more (what postgres.js does). */
  | { readonly op: 'flush-and-wait' }
  | { readonly op: 'flush' };

/** Something that happens elsewhere, on a direct connection of its own, before the next step. */
export interface OutsideStep {
  readonly on: 'remote' | 'local';
  readonly run: string;
}

/** How plain steps are sent; see variants.ts. */
export type Transport =
  | 'simple'
  | 'multi'
  | 'extended'
  | 'binary'
  | 'describe-first'
  | 'row-limit'
  | 'pipeline'
  | 'pipeline-syncs';

/** `app_bare` is without the functions of the bridge. */
export const LOCAL_DATABASES = ['app', 'app_latin1', 'app_ascii', 'app_bare'] as const;
export type LocalDatabase = (typeof LOCAL_DATABASES)[number];

/** In which transaction the steps run. */
export type Context = 'autocommit' | 'block' | 'repeatable-read' | 'savepoint';

export type SessionName = 'utf8' | 'latin1' | 'euc_jp' | 'styles' | 'latin1-db' | 'ascii-db' | 'bare';

export interface Session {
  readonly encoding: ClientEncoding;
  readonly database: LocalDatabase;
  readonly parameters: Readonly<Record<string, string>>;
}

/** One way to run a case. */
export interface Variant {
  readonly transport: Transport;
  readonly context: Context;
  readonly session: SessionName;
}

export function variantName({ transport, context, session }: Variant): string {
  return `${transport}/${context}/${session}`;
}
