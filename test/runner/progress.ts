import type { Job } from './jobs.js';
import type { JobResult } from './runJob.js';

/**
 * What a person sees while tests run: a line for each file that has ended, and on a terminal, below them, what runs now.
 * How long it is going to take is reckoned from how long the files took before, and how this run compares with that.
 */
export class Progress {
  readonly #lanes: number;
  readonly #total: number;
  readonly #running = new Map<Job, number>();
  readonly #terminal = process.stdout.isTTY === true;
  #ended = 0;
  #expectedOfEnded = 0;
  #expectedLeft: number;
  #secondsOfEnded = 0;
  #ticking: NodeJS.Timeout | undefined;

  constructor(jobs: readonly Job[], lanes: number) {
    this.#lanes = lanes;
    this.#total = jobs.length;
    this.#expectedLeft = jobs.reduce((sum, { expectedSeconds }) => sum + expectedSeconds, 0);
    if (this.#terminal) this.#ticking = setInterval(() => this.#showRunning(), 1000);
  }

  begin(job: Job): void {
    this.#running.set(job, performance.now());
  }

  end({ job, seconds, passed, failed, skipped }: JobResult): void {
    this.#running.delete(job);
    this.#ended += 1;
    this.#expectedLeft -= job.expectedSeconds;
    this.#expectedOfEnded += job.expectedSeconds;
    this.#secondsOfEnded += seconds;
    const mark = failed.length > 0 ? 'FAILED' : passed === 0 ? 'skipped' : 'ok';
    const counts = [
      `${passed} passed`,
      ...(failed.length > 0 ? [`${failed.length} failed`] : []),
      ...(skipped.length > 0 ? [`${skipped.length} skipped`] : []),
    ];
    const place = `${this.#ended}`.padStart(`${this.#total}`.length);
    this.#line(
      `[${place}/${this.#total}] ${mark.padEnd(7)} ${job.file.padEnd(44)} ${seconds.toFixed(1).padStart(6)} s  ` +
        `${counts.join(', ').padEnd(12)}${this.#left()}`,
    );
  }

  close(): void {
    clearInterval(this.#ticking);
    this.#clear();
  }

  #left(): string {
    if (this.#ended === this.#total) return '';
    const pace = this.#expectedOfEnded > 0 ? this.#secondsOfEnded / this.#expectedOfEnded : 1;
    return `  about ${clock((this.#expectedLeft * pace) / this.#lanes)} left`;
  }

  #line(text: string): void {
    this.#clear();
    process.stdout.write(`${text}\n`);
    if (this.#terminal) this.#showRunning();
  }

  #showRunning(): void {
    const running = [...this.#running].map(
      ([{ file }, since]) => `${file} (${Math.round((performance.now() - since) / 1000)} s)`,
    );
    this.#clear();
    process.stdout.write(
      `… ${running.join(', ')}${this.#left()}`.slice(0, (process.stdout.columns ?? 80) - 1),
    );
  }

  #clear(): void {
    if (this.#terminal) process.stdout.write('\r\u001b[K');
  }
}

/** Seconds as `m:ss`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
