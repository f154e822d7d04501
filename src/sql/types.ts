import type { DblinkFunction } from '../dblink/functions.js';

/** What the analysis of SQL text says about its dblink calls. Plain data: it passes between threads unchanged. */

/** Byte span in the SQL text as the client sent it (end exclusive). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type { DblinkFunction } from '../dblink/functions.js';

/** A value that the text alone gives. Strings are bytes of the client's encoding as a latin1 string. */
export type ConstantValue =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'null' };

/**
 * The declared type of an argument, as far as the text tells.
 * - `unknown`: a bare string literal or NULL.
 * - `text`: text or varchar.
 * - `boolean`: a boolean constant, a cast to boolean, or a condition such as AND, OR, NOT, IS NULL, IS TRUE.
 * - `integer`: a whole number that fits integer, or a cast to integer or to smallint, which converts to it.
 * - `number`: another number, or a cast to bigint.
 * - `parameter`: a bare $n.
 * - `expression`: PostgreSQL must say.
 */
export type ArgumentType = 'unknown' | 'text' | 'boolean' | 'integer' | 'number' | 'parameter' | 'expression';

/** An argument of a dblink call. */
export interface Argument {
  readonly span: Span;
  /** The value, where it can be taken from the text without PostgreSQL. */
  readonly constant?: ConstantValue;
  readonly type: ArgumentType;
  /** Numbers of the $n used in it, ascending. */
  readonly parameters: readonly number[];
  /** Evaluating it early cannot fail and cannot be noticed (see harmless.ts). */
  readonly harmless: boolean;
  /**
   * A sub-select in it has column names without a table, and there is a surrounding query. If the sub-select's own tables
   * lack these columns, PostgreSQL takes them from the surrounding query. The argument, evaluated alone, then fails with
   * 42703 or 42P01, which means that the statement needs a bridge. If it does not fail, it means the same alone as in its
   * place.
   */
  readonly perhapsOuter: boolean;
}

/** A column of a column definition list. */
export interface ColumnDefinition {
  /**
   * If `nameExact`, the name as PostgreSQL folds and truncates it. Otherwise as the text has it, as latin1 bytes: folded
   * within ASCII only, and not truncated.
   */
  readonly name: string;
  readonly nameExact: boolean;
  /** The name's token. */
  readonly nameSpan: Span;
  /** The text after the name: type, type modifier, COLLATE (latin1 bytes as written). */
  readonly definition: string;
  readonly definitionSpan: Span;
  /** The type's text without COLLATE. */
  readonly type: string;
  readonly typeSpan: Span;
}

/** A dblink call as a row source: an item of a FROM list. */
export interface SourceUse {
  readonly kind: 'source';
  /** The whole FROM item: LATERAL, call, AS alias(columns). Inside ROWS FROM: the call and its own AS (columns). */
  readonly item: Span;
  /** The user's alias, or the function's name when there is none. */
  readonly alias: string;
  readonly aliasGiven: boolean;
  /** Empty: no column definition list was given (PostgreSQL raises 42601 for it). */
  readonly columns: readonly ColumnDefinition[];
  /** The call is a function of ROWS FROM (…). */
  readonly rowsFrom: boolean;
  /** WITH ORDINALITY stands behind the call. */
  readonly ordinality: boolean;
  /** Where an alias must be put if none was given, as a byte offset: before the column list, or at the call's end. */
  readonly aliasAt: number;
}

/** A call of a function that returns one value; also dblink() outside a FROM list. */
export interface ScalarUse {
  readonly kind: 'scalar';
  /** Set when the call is an item of a FROM list (a function scan with one column). */
  readonly item?: Span;
  readonly aliasGiven: boolean;
  /** An output column without alias takes its name from this call (FigureColname of the grammar). */
  readonly namesColumn: boolean;
}

/** A call of a dblink function. */
export interface DblinkCall {
  readonly name: DblinkFunction;
  /** As it is written in front of the name; undefined for an unqualified name. */
  readonly schema?: string;
  /** From the (qualified) name to the closing parenthesis. */
  readonly span: Span;
  readonly args: readonly Argument[];
  readonly use: SourceUse | ScalarUse;
  /**
   * PostgreSQL is certain to run it, and to run it once. Nothing that is evaluated before it could fail or be noticed
   * (except errors of planning and privilege checks, which a dry run finds).
   */
  readonly certain: boolean;
  /** Reads the session's own state only and cannot fail: dblink_get_connections, dblink_current_query. */
  readonly pure: boolean;
}

