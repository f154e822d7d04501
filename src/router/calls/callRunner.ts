import type { CallArguments } from '../../dblink/callArguments.js';
import { callScalar, callSource } from '../../dblink/carryOut.js';
import type { CallContext } from '../../dblink/context.js';
import type { QueryOutcome } from '../../dblink/remote/outcome.js';
import type { RowSink } from '../../dblink/remote/results.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import type { DblinkCall, Statement } from '../../sql/index.js';
import { readRemoteTextAsync, returnsRows } from '../../sql/index.js';
import { isAscii } from '../../wire/encoding/encoding.js';
import { PgError } from '../../wire/errors.js';
import { NeedsBridge } from '../failures.js';
import { type CollectSink, heldRows } from './collectSink.js';
import { convertRows } from './convertRows.js';
import { type BoundText, evaluateLocally, evaluateOnPrimary, isLocal } from './evaluateArguments.js';
import type { SourceShape } from './sourceShape.js';

/** What a call left for the primary to go on with. */
export type CallResult =
  /** A scalar's value, or the rows of a source as JSON. Null is SQL's NULL; for a source it means no rows. */
  | {
      readonly kind: 'value';
      readonly value: Buffer | null;
      /** The collector of a source's rows. */
      readonly sink?: CollectSink;
      /** The command tag, when the rows are the status row of a command. */
      readonly status?: string;
    }
  /** The call failed. The error is to be raised when PostgreSQL reaches the call. */
  | { readonly kind: 'failed'; readonly error: PgError };

/** A call that returns rows, with all that is needed to run it. */
export interface SourceCall {
  readonly call: DblinkCall;
  readonly args: CallArguments & { readonly kind: 'call' };
  readonly shape: SourceShape;
}

/** Where a source's rows go. */
interface SourceRows {
  /** The collector itself, or a sink that feeds it. */
  readonly sink: RowSink;
  readonly collector: CollectSink;
}

const BYTEA_OID = 17;
const TEXT_OIDS: ReadonlySet<number> = new Set([25, 1043]);

/** Carries out the calls of one statement, in the order and at the time that its plan allows. */
export class CallRunner {
  constructor(
    private readonly context: SessionContext,
    private readonly text: BoundText,
    private readonly facts: SessionFacts,
  ) {}

  /** The arguments of a call. @throws PgError, NoSuchSignature */
  evaluate(call: DblinkCall): CallArguments | Promise<CallArguments> {
    if (isLocal(call, this.text, this.context)) return evaluateLocally(call, this.text.bound);
    return evaluateOnPrimary(call, this.text, this.context);
  }

  /** Refuses a function of rows with a NULL in a select list: it returns no rows at all, so there is no value. @throws NeedsBridge */
  async refuseNullRows(call: DblinkCall): Promise<void> {
    if ((await this.evaluate(call)).kind === 'null') throw nullRows();
  }

  /** Runs a scalar call. @param known its arguments, where they have been evaluated @throws PgError; NeedsBridge */
  async scalar(call: DblinkCall, known?: CallArguments): Promise<CallResult> {
    const found = known ?? this.evaluate(call);
    const args = found instanceof Promise ? await found : found;
    if (args.kind === 'null') {
      if (returnsRows(call)) throw nullRows();
      return { kind: 'value', value: null };
    }
    if (call.name === 'dblink_current_query') return { kind: 'value', value: await this.#currentQuery() };
    const value = await this.context.remotely(this.facts, (callContext) =>
      callScalar(this.context.dblink, call, args, callContext),
    );
    return { kind: 'value', value: value === null ? null : Buffer.from(value, 'latin1') };
  }

  /** The text that the client sent, in the database's encoding. */
  async #currentQuery(): Promise<Buffer> {
    const { context } = this;
    const { text } = this.text;
    if (context.encodings.same || isAscii(text)) return text;
    const sql = `SELECT pg_catalog.convert($1, '${context.encodings.client}', '${context.encodings.database}')`;
    const own = { sql, types: [BYTEA_OID], formats: [1], values: [text], resultFormats: [1] };
    const { error, rows } = await context.primary.run(own, 'flush');
    if (error !== undefined) throw error;
    return rows[0]?.[0] ?? text;
  }

