import { Worker } from 'node:worker_threads';
import { analyze } from './analyze.js';
import { ByteBoundedCache } from './cache.js';
import { parserIsBroken } from './parser.js';
import { readsOnly } from './readOnly.js';
import type { Analysis, AnalyzeOptions, Statement } from './types.js';
import type { READY, WorkAnswer, WorkRequest } from './worker.js';

/** Limits of the analysis. */
export interface OffloadLimits {
  /** Texts up to this many bytes are analysed at once, on the caller's thread (8 KiB take at most some 10 ms). */
  readonly inlineBytes: number;
  /** Longer texts than this are not analysed at all. */
  readonly maxTextBytes: number;
  /** Texts that may wait for the worker, and their bytes. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** How long one text may take in a worker that has started, and how long it may wait and take together. */
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
  cacheBytes: 2 * 1024 * 1024,
  renewAfterBytes: 64 * 1024 * 1024,
};

interface Job {
  readonly request: WorkRequest;
  readonly deadline: number;
  /** Without a result, the text was given up. */
  readonly settle: (answer: WorkAnswer | undefined) => void;
}

/** Analyses texts: small ones at once, large ones in a thread of its own, each distinct one once. */
export class Analyzer {
  readonly #limits: OffloadLimits;
  readonly #report: (error: unknown) => void;
  readonly #cache: ByteBoundedCache<Analysis>;
  readonly #readOnly: ByteBoundedCache<boolean>;
  readonly #waiting: Job[] = [];
  #waitingBytes = 0;
  #worker: Worker | undefined;
  /** The worker has loaded its parser: until then the time is not the text's. */
  #ready = false;
  #current: Job | undefined;
  #timer: NodeJS.Timeout | undefined;
  #workerBytes = 0;

  /** @param report is told why texts were given up, for a log */
  constructor(limits: Partial<OffloadLimits> = {}, report: (error: unknown) => void = () => undefined) {
    this.#report = report;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#cache = new ByteBoundedCache(this.#limits.cacheBytes);
    this.#readOnly = new ByteBoundedCache(this.#limits.cacheBytes / 4);
  }

  /**
   * Like `analyze`. A text for which there is no time or room is undefined: it goes to the primary untouched.
   * @returns a promise only for texts that go to the worker
   */
  analyze(text: Buffer, options: AnalyzeOptions): Analysis | Promise<Analysis> {
    if (text.length > this.#limits.maxTextBytes) return undefined;
    const key = `${options.schemas.join('\0')}\0\0${text.toString('latin1')}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return known.value;
    const remember = (analysis: Analysis): void =>
      this.#cache.set(key, analysis, key.length + sizeOf(analysis));
    if (text.length <= this.#limits.inlineBytes && !parserIsBroken()) {
      const analysis = analyze(text, options);
      if (!parserIsBroken()) remember(analysis);
      return analysis;
    }
    return this.#offload({ text, options }).then((answer) => {
      const analysis = answer?.result as Analysis;
      if (answer !== undefined) remember(analysis);
      return analysis;
    });
  }

  /**
   * Like `isPlainlyReadOnly`, for texts of any length up to maxTextBytes; false when there is no time or room.
   * @returns a promise only for texts that go to the worker
   */
  isPlainlyReadOnly(sql: Buffer): boolean | Promise<boolean> {
    if (sql.length > this.#limits.maxTextBytes) return false;
    const key = sql.toString('latin1');
    const known = this.#readOnly.get(key);
    if (known !== undefined) return known.value;
    const remember = (result: boolean): void => this.#readOnly.set(key, result, key.length + 100);
    if (sql.length <= this.#limits.inlineBytes && !parserIsBroken()) {
      const result = readsOnly(sql);
      if (!parserIsBroken()) remember(result);
      return result;
    }
    return this.#offload({ text: sql }).then((answer) => {
      if (answer !== undefined) remember(answer.result === true);
      return answer?.result === true;
    });
  }

  #offload(request: WorkRequest): Promise<WorkAnswer | undefined> {
    return new Promise((settle) => {
      const { maxWaiting, maxWaitingBytes, totalMs } = this.#limits;
      const bytes = request.text.length;
      if (this.#waiting.length >= maxWaiting || this.#waitingBytes + bytes > maxWaitingBytes) {
        settle(undefined);
        return;
      }
      // The bytes may be a view of a buffer that is used again.
      const copy = { ...request, text: Uint8Array.from(request.text) };
      this.#waiting.push({ request: copy, deadline: Date.now() + totalMs, settle });
      this.#waitingBytes += bytes;
      this.#next();
    });
  }

  /** Ends the worker; texts that wait for it become undefined. For tests and an orderly end. */
  async close(): Promise<void> {
    const worker = this.#worker;
    for (const job of this.#waiting.splice(0)) job.settle(undefined);
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
    if (job.deadline <= Date.now()) {
      job.settle(undefined);
      this.#next();
      return;
    }
    this.#current = job;
    this.#worker ??= this.#start();
    this.#workerBytes += job.request.text.length;
    this.#worker.ref();
    this.#worker.postMessage(job.request);
    this.#watch(job);
  }

  /** Limits the present text's time. */
  #watch(job: Job): void {
    const left = job.deadline - Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#fail(new Error('an SQL text took too long to analyse')),
      this.#ready ? Math.min(this.#limits.workMs, left) : left,
    );
  }

  #start(): Worker {
    // Not the process's own flags: some of them (--eval, --input-type) make no sense in a worker.
    const worker = new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] });
    this.#workerBytes = 0;
    this.#ready = false;
    worker.on('message', (answer: WorkAnswer | typeof READY) => {
      if (worker !== this.#worker) return;
      if (typeof answer === 'string') {
        this.#ready = true;
        if (this.#current !== undefined) this.#watch(this.#current);
        return;
      }
      const job = this.#current;
      this.#current = undefined;
      clearTimeout(this.#timer);
      if (answer.broken) {
        this.#report(new Error('an SQL text is nested too deeply for the parser'));
        this.#drop();
      }
      job?.settle(answer);
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
    job?.settle(undefined);
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

/** `Analyzer.isPlainlyReadOnly` of the process's one analyzer. */
export const isPlainlyReadOnlyAsync = (sql: Buffer): boolean | Promise<boolean> =>
  shared.isPlainlyReadOnly(sql);

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
