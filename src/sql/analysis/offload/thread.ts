import { Worker } from 'node:worker_threads';
import type { READY, WorkAnswer, WorkRequest } from './worker.js';

/** A text on its way through a thread. */
export interface Job {
  readonly request: WorkRequest;
  /** When the text is too late, as a time of performance.now(). */
  readonly deadline: number;
  /** Called with the answer; with undefined if the text was given up. */
  readonly settle: (answer: WorkAnswer | undefined) => void;
}

/** What a thread reports. */
export interface ThreadEvents {
  /** The thread has done its work, and can have more. */
  free(): void;
  /** The thread is gone, and its text was given up. */
  lost(error: unknown): void;
}

/** A thread with a parser of its own that analyses one text at a time. */
export class AnalysisThread {
  readonly #worker: Worker;
  readonly #events: ThreadEvents;
  readonly #workMs: number;
  /** The thread has loaded its parser. Only the time after that counts for its text. */
  #ready = false;
  #job: Job | undefined;
  /** When it began with its text, as a time of performance.now(). */
  #began = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  /** Length in bytes of all texts that it has had. */
  bytes = 0;

  /** @param workMs how long one text may take */
  constructor(workMs: number, events: ThreadEvents) {
    this.#workMs = workMs;
    this.#events = events;
    // Not the process's own flags: some of them (--eval, --input-type) make no sense in a worker.
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { execArgv: [] });
    this.#worker.on('message', (answer: WorkAnswer | typeof READY) => this.#answered(answer));
    this.#worker.on('error', (error: unknown) => this.fail(error));
    this.#worker.on('exit', (code) => this.fail(new Error(`an analysis thread ended with code ${code}`)));
  }

  get busy(): boolean {
    return this.#job !== undefined;
  }

  /** How long it has been at its text, in milliseconds; 0 while it has none or loads its parser. */
  get busyMs(): number {
    return this.#job !== undefined && this.#ready ? performance.now() - this.#began : 0;
  }

  /** Has the thread read a text, whose bytes move into the thread. */
  run(job: Job): void {
    this.#job = job;
    this.#began = performance.now();
    this.bytes += job.request.text.length;
    this.#worker.ref();
    this.#worker.postMessage(job.request, [job.request.text.buffer as ArrayBuffer]);
    this.#watch(job);
  }

  /** Limits the text's time. */
  #watch({ deadline }: Job): void {
    const left = deadline - performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.fail(new Error('an SQL text took too long to analyse')),
      this.#ready ? Math.min(this.#workMs, left) : left,
    );
  }

  #answered(answer: WorkAnswer | typeof READY): void {
    if (this.#ended) return;
    if (typeof answer === 'string') {
      this.#ready = true;
      this.#began = performance.now();
      if (this.#job !== undefined) this.#watch(this.#job);
      return;
    }
    clearTimeout(this.#timer);
    const job = this.#job;
    this.#job = undefined;
    job?.settle(answer);
    if (answer.broken) this.fail(new Error('an SQL text is nested too deeply for the parser'));
    else this.#events.free();
  }

  /** Ends the thread, because it has died or because its text has taken too long. The text is given up. */
  fail(error: unknown): void {
    if (this.#ended) return;
    void this.end();
    this.#events.lost(error);
  }

  /** The thread no longer keeps the process from ending. */
  rest(): void {
    this.#worker.unref();
  }

  /** Ends the thread. A text that it has is given up. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    const job = this.#job;
    this.#job = undefined;
    job?.settle(undefined);
    await this.#worker.terminate();
  }
}
