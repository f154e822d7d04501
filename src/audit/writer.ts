import { close, constants, fstatSync, open, openSync, write } from 'node:fs';
import { promisify } from 'node:util';

/** The name that stands for the standard error. */
export const STANDARD_ERROR = 'stderr';
const STANDARD_ERROR_FD = 2;

/** Only appended to, so that what several processes write stays whole. Whatever is at the path, opening it waits for nobody. */
const FLAGS = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NONBLOCK;
const MODE = 0o600;

/** So much is written at once, or one line. */
const BATCH_BYTES = 256 * 1024;
/** A pipe takes so much at once or not at all (PIPE_BUF), so that lines of others cannot come in between. */
const PIPE_BYTES = 4096;
/** How long it takes until another attempt after one that failed. */
const RETRY_MS = 500;
const PIPE_RETRY_MS = 20;
/** How long a write may take, or a reader stand still. */
const STUCK_MS = 5_000;

/** What a line is likely to take at most, and how long it takes until others who wait may go on. */
const LINE_BYTES = 4096;
const NEXT_MS = 5;

const NEWLINE = Buffer.from('\n');

const openFile = promisify(open);
const closeFile = promisify(close);
const writeFile = promisify(write);

export interface WriterOptions {
  /** A path, or STANDARD_ERROR. */
  readonly file: string;
  /** How many bytes may wait. What comes at that moment still gets in. */
  readonly maxBytes: number;
  /** What happens to lines beyond that: `wait`, so that whoever makes them has to, or `drop`. */
  readonly onFull: 'wait' | 'drop';
  /** Makes the line that says how many were dropped. */
  readonly dropped: (lines: number) => string;
  /** How long nothing may be written while something waits, until that is told; 5 s by default. */
  readonly stuckMs?: number;
  /** Told when something goes wrong, and when it is well again (undefined). Not for each line. */
  readonly report: (error: Error | undefined, waitingBytes: number) => void;
}

/**
 * Writes lines to a file, in their order, without waiting for it. What cannot be written is kept up to a bound, and tried again: a line is
 * dropped once it has been written whole.
 */
export class AuditWriter {
  #fd: number | undefined;
  #lines: Buffer[] = [];
  #bytes = 0;
  #dropped = 0;
  #reopens = false;
  #isPipe: boolean;
  #works = false;
  #failing = false;
  #closed = false;
  /** The file ends in the middle of a line, the rest of which could not be written. */
  #torn = false;
  #waiting: (() => void)[] = [];
  #retry: NodeJS.Timeout | undefined;
  #later: NodeJS.Timeout | undefined;
  /** Runs while something waits and nothing is written. */
  #watch: NodeJS.Timeout | undefined;

  /** @throws the system's error if the file cannot be opened */
  constructor(private readonly options: WriterOptions) {
    this.#fd = this.#toStandardError ? STANDARD_ERROR_FD : openSync(options.file, FLAGS, MODE);
    this.#isPipe = this.#toStandardError || fstatSync(this.#fd).isFIFO();
  }