/** What a transaction command does. */
export type TransactionKind =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollbackTo'
  | 'prepare'
  | 'commitPrepared'
  | 'rollbackPrepared';

/** A command about the extension dblink itself. Names and versions are bytes of the client's encoding as latin1 strings. */
export type ExtensionCommand =
  | {
      readonly kind: 'create';
      readonly ifNotExists: boolean;
      readonly schema?: string;
      readonly version?: string;
    }
  | { readonly kind: 'drop'; readonly ifExists: boolean; readonly cascade: boolean }
  | { readonly kind: 'update'; readonly version?: string }
  | { readonly kind: 'setSchema'; readonly schema: string }
  | { readonly kind: 'comment' };

/** What can be done with a statement (the plans of the router, without the facts that only a server knows). */
export type Shape =
  /** No dblink call: goes as it is. */
  | { readonly kind: 'none' }
  /** SELECT of nothing but scalar calls, each a whole target. `columns`: the names of its columns. */
  | { readonly kind: 'answer'; readonly columns: readonly string[] }
  /** SELECT of all columns of exactly one source, in their order, and nothing else. */
  | { readonly kind: 'stream' }
  /** Every call may be replaced by its rows or value (rewrite/spliceCalls.ts). */
  | { readonly kind: 'splice' }
  /**
   * CREATE EXTENSION dblink and the like: the bridge's functions stand for the extension
   * (bridge/extension/extensionCommand.ts).
   */
  | { readonly kind: 'extension'; readonly command: ExtensionCommand }
  /** Reads which extensions there are: the bridge is found among them (bridge/extension/dumpQueries.ts). */
  | { readonly kind: 'lookup' }
  /** A DO block that creates the extension (bridge/extension/blocks.ts). */
  | { readonly kind: 'block' }
  /**
   * Has a call that fits several signatures equally well (42725): the primary refuses it (router/decide/ambiguous.ts).
   */
  | { readonly kind: 'ambiguous' }
  /** Cannot be served exactly without a bridge. `reason`: a noun phrase for a HINT. */
  | { readonly kind: 'bridge'; readonly reason: string };

/**
 * What `certain` takes for granted about a function, because the text cannot tell. The function is an ordinary one, which
 * does not return a set. If it surrounds a dblink call, it is not LANGUAGE sql either: inlining could drop the call.
 */
export interface Assumption {
  readonly schema?: string;
  readonly name: string;
  /** A dblink call is in its arguments, or may be. */
  readonly surrounds: boolean;
}

/** One statement of a text. */
export interface Statement {
  /** Without blanks and comments around it, but with a hint comment in front of it; comments inside are kept. */
  readonly span: Span;
  /** The node tag of the parser: SelectStmt, InsertStmt, TransactionStmt, … */
  readonly tag: string;
  /** For a transaction command. */
  readonly transaction?: {
    readonly kind: TransactionKind;
    /** The transaction modes after BEGIN or START TRANSACTION, if any. */
    readonly options?: Span;
    /** AND CHAIN is given. */
    readonly chain?: boolean;
  };
  /** In the order of the text. As far as the text tells, they are evaluated in this order. */
  readonly calls: readonly DblinkCall[];
  /** The highest $n used, 0 if none. */
  readonly parameters: number;
  readonly shape: Shape;
  /** What has to be true on the primary for calls to be `certain`. */
  readonly assumptions: readonly Assumption[];
}

/**
 * What was found in a text. undefined: the text cannot be parsed, or has no dblink call that the proxy would carry out.
 * It goes to the primary untouched.
 */
export type Analysis = { readonly statements: readonly Statement[] } | undefined;

/** What the analysis has to know besides the text. */
export interface AnalyzeOptions {
  /** Schemas in which a qualified dblink function is the extension's. Unqualified names always are. */
  readonly schemas: readonly string[];
}
