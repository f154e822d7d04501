import type { Preparable } from '../../bridge/extension/extensionCommand.js';
import { forwardAnswer, forwardError, MessageSink } from '../../primary/answerSink.js';
import { asRaised, PrimaryRaised } from '../../primary/raised.js';
import { FORWARD } from '../../primary/responseQueue.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import { asksForOwnText } from '../../sql/analysis/ownText.js';
import type { DblinkCall, Statement } from '../../sql/index.js';
import { errorResponse, PgError } from '../../wire/errors.js';
import {
  BIND_COMPLETE,
  type BindFields,
  bind,
  commandComplete,
  PARSE_COMPLETE,
  type ParseFields,
  parameterDescription,
  readBindNames,
  readExecute,
  readTarget,
} from '../../wire/messages.js';
import { Backend, EMPTY, Frontend, TransactionStatus } from '../../wire/protocol.js';
import { checkArguments, fitsNoSignature, isLocal } from '../calls/evaluateArguments.js';
import { asAmbiguous } from '../decide/ambiguous.js';
import { checkAssumptions } from '../decide/assumptions.js';
import { checkPrivileges } from '../decide/privileges.js';
import {
  type Circumstances,
  decide,
  decideAgain,
  decideByText,
  maySkipSource,
  type Verdict,
} from '../decide/verdict.js';
import { NeedsBridge, NoSuchSignature } from '../failures.js';
import { KnownStatements } from '../plans/splice/knownStatements.js';
import { bindWith, dryValues, mapPosition } from '../plans/splice/splicedStatement.js';
import {
  type KnownPrepared,
  noteBound,
  type PreparedDblink,
  preparedBefore,
  prepareStatement,
  readParameterTypes,
  sendPrepared,
} from '../plans/splice/spliceExtended.js';
import { readable } from '../readable.js';
import { tell } from '../tell.js';
import type { UnnamedStatement } from '../unnamedStatement.js';
import { DescribedStatements } from './describedStatements.js';
import { boundTextOf, type Portal, PortalExecution } from './executePortal.js';
import { askWhatIsWrong, checkLeft, fitting } from './fittingBind.js';
import { PreparedLimits, valueBytes } from './preparedLimits.js';
import { PreparedObjects } from './preparedObjects.js';
import { type ParseRequest, RelayedParse } from './relayedParse.js';
import { WholeBatches } from './wholeBatches.js';

/**
 * The extended protocol for statements with dblink calls (protocol documentation, "Extended Query"). Keeps track of the prepared
 * statements and portals that have such calls, and carries the calls out when the portal is executed.
 */
export class ExtendedQuery {
  /** Of what the session keeps track of. */
  readonly limits: PreparedLimits;
  readonly #objects: PreparedObjects<PreparedDblink, Portal>;
  /** By text and declared types. */
  readonly #known: KnownPrepared;
  /** Statements that look for the extension. */
  readonly #described: DescribedStatements;
  readonly #batches: WholeBatches;
  readonly #parses: RelayedParse;
  /** Statements whose Parse is unanswered, with the value of `#sent` then. */
  readonly #asked = new Map<PreparedDblink, number>();

  readonly #toClient = (message: Buffer): void => this.context.session.toClient(message);

  /**
   * @param bridge the session's, if it has one
   * @param unnamed what the primary has as its unnamed statement
   * @param seen called for the Bind of a batch that is answered as a whole, which the interceptor is not shown
   */
  constructor(
    private readonly context: SessionContext,
    private readonly bridge: Preparable | undefined,
    private readonly unnamed: UnnamedStatement,
    seen: (message: Buffer) => void,
  ) {
    const { preparedStatements, preparedBytes } = context.settings.limits;
    this.limits = new PreparedLimits(preparedStatements, preparedBytes);
    this.#objects = new PreparedObjects(context.primary, this.limits);
    this.#known = new KnownStatements(context.primary);
    this.#described = new DescribedStatements(context, this.limits);
    this.#parses = new RelayedParse(context, bridge, this.#described);
    this.#batches = new WholeBatches(context, bridge !== undefined, seen);
  }