  get #toStandardError(): boolean {
    return this.options.file === STANDARD_ERROR;
  }

  get full(): boolean {
    return this.#bytes >= this.options.maxBytes;
  }

  /** Whether somebody who makes a line should wait for `room` first. */
  get makesWait(): boolean {
    return this.options.onFull === 'wait' && this.full && !this.#closed;
  }

  /** Resolves when there is room. */
  async room(): Promise<void> {
    while (this.makesWait) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** How many lines have been dropped and not been told of. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Takes a line.
   * @param line without its end
   * @param patient whether who makes it has waited for room. Else it is dropped where there is none.
   */
  add(line: string, patient = true): void {
    if (this.full && !(patient && this.options.onFull === 'wait')) {
      this.#dropped++;
      return;
    }
    this.#put(line);
    this.#watchOver();
    if (this.#retry === undefined) void this.#work();
  }

  /** Tells of a reader that stands still, and of a write that does not come back: neither is an error of the system's. */
  #watchOver(): void {
    this.#watch ??= setTimeout(() => {
      this.#watch = undefined;
      if (!this.#failing && this.#lines.length > 0) this.#tell(new Error('nothing can be written'));
    }, this.options.stuckMs ?? STUCK_MS).unref();
  }

  /** Something has been written. */
  #goesOn(): void {
    clearTimeout(this.#watch);
    this.#watch = undefined;
    if (this.#failing) this.#tell(undefined);
    if (this.#lines.length > 0) this.#watchOver();
  }

  #put(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    this.#lines.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Opens the file anew: the one at the path may be another one by now. */
  reopen(): void {
    if (this.#toStandardError) return;
    this.#reopens = true;
    void this.#work();
  }

  /** Writes what waits, for as long as that may take, and closes the file. @returns how many lines are lost */
  async close(limitMs: number): Promise<number> {
    const deadline = performance.now() + limitMs;
    this.#closed = true;
    this.#wake();
    while ((this.#works || this.#lines.length > 0) && performance.now() < deadline) {
      void this.#work();
      await pause(10);
    }
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    const lost = this.#lines.length + this.#dropped;
    if (this.#fd !== undefined && !this.#toStandardError && !this.#works)
      await closeFile(this.#fd).catch(() => undefined);
    this.#fd = undefined;
    return lost;
  }

  /** Writes until nothing waits or something goes wrong. Never rejects. */
  async #work(): Promise<void> {
    if (this.#works) return;
    this.#works = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    try {
      while (this.#lines.length > 0 || this.#reopens) {
        if (this.#reopens || this.#fd === undefined) await this.#open();
        if (this.#lines.length > 0) await this.#writeBatch(this.#fd!);
        this.#goesOn();
        this.#hasRoom();
      }
    } catch (error) {
      const again = (error as NodeJS.ErrnoException).code === 'EAGAIN';
      if (!again) this.#failed(error as Error);
      // It keeps nobody from ending.
      this.#retry = setTimeout(() => void this.#work(), again ? PIPE_RETRY_MS : RETRY_MS).unref();
    } finally {
      this.#works = false;
    }
  }

  async #open(): Promise<void> {
    const before = this.#fd;
    const fd = await openFile(this.options.file, FLAGS, MODE);
    this.#fd = fd;
    this.#reopens = false;
    // In a new file there is nothing whose end is missing.
    const stats = fstatSync(fd);
    this.#isPipe = stats.isFIFO();
    if (stats.size === 0) this.#torn = false;
    if (before !== undefined) await closeFile(before).catch(() => undefined);
  }

  async #writeBatch(fd: number): Promise<void> {
    const limit = this.#isPipe ? PIPE_BYTES : BATCH_BYTES;
    let count = 0;
    let bytes = 0;
    while (count < this.#lines.length && (count === 0 || bytes + this.#lines[count]!.length <= limit))
      bytes += this.#lines[count++]!.length;
    const lines = this.#lines.slice(0, count);
    const head = this.#torn ? [NEWLINE] : [];
    const { bytesWritten } = await writeFile(fd, Buffer.concat([...head, ...lines]));
    if (bytesWritten === 0) throw new Error('nothing could be written');
    let left = bytesWritten - head.length;
    let whole = 0;
    while (whole < count && left >= lines[whole]!.length) left -= lines[whole++]!.length;
    this.#lines.splice(0, whole);
    for (const line of lines.slice(0, whole)) this.#bytes -= line.length;
    // What is left of a line is written again, whole and in a line of its own.
    this.#torn = left > 0;
  }

  #hasRoom(): void {
    if (this.full) return;
    if (this.#dropped > 0) {
      const lines = this.#dropped;
      this.#dropped = 0;
      this.#put(this.options.dropped(lines));
    }
    this.#wake();
  }

  /** Lets as many go on as there is likely to be room for, and the others a little later. */
  #wake(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
    const { maxBytes } = this.options;
    const most = this.#closed ? this.#waiting.length : 1 + Math.floor((maxBytes - this.#bytes) / LINE_BYTES);
    for (const wake of this.#waiting.splice(0, most)) wake();
    if (this.#waiting.length > 0) this.#later = setTimeout(() => this.#hasRoom(), NEXT_MS);
  }

  #failed(error: Error): void {
    if (!this.#failing) this.#tell(error);
    const fd = this.#fd;
    if (fd === undefined || this.#toStandardError) return;
    // Another file may be there by the next attempt.
    this.#fd = undefined;
    close(fd, () => undefined);
  }

  #tell(error: Error | undefined): void {
    this.#failing = error !== undefined;
    this.options.report(error, this.#bytes);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
