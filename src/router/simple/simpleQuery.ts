import { type Preparable, runExtensionCommand } from '../../bridge/extension/extensionCommand.js';
import {
  lookupCalls,
  makeTemporaryFunctions,
  renameCalls,
  renameListedCalls,
} from '../../bridge/extension/temporaryFunctions.js';
import { MessageSink } from '../../primary/answerSink.js';
import { PrimaryRaised } from '../../primary/raised.js';
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
import { bridgeOf, isNative, isShadowed, untrustedOf } from '../decide/meantFunctions.js';
import { refuseNewerSyntax } from '../decide/newerSyntax.js';
import type { Plan } from '../decide/plan.js';
import { checkPrivileges, needsVerification } from '../decide/privileges.js';
import { NeedsBridge, NoSuchSignature, Untrusted } from '../failures.js';
import { PreparedCache } from '../plans/splice/preparedCache.js';
import { knownStream, type Prepared, prepare, spliceSimple } from '../plans/splice/spliceSimple.js';
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
        this.engine.finish(await this.#statement(statement, i === this.statements.length - 1));
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

  async #statement(statement: Statement, last: boolean): Promise<Plan> {
    if (statement.calls.length === 0 && statement.shape.kind === 'none') return this.#plain(statement, last);
    if (statement.shape.kind === 'lookup')
      return this.#plain(statement, last, lookupCalls(this.text, statement, this.engine));
    // In a failed block the primary refuses the statement itself.
    if (this.engine.primary.status === TransactionStatus.failed) return this.#plain(statement, last);
    if (statement.shape.kind === 'extension')
      return this.#extension(statement, statement.shape.command, last);
    if (statement.shape.kind === 'ambiguous')
      return this.#plain(statement, last, withAmbiguousCall(this.text, statement, await this.#facts()));
    const asked = this.#facts();
    const preparing = this.#prepareEarly(statement);
    const facts = await asked;
    if (isShadowed(statement, facts.shadowing) || this.#isExtensions(statement, facts))
      return this.#plain(statement, last);
    const names = bridgeOf(statement, facts);
    const untrusted = untrustedOf(statement, facts);
    if (untrusted !== undefined && names !== 'none') throw new Untrusted(untrusted);
    const bridged = names === 'bridged' && this.queries.bridge !== undefined;
    const listed = bridged ? renameListedCalls(this.text, statement, this.engine) : undefined;
    if (
      names === 'elsewhere' ||
      (bridged &&
        (this.#leavesToBridge(statement) ||
          needsVerification(statement, facts) ||
          asksForOwnText(this.text, statement)))
    )
      return this.#bridge(statement, last, preparing, listed);
    if (statement.shape.kind === 'bridge') {
      if (bridged) return this.#bridge(statement, last, preparing, listed);
      return this.#bridgeTemporarily(statement, statement.shape.reason, last);
    }
    if (statement.parameters > 0) throw this.#noParameter(statement);
    checkPrivileges(statement, facts);
    try {
      const alone = !this.engine.inBlock && this.engine.sameEncoding;
      if (statement.shape.kind === 'answer' && alone && this.#allLocal(statement)) {
        await this.#answer(statement, facts);
        return 'answer';
      }
      return await this.#splice(statement, facts, preparing, bridged, last);
    } catch (error) {
      if (error instanceof NoSuchSignature)
        return this.#plain(statement, last, withAmbiguousCall(this.text, statement, facts));
      if (error instanceof NeedsBridge) {
        if (bridged) return this.#bridge(statement, last, preparing, listed);
        if (names === 'none') return this.#bridgeTemporarily(statement, error.reason, last);
      }
      throw error;
    }
  }

  /** The primary has the extension, and is to carry out the calls. */
  #isExtensions(statement: Statement, facts: SessionFacts): boolean {
    return this.engine.settings.leaveToExtension && isNative(statement, facts.native);
  }

  /** With `bridge: always` whatever it can serve; of a Query of several statements it knows only its own. */
  #leavesToBridge({ calls }: Statement): boolean {
    const asksQuery = calls.some(({ name }) => name === 'dblink_current_query');
    return this.engine.settings.bridgeOnly && !(asksQuery && this.statements.length > 1);
  }

  /** CREATE EXTENSION dblink and the like, which the primary may have to do itself. */
  async #extension(statement: Statement, command: ExtensionCommand, last: boolean): Promise<Plan> {
    await this.#openHidden();
    const tag = await runExtensionCommand(this.engine, this.queries.bridge, command);
    if (tag === undefined) return this.#plain(statement, last);
    this.#heldTag = commandComplete(tag);
    if (last) return 'bridge';
    await this.#finishBatch();
    this.#releaseTag();
    return 'bridge';
  }

  /** The primary runs the statement as it is; its functions ask for the calls. */
  async #bridge(
    statement: Statement,
    last: boolean,
    preparing?: Promise<Prepared>,
    text?: ReplacedText,
  ): Promise<Plan> {
    // What was asked early has to be over before the batch is.
    await preparing?.catch(() => undefined);
    await this.#plain(statement, last, text);
    return 'bridge';
  }

  /**
   * Without functions of the bridge in the database: the session makes itself temporary ones, between transactions.
   * @throws NeedsBridge when it cannot
   */
  async #bridgeTemporarily(statement: Statement, reason: string, last: boolean): Promise<Plan> {
    const { engine } = this;
    const renamed =
      engine.inBlock || this.statements.length > 1 ? undefined : renameCalls(this.text, statement, engine);
    if (renamed === undefined) throw new NeedsBridge(reason);
    await this.#finishBatch();
    const made = await makeTemporaryFunctions(engine, this.queries.bridge, statement);
    // A cancel may have met what makes them.
    engine.throwIfStopped();
    if (!made) throw new NeedsBridge(reason);
    return this.#bridge(statement, last, undefined, renamed);
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
    return probe.get(this.engine.inBlock || primary.batchOpen ? 'flush' : 'sync').catch((error: unknown) => {
      throw error instanceof PgError ? new PrimaryRaised(error) : error;
    });
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
  async #splice(
    statement: Statement,
    facts: SessionFacts,
    preparing: Promise<Prepared> | undefined,
    bridged: boolean,
    last: boolean,
  ): Promise<Plan> {
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
    this.#heldTag = tag;
    if (last) return plan;
    await this.#finishBatch();
    this.#releaseTag();
    return plan;
  }

  /** A statement without dblink. Its ReadyForQuery is the message's, so it is kept back. */
  async #plain(statement: Statement, last: boolean, renamed?: ReplacedText): Promise<Plan> {
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
  ): Promise<Plan> {
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
    return 'relay';
  }

  /** A SELECT in front of BEGIN ISOLATION LEVEL … has taken the transaction's snapshot (25001). */
  async #takeSnapshot(): Promise<void> {
    await this.#openHidden();
    if (this.#hidden.isOpen) await this.engine.primary.run({ sql: 'SELECT 1' }, 'sync');
    this.#answered = false;
  }

  /** BEGIN, COMMIT and the like in the hidden block do what they do in an implicit transaction. */
  async #transaction(statement: Statement): Promise<Plan> {
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
        return 'relay';
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
    const { primary, session } = this.engine;
    this.#heldTag = undefined;
    if (primary.closed) throw error;
    if (!(error instanceof AlreadyTold)) {
      const raised = error instanceof PrimaryRaised ? error.error : error;
      if (!(raised instanceof PgError)) throw raised;
      if (!(error instanceof PrimaryRaised) && (primary.batchOpen || this.engine.inBlock)) {
        await this.engine.failTransaction(raised);
      }
      const own = !(error instanceof PrimaryRaised);
      session.toClient(errorResponse(this.#placed(own ? this.engine.inClientEncoding(raised) : raised)));
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
