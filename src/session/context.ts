import { setMaxListeners } from 'node:events';
import type { CallContext, DblinkFacts } from '../dblink/context.js';
import type { Memory } from '../dblink/memory.js';
import type { DblinkSession } from '../dblink/session.js';
import type { ForeignServers } from '../primary/foreignServers.js';
import type { PrimaryLink } from '../primary/primaryLink.js';
import type { FactsProbe, SessionFacts } from '../primary/sessionFacts.js';
import { byteCounter } from '../wire/encoding/encoding.js';
import { transcode, type Untranslatable } from '../wire/encoding/transcode.js';
import { noticeResponse, PgError } from '../wire/errors.js';
import { TransactionStatus } from '../wire/protocol.js';
import type { Session } from './session.js';
import type { RouterSettings } from './settings.js';

/** Levels of client_min_messages that keep a NOTICE from the client. */
const ABOVE_NOTICE: ReadonlySet<string> = new Set(['warning', 'error', 'fatal', 'panic']);

const userCancelled = (): PgError => new PgError('57014', 'canceling statement due to user request');

/** Rows that are held for the statement that runs. */
export interface HeldResult {
  /** @param unread nobody reads the bytes any more, the system included */
  release(unread: boolean): void;
}

/** What carrying out dblink statements needs of a session, shared by all plans. */
export class Engine {
  readonly primary: PrimaryLink;
  /** Whose work it is, where sessions take turns (FairQueue): the user, and of the user's the session. */
  asker: readonly unknown[] = [];
  #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** When the statement began, in ms. */
  #began = 0;
  /** The client asked to cancel what it sent last, and has not been told that it is over. */
  #cancelled = false;
  /** Between the beginning of a request that is carried out here and the ReadyForQuery behind it. */
  #active = false;
  #plan: string | undefined;
  #results: HeldResult[] = [];
  /** Calls that wait for a remote now. */
  #remoteCalls = 0;

  constructor(
    readonly session: Session,
    readonly settings: RouterSettings,
    readonly dblink: DblinkSession,
    readonly foreignServers: ForeignServers,
    /** This session's part of the memory for results. */
    readonly memory: Memory,
    readonly probe: FactsProbe,
  ) {
    this.primary = session.primary;
  }

  /** The encoding of the database, as PostgreSQL names it. */
  get databaseEncoding(): string {
    return this.primary.parameters.get('server_encoding') ?? 'UTF8';
  }

  get clientEncoding(): string {
    return this.primary.parameters.get('client_encoding') ?? 'UTF8';
  }

  /** Whether bytes of the database's encoding are what the client reads. */
  get sameEncoding(): boolean {
    return this.clientEncoding === this.databaseEncoding;
  }

  get majorVersion(): number {
    return this.primary.majorVersion;
  }

  get inBlock(): boolean {
    return this.primary.status !== TransactionStatus.idle;
  }

  /** Counts the characters in a part of SQL text as PostgreSQL counts error positions. */
  get countCharacters(): (bytes: Buffer) => number {
    return byteCounter(this.clientEncoding);
  }

  /** Begins a statement: its clock and its place in the order of cancels. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#active = true;
    this.#abort = new AbortController();
    // Any number of calls of the statement listens.
    setMaxListeners(0, this.#abort.signal);
    // The request may have come while the statement was being looked at.
    if (this.#cancelled) this.#abort.abort(userCancelled());
    this.#began = Date.now();
  }

  /** Starts the statement's clock once the limit is known; the primary's own does not run while a remote works. */
  startClock(facts: SessionFacts): void {
    if (this.#timer !== undefined || facts.statementTimeoutMs === 0) return;
    this.#timer = setTimeout(
      () => this.#abort.abort(new PgError('57014', 'canceling statement due to statement timeout')),
      facts.statementTimeoutMs,
    );
  }

  /** What serves the present statement, as far as it is known by now: the name of a plan. */
  planned(plan: string): void {
    this.#plan = plan;
  }

  /** Ends a statement. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#releaseResults();
    const plan = this.#plan;
    this.#plan = undefined;
    if (plan !== undefined) this.#served({ plan, durationMs: Date.now() - this.#began });
  }

  /**
   * A statement that was looked at when it was prepared is the primary's from then on: how often it is executed, and how long that
   * takes, is not known here. @param plan its name
   */
  passed(plan: string): void {
    this.#served({ plan });
  }

