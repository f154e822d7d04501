import { POLL, SERVICE_SCHEMA } from '../primary/marks.js';
import type { SessionContext } from '../session/context.js';
import { errorResponse, noticeResponse, PgError, parseFields } from '../wire/errors.js';
import { AbortPool } from './abortPool.js';
import { BridgedCall, type CallBridge } from './bridgedCall.js';
import { type BridgeAnswer, raisingAnswer } from './exchange/bridgeAnswer.js';
import { withoutFrames } from './exchange/contextFrames.js';
import { isSkipping, mayBeRequest, showsBridge } from './exchange/hiddenNotices.js';
import { type BridgeRequest, readRequest } from './exchange/request.js';
import { RequestActs } from './exchange/requestActs.js';
import { type SessionKeys, SessionLocks } from './exchange/sessionLocks.js';
import { Roles } from './roles.js';
import { Replacing } from './service/serviceErrors.js';
import type { DatabaseServices } from './service/services.js';

/** Requests with which a function goes on with the call that it waits for. All others begin a new call. */
const FURTHER: ReadonlySet<string> = new Set(['next', 'types', 'server', 'proved', POLL]);

/** SQLSTATE of a lost service connection. */
const LOST = '08006';

/** How often the proxy tries to hand over one answer. The connection that replaces a lost one can be lost, too. */
const DELIVERIES = 5;

/**
 * A cancel request goes to the primary, which ends the function that waits. If that has not happened after this time, the
 * function gets the error as its answer.
 */
const CANCEL_GRACE_MS = 1000;

/** What a session's bridge is made of. */
export interface BridgeParts {
  readonly keys: SessionKeys;
  /** The service connections to the session's database. @throws PgError when it is not certain which that is */
  readonly services: () => Promise<DatabaseServices>;
  /** The user that logged in, a byte string. Of nested sessions the client's. */
  readonly user: string;
  /** Whether it is certain that nobody but the proxy sees what the session's functions ask for. */
  readonly confidential: boolean;
  /** Whether the session has shown to be one of the primary. Undefined where that is certain. */
  readonly proof?: { readonly given: boolean; confirm(): void } | undefined;
  /** Sends a cancel request to the primary. */
  readonly cancelPrimary: () => void;
}

/**
 * One session's bridge. While the primary runs a statement, functions in it ask for calls of dblink. The bridge carries these
 * calls out and hands the results back to the functions.
 */
export class Bridge implements CallBridge {
  readonly locks: SessionLocks;
  readonly roles: Roles;
  readonly aborts = new AbortPool();
  /** The call that a function waits for. */
  #waiting: BridgedCall | undefined;
  /** The last request in the statement that runs, answered or not. */
  #latest: BridgeRequest | undefined;
  /** A function that cannot be answered is ended by a cancel. The client gets this error in place of the cancel's. */
  #substitute: PgError | undefined;
  /** Names of what the statement that runs has made in the service schema: side tables, and functions that prove roles. */
  #objects: string[] = [];
  #objectCount = 0;
  #closed = false;
  #damagedCount = 0;
  readonly #acts = new RequestActs();
  /** A request to vouch is being dealt with. Further ones need nothing of their own. */
  #vouching = false;

  constructor(
    readonly context: SessionContext,
    private readonly parts: BridgeParts,
  ) {
    const { keys, services, user } = parts;
    this.locks = new SessionLocks(keys, async () => (await services()).join(context.asker));
    this.roles = new Roles(user, async () => ({ connection: this.locks }));
  }

  /**
   * Makes sure that functions of the primary can be answered. Where the service schema is being replaced it waits for that.
   * @throws PgError that says what stands in the way, see SessionLocks.prepare
   */
  async prepare(): Promise<void> {
    try {
      await this.locks.prepare();
    } catch (error) {
      if (!(error instanceof Replacing)) throw error;
      await error.done;
      await this.locks.prepare();
    }
  }

  /**
   * Called for every NoticeResponse of the primary. Requests of the bridge are among them, and do not reach the client.
   * @param muted the client is not to get it @param cut it is only a head: the whole message is too long to be looked at
   * @returns whether the client gets the message as it is; false also where a changed one has been sent instead
   */
  notice(message: Buffer, muted: boolean, cut: boolean): boolean {
    if (cut && mayBeRequest(message)) {
      this.context.session.log.warn({}, 'a request of the bridge that is too long');
      this.#stop(tooLong());
      return false;
    }
    if (showsBridge(message, cut)) return false;
    if (cut) return !muted;
    const request = readRequest(
      message,
      this.parts.keys.token,
      this.context.session.primaryKey?.processId ?? 0,
    );
    if (request === undefined) {
      if (muted || isSkipping(message)) return false;
      const changed = this.#withoutFrames(message);
      if (changed === undefined) return true;
      this.context.session.toClient(noticeResponse(changed));
      return false;
    }
    if (request === 'damaged') this.#damaged();
    else this.#requested(request);
    return false;
  }

