import { type Preparable, runExtensionCommand } from '../../bridge/extension/extensionCommand.js';
import {
  lookupCalls,
  makeTemporaryFunctions,
  renameCalls,
  renameListedCalls,
} from '../../bridge/extension/temporaryFunctions.js';
import { MessageSink } from '../../primary/answerSink.js';
import { asRaised, PrimaryRaised } from '../../primary/raised.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { Engine } from '../../session/context.js';
import { asksForOwnText } from '../../sql/analysis/ownText.js';
import {
  DBLINK_FUNCTIONS,
  type EscapeStrings,
  type ExtensionCommand,
  returnsRows,
  type Statement,
  TYPE_OIDS,
} from '../../sql/index.js';
import { movePosition, type ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { errorResponse, PgError, parseFields } from '../../wire/errors.js';
import {
  close,
  commandComplete,
  dataRow,
  query,
  readyForQuery,
  rowDescription,
} from '../../wire/messages.js';
import { Backend, EMPTY, TransactionStatus } from '../../wire/protocol.js';
import { Performer } from '../calls/callRunner.js';
import { isLocal, NO_PARAMETERS } from '../calls/evaluateArguments.js';
import { withAmbiguousCall } from '../decide/ambiguous.js';
import { checkAssumptions } from '../decide/assumptions.js';
import { refuseNewerSyntax } from '../decide/newerSyntax.js';
import { type Circumstances, decide, decideAgain, decideByText, type Verdict } from '../decide/verdict.js';
import { NeedsBridge, NoSuchSignature } from '../failures.js';
import { PreparedCache } from '../plans/splice/preparedCache.js';
import { knownStream, type Prepared, prepare, spliceSimple } from '../plans/splice/spliceSimple.js';
import { tell } from '../tell.js';
import { HiddenBlock } from './hiddenBlock.js';

/** Does nothing in a transaction that has done nothing, and returns no rows. */
const NOTHING = Buffer.from('SET CONSTRAINTS ALL DEFERRED;', 'latin1');

/** What these say depends on whether they stand alone in their Query or in an implicit transaction block. */
const IN_BLOCK_ONLY: ReadonlySet<string> = new Set([
  'commit',
  'rollback',
  'savepoint',
  'release',
  'rollbackTo',
]);

/** Refused in the implicit transaction of several statements. */
const NOT_IN_BLOCK: ReadonlySet<string> = new Set(['commitPrepared', 'rollbackPrepared']);

/** An error response has been sent to the client: the message is over. */
class AlreadyTold extends Error {}

/** A statement that is to be served, and what is known of the session for it. */
interface Task {
  readonly statement: Statement;
  /** Of its Query. */
  readonly last: boolean;
  readonly facts: SessionFacts;
  /** What the primary has been asked about it already. */
  readonly preparing: Promise<Prepared> | undefined;
}

type Relayed = Pick<Task, 'statement' | 'last'> & Partial<Task>;

/** What a session's Query messages have in common. */
export class SimpleQueries {
  /** What the primary has said about streams. */
  readonly streams: PreparedCache<Prepared>;
  /** The client has an unnamed prepared statement, as far as is known. */
  unnamedStatement = false;

  /** @param bridge undefined where the session has none */
  constructor(
    readonly engine: Engine,
    readonly bridge: Preparable | undefined,
  ) {
    this.streams = new PreparedCache(engine.primary);
  }

  /** Carries one out, up to and including ReadyForQuery. @throws PgError 08006 when the primary is lost */
  async run(text: EscapeStrings, statements: readonly Statement[]): Promise<void> {
    await new SimpleQuery(this, text, statements).run();
  }
}

/**
 * Carries out one Query message that contains dblink calls: its statements one after another, in one implicit
 * transaction if there are several, with one ReadyForQuery at the end (protocol documentation, "Simple Query" and
 * "Multiple Statements in a Simple Query").
 */
class SimpleQuery {
  readonly #hidden: HiddenBlock;
  /** A statement of the message has been answered without the primary, in the transaction that is not open there. */
  #answered = false;
  /** The CommandComplete that may be sent only when the implicit transaction has been committed. */
  #heldTag: Buffer | undefined;
  private readonly text: Buffer;
  /** A position in the text as one in the client's. */
  readonly #mapPosition: (position: number) => number;

  private readonly engine: Engine;

  constructor(
    private readonly queries: SimpleQueries,
    { text, mapPosition }: EscapeStrings,
    private readonly statements: readonly Statement[],
  ) {
    const { engine } = queries;
    this.engine = engine;
    this.text = text;
    this.#mapPosition = mapPosition;
    this.#hidden = new HiddenBlock(engine);
  }

  /** Runs the message up to and including ReadyForQuery. @throws PgError 08006 when the primary is lost */
  async run(): Promise<void> {
    const { primary, session } = this.engine;
    session.holdReports();
    try {
      // A Query ends what was begun with the extended protocol.
      if (this.queries.unnamedStatement) this.#forgetUnnamed();
      await this.#finishBatch();
      await refuseNewerSyntax(this.engine, this.text, this.statements);
      for (const [i, statement] of this.statements.entries()) {
        this.engine.begin();
        this.engine.throwIfStopped();
        await this.#statement(statement, i === this.statements.length - 1);
        this.engine.finish();
      }
      await this.#finishBatch();
      await this.#hidden.end('COMMIT');
      this.#releaseTag();
    } catch (error) {
      await this.#raise(error);
    } finally {
      this.engine.finish();
    }
    primary.assertOpen();
    session.releaseReports();
    session.toClient(readyForQuery(primary.status));
    session.requestDone();
    // A client that does not read must not pile up the answers to what it goes on sending.
    await session.client.drained();
  }

  async #statement(statement: Statement, last: boolean): Promise<void> {
    const { engine } = this;
    const plain = decideByText(statement, engine.primary.status === TransactionStatus.failed);
    if (plain?.plan === 'relay') return this.#relay(plain, { statement, last });
    if (plain !== undefined) return this.#extension(statement, plain.command, last);
    const asked = this.#facts();
    const preparing = this.#prepareEarly(statement);
    const facts = await asked;
    const verdict = decide(statement, this.#circumstances(statement, facts));
    const task: Task = { statement, last, facts, preparing };
    try {
      await this.#carryOut(verdict, task);
    } catch (error) {
      if (!('otherwise' in verdict)) throw error;
      if (error instanceof NoSuchSignature)
        return this.#relay({ change: 'refusal' }, { ...task, preparing: undefined });
      if (!(error instanceof NeedsBridge)) throw error;
      await this.#carryOut(decideAgain(verdict.otherwise, error.reason, this.#tooLate), task);
    }
  }

  /** The session can make itself no temporary functions now. */
  get #tooLate(): boolean {
    return this.engine.inBlock || this.statements.length > 1;
  }

  #circumstances(statement: Statement, facts: SessionFacts): Circumstances {
    const { engine, text, queries } = this;
    const { leaveToExtension, bridgeOnly } = engine.settings;
    const hasBridge = queries.bridge !== undefined;
    return {
      facts,
      hasBridge,
      leaveToExtension,
      bridgeOnly,
      several: this.statements.length > 1,
      tooLate: this.#tooLate,
      answerable: !engine.inBlock && engine.sameEncoding && this.#allLocal(statement),
      asksOwnText: hasBridge && facts.bridged.length > 0 && asksForOwnText(text, statement),
      fitsNone: false,
      prepared: false,
    };
  }

  async #carryOut(verdict: Verdict, task: Task): Promise<void> {
    const { statement, last, facts, preparing } = task;
    this.engine.planned(verdict.plan);
    switch (verdict.plan) {
      case 'relay':
        return this.#relay(verdict, task);
      case 'answer':
        return this.#answer(statement, facts);
      case 'stream':
      case 'splice':
        return this.#splice(task, verdict.otherwise === 'installed');
      case 'bridge':
        if (verdict.by === 'extension') return this.#extension(statement, verdict.command, last);
        if (verdict.by === 'temporary') return this.#bridgeTemporarily(statement, verdict.why, last);
        return this.#bridge(task, renameListedCalls(this.text, statement, this.engine));
      case 'refuse':
        // What was asked early has to be over before the batch is.
        await preparing?.catch(() => undefined);
        throw verdict.error === 'parameter' ? this.#noParameter(statement) : verdict.error;
      default:
        verdict satisfies never;
    }
  }

  /** The primary gets the statement, changed if need be. */
  async #relay({ change }: Pick<Verdict & { plan: 'relay' }, 'change'>, task: Relayed): Promise<void> {
    const { statement, last, facts, preparing } = task;
    this.engine.planned('relay');
    // What was asked early has to be over before the batch is.
    await preparing?.catch(() => undefined);
    let changed: ReplacedText | undefined;
    if (change === 'lookup') changed = lookupCalls(this.text, statement, this.engine);
    if (change === 'refusal' && facts !== undefined) changed = withAmbiguousCall(this.text, statement, facts);
    await this.#plain(statement, last, changed);
  }

  /** CREATE EXTENSION dblink and the like, which the primary may have to do itself. */
  async #extension(statement: Statement, command: ExtensionCommand, last: boolean): Promise<void> {
    this.engine.planned('bridge');
    await this.#openHidden();
    const tag = await runExtensionCommand(this.engine, this.queries.bridge, command);
    if (tag === undefined) return this.#relay({ change: 'none' }, { statement, last });
    this.#heldTag = commandComplete(tag);
    if (last) return;
    await this.#finishBatch();
    this.#releaseTag();
  }

  /** The primary runs the statement as it is; its functions ask for the calls. */
  async #bridge(
    { statement, last, preparing }: Pick<Task, 'statement' | 'last' | 'preparing'>,
    text: ReplacedText | undefined,
  ): Promise<void> {
    // What was asked early has to be over before the batch is.
    await preparing?.catch(() => undefined);
    await this.#plain(statement, last, text);
  }

  /**
   * Without functions of the bridge in the database: the session makes itself temporary ones, between transactions.
   * @throws NeedsBridge when it cannot
   */
  async #bridgeTemporarily(statement: Statement, reason: string, last: boolean): Promise<void> {
    const { engine } = this;
    const renamed = renameCalls(this.text, statement, engine);
    if (renamed === undefined) return this.#unserved(reason);
    await this.#finishBatch();
    const made = await makeTemporaryFunctions(engine, this.queries.bridge, statement);
    // A cancel may have met what makes them.
    engine.throwIfStopped();
    if (!made) return this.#unserved(reason);
    await this.#bridge({ statement, last, preparing: undefined }, renamed);
  }

  /** @throws NeedsBridge */
  #unserved(reason: string): never {
    this.engine.planned('refuse');
    throw new NeedsBridge(reason);
  }

  /**
   * Asks the primary about a statement in the same flight as about the session, where being wrong does no harm: outside of
   * a transaction, for a statement that will be spliced unless its names mean something else.
   */
  #prepareEarly(statement: Statement): Promise<Prepared> | undefined {
    const { engine, text } = this;
    const { shape, assumptions, parameters } = statement;
    if (shape.kind !== 'stream' && shape.kind !== 'splice') return undefined;
    if (engine.inBlock || this.statements.length > 1 || assumptions.length > 0 || parameters > 0)
      return undefined;
    if (engine.settings.bridgeOnly) return undefined;
    if (knownStream(engine, { text, statement, cache: this.queries.streams }) !== undefined) return undefined;
    const preparing = prepare(engine, text, statement);
    preparing.catch(() => undefined);
    return preparing;
  }

  /** A $n in a Query message, which has no parameters. */
  #noParameter(statement: Statement): PgError {
    const text = this.text.subarray(statement.span.start, statement.span.end).toString('latin1');
    const found = /\$\d+/.exec(text);
    const offset = statement.span.start + (found?.index ?? 0);
    return new PgError('42P02', `there is no parameter ${found?.[0] ?? '$1'}`, {
      position: String(this.engine.countCharacters(this.text.subarray(0, offset)) + 1),
    });
  }

  #allLocal(statement: Statement): boolean {
    return statement.calls.every((call) => isLocal(call, this.text, NO_PARAMETERS, this.engine));
  }

  #facts(): Promise<SessionFacts> {
    const { primary, probe } = this.engine;
    return probe.get(this.engine.inBlock || primary.batchOpen ? 'flush' : 'sync').catch(asRaised);
  }

  /** Several statements are one transaction. */
  async #openHidden(): Promise<void> {
    if (this.statements.length > 1) await this.#hidden.begin();
  }

  /** The plan `answer`: no transaction is open, nothing is left for the primary. */
  async #answer(statement: Statement, facts: SessionFacts): Promise<void> {
    const { session } = this.engine;
    const performer = new Performer(this.engine, this.text, NO_PARAMETERS, facts);
    for (const call of statement.calls) await performer.refuseNullRows(call);
    const names = statement.shape.kind === 'answer' ? statement.shape.columns : [];
    session.toClient(
      rowDescription(
        statement.calls.map((call, i) => ({
          name: names[i] ?? call.name,
          typeOid: TYPE_OIDS[DBLINK_FUNCTIONS[call.name].returns],
          typeLength: DBLINK_FUNCTIONS[call.name].returns === 'integer' ? 4 : -1,
        })),
      ),
    );
    const values: (Buffer | null)[] = [];
    for (const call of statement.calls) {
      const result = await performer.scalar(call);
      if (result.kind === 'failed') throw result.error;
      values.push(returnsRows(call) ? asRecord(result.value) : result.value);
    }
    session.toClient(dataRow(values));
    session.toClient(commandComplete('SELECT 1'));
    this.#answered = true;
  }

  /** The plans `splice` and `stream`. */
  async #splice({ statement, last, facts, preparing }: Task, bridged: boolean): Promise<void> {
    await this.#openHidden();
    await checkAssumptions(this.engine, statement);
    const endBatch = last ? () => this.#finishBatch() : undefined;
    const { plan, tag } = await spliceSimple(this.engine, {
      text: this.text,
      statement,
      facts,
      cache: this.queries.streams,
      preparing,
      bridged,
      endBatch,
    });
    this.engine.planned(plan);
    this.#heldTag = tag;
    if (last) return;
    await this.#finishBatch();
    this.#releaseTag();
  }

  /** A statement without dblink. Its ReadyForQuery is the message's, so it is kept back. */
  async #plain(statement: Statement, last: boolean, renamed?: ReplacedText): Promise<void> {
    await this.#finishBatch();
    if (this.#answered && statement.transaction?.options !== undefined) await this.#takeSnapshot();
    if (this.#hidden.isOpen && statement.transaction !== undefined) return this.#transaction(statement);
    const { transaction } = statement;
    if (transaction === undefined || NOT_IN_BLOCK.has(transaction.kind)) await this.#openHidden();
    const alone = this.statements.length === 1 || this.engine.inBlock;
    return this.#send(
      statement,
      last,
      !alone && transaction !== undefined && IN_BLOCK_ONLY.has(transaction.kind),
      renamed,
    );
  }

  /**
   * Sends a statement to the primary and forwards its answer, but for ReadyForQuery.
   * @param implicitBlock it is to find itself behind another statement of the same Query, as it does natively
   */
  async #send(
    statement: Statement,
    last: boolean,
    implicitBlock = false,
    renamed?: ReplacedText,
  ): Promise<void> {
    const { primary, session } = this.engine;
    const before = implicitBlock ? NOTHING : EMPTY;
    const offset = (): number =>
      this.engine.countCharacters(this.text.subarray(0, statement.span.start)) - before.length;
    let unanswered = before.length > 0;
    let told = false;
    let copying = false;
    const sink = new MessageSink({
      passRows: true,
      message: (type, message) => {
        if (type === Backend.readyForQuery) return false;
        if (type === Backend.copyInResponse) {
          // The data comes from the client while this statement runs.
          copying = true;
          session.client.release();
        }
        if (type === Backend.errorResponse) {
          told = true;
          const error = PgError.from(parseFields(message));
          session.toClient(errorResponse(this.#placed(renamed?.mapError(error) ?? error, offset())));
          return false;
        }
        if (type === Backend.commandComplete && unanswered) {
          unanswered = false;
          return false;
        }
        if (type === Backend.commandComplete && this.#hidden.isOpen && last) {
          this.#heldTag = Buffer.from(message);
          return false;
        }
        return true;
      },
    });
    // A cancel that came before the primary had anything to cancel.
    this.engine.throwIfStopped();
    primary.forwarded++;
    const own = renamed?.sql ?? this.text.subarray(statement.span.start, statement.span.end);
    primary.send(query(Buffer.concat([before, own])), {
      kind: 'query',
      sink,
    });
    await sink.answered;
    if (copying) session.client.hold();
    primary.assertOpen();
    if (told) throw new AlreadyTold();
  }

  /** A SELECT in front of BEGIN ISOLATION LEVEL … has taken the transaction's snapshot (25001). */
  async #takeSnapshot(): Promise<void> {
    await this.#openHidden();
    if (this.#hidden.isOpen) await this.engine.primary.run({ sql: 'SELECT 1' }, 'sync');
    this.#answered = false;
  }

  /** BEGIN, COMMIT and the like in the hidden block do what they do in an implicit transaction. */
  async #transaction(statement: Statement): Promise<void> {
    const { primary, session } = this.engine;
    const { kind, options } = statement.transaction!;
    switch (kind) {
      case 'begin': {
        if (options !== undefined) {
          const modes = this.text.subarray(options.start, options.end).toString('latin1');
          const sql = Buffer.from(`SET TRANSACTION ${modes}`, 'latin1');
          const { error } = await primary.run({ sql }, 'sync');
          // No block has begun: what the hidden one holds is rolled back.
          if (error !== undefined) throw new PrimaryRaised(error.with({ position: undefined }));
        }
        this.#hidden.handOver();
        const word = this.text.subarray(statement.span.start, statement.span.end).toString('latin1');
        session.toClient(commandComplete(/^\s*start/i.test(word) ? 'START TRANSACTION' : 'BEGIN'));
        return;
      }
      case 'commit':
      case 'rollback': {
        await this.#hidden.end(kind === 'commit' ? 'COMMIT' : 'ROLLBACK');
        this.#releaseTag();
        // Now that no transaction is left, the primary gives the statement's warning and tag itself.
        return this.#send(statement, true, true);
      }
      case 'prepare':
      case 'commitPrepared':
      case 'rollbackPrepared':
        // Refused inside any transaction but one that is a block of its own.
        return this.#send(statement, true);
      default: {
        // Not allowed in an implicit transaction: outside of a block the primary says so itself.
        await this.#hidden.abandon();
        return this.#send(statement, true, true);
      }
    }
  }

  /** Ends what was opened with requests of the extended protocol. */
  async #finishBatch(): Promise<void> {
    if (!this.engine.primary.batchOpen) return;
    this.#forgetUnnamed();
    const error = await this.engine.primary.sync();
    if (error !== undefined) throw new PrimaryRaised(error);
  }

  /** A Query leaves no unnamed statement or portal, neither the client's earlier ones nor those that a splice used. */
  #forgetUnnamed(): void {
    const { primary } = this.engine;
    if (!primary.queue.skipping) {
      primary.send(close('P', EMPTY), { kind: 'close', sink: new MessageSink() });
      primary.send(close('S', EMPTY), { kind: 'close', sink: new MessageSink() });
    }
    this.queries.unnamedStatement = false;
  }

  #releaseTag(): void {
    if (this.#heldTag === undefined) return;
    this.engine.session.toClient(this.#heldTag);
    this.#heldTag = undefined;
  }

  /** An error with its position in the client's text. @param offset of the text that it was in */
  #placed(error: PgError, offset = 0): PgError {
    return movePosition(error, (position) => this.#mapPosition(position + offset));
  }

  /** Tells the client of an error and leaves the transaction as the error leaves it. */
  async #raise(error: unknown): Promise<void> {
    const { primary, inBlock } = this.engine;
    this.#heldTag = undefined;
    if (primary.closed) throw error;
    if (!(error instanceof AlreadyTold)) {
      const place = (told: PgError): PgError => this.#placed(told);
      await tell(this.engine, error, { inTransaction: primary.batchOpen || inBlock, place });
    }
    if (primary.batchOpen) await primary.sync();
    await this.#hidden.abandon();
  }
}

/** A record of one text field as record_out writes it. */
function asRecord(value: Buffer | null): Buffer {
  const text = value?.toString('latin1') ?? '';
  const quoted = text === '' || /[(),"\\\s]/.test(text) ? `"${text.replace(/["\\]/g, (c) => c + c)}"` : text;
  return Buffer.from(`(${value === null ? '' : quoted})`, 'latin1');
}