  /**
   * Runs every call of a statement whose rows and values the primary goes on with.
   * @param bridged whether a bridge serves what this cannot
   * @param begin called when nothing stands in the way any more, before anything remote happens
   * @throws PgError; NeedsBridge, always before anything remote has happened
   */
  async all(
    statement: Statement,
    shapes: ReadonlyMap<DblinkCall, SourceShape>,
    bridged: boolean,
    begin: () => void,
  ): Promise<readonly CallResult[]> {
    const early = new Map<DblinkCall, CallArguments>();
    for (const call of statement.calls) {
      const isSource = call.use.kind === 'source';
      if (isSource ? call.certain : !returnsRows(call)) continue;
      const args = await this.evaluate(call);
      if (args.kind === 'null' && !isSource) throw nullRows();
      if (args.kind === 'call' && isSource) await this.#checkEarly(call, args, bridged);
      early.set(call, args);
    }
    begin();
    const results = new Map<DblinkCall, CallResult | Promise<CallResult>>();
    /** Sources of different connections run side by side. Those of one connection run one after another. */
    const chains = new Map<unknown, Promise<unknown>>();
    for (const call of statement.calls) {
      if (call.use.kind === 'scalar') {
        // A scalar call may use, or end, a connection that a source is using. So it waits for all sources before it.
        await Promise.all(chains.values());
        results.set(call, await this.#caught(call, () => this.scalar(call, early.get(call))));
        continue;
      }
      const args = early.get(call) ?? (await this.evaluate(call));
      const shape = shapes.get(call)!;
      if (args.kind === 'null') {
        results.set(call, { kind: 'value', value: null });
        continue;
      }
      const connection = await this.context.remotely(this.facts, async (callContext) =>
        this.context.dblink.connectionKey(args.connection, callContext),
      );
      const previous = chains.get(connection) ?? Promise.resolve();
      const run = previous.then(() => this.#caught(call, () => this.source({ call, args, shape })));
      // All are awaited below, in order. While one is awaited, the failure of another must not count as unhandled.
      run.catch(() => undefined);
      chains.set(
        connection,
        run.catch(() => undefined),
      );
      results.set(call, run);
    }
    const settled: CallResult[] = [];
    for (const call of statement.calls) settled.push(await results.get(call)!);
    return settled;
  }

  /** Runs a call. If PostgreSQL is certain to reach it, it fails at once. Another source fails when it is reached. */
  async #caught(call: DblinkCall, act: () => Promise<CallResult>): Promise<CallResult> {
    try {
      return await act();
    } catch (error) {
      if (call.certain || !(error instanceof PgError) || error instanceof NeedsBridge) throw error;
      // A cancel or time limit is meant for the whole statement.
      if (error === this.context.statement.stopped) throw error;
      if (call.use.kind === 'scalar') throw error;
      return { kind: 'failed', error };
    }
  }

  /**
   * Checks that a source may run before PostgreSQL reaches it: it has to be a plain read, so that nobody notices whether it ran.
   * @throws NeedsBridge
   */
  async #checkEarly(
    call: DblinkCall,
    args: CallArguments & { kind: 'call' },
    bridged: boolean,
  ): Promise<void> {
    if (call.name !== 'dblink') throw new NeedsBridge(`${call.name}() where PostgreSQL may skip it`);
    const disturbed = await this.context.remotely(this.facts, async (callContext) =>
      this.context.dblink.disturbs(args.connection, callContext),
    );
    // The query also empties the connection's error message, though PostgreSQL may skip the query. Where no bridge could serve
    // the statement instead, that is no reason to refuse it.
    if (disturbed === 'results' || (disturbed === 'message' && bridged)) {
      throw new NeedsBridge('a query that PostgreSQL may skip, on a connection where it would be noticed');
    }
    if (!(await this.#onlyReads(args))) {
      throw new NeedsBridge(
        'a remote statement other than a plain SELECT whose execution PostgreSQL may skip or repeat',
      );
    }
    if (!args.failOnError) {
      throw new NeedsBridge('fail_on_error = false where PostgreSQL may skip the call');
    }
  }

  /** Whether nobody notices when the text of a call runs: it only reads, or its server lets it do nothing else. */
  async #onlyReads({ sql, connection }: CallArguments & { kind: 'call' }): Promise<boolean> {
    const effect = await readRemoteTextAsync(sql!, this.context.asker);
    if (effect !== 'calls') return effect === 'reads';
    return this.context.remotely(this.facts, (callContext) =>
      this.context.dblink.isReadOnly(connection, callContext),
    );
  }