  /** See Interceptor. */
  get tracking(): boolean {
    return !this.#objects.isEmpty || this.#described.tracking;
  }

  /** Whether the unnamed statement is one of these. */
  get hasUnnamed(): boolean {
    return this.#objects.statement(EMPTY) !== undefined || this.#described.hasUnnamed;
  }

  /** Called when the client has been sent a ReadyForQuery. */
  ready(): void {
    this.#objects.ready();
    this.#described.ready();
  }

  /** Called when a Query or another Parse replaces the unnamed statement. */
  forgetUnnamed(): void {
    this.#objects.forgetUnnamed();
    this.#described.forgetUnnamed();
  }

  /** Called when a Parse names a statement. */
  forget(name: Buffer): void {
    this.#described.forget(name);
  }

  /**
   * Handles the Parse of a statement with calls.
   * @param message the whole message, which may be kept
   * @param fields of the message, with the text as the parser reads it
   */
  async parse(message: Buffer, fields: ParseFields, statement: Statement): Promise<void> {
    const { context } = this;
    const { primary } = context;
    const source = { text: fields.sql, statement, clientTypes: fields.types };
    const known = preparedBefore(context, source, this.#known);
    const isUnnamed = fields.name.length === 0;
    if (known !== undefined && isUnnamed && (await this.#batches.serve(known))) {
      this.#objects.prepare(fields.name, known, known.text.length);
      return this.unnamed.drop();
    }
    const check = () => this.#objects.checkStatement(fields.name, fields.sql.length);
    if (known !== undefined && !primary.queue.skipping && this.limits.has(check))
      return this.#parseKnown(fields.name, known);
    await primary.settled();
    if (primary.queue.skipping) return this.#relay('parse', message);
    // Even if it is refused here, it takes the place of another one.
    if (isUnnamed) {
      void this.unnamed.drop();
      this.unnamed.present = true;
    }
    if (primary.status === TransactionStatus.failed) return this.#parses.relay(message, fields);
    const plain = decideByText(statement, false);
    if (plain !== undefined) return this.#parses.relay(message, fields);
    const end = this.#end;
    await this.#guard(async () => {
      const facts = await context.probe.get(end).catch(asRaised);
      // A cancel request may have come when the primary had nothing to cancel yet.
      context.statement.throwIfCancelled();
      const request: ParseRequest = { message, fields, statement, facts };
      const verdict = decide(statement, this.#circumstances(request));
      try {
        await this.#carryOut(verdict, request);
      } catch (error) {
        if (!(error instanceof NeedsBridge) || !('otherwise' in verdict)) throw error;
        await this.#carryOut(decideAgain(verdict.otherwise, error.reason, this.#tooLate), request);
      }
    }, fields.sql);
  }

  /** See PrimaryLink.run. */
  get #end(): 'flush' | 'sync' {
    return this.context.primary.batchOpen || this.context.inBlock ? 'flush' : 'sync';
  }

