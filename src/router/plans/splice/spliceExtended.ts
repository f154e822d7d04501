import { MessageSink } from '../../../primary/answerSink.js';
import type { Engine } from '../../../session/context.js';
import type { DblinkCall, Statement } from '../../../sql/index.js';
import { close, describe, parse } from '../../../wire/messages.js';
import { MessageReader } from '../../../wire/reader.js';
import type { ColumnType } from '../../calls/columns.js';
import {
  assumedRight,
  parameterTypes,
  type SplicedStatement,
  sourceTypes,
  spliceStatement,
  statementError,
} from './splicedStatement.js';

/** A prepared statement whose calls the proxy carries out. The primary has it under the same name, rewritten. */
export interface PreparedDblink {
  readonly text: Buffer;
  readonly statement: Statement;
  readonly spliced: SplicedStatement;
  readonly types: ReadonlyMap<DblinkCall, readonly ColumnType[]>;
  /** Types of the client's parameters, as the primary resolved them. */
  readonly parameterTypes: readonly number[];
}

/**
 * Prepares a statement with dblink calls on the primary, rewritten, under the client's name.
 * @throws PrimaryRaised with positions in the client's text; NoSuchSignature, NeedsBridge
 */
export async function prepareStatement(
  engine: Engine,
  name: Buffer,
  text: Buffer,
  clientTypes: readonly number[],
  statement: Statement,
): Promise<PreparedDblink> {
  const parameters = Math.max(statement.parameters, clientTypes.length);
  const splice = (known: ReadonlyMap<DblinkCall, readonly ColumnType[]>): SplicedStatement =>
    spliceStatement(engine, text, statement, parameters, known, { clientTypes });
  const { primary } = engine;
  // Outside of a batch the types are asked on their own, so that no transaction begins before the client begins one.
  const alone = !primary.batchOpen && !engine.inBlock;
  const asked = alone ? sourceTypes(engine, statement, 'sync') : undefined;
  const parsed = parseAndDescribe(engine, name, splice(new Map()), clientTypes, statement);
  const [described, types] = await Promise.all([parsed, asked ?? sourceTypes(engine, statement, 'flush')]);
  const spliced = splice(types);
  let resolved = described;
  if (!assumedRight(types)) {
    primary.send(close('S', name), { kind: 'close', sink: new MessageSink() });
    resolved = await parseAndDescribe(engine, name, spliced, clientTypes, statement);
  }
  const parameterTypes = resolved.slice(0, parameters);
  return { text, statement, spliced, types, parameterTypes };
}

/** @returns the types of all parameters @throws PrimaryRaised, NoSuchSignature */
export async function parseAndDescribe(
  engine: Engine,
  name: Buffer,
  spliced: SplicedStatement,
  clientTypes: readonly number[],
  statement: Statement,
): Promise<readonly number[]> {
  const { primary } = engine;
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
  if (failure !== undefined) throw statementError(engine, failure, statement, spliced);
  return readParameterTypes(answer.parameters);
}

/** The type OIDs of a whole ParameterDescription message. */
export function readParameterTypes(message: Buffer | undefined): readonly number[] {
  if (message === undefined) return [];
  const reader = new MessageReader(message);
  return Array.from({ length: reader.uint16() }, () => reader.uint32());
}
