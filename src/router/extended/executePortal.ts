import { renameListedCalls } from '../../bridge/extension/temporaryFunctions.js';
import { forwardAnswer, forwardError, MessageSink } from '../../primary/answerSink.js';
import { asRaised } from '../../primary/raised.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import { FUNCTION_FACTS } from '../../sql/index.js';
import type { PgError } from '../../wire/errors.js';
import {
  type BindFields,
  bind,
  bindParts,
  close,
  commandComplete,
  dataRow,
  execute,
  formatOf,
  parse,
} from '../../wire/messages.js';
import type { CallResult } from '../calls/callRunner.js';
import { isBuiltIn } from '../calls/columns.js';
import type { BoundText } from '../calls/evaluateArguments.js';
import type { SourceShape } from '../calls/sourceShape.js';
import { bridgeOf } from '../decide/meantFunctions.js';
import { NeedsBridge } from '../failures.js';
import {
  bindWith,
  mapPosition,
  Poison,
  type SplicedStatement,
  spliceStatement,
  styleValues,
} from '../plans/splice/splicedStatement.js';
import { type PreparedDblink, parseAndDescribe } from '../plans/splice/spliceExtended.js';
import { type CallsOutcome, runCalls } from '../plans/streamOrCollect.js';

/** A portal of a prepared statement whose calls the proxy carries out. */
export interface Portal {
  readonly name: Buffer;
  readonly prepared: PreparedDblink;
  /** The client's Bind. */
  readonly bound: BindFields;
  /**
   * `dry`: it is bound without rows, and will be bound again when it is executed. `bound`: it is bound with the rows, and the
   * primary executes it. `done`: its rows went to the client directly.
   */
  state: 'dry' | 'bound' | 'done';
  /** Whether the client's own text is to be executed, since names or rights have changed after the statement was prepared. */
  isLeft: boolean;
}

/** The text of a portal's statement, with the values that the client bound. */
export const boundTextOf = (prepared: PreparedDblink, { formats, values }: BindFields): BoundText => ({
  text: prepared.text,
  bound: { types: prepared.said.parameterTypes, formats, values },
});

/** The value of a function in binary format. Of its text only that of an integer has another form. */
function inBinary(value: Buffer | null, returns: string): Buffer | null {
  if (value === null || returns !== 'integer') return value;
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(Number(value.toString('latin1')));
  return bytes;
}

/** What the primary is to execute. */
interface Filled {
  readonly spliced: SplicedStatement;
  /** The values of the proxy's parameters. */
  readonly values: readonly (Buffer | null)[];
  /** The name of the prepared statement to bind. */
  readonly statement: Buffer;
}

/** What is known of the session where a portal is executed. */
interface PortalFacts {
  readonly hasBridge: boolean;
  /** Whether the primary has the statement of the portal, under its name. */
  readonly isPrepared: boolean;
  /**
   * Given for a portal that the primary has not been asked to bind, because there is no need to (see WholeBatches). Called when
   * nothing stands in the way any more, before anything remote happens.
   */
  readonly begin?: () => void;
}

type Results = CallsOutcome & { readonly kind: 'results' };

/** One Execute of a portal that is bound without rows. Carries out the calls, and has the primary finish with their results. */
export class PortalExecution {
  readonly #poison: Poison;

  readonly #toClient = (message: Buffer): void => this.context.session.toClient(message);

  /** @param maxRows of the Execute, 0 for all */
  constructor(
    private readonly context: SessionContext,
    private readonly portal: Portal,
    private readonly maxRows: number,
    private readonly known: PortalFacts,
  ) {
    this.#poison = new Poison(context);
  }

