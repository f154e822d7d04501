import { FairQueue } from '../../../wire/pace/fairQueue.js';
import { parserIsBroken } from '../../parse/parser.js';
import { isLight } from '../../parse/weight.js';
import type { Analysis, AnalyzeOptions, Statement } from '../../types.js';
import { analyze } from '../analyze.js';
import { type AuditText, readAuditText } from '../auditText.js';
import { type RemoteText, readRemoteText } from '../readOnly.js';
import { ByteBoundedCache } from './cache.js';
import { MAX_TEMPLATE_BYTES, remoteKey, Templates } from './template.js';
import { AnalysisThread, type Job } from './thread.js';
import type { Question, WorkAnswer } from './worker.js';

/** Limits of the analysis. */
export interface OffloadLimits {
  /** Longest text, in bytes, that is analysed at once on the caller's thread if it is light (a few milliseconds). */
  readonly inlineBytes: number;
  /** Longest text, in bytes, that is analysed at all. */
  readonly maxTextBytes: number;
  /** How many texts may wait for a thread. */
  readonly maxWaiting: number;
  /** How many bytes these may have together. */
  readonly maxWaitingBytes: number;
  /** How many texts of one session may wait. */
  readonly maxWaitingOfOne: number;
  readonly maxThreads: number;
  /** When texts have waited this long, another thread is started. If there are enough threads, a text may be given up. */
  readonly impatientMs: number;
  /** The text that takes longest is given up for those that wait when it has taken this long. */
  readonly patientMs: number;
  /** How long one text may take in a thread that has started. */
  readonly workMs: number;
  /** How long one text may wait and take together. */
  readonly totalMs: number;
  /** Size of the cache of analyses. */
  readonly cacheBytes: number;
  /** A thread is replaced after this many bytes of text: its parser's memory never shrinks. */
  readonly renewAfterBytes: number;
}

/** The limits that hold where no others are given. */
export const DEFAULT_LIMITS: OffloadLimits = {
  inlineBytes: 8 * 1024,
  maxTextBytes: 16 * 1024 * 1024,
  maxWaiting: 256,
  maxWaitingBytes: 64 * 1024 * 1024,
  maxWaitingOfOne: 16,
  maxThreads: 3,
  impatientMs: 100,
  patientMs: 1000,
  workMs: 10_000,
  totalMs: 30_000,
  cacheBytes: 2 * 1024 * 1024,
  renewAfterBytes: 64 * 1024 * 1024,
};

/**
 * Who sent a text, from the widest to the narrowest: the user, then the session (FairQueue). Those who wait for a thread
 * take turns.
 */
export type Who = readonly unknown[];

/**
 * Analyses texts: small ones at once, others in threads of their own. Results are cached, so that each distinct text is
 * analysed once.
 */
export class Analyzer {
  readonly #limits: OffloadLimits;
  readonly #report: (error: unknown) => void;
  readonly #cache: ByteBoundedCache<Analysis>;
  readonly #templates: Templates;
  readonly #remote: ByteBoundedCache<RemoteText>;
  readonly #fingerprints: ByteBoundedCache<AuditText>;
  readonly #waiting = new FairQueue<Job>();
  #waitingBytes = 0;
  readonly #threads = new Set<AnalysisThread>();
  #patience: NodeJS.Timeout | undefined;

  /** @param report is told why texts were given up, for a log */
  constructor(limits: Partial<OffloadLimits> = {}, report: (error: unknown) => void = () => undefined) {
    this.#report = report;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#cache = new ByteBoundedCache(this.#limits.cacheBytes);
    this.#templates = new Templates(this.#limits.cacheBytes / 2);
    this.#remote = new ByteBoundedCache(this.#limits.cacheBytes / 4);
    this.#fingerprints = new ByteBoundedCache(this.#limits.cacheBytes / 4);
  }

