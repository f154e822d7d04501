import { MessageSink } from '../../primary/answerSink.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';
import type { ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { errorResponse, PgError, parseFields } from '../../wire/errors.js';
import { commandComplete, query } from '../../wire/messages.js';
import { Backend, EMPTY } from '../../wire/protocol.js';
import type { QueryScope } from './queryScope.js';

/** A statement that does nothing in a transaction that has done nothing, and that returns no rows. */
const NOTHING = Buffer.from('SET CONSTRAINTS ALL DEFERRED;', 'latin1');

/** Commands whose messages depend on whether they stand alone in their Query or in an implicit transaction block. */
const IN_BLOCK_ONLY: ReadonlySet<string> = new Set([
  'commit',
  'rollback',
  'savepoint',
  'release',
  'rollbackTo',
]);

/** Commands that are refused in the implicit transaction of several statements. */
const NOT_IN_BLOCK: ReadonlySet<string> = new Set(['commitPrepared', 'rollbackPrepared']);

/** The client has been sent an ErrorResponse, so the Query message is over. */
export class AlreadyTold extends Error {}

/** How a statement goes to the primary. */
interface Sending {
  /** Whether it is the last statement of the client's Query. */
  readonly last: boolean;
  /** Whether it has to be sent behind another statement in one Query, since natively it is in an implicit transaction block. */
  readonly implicitBlock?: boolean;
  /** The text that is sent in the place of its own. */
  readonly changed?: ReplacedText | undefined;
}

/** A statement of a Query that the primary runs. Its ReadyForQuery is kept back, because the client gets one for the message. */
export class PlainStatement {
  readonly #context: SessionContext;

  constructor(
    private readonly scope: QueryScope,
    private readonly statement: Statement,
  ) {
    this.#context = scope.context;
  }

  /**
   * Has the primary run the statement, in the transaction that it is natively in.
   * @throws AlreadyTold when it has failed; PrimaryRaised
   */
  async run({ last, changed }: Omit<Sending, 'implicitBlock'>): Promise<void> {
    const { scope } = this;
    const { transaction } = this.statement;
    await scope.finishBatch();
    if (scope.answered && transaction?.options !== undefined) await this.#takeSnapshot();
    if (scope.hidden.isOpen && transaction !== undefined) return this.#transaction();
    if (transaction === undefined || NOT_IN_BLOCK.has(transaction.kind)) await scope.openHidden();
    const alone = !scope.several || this.#context.inBlock;
    const implicitBlock = !alone && transaction !== undefined && IN_BLOCK_ONLY.has(transaction.kind);
    return this.#send({ last, implicitBlock, changed });
  }

  /** Sends the statement to the primary and forwards the answer, except ReadyForQuery. @throws AlreadyTold when it has failed */
  async #send({ last, implicitBlock = false, changed }: Sending): Promise<void> {
    const { scope, statement } = this;
    const { primary, session, encodings } = this.#context;
    const before = implicitBlock ? NOTHING : EMPTY;
    const offset = (): number =>
      encodings.countCharacters(scope.text.subarray(0, statement.span.start)) - before.length;
    let unanswered = before.length > 0;
    let told = false;
    let copying = false;
    const sink = new MessageSink({
      passRows: true,
      message: (type, message) => {
        if (type === Backend.readyForQuery) return false;
        if (type === Backend.copyInResponse) {
          // The client's data has to be read while this statement runs.
          copying = true;
          session.client.release();
        }
        if (type === Backend.errorResponse) {
          told = true;
          const error = PgError.from(parseFields(message));
          session.toClient(errorResponse(scope.placed(changed?.mapError(error) ?? error, offset())));
          return false;
        }
        if (type === Backend.rowDescription && changed?.mapDescription !== undefined) {
          session.toClient(changed.mapDescription(message));
          return false;
        }
        if (type === Backend.commandComplete && unanswered) {
          unanswered = false;
          return false;
        }
        if (type === Backend.commandComplete && scope.hidden.isOpen && last) {
          scope.holdTag(Buffer.from(message));
          return false;
        }
        return true;
      },
    });
    // A cancel request may have come when the primary had nothing to cancel yet.
    this.#context.statement.throwIfStopped();
    primary.send(query(Buffer.concat([before, changed?.sql ?? this.#text])), { kind: 'query', sink });
    await sink.answered;
    if (copying) session.client.hold();
    primary.assertOpen();
    if (told) throw new AlreadyTold();
  }

  get #text(): Buffer {
    return this.scope.text.subarray(this.statement.span.start, this.statement.span.end);
  }

  /**
   * Natively, a SELECT in front of BEGIN ISOLATION LEVEL … has taken the transaction's snapshot (25001). One that was answered
   * without the primary has not, so another one is run in its place.
   */
  async #takeSnapshot(): Promise<void> {
    const { scope } = this;
    await scope.openHidden();
    if (scope.hidden.isOpen) await this.#context.primary.run({ sql: 'SELECT 1' }, 'sync');
    scope.answered = false;
  }

  /** Has BEGIN, COMMIT and the like do in the hidden block what they do in an implicit transaction. */
  async #transaction(): Promise<void> {
    const { hidden } = this.scope;
    const { kind } = this.statement.transaction!;
    switch (kind) {
      case 'begin':
        return this.#begin();
      case 'commit':
      case 'rollback':
        await hidden.end(kind === 'commit' ? 'COMMIT' : 'ROLLBACK');
        this.scope.releaseTag();
        // Now that no transaction is left, the primary gives the statement's warning and tag itself.
        return this.#send({ last: true, implicitBlock: true });
      case 'prepare':
        // Prepares the hidden block. PostgreSQL warns (25P01) where no block was begun. Here the COMMIT behind it does.
        return this.#send({ last: true });
      case 'commitPrepared':
      case 'rollbackPrepared':
        // The primary refuses them inside of a transaction, the hidden block included.
        return this.#send({ last: true });
      default:
        // Not allowed in an implicit transaction: outside of a block the primary says so itself.
        await hidden.abandon();
        return this.#send({ last: true, implicitBlock: true });
    }
  }

  /** BEGIN: the hidden block becomes the client's own. */
  async #begin(): Promise<void> {
    const { primary, session } = this.#context;
    const { options } = this.statement.transaction!;
    if (options !== undefined) {
      const modes = this.scope.text.subarray(options.start, options.end).toString('latin1');
      const sql = Buffer.from(`SET TRANSACTION ${modes}`, 'latin1');
      const { error } = await primary.run({ sql }, 'sync');
      // The client's block has not begun. So the hidden one stays hidden, and what it holds is rolled back.
      if (error !== undefined) throw new PrimaryRaised(error.with({ position: undefined }));
    }
    this.scope.hidden.handOver();
    const started = /^\s*start/i.test(this.#text.toString('latin1'));
    session.toClient(commandComplete(started ? 'START TRANSACTION' : 'BEGIN'));
  }
}
