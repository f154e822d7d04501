import { MessageSink } from '../../../primary/answerSink.js';
import { PrimaryRaised } from '../../../primary/raised.js';
import type { SessionFacts } from '../../../primary/sessionFacts.js';
import type { Engine } from '../../../session/context.js';
import type { DblinkCall, Statement } from '../../../sql/index.js';
import type { PgError } from '../../../wire/errors.js';
import {
  type BindFields,
  bind,
  bindParts,
  commandComplete,
  dataRow,
  describe,
  execute,
  parse,
} from '../../../wire/messages.js';
import { Backend, EMPTY } from '../../../wire/protocol.js';
import type { ColumnType } from '../../calls/columns.js';
import { checkArguments, isLocal, NO_PARAMETERS } from '../../calls/evaluateArguments.js';
import type { Plan } from '../../decide/plan.js';
import { runCalls } from '../streamOrCollect.js';
import type { PreparedCache } from './preparedCache.js';
import {
  assumedRight,
  bindWith,
  dryValues,
  mapPosition,
  Poison,
  parameterTypes,
  type SplicedStatement,
  sourceTypes,
  spliceStatement,
  statementError,
  styleValues,
} from './splicedStatement.js';

/** The unnamed statement and portal, which a Query message destroys anyway; everything in text format. */
const UNNAMED: BindFields = { portal: EMPTY, statement: EMPTY, formats: [], values: [], resultFormats: [] };

/** What became of a statement. */
interface Spliced {
  readonly plan: Plan;
  /** CommandComplete, which the client gets when the statement's transaction is known to hold. */
  readonly tag: Buffer | undefined;
}

/** A statement of a Query message whose calls are to be spliced or streamed. */
export interface SimpleSplice {
  readonly text: Buffer;
  readonly statement: Statement;
  readonly facts: SessionFacts;
  /** What the primary has said about streams. */
  readonly cache: PreparedCache<Prepared>;
  /** The primary has been asked already. */
  readonly preparing: Promise<Prepared> | undefined;
  /** A bridge serves what this cannot. */
  readonly bridged: boolean;
  /** Sends what ends the batch. */
  readonly endBatch: (() => Promise<void>) | undefined;
}

/**
 * The plans `splice` and `stream` for a statement of a Query message: has the primary check the statement, runs the
 * dblink calls, and has the primary finish it with their rows in the place of the calls. Leaves the batch of requests
 * open, unless `endBatch` sends what ends it along with the last request.
 * @throws PgError what a call raised; PrimaryRaised; NoSuchSignature; NeedsBridge: if bridged, nothing has happened yet
 */
export async function spliceSimple(engine: Engine, splice: SimpleSplice): Promise<Spliced> {
  const { text, statement, facts, cache, preparing, bridged, endBatch } = splice;
  const { primary, session } = engine;
  const streams = statement.shape.kind === 'stream';
  const known = preparing === undefined ? knownStream(engine, splice) : undefined;
  const prepared = known ?? (await (preparing ?? prepare(engine, text, statement)));
  if (known === undefined && isCacheable(engine, text, statement)) {
    cache.set(textOf(text, statement), prepared);
  }
  const { description } = prepared;
  let { spliced } = prepared;
  // A SELECT describes its rows before it runs; other statements when they have run.
  const isSelect = statement.tag === 'SelectStmt';

  const outcome = await runCalls(engine, {
    text,
    statement,
    bound: NO_PARAMETERS,
    facts,
    shapes: spliced.shapes,
    allRows: true,
    stream: streams,
    bridged,
    begin: () => {
      if (isSelect && description !== undefined) session.toClient(description);
    },
  });
  if (outcome.kind === 'streamed') {
    return { plan: 'stream', tag: commandComplete(`SELECT ${outcome.rows}`) };
  }
  if (outcome.kind === 'status') {
    session.toClient(dataRow([Buffer.from(outcome.tag, 'latin1')]));
    return { plan: 'stream', tag: commandComplete('SELECT 1') };
  }

  const poison = new Poison(engine);
  let values = poison.values(statement, outcome.results);
  const map = (error: PgError): PgError => poison.translate(error) ?? mapPosition(error, spliced);
  if (outcome.style !== undefined) {
    spliced = spliceStatement(engine, text, statement, 0, prepared.types, { styled: true });
    await dryRun(engine, statement, spliced, false, styleValues(facts, outcome.style));
    values = [...values, ...styleValues(facts, outcome.style)];
  }
  if (known !== undefined && outcome.style === undefined) await dryRun(engine, statement, spliced, false);
  engine.throwIfStopped();
  let tag: Buffer | undefined;
  let described = isSelect;
  const sink = new MessageSink({
    passRows: isSelect,
    message: (type, message) => {
      if (type === Backend.errorResponse) return false;
      if (!described && description !== undefined) {
        described = true;
        session.toClient(description);
      }
      if (type !== Backend.commandComplete) return true;
      tag = Buffer.from(message);
      return false;
    },
  });
  const bound = new MessageSink();
  // Plain columns of a source change nothing about the session.
  if (!streams) primary.forwarded++;
  primary.send(bindParts(bindWith(UNNAMED, values)), { kind: 'bind', sink: bound });
  primary.send(execute(EMPTY), { kind: 'execute', sink });
  // An error is told by the answers below; the end of the batch then has nothing to add.
  const ended = endBatch?.().then(
    () => undefined,
    (failure: unknown) => ({ failure }),
  );
  if (ended === undefined) primary.flush();
  const error = (await bound.answered).error ?? (await sink.answered).error;
  primary.assertOpen();
  if (error !== undefined) {
    await ended;
    throw new PrimaryRaised(map(error));
  }
  const late = await ended;
  if (late !== undefined) throw late.failure;
  return { plan: 'splice', tag };
}