  /** Logs the first one, the tenth, the hundredth and so on. Anybody can send them by the thousand. */
  #damaged(): void {
    const count = ++this.#damagedCount;
    if (Number.isInteger(Math.log10(count)))
      this.context.session.log.warn({ count }, 'a request of the bridge that is none');
  }

  /**
   * Called for every ErrorResponse of the primary. What was running is over, so its call is given up.
   * @returns the message as the client gets it
   */
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
    const { context } = this;
    const shadowing = context.probe.lastKnown?.shadowing.filter(({ schema }) => schema !== SERVICE_SCHEMA);
    return withoutFrames(message, (error) => context.encodings.inClient(error), {
      shadowed: new Set(shadowing?.map(({ name }) => name)),
      unmarked: context.majorVersion < 14 && this.#latest !== undefined,
    });
  }

  /** Called when a ReadyForQuery of the primary has passed. The statement is over, and what was made for it goes. */
  ready(): void {
    this.#abandon();
    this.#latest = undefined;
    this.#substitute = undefined;
    this.#discardObjects();
    this.locks.statementEnded();
  }

  /** Has the objects of earlier calls dropped. They have been read, and the functions that read them keep no lock on them. */
  #discardObjects(): void {
    if (this.#objects.length > 0) this.locks.services?.discard(this.#objects.splice(0));
  }

  /** Whether a function waits for the proxy. */
  get serving(): boolean {
    return this.#waiting !== undefined;
  }

  /** Called for a cancel request of the client. The primary gets it as well. */
  cancel(): void {
    this.#waiting?.abandon(cancelled);
  }

  /**
   * For a command that wants the session's database for itself: the session gives up its place on the service connection, and takes
   * it again with the next call or answer. A function that waits does so without a lock from now on: nobody else can log in to the
   * database until the command is over, so it should be the one that waits for the command. Never rejects.
   */
  async vacate(): Promise<void> {
    if (this.#closed) return;
    await this.#waiting?.waitWithoutLock();
    await this.locks.vacate();
  }

  /** Called when the session is over. Ends the function that waits, and removes what the session has in the primary. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acts.close();
    // A function that has seen no lock yet would go on looking for one.
    if (this.#waiting?.request.held === 'none') this.parts.cancelPrimary();
    const { services } = this.locks;
    this.#abandon();
    void this.locks
      .release()
      .catch(() => undefined)
      .then(() => services?.discard(this.#objects.splice(0)));
  }

  /** No function waits any more. Gives up the call that is under way. */
  #abandon(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    waiting.abandon(cancelled);
  }

  #requested(request: BridgeRequest): void {
    if (request.function === 'again') return;
    if (this.#closed) {
      this.parts.cancelPrimary();
      return;
    }
    const waiting = this.#waiting;
    this.#latest = request;
    this.#substitute = undefined;
    if (request.function === 'vouch') {
      this.#vouch(request.pid);
      return;
    }
    this.locks.expect(request);
    if (FURTHER.has(request.function)) {
      if (waiting?.goOn(request) === true) return;
      this.#abandon();
      this.#acts.begin(() => this.#give(request, raisingAnswer('error', outOfOrder())));
      return;
    }
    // An earlier call may still be under way: the user's code caught a cancel or a time limit and went on.
    this.#abandon();
    this.#discardObjects();
    const call = new BridgedCall(this, request);
    this.context.metrics?.bridged();
    this.#waiting = call;
    this.#acts.begin(() => this.#serve(call));
  }

  #vouch(pid: number): void {
    if (this.#vouching) return;
    if (!this.parts.confidential) {
      this.#stop(notConfidential());
      return;
    }
    this.#vouching = true;
    void this.#attachFor(performance.now())
      .then(() => this.locks.vouch(pid))
      .catch((error: unknown) => {
        if (this.#latest?.function === 'vouch') this.#stop(error);
      })
      .finally(() => {
        this.#vouching = false;
      });
  }

  /**
   * Makes sure that a function can be answered.
   * @param askedAt when it has asked, by performance.now()
   * @throws PgError see SessionLocks.attach; Replacing
   */
  async #attachFor(askedAt: number): Promise<void> {
    const { services } = await this.locks.attach();
    services.refuseOlder(askedAt);
  }

  /**
   * See CallBridge. A function that has seen no lock cannot be given the error as its answer. It is ended by a cancel, and the
   * client gets the error in the cancel's place.
   */
  async attach(call: BridgedCall): Promise<void> {
    try {
      await this.#attachFor(call.askedAt);
      await this.#proveSession(call);
    } catch (error) {
      if (call.request.held === 'none' && this.#waiting === call) {
        this.#waiting = undefined;
        this.#stop(error);
      }
      throw error;
    }
  }

  /** Waits until it is seen that a function of the session's process asks, where that is not certain. @throws PgError 57014 */
  async #proveSession(call: BridgedCall): Promise<void> {
    const { proof } = this.parts;
    if (proof === undefined || proof.given) return;
    if (!(await this.locks.isAwaited(call.request, () => this.#waiting === call))) throw cancelled;
    proof.confirm();
  }

  async #serve(call: BridgedCall): Promise<void> {
    let answer: BridgeAnswer;
    try {
      answer = await call.run();
    } catch (error) {
      if (!(error instanceof PgError))
        this.context.session.log.error({ err: error }, 'internal error in a bridged call');
      answer = raisingAnswer('error', error instanceof PgError ? error : internal());
    }
    const give = async (): Promise<void> => {
      if (this.#waiting !== call) return;
      this.#waiting = undefined;
      await this.#give(call.request, answer);
    };
    if (call.abandoned && this.#waiting === call) {
      // The primary got the cancel request as well and ends the function itself, unless that request was lost on the way.
      setTimeout(() => this.#acts.begin(give), CANCEL_GRACE_MS).unref();
    } else await give();
  }

  give(call: BridgedCall, answer: BridgeAnswer): Promise<void> {
    return this.#give(call.request, answer);
  }

  async #give(request: BridgeRequest, answer: BridgeAnswer): Promise<void> {
    const { locks } = this;
    // Only the last request is answered: another call must not lose the lock that it waits for.
    const waits = (): boolean => this.#latest === request;
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
          // After the loss of a connection the same answer may get through on another one. If the answer cannot be stored,
          // the error that says so may be.
          if (error.sqlstate !== LOST) given = raisingAnswer('error', error);
        }
      }
    } catch (error) {
      if (this.#closed) return;
      this.context.session.log.warn({ err: (error as Error).message }, 'a dblink call could not be answered');
      // Once no lock is held, a function that waits finds that there is no answer. One that never saw a lock has to be stopped.
      await locks.withdraw(waits).catch(() => undefined);
      if (request.held === 'none' && waits()) this.#stop(error);
    } finally {
      if (table !== undefined) this.made(table);
    }
  }

  nameObject(kind: 'rows' | 'proof', pid: number): string {
    return `${kind}_${pid}_${this.parts.keys.token.slice(0, 8)}_${++this.#objectCount}`;
  }

  made(object: string): void {
    this.#objects.push(object);
    if (this.#closed || this.#latest === undefined) this.#discardObjects();
  }

  /** Ends a function that cannot be answered, by a cancel. The client gets this error in the cancel's place. */
  #stop(error: unknown): void {
    this.#substitute = error instanceof PgError ? error : lost();
    this.parts.cancelPrimary();
  }
}

/** One object for all uses: a flood of requests abandons as many calls. */
const cancelled = new PgError('57014', 'canceling statement due to user request');

const tooLong = (): PgError =>
  new PgError('54000', 'a dblink call could not be handed to dblink-proxy', {
    detail: 'The statement that it is in, and those around it, are too long together.',
  });

const outOfOrder = (): PgError =>
  new PgError('08P01', 'a function of the bridge asked for more of a call that is over');

const internal = (): PgError => new PgError('XX000', 'internal error of the proxy; see its log');

const notConfidential = (): PgError =>
  new PgError('55000', 'a SECURITY DEFINER function may not use dblink in this session', {
    detail:
      'What it asks for would be seen by whoever stands between dblink-proxy and the session, and that it is the primary itself is not certain.',
    hint: 'Connect with a connection string without host and hostaddr, which leads to the primary.',
  });

const lost = (): PgError =>
  new PgError('08006', 'the connection by which dblink-proxy answers dblink calls was lost');
