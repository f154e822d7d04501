import { blockWithCreation } from '../../bridge/extension/blocks.js';
import { type Preparable, runExtensionCommand } from '../../bridge/extension/extensionCommand.js';
import { lookupCalls } from '../../bridge/extension/lookups.js';
import {
  makeTemporaryFunctions,
  renameCalls,
  renameListedCalls,
} from '../../bridge/extension/temporaryFunctions.js';
import { asRaised } from '../../primary/raised.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import { asksForOwnText } from '../../sql/analysis/ownText.js';
import type { EscapeStrings, ExtensionCommand, Statement } from '../../sql/index.js';
import type { ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { PgError } from '../../wire/errors.js';
import { commandComplete, readyForQuery } from '../../wire/messages.js';
import { TransactionStatus } from '../../wire/protocol.js';
import { isLocal, unbound } from '../calls/evaluateArguments.js';
import { withAmbiguousCall } from '../decide/ambiguous.js';
import { checkAssumptions } from '../decide/assumptions.js';
import { refuseNewerSyntax } from '../decide/newerSyntax.js';
import { proven } from '../decide/privileges.js';
import { type Circumstances, decide, decideAgain, decideByText, type Verdict } from '../decide/verdict.js';
import { NeedsBridge, NoSuchSignature } from '../failures.js';
import { answer } from '../plans/answer.js';
import { type Checked, checkSimple, type KnownStreams, knownStream } from '../plans/splice/checkSimple.js';
import { KnownStatements } from '../plans/splice/knownStatements.js';
import { spliceSimple } from '../plans/splice/spliceSimple.js';
import { tell } from '../tell.js';
import type { UnnamedStatement } from '../unnamedStatement.js';
import { AlreadyTold, PlainStatement } from './plainStatement.js';
import { QueryScope } from './queryScope.js';

/** A statement that is to be served, and what is known of the session for it. */
interface Task {
  readonly statement: Statement;
  /** Whether it is the last statement of its Query. */
  readonly last: boolean;
  readonly facts: SessionFacts;
  /**
   * The primary's check of the statement, if it has been asked for already (`#checkEarly`). It consists of several requests, one
   * sent after the other. Whoever does not use its result waits for it all the same before the next Sync: what it sent behind that
   * would mix with the client's statement. What it has found does not matter then.
   */
  readonly checking?: Promise<Checked> | undefined;
  /** What the primary has said of such a statement before. Then it is not asked. */
  readonly known?: Checked | undefined;
}

type Relayed = Pick<Task, 'statement' | 'last'> & Partial<Task>;

/** What a session's Query messages have in common. */
export class SimpleQueries {
  /** What the primary has said about statements that can be streamed. */
  readonly streams: KnownStreams;

  /** @param bridge undefined where the session has none */
  constructor(
    readonly context: SessionContext,
    readonly bridge: Preparable | undefined,
    readonly unnamed: UnnamedStatement,
  ) {
    this.streams = new KnownStatements(context.primary);
  }

  /** Carries out one Query message, up to and including ReadyForQuery. @throws PgError 08006 when the primary is lost */
  run(text: EscapeStrings, statements: readonly Statement[]): Promise<void> {
    return new SimpleQuery(this, text, statements).run();
  }
}

/**
 * Carries out one Query message that contains dblink calls. Its statements run one after another, in one implicit transaction if
 * there are several. At the end there is one ReadyForQuery (protocol documentation, "Simple Query" and "Multiple Statements in a
 * Simple Query").
 */
class SimpleQuery {
  readonly #scope: QueryScope;

  constructor(
    private readonly queries: SimpleQueries,
    text: EscapeStrings,
    private readonly statements: readonly Statement[],
  ) {
    this.#scope = new QueryScope(queries.context, text, statements.length > 1, queries.unnamed);
  }

  private get context(): SessionContext {
    return this.queries.context;
  }

  private get text(): Buffer {
    return this.#scope.text;
  }

  /** Runs the message up to and including ReadyForQuery. @throws PgError 08006 when the primary is lost */
  async run(): Promise<void> {
    const { primary, session } = this.context;
    session.reports.hold();
    try {
      // A Query ends what was begun with the extended protocol.
      if (this.queries.unnamed.present) this.#scope.forgetUnnamed();
      if (this.#scope.inBatch) await this.#scope.finishBatch();
      if (this.#scope.several) await refuseNewerSyntax(this.context, this.text, this.statements);
      for (const [i, statement] of this.statements.entries()) {
        this.context.statement.begin();
        this.context.statement.throwIfStopped();
        await this.#statement(statement, i === this.statements.length - 1);
        this.context.statement.finish();
      }
      if (this.#scope.inBatch) await this.#scope.finishBatch();
      if (this.#scope.hidden.isOpen) await this.#scope.hidden.end('COMMIT');
      this.#scope.releaseTag();
    } catch (error) {
      await this.#raise(error);
    } finally {
      this.context.statement.finish();
    }
    primary.assertOpen();
    session.reports.release();
    session.toClient(readyForQuery(primary.status));
    session.requestDone();
    // A client that sends on without reading must not make answers pile up in the proxy.
    await session.client.drained();
  }

  async #statement(statement: Statement, last: boolean): Promise<void> {
    const { context } = this;
    const plain = decideByText(statement, context.primary.status === TransactionStatus.failed);
    if (plain?.plan === 'relay') return this.#relay(plain, { statement, last });
    if (plain !== undefined) return this.#extension(statement, plain.command, last);
    const known = context.probe.current;
    const asked = known ?? this.#facts();
    const early = this.#checkEarly(statement);
    const facts = known?.unproven === false ? known : await proven(statement, await asked, context);
    const verdict = decide(statement, this.#circumstances(statement, facts));
    const task: Task = { statement, last, facts, ...early };
    try {
      await this.#carryOut(verdict, task);
    } catch (error) {
      if (!('otherwise' in verdict)) throw error;
      if (error instanceof NoSuchSignature)
        return this.#relay({ change: 'refusal' }, { ...task, checking: undefined });
      if (!(error instanceof NeedsBridge)) throw error;
      await this.#carryOut(decideAgain(verdict.otherwise, error.reason, this.#tooLate), task);
    }
  }

  /** Whether the session cannot make itself temporary functions now, because a transaction is open. */
  get #tooLate(): boolean {
    return this.context.inBlock || this.statements.length > 1;
  }

  #circumstances(statement: Statement, facts: SessionFacts): Circumstances {
    const { context, text, queries } = this;
    const { calls, bridge } = context.settings.dblink;
    const hasBridge = queries.bridge !== undefined;
    return {
      facts,
      hasBridge,
      leaveToExtension: calls === 'primary',
      bridgeOnly: bridge === 'always',
      several: this.statements.length > 1,
      tooLate: this.#tooLate,
      answerable: !context.inBlock && !facts.endsIdle && context.encodings.same && this.#allLocal(statement),
      asksOwnText: hasBridge && facts.bridged.length > 0 && asksForOwnText(text, statement),
      fitsNone: false,
      prepared: false,
    };
  }

  #carryOut(verdict: Verdict, task: Task): Promise<void> {
    const { statement, last } = task;
    this.context.statement.planned(verdict.plan);
    switch (verdict.plan) {
      case 'relay':
        return verdict.toExtension === true ? this.#toExtension(verdict, task) : this.#relay(verdict, task);
      case 'answer':
        return this.#answer(task);
      case 'stream':
      case 'splice':
        return this.#splice(task, verdict.otherwise === 'installed');
      case 'bridge':
        if (verdict.by === 'extension') return this.#extension(statement, verdict.command, last);
        if (verdict.by === 'temporary') return this.#bridgeTemporarily(statement, verdict.why, last);
        return this.#bridge(task, renameListedCalls(this.text, statement, this.context));
      case 'refuse':
        return this.#refuse(
          verdict.error === 'parameter' ? this.#noParameter(statement) : verdict.error,
          task,
        );
      default:
        return verdict satisfies never;
    }
  }

  async #toExtension(verdict: Verdict & { plan: 'relay' }, task: Task): Promise<void> {
    await this.context.leftToExtension(task.statement, 'each');
    return this.#relay(verdict, task);
  }

  async #answer({ statement, facts }: Task): Promise<void> {
    await answer(this.context, this.text, statement, facts);
    this.#scope.answered = true;
  }

  async #refuse(error: PgError, { checking }: Task): Promise<never> {
    // See Task.checking.
    await checking?.catch(() => undefined);
    throw error;
  }

  /** The primary gets the statement, changed if need be. */
  async #relay({ change }: Pick<Verdict & { plan: 'relay' }, 'change'>, task: Relayed): Promise<void> {
    const { statement, last, facts, checking } = task;
    this.context.statement.planned('relay');
    // See Task.checking.
    await checking?.catch(() => undefined);
    let changed: ReplacedText | undefined;
    if (change === 'lookup' && facts !== undefined)
      changed = await lookupCalls(this.text, statement, this.context, { facts, end: this.#end });
    if (change === 'block') changed = await this.#blockWithCreation(statement);
    if (change === 'refusal' && facts !== undefined) changed = withAmbiguousCall(this.text, statement, facts);
    await new PlainStatement(this.#scope, statement).run({ last, changed });
  }

  /** CREATE EXTENSION dblink and the like, which the primary may have to do itself. */
  async #extension(statement: Statement, command: ExtensionCommand, last: boolean): Promise<void> {
    this.context.statement.planned('bridge');
    await this.#scope.openHidden();
    const tag = await runExtensionCommand(this.context, this.queries.bridge, command);
    if (tag === undefined) return this.#relay({ change: 'none' }, { statement, last });
    this.#scope.holdTag(commandComplete(tag));
    if (last) return;
    await this.#scope.finishBatch();
    this.#scope.releaseTag();
  }

  /** The primary runs the statement as it is, and the bridge's functions in it ask for the calls. */
  async #bridge(
    { statement, last, checking }: Pick<Task, 'statement' | 'last' | 'checking'>,
    text: ReplacedText | undefined,
  ): Promise<void> {
    // See Task.checking.
    await checking?.catch(() => undefined);
    await new PlainStatement(this.#scope, statement).run({ last, changed: text });
  }

  /**
   * For a database without functions of the bridge: the session makes itself temporary ones, outside of transactions.
   * @throws NeedsBridge when it cannot
   */
  async #bridgeTemporarily(statement: Statement, reason: string, last: boolean): Promise<void> {
    const { context } = this;
    const renamed = renameCalls(this.text, statement, context);
    if (renamed === undefined) return this.#unserved(reason);
    await this.#scope.finishBatch();
    const made = await makeTemporaryFunctions(context, this.queries.bridge, statement);
    // A cancel request may have hit the SQL that makes them.
    context.statement.throwIfStopped();
    if (!made) return this.#unserved(reason);
    await this.#bridge({ statement, last, checking: undefined }, renamed);
  }

  /** @throws NeedsBridge */
  #unserved(reason: string): never {
    this.context.statement.planned('refuse');
    throw new NeedsBridge(reason);
  }

  /**
   * Has the primary check a statement at the same time as it is asked for the facts about the session, which saves a round trip.
   * This is done only where a wrong guess does no harm: outside of a transaction, for a statement that will be spliced unless its
   * names mean something else.
   * It is not asked about a statement that is known.
   */
  #checkEarly(statement: Statement): Pick<Task, 'checking' | 'known'> {
    const { context, text } = this;
    const { shape, assumptions, parameters } = statement;
    if (shape.kind !== 'stream' && shape.kind !== 'splice') return {};
    if (context.inBlock || this.statements.length > 1 || assumptions.length > 0 || parameters > 0) return {};
    if (context.settings.dblink.bridge === 'always') return {};
    const known = knownStream(context, { text, statement }, this.queries.streams);
    if (known !== undefined) return { known };
    const checking = checkSimple(context, { text, statement });
    checking.catch(() => undefined);
    return { checking };
  }

  /** The error for a $n in a Query message, which has no parameters (42P02). */
  #noParameter(statement: Statement): PgError {
    const text = this.text.subarray(statement.span.start, statement.span.end).toString('latin1');
    const found = /\$\d+/.exec(text);
    const offset = statement.span.start + (found?.index ?? 0);
    return new PgError('42P02', `there is no parameter ${found?.[0] ?? '$1'}`, {
      position: String(this.context.encodings.countCharacters(this.text.subarray(0, offset)) + 1),
    });
  }

  #allLocal(statement: Statement): boolean {
    return statement.calls.every((call) => isLocal(call, unbound(this.text), this.context));
  }

  get #end(): 'flush' | 'sync' {
    return this.context.inBlock || this.context.primary.batchOpen ? 'flush' : 'sync';
  }

  #facts(): Promise<SessionFacts> {
    return this.context.probe.get(this.#end).catch(asRaised);
  }

  async #blockWithCreation(statement: Statement): Promise<ReplacedText | undefined> {
    await this.#scope.openHidden();
    return blockWithCreation(this.text, statement, this.context, this.queries.bridge);
  }

  /** Carries out the plans `splice` and `stream`. */
  async #splice({ statement, last, facts, known, checking }: Task, bridged: boolean): Promise<void> {
    if (this.#scope.several) await this.#scope.openHidden();
    if (statement.assumptions.length > 0) await checkAssumptions(this.context, statement);
    const endBatch = last ? () => this.#scope.finishBatch() : undefined;
    const { plan, tag } = await spliceSimple(this.context, {
      text: this.text,
      statement,
      facts,
      streams: this.queries.streams,
      known,
      checking,
      bridged,
      endBatch,
    });
    this.context.statement.planned(plan);
    this.#scope.holdTag(tag);
    if (last) return;
    await this.#scope.finishBatch();
    this.#scope.releaseTag();
  }

  /** Tells the client of an error and ends what is open, as the error does natively. */
  async #raise(error: unknown): Promise<void> {
    const { primary, inBlock } = this.context;
    this.#scope.holdTag(undefined);
    if (primary.closed) throw error;
    if (!(error instanceof AlreadyTold)) {
      const place = (told: PgError): PgError => this.#scope.placed(told);
      await tell(this.context, error, { inTransaction: primary.batchOpen || inBlock, place });
    }
    if (primary.batchOpen) {
      // What was sent behind the error, the Close of what a splice has used too, was skipped.
      this.queries.unnamed.present = true;
      await primary.sync();
    }
    await this.#scope.hidden.abandon();
  }
}
