import { randomBytes } from 'node:crypto';
import { kindOfType } from '../../../dblink/functions.js';
import type { RemoteStyle } from '../../../dblink/remote/results.js';
import { PrimaryRaised } from '../../../primary/raised.js';
import type { SessionFacts } from '../../../primary/sessionFacts.js';
import type { SessionContext } from '../../../session/context.js';
import {
  type Argument,
  CannotRewrite,
  type DblinkCall,
  declaredTypes,
  type Rewritten,
  rewrite,
  type Statement,
} from '../../../sql/index.js';
import { movePosition } from '../../../sql/rewrite/qualifyCalls.js';
import type { PgError } from '../../../wire/errors.js';
import type { BindFields } from '../../../wire/messages.js';
import type { CallResult } from '../../calls/callRunner.js';
import { type ColumnType, describeColumns, needsJsonText } from '../../calls/columns.js';
import type { SourceShape } from '../../calls/sourceShape.js';
import { NeedsBridge, NoSuchSignature } from '../../failures.js';

const BYTEA = 17;
const NO_ROWS = Buffer.from('[]', 'latin1');

/** A statement with calls, as the client sent it. */
export interface SpliceSource {
  readonly text: Buffer;
  readonly statement: Statement;
  /** OIDs of its parameters' types, as far as the client declared them. */
  readonly clientTypes: readonly number[];
}

/** A statement whose calls are replaced by parameters. The primary gets it in the place of the client's text. */
export interface SplicedStatement {
  readonly rewritten: Rewritten;
  /** Number of the client's parameters; those of the proxy come after them. */
  readonly parameters: number;
  readonly shapes: ReadonlyMap<DblinkCall, SourceShape>;
}

/** Guesses from the declared type's name, before the types are known. A domain over json is not seen. */
const looksLikeJson = (type: string): boolean => /^\s*(pg_catalog\.)?jsonb?\s*$/i.test(type);

/**
 * Rewrites a statement.
 * @param types of the columns of each source, where they are known
 * @param styled the sources' values are read in a DateStyle and an IntervalStyle that are given as parameters
 * @throws NeedsBridge when it cannot be rewritten
 */
export function spliceStatement(
  context: SessionContext,
  { text, statement, clientTypes }: SpliceSource,
  types: ReadonlyMap<DblinkCall, readonly ColumnType[]>,
  styled?: 'styled',
): SplicedStatement {
  const parameters = Math.max(statement.parameters, clientTypes.length);
  const rewritten = rewriteOrRefuse(text, statement, parameters + 1, {
    sourceColumns: (call) => {
      const known = types.get(call);
      const columns = call.use.kind === 'source' ? call.use.columns : [];
      return columns.map((column, i) => ({
        jsonText: known === undefined ? looksLikeJson(column.type) : needsJsonText(known[i]!),
      }));
    },
    countCharacters: context.encodings.countCharacters,
    styled: styled !== undefined,
    argumentTypes: (call) =>
      declaredTypes(
        call.name,
        call.args.map((a) => knownType(a, clientTypes)),
      ),
  });
  const shapes = new Map<DblinkCall, SourceShape>(
    statement.calls.map((call, i) => [
      call,
      { keys: rewritten.keys[i] ?? [], asArray: rewritten.asArray[i] ?? [], types: types.get(call) },
    ]),
  );
  return { rewritten, parameters, shapes };
}

/** The type of an argument. The text leaves a parameter's type open; it is the one that the client declared, if it did. */
function knownType(argument: Argument, clientTypes: readonly number[]): Argument['type'] {
  if (argument.type !== 'parameter') return argument.type;
  const kind = kindOfType(clientTypes[(argument.parameters[0] ?? 0) - 1] ?? 0);
  return kind === 'unknown' ? 'parameter' : kind === 'other' ? 'expression' : kind;
}

const rewriteOrRefuse: typeof rewrite = (...args) => {
  try {
    return rewrite(...args);
  } catch (error) {
    throw error instanceof CannotRewrite ? new NeedsBridge(error.message) : error;
  }
};

/**
 * The types of all sources' columns. A column definition list that the primary refuses is left out.
 * @param end see PrimaryLink.run
 * @throws PrimaryRaised see describeColumns
 */
export async function sourceTypes(
  context: SessionContext,
  statement: Statement,
  end: 'flush' | 'sync',
): Promise<ReadonlyMap<DblinkCall, readonly ColumnType[]>> {
  const types = new Map<DblinkCall, readonly ColumnType[]>();
  await Promise.all(
    statement.calls.map(async (call) => {
      if (call.use.kind !== 'source' || call.use.columns.length === 0) return;
      const found = await describeColumns(context.primary, call.use.columns, end);
      if (found !== undefined) types.set(call, found);
    }),
  );
  return types;
}

/** Whether the first rewriting, before the types were known, guessed right about json columns. */
export function assumedRight(types: ReadonlyMap<DblinkCall, readonly ColumnType[]>): boolean {
  return [...types].every(
    ([call, columns]) =>
      call.use.kind !== 'source' ||
      call.use.columns.every((column, i) => looksLikeJson(column.type) === needsJsonText(columns[i]!)),
  );
}

