import { randomBytes } from 'node:crypto';
import { argumentsOf, type CallArguments } from '../dblink/callArguments.js';
import { callScalar, callSource } from '../dblink/carryOut.js';
import { CATALOGUE, type Overload } from '../dblink/catalogue.js';
import type { ForeignServer } from '../dblink/connections/foreignServer.js';
import type { CallContext } from '../dblink/context.js';
import { HeldMemory } from '../dblink/memory.js';
import { rolesJson } from '../primary/declaredServers.js';
import { readServer } from '../primary/foreignServerQuery.js';
import type { MappingReader } from '../primary/foreignServers.js';
import { SERVICE_SCHEMA } from '../primary/marks.js';
import type { Engine } from '../session/context.js';
import { errorResponse, noticeResponse, PgError, parseFields } from '../wire/errors.js';
import {
  type Answer,
  moreAnswer,
  nothingAnswer,
  notificationsAnswer,
  proofAnswer,
  raisingAnswer,
  serverAnswer,
  valueAnswer,
  withoutPlace,
} from './exchange/answer.js';
import { withoutFrames } from './exchange/contextFrames.js';
import { mayBeRequest, showsBridge } from './exchange/hiddenNotices.js';
import { type BridgeRequest, readRequest } from './exchange/request.js';
import { RequestActs } from './exchange/requestActs.js';
import { type SessionKeys, SessionLocks } from './exchange/sessionLocks.js';
import { signatureOf } from './installed/publicFunctions.js';
import { IS_EVIDENCE_QUERY, MAKE_PROOF_QUERY, questionOf } from './installed/roleProof.js';
import { VERSION_HINT, VERSION_MESSAGE } from './installed/serviceSchema.js';
import { type ClaimedRole, type Proving, Roles } from './roles.js';
import { BulkRows } from './rows/bulkRows.js';
import { RowsSink } from './rows/rowsSink.js';
import { type DatabaseServices, Replacing } from './service/services.js';

const BY_SIGNATURE: ReadonlyMap<string, Overload> = new Map(
  CATALOGUE.map((overload) => [signatureOf(overload), overload]),
);

/** Requests by which a function goes on with the call that it waits for. */
const FURTHER: ReadonlySet<string> = new Set(['next', 'types', 'server', 'proved']);

/** SQLSTATE of a lost service connection. */
const LOST = '08006';

/** How often an answer is tried to be handed over: the connection that replaces a lost one can be lost, too. */
const DELIVERIES = 5;

/** A cancel that does not reach the function that waits is told it this much later. */
const CANCEL_GRACE_MS = 1000;

/** A call that a function of the primary waits for. */
interface Waiting {
  /** The function's last request. */
  request: BridgeRequest;
  /** When it came, by performance.now(). */
  readonly since: number;
  readonly abort: AbortController;
  /** Resolved with the function's next request while the call goes on. */
  next: ((request: BridgeRequest) => void) | undefined;
}

/**
 * One session's bridge: carries out the calls that functions of the primary ask for, while the primary runs a statement,
 * and hands their results back to them.
 */
export class Bridge {
  readonly #locks: SessionLocks;
  readonly #roles: Roles;
  #waiting: Waiting | undefined;
  /** What was asked last in the statement that runs, answered or not. */
  #latest: BridgeRequest | undefined;
  /** Stands for the cancel that ends a function which cannot be answered. */
  #substitute: PgError | undefined;
  #tables: string[] = [];
  /** Something has been handed over in the table of answers. */
  #answered = false;
  #tableCount = 0;
  #closed = false;
  #damagedCount = 0;
  readonly #acts = new RequestActs();
  #vouching = false;

  constructor(
    private readonly engine: Engine,
    private readonly keys: SessionKeys,
    services: () => DatabaseServices,
    user: string,
    /** Sends a cancel request to the primary. */
    private readonly cancelPrimary: () => void,
  ) {
    this.#locks = new SessionLocks(keys, () => services().join(engine.asker));
    this.#roles = new Roles(user, async () => ({ connection: this.#locks }));
  }

