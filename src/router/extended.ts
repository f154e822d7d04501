import { errorResponse, PgError } from '../wire/errors.js';
import {
  type BindFields,
  bind,
  close,
  commandComplete,
  describe,
  execute,
  PARSE_COMPLETE,
  parse,
  readBind,
  readExecute,
  readParse,
  readTarget,
} from '../wire/messages.js';
import { Backend, Frontend, TransactionStatus } from '../wire/protocol.js';
import { MessageReader } from '../wire/reader.js';
import { MessageWriter } from '../wire/writer.js';
import type { DblinkCall, Statement } from './analysis/index.js';
import { checkAssumptions } from './assumptions.js';
import type { ColumnType } from './columns.js';
import type { Engine } from './engine.js';
import { NeedsBridge, NoSuchSignature, PrimaryRaised } from './failures.js';
import { isShadowed } from './names.js';
import { FORWARD } from './responses.js';
import { runCalls } from './runCalls.js';
import { MessageSink } from './sinks.js';
import {
  assumedRight,
  bindWith,
  dryValues,
  mapPosition,
  Poison,
  parameterTypes,
  type SplicedStatement,
  sourceTypes,
  spliceStatement,
  styleValues,
} from './splice.js';

/** A prepared statement whose calls the proxy carries out. The primary has it under the same name, rewritten. */
interface PreparedDblink {
  readonly text: Buffer;
  readonly statement: Statement;
  readonly spliced: SplicedStatement;
  readonly types: ReadonlyMap<DblinkCall, readonly ColumnType[]>;
  /** Types of the client's parameters, as the primary resolved them. */
  readonly parameterTypes: readonly number[];
}

interface Portal {
  readonly prepared: PreparedDblink;
  readonly bound: BindFields;
  /** dry: bound without rows, to be bound again when it is executed; done: its rows went to the client directly. */
  state: 'dry' | 'bound' | 'done';
}

/** Name under which a statement is prepared that reads its rows in another style. */
const STYLED = Buffer.from('dblink_proxy_styled');

const nameOf = (name: Buffer): string => name.toString('latin1');

/**
 * The extended protocol for statements with dblink calls (protocol documentation, "Extended Query"): keeps which prepared
 * statements and portals are such, and carries their calls out when the portal is executed.
 */
export class ExtendedQuery {
  readonly #statements = new Map<string, PreparedDblink>();
  readonly #portals = new Map<string, Portal>();

  constructor(private readonly engine: Engine) {}

  get tracking(): boolean {
    return this.#statements.size > 0;
  }

  /** A ReadyForQuery passed: outside of a transaction block no portal is left. */
  ready(): void {
    if (this.engine.primary.status === TransactionStatus.idle) this.#portals.clear();
  }

  /** A Query or another Parse replaces the unnamed statement. */
  forgetUnnamed(): void {
    this.#statements.delete('');
    this.#portals.delete('');
  }

