import type { CallArguments } from '../../dblink/callArguments.js';
import type { RemoteStyle } from '../../dblink/remote/results.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import type { DblinkCall, Statement } from '../../sql/index.js';
import { type CallResult, CallRunner, type SourceCall } from '../calls/callRunner.js';
import { heldRows, sameStyle } from '../calls/collectSink.js';
import { convertRows } from '../calls/convertRows.js';
import type { BoundText } from '../calls/evaluateArguments.js';
import type { SourceShape } from '../calls/sourceShape.js';
import { NeedsBridge } from '../failures.js';
import { ignoresStyle } from './stream/streamable.js';
import { mayStream, StreamSink } from './stream/streamSink.js';

/** What running a statement's calls left to do. */
export type CallsOutcome =
  /** The rows have gone to the client. The command tag remains to be sent. */
  | { readonly kind: 'streamed'; readonly rows: number }
  /** A command. Its status row is all that the client gets, and no input function reads that. */
  | { readonly kind: 'status'; readonly tag: string }
  /** The primary is to finish the statement with these results. */
  | {
      readonly kind: 'results';
      readonly results: readonly CallResult[];
      /** The style to read the sources' values in, where it is not the session's own. */
      readonly style: RemoteStyle | undefined;
    };

/** A statement whose calls are to be run, and how. */
export interface RunCallsOptions {
  readonly text: BoundText;
  readonly statement: Statement;
  readonly facts: SessionFacts;
  readonly shapes: ReadonlyMap<DblinkCall, SourceShape>;
  /** Whether the client wants more than one row at once. */
  readonly allRows: boolean;
  /** Whether rows may go to the client directly: all of them, in text format. */
  readonly stream: boolean;
  /** Whether a bridge serves what these plans cannot. */
  readonly bridged: boolean;
  /** Called when nothing stands in the way of these plans any more, before anything remote happens. */
  readonly begin: () => void;
}

/**
 * Runs the dblink calls of a statement.
 * @throws PgError what a call raised; PrimaryRaised; NoSuchSignature; NeedsBridge, if `bridged` only before `begin`
 */
export async function runCalls(context: SessionContext, options: RunCallsOptions): Promise<CallsOutcome> {
  const { statement, shapes } = options;
  const runner = new CallRunner(context, options.text, options.facts);
  const [first] = statement.calls;
  let results: readonly CallResult[];
  if (options.stream && first !== undefined && shapes.get(first)?.types !== undefined) {
    options.begin();
    const outcome = await stream(context, runner, { call: first, shape: shapes.get(first)! }, options.facts);
    if (outcome.kind === 'streamed') return outcome;
    results = [outcome];
  } else {
    // In which style a remote writes is known only when its rows come, and then it is too late for the bridge.
    if (options.bridged && styledSources(options) > 1) throw new NeedsBridge(STYLES);
    results = await runner.all(statement, shapes, options.bridged, options.begin);
  }
  const [only] = results;
  if (statement.shape.kind === 'stream' && options.allRows && only?.kind === 'value') {
    if (only.status !== undefined && only.sink?.earlier.length === 0)
      return { kind: 'status', tag: only.status };
  }
  await convertEarlier(context, options, results);
  return { kind: 'results', results, style: commonStyle(options, results) };
}

async function stream(
  context: SessionContext,
  runner: CallRunner,
  { call, shape }: Omit<SourceCall, 'args'>,
  facts: SessionFacts,
): Promise<CallResult | { readonly kind: 'streamed'; readonly rows: number }> {
  const found = runner.evaluate(call);
  const args = found instanceof Promise ? await found : found;
  if (args.kind === 'null') return { kind: 'value', value: null };
  // Rows before a NOTICE of fail_on_error = false, and rows of a query string's earlier statements, must not be sent.
  if (!args.failOnError || !returnsOneResult(call, args) || !context.encodings.same) {
    return runner.source({ call, args, shape });
  }
  const collector = heldRows(context, shape);
  const sink = new StreamSink(
    shape.types!,
    {
      ...facts.style,
      version: context.majorVersion * 10000,
      extraFloatDigits: facts.extraFloatDigits,
    },
    context.session.client,
    collector,
  );
  try {
    const source = { call, args, shape };
    const outcome = await context.remotely(facts, (callContext) =>
      runner.collect(source, { sink, collector }, callContext),
    );
    return sink.streamed
      ? { kind: 'streamed', rows: sink.count }
      : await runner.result(source, collector, outcome);
  } finally {
    context.session.client.inParts = false;
  }
}

/** Whether the call gets no other result than the one that it returns. */
function returnsOneResult(call: DblinkCall, { sql, cursor }: CallArguments & { kind: 'call' }): boolean {
  if (call.name === 'dblink_get_result') return true;
  // The name of a cursor goes into the remote's SQL as it is, so it may bring more statements with it.
  if (call.name === 'dblink_fetch') return !cursor?.includes(';');
  return mayStream(sql!);
}

/** Has the results of the query strings' earlier statements converted. @throws PrimaryRaised the error of a conversion */
async function convertEarlier(
  context: SessionContext,
  { statement, shapes, facts }: RunCallsOptions,
  results: readonly CallResult[],
): Promise<void> {
  for (const [i, result] of results.entries()) {
    if (result.kind !== 'value' || result.sink === undefined) continue;
    const call = statement.calls[i]!;
    const { earlier } = result.sink;
    const styles = result.sink.stylesBeside(facts.style);
    await convertRows(context, call, shapes.get(call)!, { rows: earlier, styles });
  }
}

const STYLES = 'sources whose servers write dates or intervals in different styles';

/** How many sources have columns whose values are read according to a style. */
const styledSources = ({ statement, shapes }: RunCallsOptions): number =>
  statement.calls.filter((call) => {
    const types = shapes.get(call)?.types;
    return call.use.kind === 'source' && types !== undefined && !types.every(ignoresStyle);
  }).length;

/** The style to read the sources' values in, where it is not the session's own. @throws NeedsBridge when there are several */
function commonStyle(
  { statement, shapes, facts }: RunCallsOptions,
  results: readonly CallResult[],
): RemoteStyle | undefined {
  const local: RemoteStyle = facts.style;
  let common: RemoteStyle | undefined;
  for (const [i, result] of results.entries()) {
    const types = shapes.get(statement.calls[i]!)?.types;
    if (types?.every(ignoresStyle)) continue;
    const style = result.kind === 'value' && result.sink?.rowCount ? result.sink.remoteStyle : undefined;
    if (style === undefined) continue;
    const adopted: RemoteStyle = {
      dateStyle: style.dateStyle ?? local.dateStyle,
      intervalStyle: style.intervalStyle ?? local.intervalStyle,
    };
    if (common !== undefined && !sameStyle(common, adopted)) {
      throw new NeedsBridge(STYLES);
    }
    common = adopted;
  }
  return common === undefined || sameStyle(common, local) ? undefined : common;
}