  /** Makes sure that a bridge can be had. @throws PgError that says what stands in the way */
  async prepare(): Promise<void> {
    try {
      await this.#locks.prepare();
    } catch (error) {
      if (!(error instanceof Replacing)) throw error;
      await error.done;
      await this.#locks.prepare();
    }
  }

  /**
   * Every NoticeResponse of the primary.
   * @param muted not for the client @param cut only its head: the rest is too long to be looked at
   * @returns whether the client gets it as it is
   */
  notice(message: Buffer, muted: boolean, cut: boolean): boolean {
    if (cut && mayBeRequest(message)) {
      this.engine.session.log.warn({}, 'a request of the bridge that is too long');
      this.#stop(tooLong());
      return false;
    }
    if (showsBridge(message, cut)) return false;
    if (cut) return !muted;
    const request = readRequest(message, this.keys.token, this.engine.session.primaryKey?.processId ?? 0);
    if (request === undefined) {
      if (muted) return false;
      const changed = this.#withoutFrames(message);
      if (changed === undefined) return true;
      this.engine.session.toClient(noticeResponse(changed));
      return false;
    }
    if (request === 'damaged') this.#damaged();
    else this.#requested(request);
    return false;
  }

  /** Told of the first one, the tenth, the hundredth: anybody can send them by the thousand. */
  #damaged(): void {
    const count = ++this.#damagedCount;
    if (Number.isInteger(Math.log10(count)))
      this.engine.session.log.warn({ count }, 'a request of the bridge that is none');
  }

  /** Every ErrorResponse of the primary: what was running is over. @returns the message as the client gets it */
  error(message: Buffer): Buffer {
    this.#abandon();
    const substitute = this.#substitute;
    this.#substitute = undefined;
    const changed =
      substitute !== undefined && parseFields(message).sqlstate === '57014'
        ? substitute
        : this.#withoutFrames(message);
    this.#latest = undefined;
    return changed === undefined ? message : errorResponse(changed);
  }

  #withoutFrames(message: Buffer): PgError | undefined {
    const { engine } = this;
    const shadowing = engine.probe.lastKnown?.shadowing.filter(({ schema }) => schema !== SERVICE_SCHEMA);
    return withoutFrames(message, (error) => engine.inClientEncoding(error), {
      shadowed: new Set(shadowing?.map(({ name }) => name)),
      unmarked: engine.majorVersion < 14 && this.#latest !== undefined,
    });
  }

  /** A ReadyForQuery passed. */
  ready(): void {
    this.#abandon();
    this.#latest = undefined;
    this.#substitute = undefined;
    this.#discardTables();
    this.#locks.statementEnded();
  }

  /** What was handed over has been read, and no lock on it stays. */
  #discardTables(): void {
    if (this.#tables.length > 0) this.#locks.services?.discard(this.#tables.splice(0));
  }

  /** The client's cancel request, which the primary gets as well. */
  cancel(): void {
    this.#waiting?.abort.abort(cancelled);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acts.close();
    // One that has seen no lock yet would go on looking for one.
    if (this.#waiting?.request.held === 'none') this.cancelPrimary();
    const { services } = this.#locks;
    this.#abandon();
    void this.#locks
      .release(this.#answered)
      .catch(() => undefined)
      .then(() => services?.discard(this.#tables.splice(0)));
  }

  /** Whatever a function waited for, it does not any more. */
  #abandon(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    waiting.abort.abort(cancelled);
  }

  #requested(request: BridgeRequest): void {
    if (request.function === 'again') return;
    if (this.#closed) {
      this.cancelPrimary();
      return;
    }
    const waiting = this.#waiting;
    this.#latest = request;
    this.#substitute = undefined;
    if (request.function === 'vouch') {
      this.#vouch(request.pid);
      return;
    }
    this.#locks.expect(request);
    if (FURTHER.has(request.function)) {
      if (waiting?.next === undefined) {
        this.#abandon();
        this.#acts.begin(() => this.#give(request, raisingAnswer('error', outOfOrder())));
        return;
      }
      const { next } = waiting;
      waiting.request = request;
      waiting.next = undefined;
      next(request);
      return;
    }
    // Still an earlier one: the user's code caught a cancel or a time limit and went on.
    this.#abandon();
    this.#discardTables();
    const begun: Waiting = {
      request,
      since: performance.now(),
      abort: new AbortController(),
      next: undefined,
    };
    this.#waiting = begun;
    this.#acts.begin(() => this.#serve(begun));
  }

  #vouch(pid: number): void {
    if (this.#vouching) return;
    this.#vouching = true;
    void this.#attachFor(performance.now())
      .then(() => this.#locks.vouch(pid))
      .catch((error: unknown) => {
        if (this.#latest?.function === 'vouch') this.#stop(error);
      })
      .finally(() => {
        this.#vouching = false;
      });
  }

  /** @param askedAt when the function that is to be answered has asked */
  async #attachFor(askedAt: number): Promise<void> {
    const { services } = await this.#locks.attach();
    services.refuseOlder(askedAt);
  }

  async #serve(waiting: Waiting): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#carryOut(waiting);
    } catch (error) {
      if (!(error instanceof PgError))
        this.engine.session.log.error({ err: error }, 'internal error in a bridged call');
      answer = raisingAnswer('error', error instanceof PgError ? error : internal());
    }
    const give = async (): Promise<void> => {
      if (this.#waiting !== waiting) return;
      this.#waiting = undefined;
      await this.#give(waiting.request, answer);
    };
    if (waiting.abort.signal.aborted && this.#waiting === waiting) {
      // The primary is cancelled as well, and says so itself; unless the request was lost on the way.
      setTimeout(() => this.#acts.begin(give), CANCEL_GRACE_MS).unref();
    } else await give();
  }

  async #give(request: BridgeRequest, answer: Answer): Promise<void> {
    const locks = this.#locks;
    // Another call must not lose the lock that it waits for.
    const waits = (): boolean => this.#latest === request;
    if (request.mode === 'row') this.#answered = true;
    let table: string | undefined;
    const making = (name: string): void => {
      table = name;
    };
    let given = answer;
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          await locks.give(request, given, waits, making);
          break;
        } catch (error) {
          if (!(error instanceof PgError) || this.#closed || !waits() || attempt === DELIVERIES) throw error;
          // What a connection that was lost did not bring, another one may; what cannot be stored may be an error that can.
          if (error.sqlstate !== LOST) given = raisingAnswer('error', error);
        }
      }
    } catch (error) {
      if (this.#closed) return;
      this.engine.session.log.warn({ err: (error as Error).message }, 'a dblink call could not be answered');
      // With no lock held a function that waits finds no answer; one that never saw a lock has to be stopped.
      await locks.withdraw(waits).catch(() => undefined);
      if (request.held === 'none' && waits()) this.#stop(error);
    } finally {
      if (table !== undefined) this.#made(table);
    }
  }

  /** A side table is there, or may be. It goes when the statement that runs is over. */
  #made(table: string): void {
    this.#tables.push(table);
    if (this.#closed || this.#latest === undefined) this.#discardTables();
  }

  /** Ends a function that cannot be answered, which then raises this error. */
  #stop(error: unknown): void {
    this.#substitute = error instanceof PgError ? error : lost();
    this.cancelPrimary();
  }

  /** Answers in between, and waits for what the function then asks: one thing at a time. */
  async #converse(waiting: Waiting, answer: Answer): Promise<BridgeRequest> {
    waiting.abort.signal.throwIfAborted();
    const next = new Promise<BridgeRequest>((resolve, reject) => {
      waiting.next = resolve;
      waiting.abort.signal.addEventListener('abort', () => reject(waiting.abort.signal.reason), {
        once: true,
      });
    });
    next.catch(() => undefined);
    await this.#give(waiting.request, answer);
    return next;
  }

  async #carryOut(waiting: Waiting): Promise<Answer> {
    const { request } = waiting;
    const overload = BY_SIGNATURE.get(request.function);
    if (overload === undefined || overload.args.length !== request.args.length) throw unknownFunction();
    if (overload.runs === 'primary' || overload.name === 'dblink_current_query') throw unknownFunction();
    const roles = overload.args.map(({ role }) => role);
    const args = argumentsOf(roles, request.args);
    // The functions are STRICT: only who forges a request gives a NULL.
    if (args.kind === 'null') return valueAnswer(null);
    // Until it can be answered nothing remote is to happen.
    await this.#attachFor(waiting.since).catch((error: unknown) => {
      if (request.held === 'none' && this.#waiting === waiting) {
        this.#waiting = undefined;
        this.#stop(error);
      }
      throw error;
    });
    const unchecked = overload.name === 'dblink_connect_u';
    let proof: Promise<boolean> | undefined;
    const role: ClaimedRole = {
      name: request.role,
      prove: (by) => (proof ??= this.#prove(waiting, request, by)),
    };
    if (unchecked && !(await this.#roles.mayConnectUnchecked(role))) {
      throw new PgError('42501', `permission denied for function ${overload.name}`);
    }
    const notices: PgError[] = [];
    const { engine } = this;
    const context: CallContext = {
      facts: {
        superuser: await this.#roles.mayBeSuperuser(role.name),
        confirmSuperuser: async () => (await this.#roles.counting(role)).superuser,
        findServer: (name, _asOwner, signal) =>
          this.#findServer(
            waiting,
            name,
            {
              // It has been proven.
              role: async () => (unchecked ? role.name : (await this.#roles.counting(role)).name),
              signal,
            },
            role.name,
          ),
        primaryMajor: engine.majorVersion,
        databaseEncoding: engine.databaseEncoding,
      },
      signal: waiting.abort.signal,
      notice: (notice) => void notices.push(notice),
    };
    waiting.abort.signal.throwIfAborted();
    let answer: Answer;
    try {
      if (overload.name === 'dblink_get_notify') {
        answer = notificationsAnswer(await engine.dblink.notifications(args.connection, context));
      } else if (overload.returns === 'setof record') {
        answer = await this.#rows(waiting, overload, args, context);
      } else answer = valueAnswer(await callScalar(engine.dblink, overload, args, context));
    } catch (error) {
      if (!(error instanceof PgError) || waiting.abort.signal.aborted) throw error;
      answer = raisingAnswer('error', error);
    }
    for (const notice of notices) await this.#converse(waiting, raisingAnswer('notice', notice));
    return answer;
  }

  /** Whether the function runs as the role of its request: only then can it get the evidence. */
  async #prove(waiting: Waiting, { role, pid }: BridgeRequest, by: Proving): Promise<boolean> {
    const { connection } = await this.#locks.attach();
    waiting.abort.signal.throwIfAborted();
    const nonce = randomBytes(16).toString('hex');
    const maker = by === 'made' ? this.#nameTable('proof', pid) : undefined;
    if (maker !== undefined) {
      try {
        await connection.query(MAKE_PROOF_QUERY, [maker, role]);
      } catch (error) {
        // Where in the bridge it was is nobody's business.
        throw error instanceof PgError ? withoutPlace(error) : error;
      } finally {
        this.#made(maker);
      }
    }
    const { function: name, args } = await this.#converse(waiting, proofAnswer(questionOf(nonce, maker)));
    const evidence = name === 'proved' ? args[0]?.toString('latin1') : undefined;
    if (evidence === undefined || !/^[0-9a-f]{64}$/.test(evidence)) return false;
    const [row] = await connection.query(IS_EVIDENCE_QUERY, [nonce, role, evidence]);
    return row?.[0]?.toString() === 't';
  }

  #nameTable(kind: 'rows' | 'proof', pid: number): string {
    return `${kind}_${pid}_${this.keys.token.slice(0, 8)}_${++this.#tableCount}`;
  }

  /**
   * What the function finds under the name, else a server of the configuration. It is worth no more than a connection string
   * of the session's.
   * @param reader whose rights count beyond that: dblink_connect_u has its owner's
   * @param claimed the role that the function runs as, by its own account
   */
  async #findServer(
    waiting: Waiting,
    name: string,
    reader: MappingReader,
    claimed: string,
  ): Promise<ForeignServer | undefined> {
    const { foreignServers, databaseEncoding } = this.engine;
    const [found] = (await this.#converse(waiting, serverAnswer)).args;
    const server = found ? readServer(found.toString('latin1')) : undefined;
    if (server !== undefined) return foreignServers.usable(server, reader);
    return foreignServers.declared(name, async (declared) => {
      // Who could not use it anyway has nothing to prove.
      if (!(await this.#roles.isMember(claimed, rolesJson(declared, databaseEncoding)))) return false;
      return (await reader.role()) === claimed;
    });
  }

  async #rows(
    waiting: Waiting,
    overload: Overload,
    args: CallArguments & { kind: 'call' },
    context: CallContext,
  ): Promise<Answer> {
    const stop = new AbortController();
    const cancel = (): void => stop.abort(context.signal.reason);
    context.signal.addEventListener('abort', cancel, { once: true });
    const memory = new HeldMemory(this.engine.memory);
    const sink = new RowsSink(
      this.engine.settings.maxSpliceBytes,
      async (oids, style) => {
        const { args: wanted, pid } = await this.#converse(waiting, moreAnswer(oids));
        const values = wanted.map((value) => value?.toString('latin1') ?? null);
        const [timeZone, dateStyle, intervalStyle] = values.slice(-3);
        const table = this.#nameTable('rows', pid);
        const format = {
          types: values.slice(0, -3),
          timeZone: timeZone ?? 'UTC',
          dateStyle: style.dateStyle ?? dateStyle ?? 'ISO',
          intervalStyle: style.intervalStyle ?? intervalStyle ?? 'postgres',
        };
        return BulkRows.open(this.#locks.services!, table, pid, format, {
          user: this.engine.asker[0],
          signal: context.signal,
          made: () => this.#made(table),
        });
      },
      (error) => stop.abort(error),
      memory,
    );
    /** What dblink() got before an error has been converted when the error comes. */
    const check = async (): Promise<void> => {
      const answer = overload.name === 'dblink' ? await sink.checking() : undefined;
      if (answer !== undefined) await this.#converse(waiting, answer);
    };
    let told = false;
    try {
      const { signal } = stop;
      const notice = (notice: PgError): void => {
        told = true;
        context.notice(notice);
      };
      const outcome = await callSource(this.engine.dblink, overload, args, sink, {
        ...context,
        notice,
        signal,
      }).catch(async (error: unknown) => {
        if (error instanceof PgError && !signal.aborted) await check();
        throw error;
      });
      if (told) await check();
      if (outcome.kind === 'nothing') {
        await sink.abort();
        return nothingAnswer;
      }
      return await sink.answer(outcome.kind === 'status' ? outcome.tag : undefined);
    } catch (error) {
      await sink.abort();
      throw error;
    } finally {
      memory.release();
    }
  }
}

/** One for all: a flood of requests abandons as many calls. */
const cancelled = new PgError('57014', 'canceling statement due to user request');

const tooLong = (): PgError =>
  new PgError('54000', 'a dblink call could not be handed to dblink-proxy', {
    detail: 'The statement that it is in, and those around it, are too long together.',
  });

const outOfOrder = (): PgError =>
  new PgError('08P01', 'a function of the bridge asked for more of a call that is over');

const unknownFunction = (): PgError => new PgError('0A000', VERSION_MESSAGE, { hint: VERSION_HINT });

const internal = (): PgError => new PgError('XX000', 'internal error of the proxy; see its log');

const lost = (): PgError =>
  new PgError('08006', 'the connection by which dblink-proxy answers dblink calls was lost');
