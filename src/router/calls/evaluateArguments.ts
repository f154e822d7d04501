import { argumentsOf, type CallArguments } from '../../dblink/callArguments.js';
import { type ArgumentKind, chooseSignature, kindOfType, resolutionOf } from '../../dblink/functions.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { Argument, DblinkCall } from '../../sql/index.js';
import { isAscii } from '../../wire/encoding/encoding.js';
import type { PgError } from '../../wire/errors.js';
import { NeedsBridge, NoSuchSignature } from '../failures.js';

/** Values of the parameters $n of a statement, as the client bound them. */
export interface BoundParameters {
  /** OIDs of their types, as the primary resolved them. */
  readonly types: readonly number[];
  /** As in Bind. */
  readonly formats: readonly number[];
  readonly values: readonly (Buffer | null)[];
}

const NO_PARAMETERS: BoundParameters = { types: [], formats: [], values: [] };

/** SQL text of the client's, with the values of its parameters. */
export interface BoundText {
  readonly text: Buffer;
  readonly bound: BoundParameters;
}

/** The text of a Query message, which has no parameters. */
export const unbound = (text: Buffer): BoundText => ({ text, bound: NO_PARAMETERS });

/**
 * Whether the call's arguments can be had without the primary. Only constants and bare parameters can, and only if their bytes
 * are the same in the database's encoding.
 */
export function isLocal(call: DblinkCall, { text, bound }: BoundText, context: SessionContext): boolean {
  return call.args.every((argument) => {
    if (argument.type === 'parameter')
      return context.encodings.same && localParameter(argument, bound) !== undefined;
    if (argument.constant === undefined) return false;
    if (argument.constant.kind !== 'string') return true;
    return context.encodings.same || isAscii(text.subarray(argument.span.start, argument.span.end));
  });
}

/** Types whose text and binary forms are the same bytes. */
const PLAIN_TEXT_OIDS: ReadonlySet<number> = new Set([25, 1043]);

/** Whether the text and binary forms of a type are the same bytes. @param oid of the type */
export const isPlainText = (oid: number): boolean => PLAIN_TEXT_OIDS.has(oid);

/** The value of a bare text parameter as it was bound. The primary has checked it, or WholeBatches has. */
function localParameter(argument: Argument, bound: BoundParameters): Buffer | null | undefined {
  const index = (argument.parameters[0] ?? 0) - 1;
  return PLAIN_TEXT_OIDS.has(bound.types[index] ?? 0) ? bound.values[index] : undefined;
}

/** Evaluates the arguments of a call for which `isLocal` holds. @throws NoSuchSignature */
export function evaluateLocally(call: DblinkCall, bound: BoundParameters): CallArguments {
  const roles = chooseSignature(
    call.name,
    call.args.map((argument) => (argument.type === 'parameter' ? 'text' : kindOfArgument(argument))),
  );
  if (roles === undefined) throw new NoSuchSignature();
  const values = call.args.map((argument) => {
    if (argument.type === 'parameter') return localParameter(argument, bound) ?? null;
    const { constant } = argument;
    if (constant === undefined || constant.kind === 'null') return null;
    return Buffer.from(String(constant.value), 'latin1');
  });
  return argumentsOf(roles, values);
}

const kindOfArgument = (argument: Argument): ArgumentKind => {
  switch (argument.type) {
    case 'unknown':
    case 'text':
    case 'boolean':
      return argument.type;
    case 'integer':
      // Without a constant this is a cast, to integer or to a type that converts to integer. Which one is not known.
      return argument.constant === undefined ? 'unknown' : 'integer';
    case 'number':
      return 'other';
    default:
      return 'unknown';
  }
};

/** SQL that computes the arguments of a call in the client's text, and where in it each of them stands. */
interface ArgumentQuery {
  readonly call: DblinkCall;
  readonly text: Buffer;
  readonly sql: Buffer;
  /** `at`: where in `sql` the argument begins, in bytes. */
  readonly starts: readonly { readonly at: number; readonly argument: Argument }[];
}

