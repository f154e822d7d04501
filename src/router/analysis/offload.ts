import { Worker } from 'node:worker_threads';
import { analyze } from './analyze.js';
import { ByteBoundedCache } from './cache.js';
import { parserIsBroken } from './parser.js';
import type { Analysis, AnalyzeOptions, Statement } from './types.js';
import type { WorkAnswer, WorkRequest } from './worker.js';

/** Limits of the analysis. */
export interface OffloadLimits {
  /** Texts up to this many bytes are analysed at once, on the caller's thread (8 KiB take at most some 10 ms). */
  readonly inlineBytes: number;
  /** Longer texts than this are not analysed at all. */
  readonly maxTextBytes: number;
  /** Texts that may wait for the worker, and their bytes. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** How long one text may take in the worker, and how long it may wait and take together. */
  readonly workMs: number;
  readonly totalMs: number;
  readonly cacheBytes: number;
  /** The worker is replaced after this many bytes of text: its parser's memory never shrinks. */
  readonly renewAfterBytes: number;
}

export const DEFAULT_LIMITS: OffloadLimits = {
  inlineBytes: 8 * 1024,
  maxTextBytes: 16 * 1024 * 1024,
  maxWaiting: 256,
  maxWaitingBytes: 64 * 1024 * 1024,
  workMs: 10_000,
  totalMs: 30_000,
  cacheBytes: 16 * 1024 * 1024,
  renewAfterBytes: 64 * 1024 * 1024,
};

interface Job {
  readonly request: WorkRequest;
  readonly deadline: number;
  readonly settle: (analysis: Analysis, keep: boolean) => void;
}

/** Analyses texts: small ones at once, large ones in a thread of its own, each distinct one once. */
export class Analyzer {
  readonly #limits: OffloadLimits;
  readonly #report: (error: unknown) => void;
  readonly #cache: ByteBoundedCache<Analysis>;
  readonly #waiting: Job[] = [];
  #waitingBytes = 0;
  #worker: Worker | undefined;
  #current: Job | undefined;
  #timer: NodeJS.Timeout | undefined;
  #workerBytes = 0;

  /** @param report is told why texts were given up, for a log */
  constructor(limits: Partial<OffloadLimits> = {}, report: (error: unknown) => void = () => undefined) {
    this.#report = report;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#cache = new ByteBoundedCache(this.#limits.cacheBytes);
  }

  /**
   * Like `analyze`. A text for which there is no time or room is undefined: it goes to the primary untouched.
   * @returns a promise only for texts that go to the worker
   */
  analyze(text: Buffer, options: AnalyzeOptions): Analysis | Promise<Analysis> {
    if (text.length > this.#limits.maxTextBytes) return undefined;
    const key = `${options.standardConformingStrings ? 1 : 0}${options.schemas.join('\0')}\0\0${text.toString('latin1')}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return known.value;
    const remember = (analysis: Analysis): void =>
      this.#cache.set(key, analysis, key.length + sizeOf(analysis));
    if (text.length <= this.#limits.inlineBytes && !parserIsBroken()) {
      const analysis = analyze(text, options);
      if (!parserIsBroken()) remember(analysis);
      return analysis;
    }
    return new Promise((resolve) => {
      const settle = (analysis: Analysis, keep: boolean): void => {
        if (keep) remember(analysis);
        resolve(analysis);
      };
      const { maxWaiting, maxWaitingBytes, totalMs } = this.#limits;
      const full = this.#waiting.length >= maxWaiting || this.#waitingBytes + text.length > maxWaitingBytes;
      if (full) {
        settle(undefined, false);
        return;
      }
      // The bytes may be a view of a buffer that is used again.
      const request = { text: Uint8Array.from(text), options };
      this.#waiting.push({ request, deadline: Date.now() + totalMs, settle });
      this.#waitingBytes += text.length;
      this.#next();
    });
  }

  /** Ends the worker; texts that wait for it become undefined. For tests and an orderly end. */
  async close(): Promise<void> {
    const worker = this.#worker;
    for (const job of this.#waiting.splice(0)) job.settle(undefined, false);
    this.#waitingBytes = 0;
    this.#drop();
    await worker?.terminate();
  }

  #next(): void {
    if (this.#current !== undefined) return;
    const job = this.#waiting.shift();
    if (job === undefined) {
      this.#rest();
      return;
    }
    this.#waitingBytes -= job.request.text.length;
    const left = Math.min(this.#limits.workMs, job.deadline - Date.now());
    if (left <= 0) {
      job.settle(undefined, false);
      this.#next();
      return;
    }
    this.#current = job;
    this.#worker ??= this.#start();
    this.#workerBytes += job.request.text.length;
    this.#worker.ref();
    this.#worker.postMessage(job.request);
    this.#timer = setTimeout(() => this.#fail(new Error('an SQL text took too long to analyse')), left);
  }

  #start(): Worker {
    // Not the process's own flags: some of them (--eval, --input-type) make no sense in a worker.
    const worker = new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] });
    this.#workerBytes = 0;
    worker.on('message', ({ analysis, broken }: WorkAnswer) => {
      if (worker !== this.#worker) return;
      const job = this.#current;
      this.#current = undefined;
      clearTimeout(this.#timer);
      if (broken) {
        this.#report(new Error('an SQL text is nested too deeply for the parser'));
        this.#drop();
      }
      job?.settle(analysis, true);
      this.#next();
    });
    worker.on('error', (error: unknown) => {
      if (worker === this.#worker) this.#fail(error);
    });
    worker.on('exit', (code) => {
      if (worker === this.#worker) this.#fail(new Error(`the analysis worker ended with code ${code}`));
    });
    return worker;
  }

  /** The worker died, or took too long: the text is given up, and the next one gets a new worker. */
  #fail(error: unknown): void {
    this.#report(error);
    this.#drop();
    this.#next();
  }

  #drop(): void {
    clearTimeout(this.#timer);
    const job = this.#current;
    const worker = this.#worker;
    this.#current = undefined;
    this.#worker = undefined;
    void worker?.terminate();
    job?.settle(undefined, false);
  }

  /** Nothing to do: the process may end, and a worker that has grown large is given up. */
  #rest(): void {
    if (this.#workerBytes >= this.#limits.renewAfterBytes) this.#drop();
    this.#worker?.unref();
  }
}

const shared = new Analyzer();

/** `Analyzer.analyze` of the process's one analyzer. */
export const analyzeAsync = (text: Buffer, options: AnalyzeOptions): Analysis | Promise<Analysis> =>
  shared.analyze(text, options);

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
