import { MessageSink } from '../../../primary/answerSink.js';
import type { SessionContext } from '../../../session/context.js';
import type { Statement } from '../../../sql/index.js';
import { close, describe, parse } from '../../../wire/messages.js';
import { MessageReader } from '../../../wire/reader.js';
import type { SourceTypes } from './knownStatements.js';
import {
  assumedRight,
  parameterTypes,
  type SplicedStatement,
  type SpliceSource,
  sourceTypes,
  spliceStatement,
  statementError,
} from './splicedStatement.js';

/** A prepared statement whose calls the proxy carries out. The primary has it under the same name, rewritten. */
export interface PreparedDblink {
  readonly text: Buffer;
  readonly statement: Statement;
  readonly spliced: SplicedStatement;
  /** The types of each source's columns. */
  readonly types: SourceTypes;
  /** Types of the client's parameters, as the primary resolved them. */
  readonly parameterTypes: readonly number[];
}

/**
 * Prepares a statement with dblink calls on the primary: rewritten, and under the client's name.
 * @throws PrimaryRaised with positions in the client's text; NoSuchSignature, NeedsBridge
 */
export async function prepareStatement(
  context: SessionContext,
  name: Buffer,
  source: SpliceSource,
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
  return { text, statement, spliced, types, parameterTypes: resolved.slice(0, spliced.parameters) };
}

/**
 * Has the primary parse a spliced statement, and describe it.
 * @returns OIDs of the types of all its parameters
 * @throws PrimaryRaised, NoSuchSignature
 */
export async function parseAndDescribe(
  context: SessionContext,
  name: Buffer,
  { statement, clientTypes }: SpliceSource,
  spliced: SplicedStatement,
): Promise<readonly number[]> {
  const { primary } = context;
  const muted = name === primary.names.styled;
  const parsed = new MessageSink({ muted });
  const described = new MessageSink({ muted });
  const types = parameterTypes(clientTypes, spliced.parameters, statement.calls.length);
  primary.send(parse(name, spliced.rewritten.sql, types), { kind: 'parse', sink: parsed });
  primary.send(describe('S', name), { kind: 'describe', sink: described });
  primary.flush();
  const { error } = await parsed.answered;
  const answer = await described.answered;
  primary.assertOpen();
  const failure = error ?? answer.error;
  if (failure !== undefined) throw statementError(context, failure, statement, spliced);
  return readParameterTypes(answer.parameters);
}

/** The type OIDs of a whole ParameterDescription message. */
export function readParameterTypes(message: Buffer | undefined): readonly number[] {
  if (message === undefined) return [];
  const reader = new MessageReader(message);
  return Array.from({ length: reader.uint16() }, () => reader.uint32());
}