/** Each argument is computed once: as text in the database's encoding, and with its type, which decides the overload. */
function argumentQuery(call: DblinkCall, text: Buffer): ArgumentQuery {
  const columns = call.args.map(
    (_, i) =>
      `pg_catalog.convert_to(x.a${i}::pg_catalog.text, pg_catalog.getdatabaseencoding()), pg_catalog.pg_typeof(x.a${i})::pg_catalog.oid`,
  );
  // One row of VALUES, in which the primary refuses an argument that returns a set (0A000).
  let sql = Buffer.from(`SELECT ${columns.join(', ')} FROM (VALUES (`, 'latin1');
  const append = (bytes: Buffer | string): void => {
    sql = Buffer.concat([sql, typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes]);
  };
  const starts = call.args.map((argument, i) => {
    append(i === 0 ? '(' : ', (');
    const at = sql.length;
    append(text.subarray(argument.span.start, argument.span.end));
    append(')');
    return { at, argument };
  });
  append(`)) AS x(${call.args.map((_, i) => `a${i}`).join(', ')})`);
  return { call, text, sql, starts };
}

/**
 * Has the primary check a call's arguments without computing them. Errors that come when a statement is parsed and planned have
 * to be raised before anything else happens.
 * @throws PrimaryRaised, NeedsBridge
 */
export async function checkArguments(
  call: DblinkCall,
  { text, bound }: BoundText,
  context: SessionContext,
): Promise<void> {
  const query = argumentQuery(call, text);
  const own = { ...bound, sql: query.sql, resultFormats: [1] };
  const { error } = await context.primary.run(own, 'flush', 'bind');
  if (error !== undefined) throw argumentError(error, query, context);
}

/**
 * Evaluates a call's arguments on the primary, in the client's transaction.
 * @throws PrimaryRaised what an argument raised, with positions in the original text; NoSuchSignature, NeedsBridge
 */
export async function evaluateOnPrimary(
  call: DblinkCall,
  { text, bound }: BoundText,
  context: SessionContext,
): Promise<CallArguments> {
  const query = argumentQuery(call, text);
  const own = { ...bound, sql: query.sql, resultFormats: [1], notices: true, changes: callsAny(call, text) };
  const result = await context.primary.run(own, 'flush');
  if (result.error !== undefined) throw argumentError(result.error, query, context);
  const row = result.rows[0] ?? [];
  const kinds = call.args.map((argument, i): ArgumentKind => {
    if (argument.type === 'unknown') return 'unknown';
    if (argument.type === 'parameter') {
      return kindOfType(bound.types[(argument.parameters[0] ?? 0) - 1] ?? 0);
    }
    return kindOfType(row[i * 2 + 1]?.readUInt32BE(0) ?? 0);
  });
  const roles = chooseSignature(call.name, kinds);
  if (roles === undefined) throw new NoSuchSignature();
  return argumentsOf(
    roles,
    call.args.map((_, i) => row[i * 2] ?? null),
  );
}

/** Whether computing the arguments may run code of a user's. That may change the session's settings. */
const callsAny = ({ args }: DblinkCall, text: Buffer): boolean =>
  args.some(({ span, harmless }) => !harmless || text.subarray(span.start, span.end).includes('('));

/**
 * Whether no signature of the function fits the call, as far as types are known before anything is evaluated.
 * @param types OIDs of the parameters' types, as the client declared them
 */
export function fitsNoSignature(call: DblinkCall, types: readonly number[]): boolean {
  const kinds = call.args.map((argument): ArgumentKind | 'open' => {
    if (argument.type === 'parameter') return kindOfType(types[(argument.parameters[0] ?? 0) - 1] ?? 0);
    if (argument.type === 'expression') return 'open';
    // An integer is not `unknown` here. Beside parameters without a type that would make the call ambiguous.
    return argument.type === 'integer' ? 'integer' : kindOfArgument(argument);
  });
  return resolutionOf(call.name, kinds) !== 'chosen';
}

/** An error in SQL that was made of the arguments, with its position in the client's text. */
function argumentError(
  error: PgError,
  { call, text, sql, starts }: ArgumentQuery,
  context: SessionContext,
): Error {
  const unknownName = error.sqlstate === '42703' || error.sqlstate === '42P01';
  if (unknownName && call.args.some((argument) => argument.perhapsOuter)) {
    return new NeedsBridge('an argument that depends on the surrounding query');
  }
  if (error.fields.position === undefined) return new PrimaryRaised(error);
  const count = context.encodings.countCharacters;
  const position = Number(error.fields.position) - 1;
  const start = starts.findLast(({ at }) => position >= count(sql.subarray(0, at)));
  if (start === undefined) return new PrimaryRaised(error.with({ position: undefined }));
  const inArgument = position - count(sql.subarray(0, start.at));
  const before = count(text.subarray(0, start.argument.span.start));
  return new PrimaryRaised(error.with({ position: String(before + inArgument + 1) }));
}