  /** Every statement that was looked at ends here: each time that it is carried out, or once when it is passed on. */
  #served(how: { readonly plan: string; readonly durationMs?: number }): void {
    this.session.log.debug(how, 'dblink statement');
  }

  /** Holds a result until the present statement is over. */
  hold(result: HeldResult): void {
    this.#results.push(result);
  }

  #releaseResults(): void {
    const results = this.#results.splice(0);
    if (results.length === 0) return;
    // What has been sent to the primary may not have left.
    this.primary.whenWritten((unread) => {
      for (const result of results) result.release(unread);
    });
  }

  /**
   * The client's cancel request: stops remote work of the present statement, also such as it would begin later: what the
   * primary does for it meanwhile may be over when a cancel request reaches the primary.
   * @returns whether nothing but remote work is going on
   */
  cancel(): boolean {
    // Nothing is being carried out here: it is for the primary alone.
    if (!this.#active) return false;
    this.#cancelled = true;
    this.#abort.abort(userCancelled());
    // A call may be asking the primary for a foreign server, or whether the role is still a superuser.
    return this.#remoteCalls > 0 && this.primary.queue.length === 0;
  }

  /** A request is being looked at or carried out here: until the next ReadyForQuery a cancel request is meant for it. */
  taken(): void {
    this.#active = true;
    this.session.log.trace({}, 'request taken');
  }

  /** A ReadyForQuery is on its way: a cancel request that came too late is over, and one that comes now is for nobody. */
  ready(): void {
    this.#active = false;
    this.#cancelled = false;
  }

  /** A cancel request has come for what is being looked at or carried out. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** @throws PgError 57014 when a cancel request has come for what is being looked at, before it has begun */
  throwIfCancelled(): void {
    if (this.#cancelled) throw userCancelled();
  }

  /** @throws PgError 57014 when the present statement is to be stopped */
  throwIfStopped(): void {
    this.#abort.signal.throwIfAborted();
  }

  /** Why the present statement's remote work was stopped; undefined while it may go on. */
  get stopped(): unknown {
    return this.#abort.signal.aborted ? this.#abort.signal.reason : undefined;
  }

  /** The session is over. */
  close(): void {
    this.finish();
    this.#abort.abort(
      new PgError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' }),
    );
  }

  dblinkFacts(facts: SessionFacts): DblinkFacts {
    const end = () => (this.inBlock || this.primary.batchOpen ? 'flush' : 'sync');
    return {
      superuser: facts.superuser,
      confirmSuperuser: () => this.probe.superuserNow(end()),
      findServer: (name, asOwner, signal) => this.foreignServers.find(name, { asOwner, end: end(), signal }),
      primaryMajor: this.majorVersion,
      databaseEncoding: this.databaseEncoding,
    };
  }

  /**
   * A dblink error or notice, whose texts are in the database's encoding, as the client reads it. As in PostgreSQL, a
   * character that the client's encoding lacks makes it another error (22P05).
   */
  inClientEncoding(error: PgError): PgError {
    const [from, to] = [this.databaseEncoding, this.clientEncoding];
    if (from === to) return error;
    let lacking: Untranslatable | undefined;
    const changed = error.mapText((text) => {
      const result = transcode(text, from, to);
      if (typeof result === 'string') return result;
      lacking ??= result;
      return '?';
    });
    if (lacking === undefined) return changed;
    const bytes = [...lacking.bytes].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(' ');
    return new PgError(
      '22P05',
      `character with byte sequence ${bytes} in encoding "${from}" has no equivalent in encoding "${to}"`,
    );
  }

  /** Sends a notice in the database's encoding, if the session wants to have notices. */
  notify(facts: SessionFacts, notice: PgError): void {
    if (ABOVE_NOTICE.has(facts.clientMinMessages)) return;
    this.session.toClient(noticeResponse(this.inClientEncoding(notice)));
  }

  /** Does remote work under the statement's cancel and clock. */
  async remotely<T>(facts: SessionFacts, act: (call: CallContext) => Promise<T>): Promise<T> {
    this.startClock(facts);
    this.#abort.signal.throwIfAborted();
    this.#remoteCalls++;
    try {
      return await act({
        facts: this.dblinkFacts(facts),
        signal: this.#abort.signal,
        notice: (notice) => this.notify(facts, notice),
      });
    } finally {
      this.#remoteCalls--;
    }
  }

  /**
   * Makes the primary's transaction what an error of the client's statement makes it: has the primary raise one, which
   * nobody sees. The message in its log says which SQLSTATE the client was given.
   */
  async failTransaction(error: PgError): Promise<void> {
    if (this.primary.queue.skipping || this.primary.closed) return;
    // Part of SQL text, so it must be what a SQLSTATE is, whoever made the error.
    const sqlstate = /^[0-9A-Z]{5}$/.test(error.sqlstate) ? error.sqlstate : 'XX000';
    await this.primary.run(
      { sql: `SELECT 'dblink call failed with SQLSTATE ${sqlstate}'::pg_catalog.int4` },
      'flush',
    );
  }
}
