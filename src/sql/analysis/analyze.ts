import type { FuncCall, RawStmt, SelectStmt, TransactionStmt } from 'libpg-query';
import { type ParsedText, parseSql, unwrap } from '../parse/parser.js';
import { Tokens } from '../parse/tokens.js';
import type {
  Analysis,
  AnalyzeOptions,
  Assumption,
  DblinkCall,
  Span,
  Statement,
  TransactionKind,
} from '../types.js';
import { parametersOf } from './arguments.js';
import { Ambiguous, CallReader, LeaveAlone } from './calls.js';
import { Evaluation, isCertainlyRead, isTargetsOnly } from './evaluation.js';
import { createsInBlock, isExtensionLookup, readExtensionCommand } from './extension.js';
import { FUNCTION_FACTS } from './functions.js';
import { shapeOf } from './shape.js';
import { countCalls, type PlacedCall, StatementWalker } from './walker.js';

/**
 * Reads SQL text for dblink calls: where they are, what is known of their arguments, and how each statement can be
 * served. Pure; the parser must have been loaded (loadParser).
 * @param text bytes in the client's encoding, in which no byte below 128 is part of a longer character; literals in it
 * mean what they mean with standard_conforming_strings on (escapeStrings.ts)
 * @returns undefined when the text cannot be parsed or holds no call that the proxy would carry out
 */
export function analyze(text: Buffer, options: AnalyzeOptions): Analysis {
  try {
    const parsed = parseSql(text);
    if (parsed === undefined) return undefined;
    const tokens = new Tokens(parsed);
    const reader = new CallReader(parsed, tokens, options.schemas);
    const statements: Statement[] = [];
    for (const raw of parsed.statements) {
      const statement = readStatement(raw, parsed, tokens, reader);
      if (statement !== undefined) statements.push(statement);
    }
    return statements.some((statement) => statement.shape.kind !== 'none') ? { statements } : undefined;
  } catch (error) {
    // The stack has overflowed in the walk over a tree of many thousand levels.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readStatement(
  raw: RawStmt,
  parsed: ParsedText,
  tokens: Tokens,
  reader: CallReader,
): Statement | undefined {
  if (raw.stmt === undefined) return undefined;
  const start = parsed.byteOffset(raw.stmt_location);
  const end =
    raw.stmt_len === undefined
      ? parsed.latin1.length
      : parsed.byteOffset((raw.stmt_location ?? 0) + raw.stmt_len);
  const span = tokens.statementSpan(start, end);
  if (span === undefined) return undefined;
  const { tag, body } = unwrap(raw.stmt);
  const transaction = tag === 'TransactionStmt' ? readTransaction(body, span, tokens) : undefined;
  const base = {
    span,
    tag,
    ...(transaction === undefined ? {} : { transaction }),
    parameters: parametersOf(body).at(-1) ?? 0,
  };
  const command = readExtensionCommand(tag, body);
  if (command !== undefined) {
    return { ...base, calls: [], shape: { kind: 'extension', command }, assumptions: [] };
  }
  const total = countCalls(body, reader);
  if (total === 0) {
    const kind = isExtensionLookup(tag, body) ? 'lookup' : createsInBlock(tag, body) ? 'block' : 'none';
    return { ...base, calls: [], shape: { kind }, assumptions: [] };
  }
  try {
    return { ...base, ...readCalls(tag, body, total, reader) };
  } catch (error) {
    if (!(error instanceof LeaveAlone)) throw error;
    const kind = error instanceof Ambiguous ? 'ambiguous' : 'none';
    return { ...base, calls: [], shape: { kind }, assumptions: [] };
  }
}

function readCalls(
  tag: string,
  body: Record<string, unknown>,
  total: number,
  reader: CallReader,
): Pick<Statement, 'calls' | 'shape' | 'assumptions'> {
  const walker = new StatementWalker(reader);
  walker.walk(tag, body);
  const found = [...walker.calls].sort((a, b) => a.span.start - b.span.start);
  const { certain, assumptions } = certainCalls(tag, body, found, walker.modifiesData, reader);
  const calls = found.map((call) => finish(call, certain.has(call.node)));
  if (found.length !== total) {
    return { calls, assumptions: [], shape: { kind: 'bridge', reason: 'a dblink call in an unusual place' } };
  }
  const shape = shapeOf({ tag, body, found, calls, modifiesData: walker.modifiesData });
  return { calls, shape, assumptions };
}

function certainCalls(
  tag: string,
  body: Record<string, unknown>,
  found: readonly PlacedCall[],
  modifiesData: boolean,
  reader: CallReader,
): { readonly certain: ReadonlySet<FuncCall>; readonly assumptions: readonly Assumption[] } {
  if (tag !== 'SelectStmt' || modifiesData) return { certain: new Set(), assumptions: [] };
  const select = body as SelectStmt;
  if (isTargetsOnly(select)) {
    const evaluation = new Evaluation((call) => reader.functionOf(call) !== undefined);
    evaluation.run(select.targetList ?? []);
    return evaluation;
  }
  const alone = found.filter((call) => call.alone && call.place.top);
  return { certain: new Set(isCertainlyRead(select) ? alone.map((call) => call.node) : []), assumptions: [] };
}

function finish(call: PlacedCall, certain: boolean): DblinkCall {
  const { name, schema, span, args, use } = call;
  // A call with an argument names a connection, and fails if there is none of that name.
  const pure = FUNCTION_FACTS[name].readsOnly && args.length === 0;
  return { name, ...(schema === undefined ? {} : { schema }), span, args, use, certain, pure };
}

const TRANSACTION_KINDS: Readonly<Record<string, TransactionKind>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollbackTo',
  TRANS_STMT_PREPARE: 'prepare',
  TRANS_STMT_COMMIT_PREPARED: 'commitPrepared',
  TRANS_STMT_ROLLBACK_PREPARED: 'rollbackPrepared',
};

function readTransaction(body: TransactionStmt, span: Span, tokens: Tokens): Statement['transaction'] {
  const kind = TRANSACTION_KINDS[body.kind ?? ''] ?? 'begin';
  const chain = body.chain === true ? { chain: true } : {};
  if (kind !== 'begin') return { kind, ...chain };
  // BEGIN [WORK | TRANSACTION] modes, START TRANSACTION modes.
  let first = tokens.indexAt(span.start) + 1;
  if (tokens.isWord(first, 'work') || tokens.isWord(first, 'transaction')) first++;
  const token = tokens.token(first);
  const options =
    token !== undefined && token.start < span.end ? { options: { start: token.start, end: span.end } } : {};
  return { kind, ...options };
}