  /** Runs a source and collects its rows. @throws PgError */
  async source(source: SourceCall): Promise<CallResult> {
    const collector = heldRows(this.context, source.shape);
    return this.context.remotely(this.facts, async (callContext) =>
      this.result(source, collector, await this.collect(source, { sink: collector, collector }, callContext)),
    );
  }

  /**
   * Runs a source with a sink that leaves rows in a collector, unless it has a better use for them.
   * @throws PgError what the call raised; PrimaryRaised
   */
  async collect(
    { call, args, shape }: SourceCall,
    { sink, collector }: SourceRows,
    callContext: CallContext,
  ): Promise<QueryOutcome> {
    const notices: PgError[] = [];
    const held = { ...callContext, notice: (notice: PgError) => void notices.push(notice) };
    let outcome: QueryOutcome;
    try {
      outcome = await callSource(this.context.dblink, call, args, sink, held);
    } catch (error) {
      if (error instanceof PgError && !callContext.signal.aborted)
        await this.#convert(call, shape, collector);
      throw error;
    }
    if (notices.length > 0) await this.#convert(call, shape, collector);
    for (const notice of notices) callContext.notice(notice);
    return outcome;
  }

  /** What a source has left in its collector. @throws PgError 42804 */
  async result(
    { call, shape }: SourceCall,
    collector: CollectSink,
    outcome: QueryOutcome,
  ): Promise<CallResult> {
    if (outcome.kind === 'nothing') return { kind: 'value', value: null };
    if (outcome.kind === 'status') {
      await this.checkStatusRow(call, shape);
      collector.setStatus(outcome.tag);
      return { kind: 'value', value: collector.json(), sink: collector, status: outcome.tag };
    }
    return { kind: 'value', value: collector.json(), sink: collector };
  }

  /**
   * Has the primary convert the rows that dblink() got before an error or a notice. Natively they have been converted when it
   * comes. The other functions look at complete results only.
   * @throws PrimaryRaised the error of a conversion
   */
  async #convert(call: DblinkCall, shape: SourceShape, collector: CollectSink): Promise<void> {
    if (call.name !== 'dblink') return;
    const styles = collector.stylesBeside(this.facts.style);
    await convertRows(this.context, call, shape, { rows: collector.everything, styles });
  }

  /**
   * Checks the status row of a command, which has one text column, against the column definition list, as the executor does.
   * @throws PgError 42804
   */
  async checkStatusRow(call: DblinkCall, shape: SourceShape): Promise<void> {
    const mismatch = (detail: string) =>
      new PgError('42804', 'function return row and query-specified return row do not match', { detail });
    if (call.use.kind !== 'source') return;
    const { columns } = call.use;
    if (columns.length !== 1) {
      throw mismatch(`Returned row contains 1 attribute, but query expects ${columns.length}.`);
    }
    const type = shape.types?.[0];
    if (type === undefined || TEXT_OIDS.has(type.declaredOid)) return;
    const named = await this.context.primary.run(
      { sql: `SELECT pg_catalog.format_type(${type.declaredOid}, NULL)` },
      'flush',
    );
    const name = named.rows[0]?.[0]?.toString('latin1') ?? columns[0]!.type;
    throw mismatch(`Returned type text at ordinal position 1, but query expects ${name}.`);
  }
}

const nullRows = (): NeedsBridge => new NeedsBridge('a NULL argument of dblink() in a select list');