/** OIDs of types for Parse: the client's, then bytea for each call. Those of a style's parameters are left to the server. */
export function parameterTypes(clientTypes: readonly number[], parameters: number, calls: number): number[] {
  return [
    ...Array.from({ length: parameters }, (_, i) => clientTypes[i] ?? 0),
    ...Array.from({ length: calls }, () => BYTEA),
  ];
}

/**
 * Values of the parameters that a styled statement has behind those of its calls: the style to read in, then the style to go back
 * to.
 */
export function styleValues(facts: SessionFacts, style: RemoteStyle): readonly Buffer[] {
  const settings = [style.dateStyle, style.intervalStyle, facts.style.dateStyle, facts.style.intervalStyle];
  return settings.map((setting) => Buffer.from(setting ?? '', 'latin1'));
}

/**
 * A Bind with values for the calls behind the client's own values.
 * @param fields of the client's Bind, perhaps with other names of statement and portal
 */
export function bindWith(fields: BindFields, values: readonly (Buffer | null)[]): BindFields {
  const given = fields.values.length;
  const formats =
    fields.formats.length === 0
      ? Array.from({ length: given }, () => 0)
      : fields.formats.length === 1
        ? Array.from({ length: given }, () => fields.formats[0]!)
        : [...fields.formats];
  return {
    ...fields,
    formats: [...formats, ...values.map(() => 1)],
    values: [...fields.values, ...values],
  };
}

/** An error of the rewritten text, with its position in the client's. */
export const mapPosition = (error: PgError, { rewritten }: SplicedStatement): PgError =>
  movePosition(error, (position) => rewritten.mapPosition(position));

/** The complaint about a function that holds an argument of a call in the rewritten text. The group is the argument's type. */
const HOLDER = /^function pg_catalog\.(?:text|bool|int4)send\((.*)\) does not exist$/;

/**
 * An error that the primary raised for a rewritten statement, as an error of the client's statement.
 * @returns NoSuchSignature when no signature takes an argument's type, and the primary can still say so itself
 */
export function statementError(
  context: SessionContext,
  error: PgError,
  statement: Statement,
  spliced: SplicedStatement,
): PrimaryRaised | NoSuchSignature {
  const mapped = mapPosition(error, spliced);
  const type = error.sqlstate === '42883' ? HOLDER.exec(error.message)?.[1] : undefined;
  if (type === undefined) return new PrimaryRaised(mapped);
  if (!context.inBlock) return new NoSuchSignature();
  // The block has failed already, so the primary would not look at the statement again.
  const position = Number(mapped.fields.position) - 1;
  const call =
    statement.calls.find((c) => c.span.start <= position && position < c.span.end) ?? statement.calls[0]!;
  const types = call.args.map((a) =>
    a.type === 'unknown' ? 'unknown' : a.type === 'boolean' ? 'boolean' : type,
  );
  const name = call.schema === undefined ? call.name : `${call.schema}.${call.name}`;
  return new PrimaryRaised(mapped.with({ message: `function ${name}(${types.join(', ')}) does not exist` }));
}

/**
 * Values with which a statement can be bound before anything remote has run: no rows, no values (docs/decisions/002-dry-run.md).
 */
export const dryValues = (statement: Statement): readonly (Buffer | null)[] =>
  statement.calls.map((call) => (call.use.kind === 'source' ? NO_ROWS : null));

/**
 * What stands for failed sources. Each is bound to one word that is not JSON, so PostgreSQL raises an error when it reaches the
 * source, and only then. PostgreSQL names the word in its complaint, which tells whose error it is
 * (docs/decisions/003-poison.md).
 */
export class Poison {
  /** Random, since the primary's error may quote anything. Made when it is needed: for most statements it is not. */
  #token: string | undefined;
  readonly #errors: PgError[] = [];

  /** The values of the parameters that stand for the calls. */
  values(statement: Statement, results: readonly CallResult[]): readonly (Buffer | null)[] {
    return results.map((result, i) => {
      if (result.kind === 'failed') {
        this.#errors.push(result.error);
        this.#token ??= randomBytes(12).toString('hex');
        return Buffer.from(`dblink_${this.#token}_${this.#errors.length - 1}`, 'latin1');
      }
      if (result.value === null && statement.calls[i]!.use.kind === 'source') return NO_ROWS;
      return result.value;
    });
  }

  constructor(private readonly context: SessionContext) {}

  /**
   * The error for which the primary's error about a failed source stands, in the client's encoding.
   * @returns undefined when the primary's error is about something else
   */
  translate(error: PgError): PgError | undefined {
    if (this.#token === undefined) return undefined;
    const { context, detail, message } = error.fields;
    const match = new RegExp(`${this.#token}_(\\d+)`).exec(`${context ?? ''}\n${detail ?? ''}\n${message}`);
    const meant = match === null ? undefined : this.#errors[Number(match[1])];
    return meant && this.context.encodings.inClient(meant);
  }
}
