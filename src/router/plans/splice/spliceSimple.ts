import { MessageSink } from '../../../primary/answerSink.js';
import { PrimaryRaised } from '../../../primary/raised.js';
import type { SessionFacts } from '../../../primary/sessionFacts.js';
import type { SessionContext } from '../../../session/context.js';
import type { Statement } from '../../../sql/index.js';
import type { PgError } from '../../../wire/errors.js';
import { bindParts, commandComplete, dataRow, execute } from '../../../wire/messages.js';
import { Backend, EMPTY } from '../../../wire/protocol.js';
import { isBuiltIn } from '../../calls/columns.js';
import { unbound } from '../../calls/evaluateArguments.js';
import { type CallsOutcome, runCalls } from '../streamOrCollect.js';
import {
  type Checked,
  checkSimple,
  dryRun,
  type KnownStreams,
  knownStream,
  rememberStream,
  UNNAMED,
} from './checkSimple.js';
import {
  bindWith,
  mapPosition,
  Poison,
  type SplicedStatement,
  spliceStatement,
  styleValues,
} from './splicedStatement.js';

/** What became of a statement. */
interface Spliced {
  readonly plan: 'stream' | 'splice';
  /** The CommandComplete. The client gets it when the statement's transaction is known to hold. */
  readonly tag: Buffer | undefined;
}

/** A statement of a Query message whose calls are to be spliced or streamed. */
interface SimpleStatement {
  /** The text of the whole message. */
  readonly text: Buffer;
  readonly statement: Statement;
  readonly facts: SessionFacts;
  /** What the primary has said about statements that can be streamed. */
  readonly streams: KnownStreams;
  /** What the primary has said of such a statement before, if it has been looked up already. */
  readonly known: Checked | undefined;
  /** The primary's check of the statement, if it has been asked for already. */
  readonly checking: Promise<Checked> | undefined;
  /** Whether a bridge serves what this cannot. */
  readonly bridged: boolean;
  /** Sends what ends the batch of requests. Undefined when the batch is to stay open. */
  readonly endBatch: (() => Promise<void>) | undefined;
}

/** The statement as the primary is to finish it, and the values of its parameters. */
interface Filled {
  readonly spliced: SplicedStatement;
  readonly values: readonly (Buffer | null)[];
}

type Results = CallsOutcome & { readonly kind: 'results' };

/**
 * Carries out the plans `splice` and `stream` for a statement of a Query message. Has the primary check the statement, runs the
 * dblink calls, and has the primary finish the statement with their rows in the place of the calls. Leaves the batch of requests
 * open, unless `endBatch` sends what ends it along with the last request.
 * @throws PgError what a call raised; PrimaryRaised; NoSuchSignature; NeedsBridge, if `bridged` before anything has happened
 */
export const spliceSimple = (context: SessionContext, statement: SimpleStatement): Promise<Spliced> =>
  new SimpleSplice(context, statement).run();

class SimpleSplice {
  readonly #poison: Poison;
  /** Natively, a SELECT describes its rows before it runs, and other statements do so when they have run. */
  readonly #isSelect: boolean;

  constructor(
    private readonly context: SessionContext,
    private readonly own: SimpleStatement,
  ) {
    this.#poison = new Poison(context);
    this.#isSelect = own.statement.tag === 'SelectStmt';
  }

  async run(): Promise<Spliced> {
    const known = this.#known();
    const checked = known ?? (await this.#check());
    const outcome = await this.#call(checked);
    if (outcome.kind !== 'results') return this.#nothingLeft(outcome);
    const filled = await this.#adoptStyle(checked, outcome);
    // What is known was said about an unnamed statement that is gone, so the primary needs the statement again.
    if (known !== undefined && outcome.style === undefined) {
      await dryRun(this.context, this.own.statement, filled.spliced);
    }
    this.context.statement.throwIfStopped();
    return { plan: 'splice', tag: await this.#finish(checked, filled) };
  }

  #known(): Checked | undefined {
    const { known, checking, streams } = this.own;
    return known ?? (checking === undefined ? knownStream(this.context, this.own, streams) : undefined);
  }

  async #check(): Promise<Checked> {
    const checked = await (this.own.checking ?? checkSimple(this.context, this.own));
    rememberStream(this.context, this.own, this.own.streams, checked);
    return checked;
  }

  /** Runs the calls of dblink. */
  #call({ shapes, description }: Checked): Promise<CallsOutcome> {
    const { text, statement, facts, bridged } = this.own;
    return runCalls(this.context, {
      text: unbound(text),
      statement,
      facts,
      shapes,
      allRows: true,
      stream: statement.shape.kind === 'stream',
      bridged,
      begin: () => {
        if (this.#isSelect && description !== undefined) this.context.session.client.writeLater(description);
      },
    });
  }

  /** For a statement whose rows the client has, or whose only row is a command's status. Nothing is left to the primary. */
  #nothingLeft(outcome: Exclude<CallsOutcome, Results>): Spliced {
    if (outcome.kind === 'streamed')
      return { plan: 'stream', tag: commandComplete(`SELECT ${outcome.rows}`) };
    this.context.session.toClient(dataRow([Buffer.from(outcome.tag, 'latin1')]));
    return { plan: 'stream', tag: commandComplete('SELECT 1') };
  }

  /** When a remote writes dates or intervals in another style than the session's, the statement reads the values in that. */
  async #adoptStyle({ spliced, types }: Checked, { results, style }: Results): Promise<Filled> {
    const { text, statement, facts } = this.own;
    const values = this.#poison.values(statement, results);
    if (style === undefined) return { spliced, values };
    const own = styleValues(facts, style);
    const styled = spliceStatement(this.context, { text, statement, clientTypes: [] }, types, 'styled');
    await dryRun(this.context, statement, styled, { style: own });
    return { spliced: styled, values: [...values, ...own] };
  }

  /** Has the primary run the statement with the rows and values. @returns its CommandComplete */
  async #finish({ description, shapes }: Checked, { spliced, values }: Filled): Promise<Buffer | undefined> {
    const { primary, session } = this.context;
    let tag: Buffer | undefined;
    let described = this.#isSelect;
    const sink = new MessageSink({
      passRows: this.#isSelect,
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
    primary.send(bindParts(bindWith(UNNAMED, values)), { kind: 'bind', sink: bound });
    // Plain columns of a source change nothing about the session. The conditions of a domain may.
    const harmless =
      this.own.statement.shape.kind === 'stream' &&
      [...shapes.values()].every(({ types }) => types?.every(isBuiltIn) === true);
    primary.send(execute(EMPTY), { kind: 'execute', sink, harmless });
    // The answers below tell of an error. The end of the batch then has nothing to add.
    const ended = this.own.endBatch?.().then(
      () => undefined,
      (failure: unknown) => ({ failure }),
    );
    if (ended === undefined) primary.flush();
    const error = (await bound.answered).error ?? (await sink.answered).error;
    primary.assertOpen();
    if (error !== undefined) {
      await ended;
      throw new PrimaryRaised(this.#inClientText(error, spliced));
    }
    const late = await ended;
    if (late !== undefined) throw late.failure;
    return tag;
  }

  /** An error of the spliced statement, as an error of the client's statement. */
  #inClientText(error: PgError, spliced: SplicedStatement): PgError {
    return this.#poison.translate(error) ?? mapPosition(error, spliced);
  }
}
