import { MessageSink } from '../../../primary/answerSink.js';
import type { SessionContext } from '../../../session/context.js';
import type { Statement } from '../../../sql/index.js';
import { type BindFields, bind, describe, parse } from '../../../wire/messages.js';
import { EMPTY } from '../../../wire/protocol.js';
import { checkArguments, isLocal, unbound } from '../../calls/evaluateArguments.js';
import type { SourceShape } from '../../calls/sourceShape.js';
import type { KnownStatements, SourceTypes } from './knownStatements.js';
import {
  assumedRight,
  bindWith,
  dryValues,
  parameterTypes,
  type SplicedStatement,
  sourceTypes,
  spliceStatement,
  statementError,
} from './splicedStatement.js';

/** What the primary said about a statement of a Query message, before anything of it ran. */
export interface Checked {
  readonly spliced: SplicedStatement;
  readonly shapes: SplicedStatement['shapes'];
  /** The whole RowDescription message. Undefined for a statement without rows. */
  readonly description: Buffer | undefined;
  /** The types of each source's columns. */
  readonly types: SourceTypes;
}

/** A statement of a Query message. */
interface Queried {
  /** The text of the whole message. */
  readonly text: Buffer;
  readonly statement: Statement;
}

/** The unnamed statement and portal, which a Query message destroys anyway. Everything is in text format. */
export const UNNAMED: BindFields = {
  portal: EMPTY,
  statement: EMPTY,
  formats: [],
  values: [],
  resultFormats: [],
};

/**
 * Whether what the primary says about a statement can be used again. It can for a stream outside of a transaction: once the
 * primary has said what the statement returns, nothing else is left to it.
 */
const canBeKnown = (context: SessionContext, { text, statement }: Queried): boolean =>
  statement.shape.kind === 'stream' &&
  !context.inBlock &&
  context.probe.lastKnown?.endsIdle !== true &&
  statement.calls.every((call) => isLocal(call, unbound(text), context));

/** What is kept of statements that can be streamed, with the shapes in the order of the calls. */
export type KnownStreams = KnownStatements<
  Pick<Checked, 'description'> & { readonly shapes: readonly SourceShape[] }
>;

/** What the primary said earlier about a statement that can be streamed. Undefined when that is not known. */
export function knownStream(
  context: SessionContext,
  queried: Queried,
  streams: KnownStreams,
): Checked | undefined {
  if (!canBeKnown(context, queried)) return undefined;
  const { statement } = queried;
  const known = streams.get(queried.text, statement);
  if (known === undefined) return undefined;
  const { description, shapes } = known.said;
  let spliced: SplicedStatement | undefined;
  return {
    // When all rows stream, neither is needed.
    get spliced() {
      spliced ??= spliceStatement(context, { ...queried, clientTypes: [] }, known.types);
      return spliced;
    },
    get types() {
      return known.types;
    },
    shapes: new Map(statement.calls.map((call, i) => [call, shapes[i]!])),
    description,
  };
}

/** Keeps what the primary has said, if it is about a statement that can be streamed. */
export function rememberStream(
  context: SessionContext,
  queried: Queried,
  streams: KnownStreams,
  { description, types, shapes: byCall }: Checked,
): void {
  const { text, statement } = queried;
  if (!canBeKnown(context, queried)) return;
  const shapes = statement.calls.map((call) => byCall.get(call)!);
  streams.set(text, statement, { said: { description, shapes }, types });
}

/** Has the primary parse, plan and describe the statement, but not run it. @throws PrimaryRaised, NoSuchSignature, NeedsBridge */
export async function checkSimple(context: SessionContext, { text, statement }: Queried): Promise<Checked> {
  const source = { text, statement, clientTypes: [] };
  const assumed = spliceStatement(context, source, new Map());
  const [description, types] = await Promise.all([
    dryRun(context, statement, assumed, { first: true }),
    sourceTypes(context, statement, 'flush'),
  ]);
  for (const call of statement.calls) {
    if (!isLocal(call, unbound(text), context)) await checkArguments(call, unbound(text), context);
  }
  const spliced = spliceStatement(context, source, types);
  const { shapes } = spliced;
  if (assumedRight(types)) return { spliced, shapes, description, types };
  return { spliced, shapes, description: await dryRun(context, statement, spliced), types };
}

/**
 * Has the primary parse, bind and describe a spliced statement, without rows.
 * @param how `first`: the client gets the notices that the statement raises while it is parsed and planned; `style`: values of
 * the parameters that a styled statement has behind those of its calls
 * @returns the whole RowDescription message, for a statement with rows
 * @throws PrimaryRaised, NoSuchSignature
 */
export async function dryRun(
  context: SessionContext,
  statement: Statement,
  spliced: SplicedStatement,
  { first = false, style = [] }: { readonly first?: boolean; readonly style?: readonly Buffer[] } = {},
): Promise<Buffer | undefined> {
  const { primary } = context;
  const muted = !first;
  const sinks = [new MessageSink({ muted }), new MessageSink({ muted }), new MessageSink({ muted })] as const;
  const types = parameterTypes([], 0, statement.calls.length);
  primary.send(parse(EMPTY, spliced.rewritten.sql, types), { kind: 'parse', sink: sinks[0] });
  primary.send(bind(bindWith(UNNAMED, [...dryValues(statement), ...style])), {
    kind: 'bind',
    sink: sinks[1],
  });
  primary.send(describe('P', EMPTY), { kind: 'describe', sink: sinks[2] });
  primary.flush();
  const answers = await Promise.all(sinks.map((sink) => sink.answered));
  primary.assertOpen();
  const error = answers.find((answer) => answer.error !== undefined)?.error;
  if (error !== undefined) throw statementError(context, error, statement, spliced);
  return answers[2]!.description;
}
