import { type Answer, MessageSink } from '../../../primary/answerSink.js';
import type { SessionFacts } from '../../../primary/sessionFacts.js';
import type { SessionContext } from '../../../session/context.js';
import type { Statement } from '../../../sql/index.js';
import { close, describe, parse } from '../../../wire/messages.js';
import { MessageReader } from '../../../wire/reader.js';
import type { SourceShape } from '../../calls/sourceShape.js';
import type { KnownStatements, SourceTypes } from './knownStatements.js';
import {
  assumedRight,
  parameterTypes,
  type SplicedStatement,
  type SpliceSource,
  sourceTypes,
  spliceStatement,
  statementError,
} from './splicedStatement.js';

/** What the primary has said of a statement. It says the same of all that differ only in literals (see KnownStatements). */
interface Said {
  /** Types of the client's parameters, as the primary resolved them. */
  readonly parameterTypes: readonly number[];
  /** The whole RowDescription message, in text format. Undefined for a statement without rows. */
  readonly description: Buffer | undefined;
  /** In the order of the calls. */
  readonly shapes: readonly SourceShape[];
  /** Whether it raises a notice about the statement each time. */
  readonly noticed: boolean;
  /** Whether it has bound such a statement without rows, which shows what else is wrong with it. */
  bound: boolean;
}

/** What is kept of the statements of Parse messages. */
export type KnownPrepared = KnownStatements<Said>;

/** A prepared statement whose calls the proxy carries out. If the primary has it, it has it under the same name, rewritten. */
export interface PreparedDblink {
  readonly text: Buffer;
  readonly statement: Statement;
  readonly spliced: SplicedStatement;
  readonly shapes: SplicedStatement['shapes'];
  /** The types of each source's columns. */
  readonly types: SourceTypes;
  readonly said: Said;
  /**
   * The value of PrimaryLink.changes for which it is certain that the primary would bind the statement without an error, if its
   * values can be read. −1 while it is certain for none.
   */
  boundAsOf: number;
  /** Whether the primary has been sent the statement. See WholeBatches. */
  sent: boolean;
  /** The facts for which it was decided that the proxy carries the calls out. */
  facts: SessionFacts;
}

/**
 * Notes that the primary has bound the statement without rows.
 * @param noticed whether it raised a notice
 * @param asOf PrimaryLink.changes when it was asked to
 */
export function noteBound(prepared: PreparedDblink, noticed: boolean, asOf: number): void {
  if (noticed || prepared.said.noticed) return;
  prepared.boundAsOf = asOf;
  prepared.said.bound = true;
}

/** A statement of which the primary has said all that is to be known. It has not been sent yet. */
export function preparedBefore(
  context: SessionContext,
  source: SpliceSource,
  known: KnownPrepared,
): PreparedDblink | undefined {
  const { text, statement, clientTypes } = source;
  const facts = context.probe.current;
  if (facts === undefined) return undefined;
  const found = known.get(text, statement, clientTypes.join());
  if (found === undefined) return undefined;
  const { said, types } = found;
  let spliced: SplicedStatement | undefined;
  return {
    text,
    statement,
    // When the primary has no part in it, it is not needed.
    get spliced() {
      spliced ??= spliceStatement(context, source, types);
      return spliced;
    },
    shapes: new Map(statement.calls.map((call, i) => [call, said.shapes[i]!])),
    types,
    said,
    boundAsOf: said.bound ? context.primary.changes : -1,
    sent: false,
    facts,
  };
}

/**
 * Prepares a statement with dblink calls on the primary: rewritten, and under the client's name.
 * @throws PrimaryRaised with positions in the client's text; NoSuchSignature, NeedsBridge
 */
export async function prepareStatement(
  context: SessionContext,
  name: Buffer,
  source: SpliceSource,
  facts: SessionFacts,
): Promise<PreparedDblink> {
  const { text, statement } = source;
  const { primary } = context;
  // Outside of a batch the types are asked for with a Sync of their own, so that no transaction begins before the client's does.
  const alone = !primary.batchOpen && !context.inBlock;
  const asked = alone ? sourceTypes(context, statement, 'sync') : undefined;
  const parsed = parseAndDescribe(context, name, source, spliceStatement(context, source, new Map()));
  const [described, types] = await Promise.all([parsed, asked ?? sourceTypes(context, statement, 'flush')]);
  const spliced = spliceStatement(context, source, types);
  let resolved = described;
  if (!assumedRight(types)) {
    primary.send(close('S', name), { kind: 'close', sink: new MessageSink() });
    resolved = await parseAndDescribe(context, name, source, spliced);
  }
  const { shapes } = spliced;
  const said = {
    parameterTypes: resolved.types.slice(0, spliced.parameters),
    description: resolved.description,
    shapes: statement.calls.map((call) => shapes.get(call)!),
    noticed: resolved.noticed,
    bound: false,
  };
  return { text, statement, spliced, shapes, types, said, boundAsOf: -1, sent: true, facts };
}

/**
 * Has the primary parse a spliced statement, and describe it.
 * @returns OIDs of the types of all its parameters; the whole RowDescription message, if it has rows; whether a notice came
 * @throws PrimaryRaised, NoSuchSignature
 */
export async function parseAndDescribe(
  context: SessionContext,
  name: Buffer,
  { statement, clientTypes }: SpliceSource,
  spliced: SplicedStatement,
): Promise<{ readonly types: readonly number[] } & Pick<Answer, 'description' | 'noticed'>> {
  const { primary } = context;
  const muted = name === primary.names.styled;
  const parsed = new MessageSink({ muted });
  const described = new MessageSink({ muted });
  const types = parameterTypes(clientTypes, spliced.parameters, statement.calls.length);
  primary.send(parse(name, spliced.rewritten.sql, types), { kind: 'parse', sink: parsed });
  primary.send(describe('S', name), { kind: 'describe', sink: described });
  primary.flush();
  const { error, noticed } = await parsed.answered;
  const answer = await described.answered;
  primary.assertOpen();
  const failure = error ?? answer.error;
  if (failure !== undefined) throw statementError(context, failure, statement, spliced);
  return { types: readParameterTypes(answer.parameters), description: answer.description, noticed };
}

/** Has the primary prepare a statement of which it has said all. @param sink takes the answer */
export function sendPrepared(
  { primary }: SessionContext,
  name: Buffer,
  prepared: PreparedDblink,
  sink: MessageSink,
): void {
  const { spliced, statement, said } = prepared;
  const types = parameterTypes(said.parameterTypes, spliced.parameters, statement.calls.length);
  prepared.sent = true;
  primary.send(parse(name, spliced.rewritten.sql, types), { kind: 'parse', sink });
}

/** The type OIDs of a whole ParameterDescription message. */
export function readParameterTypes(message: Buffer | undefined): readonly number[] {
  if (message === undefined) return [];
  const reader = new MessageReader(message);
  return Array.from({ length: reader.uint16() }, () => reader.uint32());
}