  /**
   * Like `analyze`. For a text for which there is no time or room the result is undefined: the text goes to the primary
   * untouched.
   * @returns a promise only for texts that go to a thread
   */
  analyze(text: Buffer, options: AnalyzeOptions, who: Who = []): Analysis | Promise<Analysis> {
    if (text.length > this.#limits.maxTextBytes) return undefined;
    const key = `${options.schemas.join('\0')}\0\0${text.toString('latin1')}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return known.value;
    const similar = this.#templates.find(text, options);
    if (similar !== undefined) return similar;
    // The bytes may be a view of a buffer that is used again.
    const copy = text.length <= MAX_TEMPLATE_BYTES ? Buffer.from(text) : undefined;
    const remember = (analysis: Analysis): void => {
      const bytes = sizeOf(analysis);
      this.#cache.set(key, analysis, key.length + bytes);
      if (copy !== undefined) this.#templates.add(copy, options, analysis, bytes);
    };
    if (text.length <= this.#limits.inlineBytes && isLight(text) && !parserIsBroken()) {
      const analysis = analyze(text, options);
      if (!parserIsBroken()) remember(analysis);
      return analysis;
    }
    return this.#offload(text, { kind: 'calls', options }, who).then((answer) => {
      const analysis = answer?.result as Analysis;
      if (answer !== undefined) remember(analysis);
      return analysis;
    });
  }

  /**
   * Like `readRemoteText`, for texts of any length up to maxTextBytes; `anything` when there is no time or room.
   * @returns a promise only for texts that go to a thread
   */
  readRemoteText(sql: Buffer, who: Who = []): RemoteText | Promise<RemoteText> {
    if (sql.length > this.#limits.maxTextBytes) return 'anything';
    const known = this.#readRemoteTextNow(sql);
    if (known !== undefined) return known;
    return this.#offload(sql, { kind: 'effect' }, who).then((answer) => {
      if (answer === undefined) return 'anything';
      const result = answer.result as RemoteText;
      this.#rememberRemote(sql, result);
      return result;
    });
  }

  /** Like `readRemoteText`, but a text that would have to go to a thread counts as `anything`. */
  readRemoteTextNow(sql: Buffer): RemoteText {
    return sql.length > this.#limits.maxTextBytes ? 'anything' : (this.#readRemoteTextNow(sql) ?? 'anything');
  }

  #readRemoteTextNow(sql: Buffer): RemoteText | undefined {
    const known = this.#remote.get(remoteKey(sql)) ?? this.#remote.get(sql.toString('latin1'));
    if (known !== undefined) return known.value;
    if (sql.length > this.#limits.inlineBytes || !isLight(sql) || parserIsBroken()) return undefined;
    const result = readRemoteText(sql);
    if (!parserIsBroken()) this.#rememberRemote(sql, result);
    return result;
  }

  #rememberRemote(sql: Buffer, result: RemoteText): void {
    // What one text cannot be, others that look like it may be: a number can be too large where it stands.
    const byForm = result === 'reads' || result === 'writes';
    const key = byForm ? remoteKey(sql) : sql.toString('latin1');
    this.#remote.set(key, result, key.length + 100);
  }

  /**
   * Like `readAuditText`, for texts of any length up to maxTextBytes; undefined also when there is no time or room.
   * @returns a promise only for texts that go to a thread
   */
  readAuditText(
    sql: Buffer,
    withText: boolean,
    who: Who = [],
  ): AuditText | undefined | Promise<AuditText | undefined> {
    if (sql.length > this.#limits.maxTextBytes) return undefined;
    const key = withText ? undefined : remoteKey(sql);
    const known = key === undefined ? undefined : this.#fingerprints.get(key)?.value;
    if (known !== undefined) return known;
    const remember = (found: AuditText | undefined): AuditText | undefined => {
      if (key !== undefined && found !== undefined) this.#fingerprints.set(key, found, key.length + 100);
      return found;
    };
    if (sql.length <= this.#limits.inlineBytes && isLight(sql) && !parserIsBroken())
      return remember(readAuditText(sql, withText));
    return this.#offload(sql, { kind: 'audit', withText }, who).then((answer) =>
      remember(answer?.result as AuditText | undefined),
    );
  }

  /** Has a thread read a text. @returns undefined if there is no time or room */
  #offload(text: Buffer, question: Question, who: Who): Promise<WorkAnswer | undefined> {
    return new Promise((settle) => {
      const { maxWaiting, maxWaitingBytes, maxWaitingOfOne, totalMs } = this.#limits;
      const full =
        this.#waiting.size >= maxWaiting ||
        this.#waitingBytes + text.length > maxWaitingBytes ||
        (who.length > 0 && this.#waiting.sizeOf(who) >= maxWaitingOfOne);
      if (full) {
        settle(undefined);
        return;
      }
      // The bytes may be a view of a buffer that is used again.
      const copy = new Uint8Array(text);
      this.#waiting.add(who, {
        request: { text: copy, question },
        deadline: performance.now() + totalMs,
        settle,
      });
      this.#waitingBytes += text.length;
      this.#next();
    });
  }

  /** Ends the threads. The result of texts that wait for them is undefined. For tests and an orderly end. */
  async close(): Promise<void> {
    clearTimeout(this.#patience);
    for (const job of this.#waiting.drain()) job.settle(undefined);
    this.#waitingBytes = 0;
    const threads = [...this.#threads];
    this.#threads.clear();
    await Promise.all(threads.map((thread) => thread.end()));
  }

  /** The next text that waits and is not too late. Those that are too late are given up. */
  #take(): Job | undefined {
    for (let job = this.#waiting.next(); job !== undefined; job = this.#waiting.next()) {
      this.#waitingBytes -= job.request.text.length;
      if (job.deadline > performance.now()) return job;
      job.settle(undefined);
    }
    return undefined;
  }

  /** Gives waiting texts to idle threads. */
  #next(): void {
    const idle = [...this.#threads].filter(({ busy }) => !busy);
    if (this.#threads.size === 0 && this.#waiting.size > 0) idle.push(this.#start());
    for (const thread of idle) {
      const job = this.#take();
      if (job === undefined) this.#rest(thread);
      else thread.run(job);
    }
    clearTimeout(this.#patience);
    if (this.#waiting.size === 0) return;
    this.#patience = setTimeout(() => this.#hurry(), this.#limits.impatientMs);
  }

  /**
   * Called when texts wait for others that take long. Starts another thread. If there are enough threads, the text that
   * takes longest is given up, once it has taken patientMs.
   */
  #hurry(): void {
    const { maxThreads, patientMs } = this.#limits;
    const threads = [...this.#threads];
    if (threads.length < maxThreads) this.#start();
    else {
      const slowest = threads.reduce((slow, one) => (one.busyMs > slow.busyMs ? one : slow));
      if (slowest.busyMs >= patientMs) {
        slowest.fail(new Error('an SQL text took too long to analyse while others waited'));
        return;
      }
    }
    this.#next();
  }

  #start(): AnalysisThread {
    const thread = new AnalysisThread(this.#limits.workMs, {
      free: () => this.#next(),
      lost: (error) => {
        this.#threads.delete(thread);
        this.#report(error);
        this.#next();
      },
    });
    this.#threads.add(thread);
    return thread;
  }

  /**
   * A thread has nothing to do: it no longer keeps the process from ending. It is ended if it has grown large, or if it
   * is not the only one.
   */
  #rest(thread: AnalysisThread): void {
    if (thread.bytes >= this.#limits.renewAfterBytes || this.#threads.size > 1) {
      this.#threads.delete(thread);
      void thread.end();
    } else thread.rest();
  }
}

const shared = new Analyzer();

/** `Analyzer.analyze` of the process's one analyzer. */
export const analyzeAsync = (
  text: Buffer,
  options: AnalyzeOptions,
  who?: Who,
): Analysis | Promise<Analysis> => shared.analyze(text, options, who);

/** `Analyzer.readRemoteText` of the process's one analyzer. */
export const readRemoteTextAsync = (sql: Buffer, who?: Who): RemoteText | Promise<RemoteText> =>
  shared.readRemoteText(sql, who);

/** `Analyzer.readRemoteTextNow` of the process's one analyzer. */
export const readRemoteTextNow = (sql: Buffer): RemoteText => shared.readRemoteTextNow(sql);

/** `Analyzer.readAuditText` of the process's one analyzer. */
export const readAuditTextAsync = (
  sql: Buffer,
  withText: boolean,
  who?: Who,
): AuditText | undefined | Promise<AuditText | undefined> => shared.readAuditText(sql, withText, who);

/** About how many bytes an analysis takes in memory. */
function sizeOf(analysis: Analysis): number {
  const ofStatement = (statement: Statement): number =>
    statement.calls.reduce((sum, call) => {
      const args = call.args.reduce((bytes, { constant }) => {
        return bytes + 200 + (constant?.kind === 'string' ? constant.value.length : 0);
      }, 0);
      const columns = call.use.kind === 'source' ? call.use.columns : [];
      return (
        sum + 500 + args + columns.reduce((bytes, column) => bytes + 500 + column.definition.length * 2, 0)
      );
    }, 400);
  return 100 + (analysis?.statements ?? []).reduce((sum, statement) => sum + ofStatement(statement), 0);
}