  /** Whether the values of the calls are all that the client gets, and the primary need not see them. */
  get #isAnswer(): boolean {
    return this.known.begin !== undefined && this.portal.prepared.statement.shape.kind === 'answer';
  }

  /** What stands for calls alone, or for plain columns of a source, changes nothing about the session. */
  get #isHarmless(): boolean {
    const { statement, shapes } = this.portal.prepared;
    const { kind } = statement.shape;
    const isPlain = ({ types }: SourceShape): boolean => types?.every(isBuiltIn) === true;
    return kind === 'answer' || (kind === 'stream' && [...shapes.values()].every(isPlain));
  }

  /** Carries the Execute out. @throws PgError what a call raised; PrimaryRaised, NoSuchSignature, NeedsBridge */
  async run(): Promise<void> {
    const { context } = this;
    context.statement.planned(this.#isAnswer ? 'answer' : 'splice');
    context.statement.throwIfStopped();
    const facts = await context.probe.get('flush').catch(asRaised);
    if (this.portal.isLeft) return this.#leaveToBridge();
    const outcome = await this.#call(facts);
    if (outcome === undefined) return this.#leaveToBridge();
    if (outcome.kind !== 'results') return this.#nothingLeft(outcome);
    if (this.#isAnswer) return this.#answer(outcome.results);
    const filled = await this.#adoptStyle(facts, outcome);
    context.statement.throwIfStopped();
    this.#finish(filled);
  }

  /** Runs the calls of dblink. @returns undefined when only the bridge can serve the statement; nothing has happened then */
  async #call(facts: SessionFacts): Promise<CallsOutcome | undefined> {
    const { prepared, bound } = this.portal;
    const { statement } = prepared;
    const bridged = this.known.hasBridge && bridgeOf(statement, facts) === 'bridged';
    try {
      return await runCalls(this.context, {
        text: boundTextOf(prepared, bound),
        statement,
        facts,
        shapes: prepared.shapes,
        // What is wrong with a format the primary says.
        allRows: this.maxRows !== 1 && bound.resultFormats.every((format) => format === 0 || format === 1),
        stream:
          statement.shape.kind === 'stream' &&
          this.maxRows === 0 &&
          bound.resultFormats.every((format) => format === 0),
        bridged,
        begin: this.known.begin ?? (() => undefined),
      });
    } catch (error) {
      if (!bridged || !(error instanceof NeedsBridge) || this.known.begin !== undefined) throw error;
      return undefined;
    }
  }

  /** For a portal whose rows the client has, or whose only row is a command's status. Nothing is left to the primary. */
  #nothingLeft(outcome: Exclude<CallsOutcome, Results>): void {
    this.context.statement.planned('stream');
    this.portal.state = 'done';
    if (outcome.kind === 'status') this.#toClient(dataRow([Buffer.from(outcome.tag, 'latin1')]));
    this.#toClient(commandComplete(`SELECT ${outcome.kind === 'status' ? 1 : outcome.rows}`));
  }

  /** For a statement that is nothing but calls. Nothing is left to the primary. */
  #answer(results: readonly CallResult[]): void {
    this.portal.state = 'done';
    const { prepared, bound } = this.portal;
    const values = prepared.statement.calls.map((call, i) => {
      const result = results[i]!;
      if (result.kind === 'failed') throw result.error;
      const isBinary = formatOf(bound.resultFormats, i) === 1;
      return isBinary ? inBinary(result.value, FUNCTION_FACTS[call.name].returns) : result.value;
    });
    this.#toClient(dataRow(values));
    this.#toClient(commandComplete('SELECT 1'));
  }

  /**
   * When the client has closed the prepared statement, which its portals outlive, or the primary has not been sent it, it is prepared
   * under a name of the proxy's. When a remote writes dates or intervals in another style than the session's, another statement is
   * bound in the place of the prepared one. It reads the values in the remote's style.
   */
  async #adoptStyle(facts: SessionFacts, { results, style }: Results): Promise<Filled> {
    const { prepared, bound } = this.portal;
    const { statement, spliced } = prepared;
    const values = this.#poison.values(statement, results);
    if (style === undefined && this.known.isPrepared) return { spliced, values, statement: bound.statement };
    const source = { text: prepared.text, statement, clientTypes: prepared.said.parameterTypes };
    const styled =
      style === undefined ? spliced : spliceStatement(this.context, source, prepared.types, 'styled');
    const name = this.context.primary.names.styled;
    // An error may have left an earlier one behind.
    this.#drop('S', name);
    await parseAndDescribe(this.context, name, source, styled);
    const all = style === undefined ? values : [...values, ...styleValues(facts, style)];
    return { spliced: styled, values: all, statement: name };
  }

  /** Has the primary execute the statement with the rows and values of the calls. */
  #finish({ spliced, values, statement }: Filled): void {
    const { primary } = this.context;
    const { name, bound } = this.portal;
    const map = (error: PgError): PgError => this.#poison.translate(error) ?? mapPosition(error, spliced);
    if (name.length > 0) this.#drop('P', name);
    const rebind = bindParts(bindWith({ ...bound, statement }, values));
    primary.send(rebind, { kind: 'bind', sink: forwardError(this.#toClient, map) });
    primary.send(execute(name, this.maxRows), {
      kind: 'execute',
      sink: forwardAnswer(this.#toClient, map),
      harmless: this.#isHarmless,
    });
    if (statement === primary.names.styled) this.#drop('S', statement);
    this.portal.state = 'bound';
  }

  /** Binds the client's own text to the portal and has it executed. The bridge's functions in it ask for the calls. */
  #leaveToBridge(): void {
    const { context } = this;
    const { primary } = context;
    context.statement.planned('bridge');
    // A cancel request may have come when the primary had nothing to cancel yet.
    context.statement.throwIfStopped();
    const { plain } = primary.names;
    const { name, prepared, bound } = this.portal;
    this.#drop('S', plain);
    if (name.length > 0) this.#drop('P', name);
    const errors = (): { sink: MessageSink } => ({ sink: forwardError(this.#toClient) });
    const listed = renameListedCalls(prepared.text, prepared.statement, context);
    const sql = listed?.sql ?? prepared.text;
    primary.send(parse(plain, sql, prepared.said.parameterTypes), { kind: 'parse', ...errors() });
    primary.send(bind({ ...bound, statement: plain }), { kind: 'bind', ...errors() });
    primary.send(execute(name, this.maxRows), { kind: 'execute', sink: forwardAnswer(this.#toClient) });
    this.#drop('S', plain);
    this.portal.state = 'bound';
  }

  /** Closes a statement or portal of the primary's, if it is there. */
  #drop(target: 'S' | 'P', name: Buffer): void {
    this.context.primary.send(close(target, name), { kind: 'close', sink: new MessageSink() });
  }
}