/** What the primary said about a statement. */
export interface Prepared {
  readonly spliced: SplicedStatement;
  readonly description: Buffer | undefined;
  readonly types: ReadonlyMap<DblinkCall, readonly ColumnType[]>;
}

const textOf = (text: Buffer, statement: Statement): Buffer =>
  text.subarray(statement.span.start, statement.span.end);

/** Outside of a transaction a stream leaves nothing to the primary once it has said what the statement returns. */
const isCacheable = (engine: Engine, text: Buffer, statement: Statement): boolean =>
  statement.shape.kind === 'stream' &&
  !engine.inBlock &&
  statement.calls.every((call) => isLocal(call, text, NO_PARAMETERS, engine));

/** What the primary said earlier about a stream. */
export const knownStream = (
  engine: Engine,
  { text, statement, cache }: Pick<SimpleSplice, 'text' | 'statement' | 'cache'>,
): Prepared | undefined =>
  isCacheable(engine, text, statement) ? cache.get(textOf(text, statement)) : undefined;

/** Has the primary parse, plan and describe the statement without running it. @throws PrimaryRaised */
export async function prepare(engine: Engine, text: Buffer, statement: Statement): Promise<Prepared> {
  const none = new Map<DblinkCall, readonly ColumnType[]>();
  const assumed = spliceStatement(engine, text, statement, 0, none);
  const [description, types] = await Promise.all([
    dryRun(engine, statement, assumed, true),
    sourceTypes(engine, statement, 'flush'),
  ]);
  for (const call of statement.calls) {
    if (!isLocal(call, text, NO_PARAMETERS, engine))
      await checkArguments(call, text, NO_PARAMETERS, [], engine);
  }
  const spliced = spliceStatement(engine, text, statement, 0, types);
  if (assumedRight(types)) return { spliced, description, types };
  return { spliced, description: await dryRun(engine, statement, spliced, false), types };
}

/** @param first whether the client gets the notices that the statement raises while it is parsed and planned */
async function dryRun(
  engine: Engine,
  statement: Statement,
  spliced: SplicedStatement,
  first: boolean,
  more: readonly Buffer[] = [],
): Promise<Buffer | undefined> {
  const { primary } = engine;
  const muted = !first;
  const sinks = [new MessageSink({ muted }), new MessageSink({ muted }), new MessageSink({ muted })] as const;
  const types = parameterTypes([], 0, statement.calls.length);
  primary.send(parse(EMPTY, spliced.rewritten.sql, types), { kind: 'parse', sink: sinks[0] });
  primary.send(bind(bindWith(UNNAMED, [...dryValues(statement), ...more])), { kind: 'bind', sink: sinks[1] });
  primary.send(describe('P', EMPTY), { kind: 'describe', sink: sinks[2] });
  primary.flush();
  const answers = await Promise.all(sinks.map((sink) => sink.answered));
  primary.assertOpen();
  const error = answers.find((answer) => answer.error !== undefined)?.error;
  if (error !== undefined) throw statementError(engine, error, statement, spliced);
  return answers[2]!.description;
}