  /** Whether the session cannot make itself temporary functions now, because a transaction is open. */
  get #tooLate(): boolean {
    return this.context.inBlock || this.context.primary.batchOpen;
  }

  #circumstances({
    fields,
    statement,
    facts,
  }: Pick<ParseRequest, 'fields' | 'statement' | 'facts'>): Circumstances {
    const { calls, bridge } = this.context.settings.dblink;
    const hasBridge = this.bridge !== undefined;
    return {
      facts,
      hasBridge,
      leaveToExtension: calls === 'primary',
      bridgeOnly: bridge === 'always',
      several: false,
      tooLate: this.#tooLate,
      answerable: false,
      asksOwnText: hasBridge && facts.bridged.length > 0 && asksForOwnText(fields.sql, statement),
      fitsNone: statement.calls.some((call) => fitsNoSignature(call, fields.types)),
      prepared: true,
    };
  }

  async #carryOut(verdict: Verdict, request: ParseRequest): Promise<void> {
    const { message, fields, statement } = request;
    switch (verdict.plan) {
      case 'relay':
        if (verdict.toExtension === true) await this.context.leftToExtension(statement, 'once');
        return this.#parses.relay(
          message,
          fields,
          await this.#parses.changed(verdict.change, request, this.#end),
        );
      case 'answer':
      case 'stream':
      case 'splice':
        return this.#prepare(request, verdict.otherwise === 'installed');
      case 'bridge':
        if (verdict.by === 'temporary') return this.#parses.bridgeTemporarily(fields, statement, verdict.why);
        return this.#parses.bridged(message, fields, statement);
      case 'refuse':
        this.context.statement.passed('refuse');
        throw verdict.error === 'parameter' ? new PgError('42P02', 'there is no parameter') : verdict.error;
      default:
        verdict satisfies never;
    }
  }

  /** Has the primary parse and describe the statement, whose calls are carried out when it is executed. */
  async #prepare({ fields, statement, facts }: ParseRequest, bridged: boolean): Promise<void> {
    const { context } = this;
    await this.limits.room(context, () => this.#objects.checkStatement(fields.name, fields.sql.length));
    await checkAssumptions(context, statement);
    const source = { text: fields.sql, statement, clientTypes: fields.types };
    const prepared = await prepareStatement(context, fields.name, source, facts);
    this.#objects.prepare(fields.name, prepared, prepared.text.length);
    // Without installed functions, a statement with a source that PostgreSQL may skip is not kept. Only an open batch or block
    // can have kept it from temporary functions, and the next time none may be open.
    const { types, said } = prepared;
    if (bridged || !maySkipSource(statement))
      this.#known.set(fields.sql, statement, { said, types }, fields.types.join());
    context.session.toClient(PARSE_COMPLETE);
  }

  /** For a statement about which everything is known: the next request need not wait for the primary's answer to this Parse. */
  #parseKnown(name: Buffer, prepared: PreparedDblink): void {
    const sink = forwardAnswer(this.#toClient, (error) => mapPosition(error, prepared.spliced));
    if (name.length === 0) this.unnamed.present = true;
    sendPrepared(this.context, name, prepared, sink);
    const before = this.#objects.statement(name);
    this.#objects.prepare(name, prepared, prepared.text.length);
    this.#asked.set(prepared, this.#sent);
    void sink.answered.then(({ error, skipped }) => {
      this.#asked.delete(prepared);
      if (error === undefined && !skipped) return;
      prepared.boundAsOf = -1;
      if (this.#objects.statement(name) !== prepared) return;
      if (before === undefined) this.#objects.forget(name);
      else this.#objects.prepare(name, before, before.text.length);
    });
  }

  /** Called for a message about prepared statements that is too long to be looked at. @param head of the message */
  unseen(type: number, head: Buffer): void {
    this.#objects.unseen(type, head);
    this.#described.unseen(type, head);
    const names = type === Frontend.bind ? readable(() => readBindNames(head)) : undefined;
    const prepared = names?.statement.length === 0 ? this.#objects.statement(EMPTY) : undefined;
    if (prepared !== undefined) void this.#require(prepared);
  }

  /** Sends the primary a statement that it has not got, because a batch was answered without it. That is the unnamed one. */
  async #require(prepared: PreparedDblink): Promise<void> {
    if (prepared.sent) return;
    this.unnamed.present = true;
    const sink = forwardError(this.#toClient, (error) => mapPosition(error, prepared.spliced));
    sendPrepared(this.context, EMPTY, prepared, sink);
    this.context.primary.flush();
    // In a failed transaction, for example, the primary does not take it.
    const { error, skipped } = await sink.answered;
    if (error !== undefined || skipped) prepared.sent = false;
  }

  /** How many ReadyForQuery messages there will have been when all that has been sent is answered. */
  get #sent(): number {
    const { readies, queue } = this.context.primary;
    return readies + queue.boundaries;
  }

  /** Whether it depends on outstanding answers which statement has this name: a Parse of an earlier batch may have been refused. */
  #maybeRefused(name: Buffer): boolean {
    const prepared = this.#objects.statement(name);
    const asked = prepared && this.#asked.get(prepared);
    return asked !== undefined && asked !== this.#sent;
  }

  async #bindWhenSettled(message: Buffer): Promise<void> {
    await this.context.primary.settled();
    const taken = readable(() => this.message(Frontend.bind, message));
    if (taken !== undefined) return taken;
    this.#relay('bind', message);
  }

  /** Handles Bind, Describe, Execute or Close while `tracking`. @returns undefined when the message is to be forwarded */
  message(type: number, message: Buffer): Promise<void> | undefined {
    if (type === Frontend.bind && this.#maybeRefused(readBindNames(message).statement))
      return this.#bindWhenSettled(Buffer.from(message));
    const described = this.#described.message(type, message);
    if (described !== undefined) return described;
    switch (type) {
      case Frontend.bind: {
        const names = readBindNames(message);
        const prepared = this.#objects.statement(names.statement);
        if (prepared === undefined) {
          this.#objects.bind(names.portal, undefined);
          return undefined;
        }
        const fields = fitting(message, prepared);
        return fields === undefined
          ? this.#refuseBind(Buffer.from(message), prepared)
          : this.#bind(fields, prepared);
      }
      case Frontend.describe: {
        const { target, name } = readTarget(message);
        const prepared = target === 'S' ? this.#objects.statement(name) : undefined;
        return prepared && this.#describe(Buffer.from(message), prepared);
      }
      case Frontend.execute: {
        const { portal: name, maxRows } = readExecute(message);
        const portal = this.#objects.portal(name);
        if (portal === undefined || portal.state === 'bound') return undefined;
        return this.#execute(Buffer.from(message), portal, maxRows);
      }
      case Frontend.close:
        return this.#objects.close(message);
      default:
        return undefined;
    }
  }

  /** Binds the portal without rows, which shows what is wrong with it. When it is executed, it is bound again with the rows. */
  async #bind(fields: BindFields, prepared: PreparedDblink): Promise<void> {
    const { primary } = this.context;
    const { statement } = prepared;
    if (await this.#batches.serve(prepared, fields)) return;
    if (primary.queue.skipping) return;
    const bytes = valueBytes(fields);
    const check = () => this.#objects.checkPortal(fields.portal, bytes);
    if (!(await this.limits.admits(this.context, check))) return;
    await this.#require(prepared);
    if (primary.queue.skipping) return;
    const asOf = primary.changes;
    const text = boundTextOf(prepared, fields);
    const computed = statement.calls.filter((call) => !isLocal(call, text, this.context));
    const message = bind(bindWith(fields, dryValues(statement)));
    const facts = this.context.probe.current;
    const portal: Portal = { name: fields.portal, prepared, bound: fields, state: 'dry', isLeft: false };
    if (computed.length === 0 && facts?.superuser === true && facts === prepared.facts) {
      const sink = forwardAnswer(this.#toClient);
      primary.send(message, { kind: 'bind', sink });
      void sink.answered.then(({ error, skipped, noticed }) => {
        const failed = error !== undefined || skipped;
        if (!failed) noteBound(prepared, noticed, asOf);
        else if (this.#objects.portal(portal.name) === portal) this.#objects.bind(portal.name, undefined);
      });
    } else {
      await primary.settled();
      if (primary.queue.skipping) return;
      const checked = await this.#guard(async () => {
        portal.isLeft = await this.#check(fields, message, prepared, computed);
      }, prepared.text);
      if (!checked) return;
      this.context.session.toClient(BIND_COMPLETE);
    }
    this.#objects.bind(fields.portal, portal, bytes);
  }

  /**
   * Binds the portal, and finds what else PostgreSQL refuses at that point: privileges, what planning computes.
   * @returns whether its statement is left to the primary
   * @throws PrimaryRaised; PgError 42501; NeedsBridge
   */
  async #check(
    fields: BindFields,
    message: Buffer,
    prepared: PreparedDblink,
    computed: readonly DblinkCall[],
  ): Promise<boolean> {
    const { primary, probe } = this.context;
    const { statement } = prepared;
    const asOf = primary.changes;
    const sink = new MessageSink();
    primary.send(message, { kind: 'bind', sink });
    primary.flush();
    const { error, noticed } = await sink.answered;
    primary.assertOpen();
    if (error !== undefined) throw new PrimaryRaised(error);
    const facts = await probe.get('flush').catch(asRaised);
    checkPrivileges(statement, facts);
    if (!this.#isServed(prepared, facts)) {
      await checkLeft(this.context, prepared, fields);
      return true;
    }
    noteBound(prepared, noticed, asOf);
    const text = boundTextOf(prepared, fields);
    for (const call of computed) await checkArguments(call, text, this.context);
    return false;
  }

  /** Whether the calls of a statement are still to be carried out here: names and rights may have changed. @throws PgError */
  #isServed(prepared: PreparedDblink, facts: SessionFacts): boolean {
    if (prepared.facts === facts) return true;
    const { text, statement, said } = prepared;
    const fields = { name: EMPTY, sql: text, types: said.parameterTypes };
    const verdict = decide(statement, this.#circumstances({ fields, statement, facts }));
    if (verdict.plan === 'refuse' && verdict.error !== 'parameter') throw verdict.error;
    const isServed = verdict.plan === 'answer' || verdict.plan === 'stream' || verdict.plan === 'splice';
    if (isServed) prepared.facts = facts;
    return isServed;
  }

  /** A Bind that does not fit the statement. The primary says what is wrong with it. */
  async #refuseBind(message: Buffer, prepared: PreparedDblink): Promise<void> {
    const { primary } = this.context;
    await primary.settled();
    if (primary.queue.skipping) return;
    await this.#guard(async () => {
      await askWhatIsWrong(this.context, message, prepared);
      await this.#require(prepared);
      this.#relay('bind', message);
    }, prepared.text);
  }

  /** Describe of a statement. The client is not told of the parameters that the proxy has added. */
  async #describe(message: Buffer, prepared: PreparedDblink): Promise<void> {
    const { session, primary } = this.context;
    await this.#require(prepared);
    const sink = new MessageSink({
      message: (type, answer) => {
        if (type !== Backend.parameterDescription) return true;
        const own = prepared.said.parameterTypes.length;
        session.toClient(parameterDescription(readParameterTypes(answer).slice(0, own)));
        return false;
      },
    });
    primary.send(message, { kind: 'describe', sink });
  }

  async #execute(message: Buffer, portal: Portal, maxRows: number): Promise<void> {
    const { context } = this;
    const { primary, session } = context;
    await primary.settled();
    // An error may have taken the portal with it, or a Sync that was on its way.
    const isGone =
      this.#objects.portal(portal.name) !== portal || primary.status === TransactionStatus.failed;
    if (primary.queue.skipping || isGone) return this.#relay('execute', message);
    if (portal.state === 'done') return void session.toClient(commandComplete('SELECT 0'));
    context.statement.begin();
    const { statement } = portal.bound;
    const execution = new PortalExecution(context, portal, maxRows, {
      hasBridge: this.bridge !== undefined,
      isPrepared: this.#objects.statement(statement) === portal.prepared,
    });
    await this.#guard(() => execution.run(), portal.prepared.text);
    context.statement.finish();
    // A client that sends on without reading must not make answers pile up in the proxy.
    await session.client.drained();
  }

  /**
   * Runs something. When it fails, the client is told of the error, and the primary skips to the next Sync, as it does after an
   * error of its own.
   * @returns whether there was no error
   */
  async #guard(act: () => Promise<void>, text: Buffer): Promise<boolean> {
    const { primary, session } = this.context;
    try {
      await act();
      return true;
    } catch (error) {
      if (primary.closed) throw error;
      if (error instanceof NoSuchSignature) {
        // The primary has no function with these arguments, and says so in its own words.
        const { error: own } = await primary.run({ sql: text }, 'flush');
        session.toClient(
          errorResponse(own ? asAmbiguous(own) : new PgError('42883', 'function does not exist')),
        );
        return false;
      }
      await tell(this.context, error, { inTransaction: true });
      return false;
    }
  }

  #relay(kind: 'parse' | 'bind' | 'execute', message: Buffer): void {
    this.context.primary.expect(FORWARD[kind]);
    this.context.primary.write(message);
  }
}