  /** Parse of a statement with calls. @param message whole, to be kept */
  async parse(message: Buffer, statement: Statement): Promise<void> {
    const { engine } = this;
    const { primary } = engine;
    const fields = readParse(message);
    await primary.settled();
    if (primary.queue.skipping || primary.status === TransactionStatus.failed)
      return this.#relay('parse', message);
    const end = primary.batchOpen || engine.inBlock ? 'flush' : 'sync';
    await this.#guard(async () => {
      const facts = await engine.probe.get(end).catch(raised);
      if (isShadowed(statement, facts.shadowing)) return this.#relay('parse', message);
      if (statement.shape.kind === 'bridge') throw new NeedsBridge(statement.shape.reason);
      await checkAssumptions(engine, statement);
      const prepared = await this.#prepare(fields.name, fields.sql, fields.types, statement);
      this.#statements.set(nameOf(fields.name), prepared);
      engine.session.toClient(PARSE_COMPLETE);
    }, fields.sql);
  }

  async #prepare(
    name: Buffer,
    text: Buffer,
    clientTypes: readonly number[],
    statement: Statement,
  ): Promise<PreparedDblink> {
    const parameters = Math.max(statement.parameters, clientTypes.length);
    const none = new Map<DblinkCall, readonly ColumnType[]>();
    let spliced = spliceStatement(this.engine, text, statement, parameters, none, { clientTypes });
    const [described, types] = await Promise.all([
      this.#parseAndDescribe(name, spliced, clientTypes, statement),
      sourceTypes(this.engine, statement, 'flush'),
    ]);
    let resolved = described;
    if (!assumedRight(types)) {
      spliced = spliceStatement(this.engine, text, statement, parameters, types, { clientTypes });
      this.engine.primary.send(close('S', name), { kind: 'close', sink: new MessageSink() });
      resolved = await this.#parseAndDescribe(name, spliced, clientTypes, statement);
    } else spliced = spliceStatement(this.engine, text, statement, parameters, types, { clientTypes });
    return { text, statement, spliced, types, parameterTypes: resolved.slice(0, parameters) };
  }

  /** @returns the types of all parameters */
  async #parseAndDescribe(
    name: Buffer,
    spliced: SplicedStatement,
    clientTypes: readonly number[],
    statement: Statement,
  ): Promise<readonly number[]> {
    const { primary } = this.engine;
    const parsed = new MessageSink();
    const described = new MessageSink();
    const types = parameterTypes(clientTypes, spliced.parameters, statement.calls.length);
    primary.send(parse(name, spliced.rewritten.sql, types), { kind: 'parse', sink: parsed });
    primary.send(describe('S', name), { kind: 'describe', sink: described });
    primary.flush();
    const { error } = await parsed.answered;
    const answer = await described.answered;
    primary.assertOpen();
    const failure = error ?? answer.error;
    if (failure !== undefined) throw new PrimaryRaised(mapPosition(failure, spliced));
    return readParameterTypes(answer.parameters);
  }

  /** Bind, Describe, Execute or Close while `tracking`. @returns undefined when it is not about such a statement */
  message(type: number, message: Buffer): Promise<void> | undefined {
    switch (type) {
      case Frontend.bind: {
        const fields = readBind(message);
        const prepared = this.#statements.get(nameOf(fields.statement));
        if (prepared !== undefined) return this.#bind(fields, prepared);
        this.#portals.delete(nameOf(fields.portal));
        return undefined;
      }
      case Frontend.describe: {
        const { target, name } = readTarget(message);
        const prepared = target === 'S' ? this.#statements.get(nameOf(name)) : undefined;
        return prepared && this.#describe(Buffer.from(message), prepared);
      }
      case Frontend.execute: {
        const { portal: name, maxRows } = readExecute(message);
        const portal = this.#portals.get(nameOf(name));
        if (portal === undefined || portal.state === 'bound') return undefined;
        return this.#execute(Buffer.from(message), name, portal, maxRows);
      }
      case Frontend.close: {
        const { target, name } = readTarget(message);
        (target === 'S' ? this.#statements : this.#portals).delete(nameOf(name));
        return undefined;
      }
      default:
        return undefined;
    }
  }

  /** The portal is bound without rows at once, which tells what is wrong with it; the rows come when it is executed. */
  async #bind(fields: BindFields, prepared: PreparedDblink): Promise<void> {
    const { primary } = this.engine;
    const { statement, spliced } = prepared;
    if (primary.queue.skipping) return;
    if (fields.values.length !== spliced.parameters) {
      await primary.settled();
      const error = new PgError(
        '08P01',
        `bind message supplies ${fields.values.length} parameters, but prepared statement "${nameOf(fields.statement)}" requires ${spliced.parameters}`,
      );
      return this.#guard(() => Promise.reject(error), prepared.text);
    }
    const sink = this.#forwarding((error) => error);
    primary.send(bind(bindWith(fields, dryValues(statement))), { kind: 'bind', sink });
    this.#portals.set(nameOf(fields.portal), { prepared, bound: fields, state: 'dry' });
  }

  /** Describe of a statement: the parameters of the proxy are not the client's business. */
  async #describe(message: Buffer, prepared: PreparedDblink): Promise<void> {
    const { session, primary } = this.engine;
    const sink = new MessageSink({
      message: (type, answer) => {
        if (type !== Backend.parameterDescription) return true;
        session.toClient(
          parameterDescription(readParameterTypes(answer).slice(0, prepared.spliced.parameters)),
        );
        return false;
      },
    });
    primary.send(message, { kind: 'describe', sink });
  }

  async #execute(message: Buffer, name: Buffer, portal: Portal, maxRows: number): Promise<void> {
    const { engine } = this;
    const { primary, session } = engine;
    await primary.settled();
    if (primary.queue.skipping) return this.#relay('execute', message);
    if (portal.state === 'done') return void session.toClient(commandComplete('SELECT 0'));
    const { prepared, bound } = portal;
    const { statement, text } = prepared;
    engine.begin();
    await this.#guard(async () => {
      const facts = await engine.probe.get('flush').catch(raised);
      const outcome = await runCalls(engine, {
        text,
        statement,
        bound: { types: prepared.parameterTypes, formats: bound.formats, values: bound.values },
        facts,
        shapes: prepared.spliced.shapes,
        stream:
          statement.shape.kind === 'stream' &&
          maxRows === 0 &&
          bound.resultFormats.every((format) => format === 0),
      });
      if (outcome.kind === 'streamed') {
        portal.state = 'done';
        session.toClient(commandComplete(`SELECT ${outcome.rows}`));
        return;
      }
      const poison = new Poison(engine);
      let values = poison.values(statement, outcome.results);
      let spliced = prepared.spliced;
      let source = bound.statement;
      if (outcome.style !== undefined) {
        spliced = spliceStatement(engine, text, statement, spliced.parameters, prepared.types, {
          styled: true,
          clientTypes: prepared.parameterTypes,
        });
        values = [...values, ...styleValues(engine, outcome.style)];
        source = STYLED;
        await this.#parseAndDescribe(STYLED, spliced, prepared.parameterTypes, statement);
      }
      if (name.length > 0) primary.send(close('P', name), { kind: 'close', sink: new MessageSink() });
      const map = (error: PgError): PgError => poison.translate(error) ?? mapPosition(error, spliced);
      const rebind = bindWith({ ...bound, statement: source }, values);
      primary.forwarded++;
      primary.send(bind(rebind), { kind: 'bind', sink: this.#errorsOnly(map) });
      primary.send(execute(name, maxRows), { kind: 'execute', sink: this.#forwarding(map) });
      if (source === STYLED) primary.send(close('S', STYLED), { kind: 'close', sink: new MessageSink() });
      portal.state = 'bound';
    }, text);
    engine.finish();
  }

  /** Forwards an answer, its error changed. */
  #forwarding(map: (error: PgError) => PgError): MessageSink {
    const sink: MessageSink = new MessageSink({
      passRows: true,
      message: (type, message) => {
        if (type !== Backend.errorResponse) return true;
        this.engine.session.toClient(errorResponse(map(MessageSink.errorOf(message))));
        return false;
      },
    });
    return sink;
  }

  /** Forwards nothing of an answer but an error, changed. */
  #errorsOnly(map: (error: PgError) => PgError): MessageSink {
    return new MessageSink({
      message: (type, message) => {
        if (type === Backend.errorResponse) {
          this.engine.session.toClient(errorResponse(map(MessageSink.errorOf(message))));
        }
        return false;
      },
    });
  }

  /** Tells the client of an error; the primary skips to the next Sync, as it does after an error of its own. */
  async #guard(act: () => Promise<void>, text: Buffer): Promise<void> {
    const { primary, session } = this.engine;
    try {
      await act();
    } catch (error) {
      if (primary.closed) throw error;
      if (error instanceof NoSuchSignature) {
        // The primary lacks the function with these arguments and says so in its own words.
        const { error: own } = await primary.run({ sql: text }, 'flush');
        session.toClient(errorResponse(own ?? new PgError('42883', 'function does not exist')));
        return;
      }
      const told = error instanceof PrimaryRaised ? error.error : error;
      if (!(told instanceof PgError)) throw error;
      await this.engine.failTransaction(told);
      const own = !(error instanceof PrimaryRaised);
      session.toClient(errorResponse(own ? this.engine.inClientEncoding(told) : told));
    }
  }

  #relay(kind: 'parse' | 'execute', message: Buffer): void {
    this.engine.primary.expect(FORWARD[kind]);
    this.engine.primary.write(message);
  }
}

const raised = (error: unknown): never => {
  throw error instanceof PgError ? new PrimaryRaised(error) : error;
};

function readParameterTypes(message: Buffer | undefined): readonly number[] {
  if (message === undefined) return [];
  const reader = new MessageReader(message);
  return Array.from({ length: reader.uint16() }, () => reader.uint32());
}

function parameterDescription(types: readonly number[]): Buffer {
  const writer = new MessageWriter(Backend.parameterDescription, 2 + types.length * 4).int16(types.length);
  for (const type of types) writer.int32(type);
  return writer.end();
}
