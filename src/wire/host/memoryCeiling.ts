import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PgError } from '../errors.js';

/** How long a measurement counts, in ms. */
const GOOD_MS = 200;
/** How often garbage is collected before anybody is refused, at most: it holds everybody up for a moment. */
const COLLECTED_FOR_MS = 10_000;
/** Below this share of the ceiling memory is enough again. */
const ENOUGH = 0.9;

/** What is asked of the runtime. */
export interface MemoryOfProcess {
  /** Resident bytes. */
  resident(): number;
  collectGarbage(): void;
}

const PROCESS: MemoryOfProcess = {
  resident: () => process.memoryUsage.rss(),
  collectGarbage() {
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
  },
};

/**
 * Tells whether the process has so much memory that nobody should be given more. It is measured when somebody asks. Between the
 * ceiling and nine tenths of it things stay as they are, so that they do not change all the time.
 */
export class MemoryCeiling {
  #exceeded = false;
  #measuredAt = Number.NEGATIVE_INFINITY;
  #collectedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param bytes the ceiling; 0 for none
   * @param changed called when memory is too much, and when it is enough again
   */
  constructor(
    private bytes: number,
    private readonly changed: (exceeded: boolean, residentBytes: number) => void,
    private readonly memory: MemoryOfProcess = PROCESS,
  ) {}

  /** Has another ceiling from now on. */
  limit(bytes: number): void {
    this.bytes = bytes;
    this.#measuredAt = Number.NEGATIVE_INFINITY;
  }

  get exceeded(): boolean {
    const now = performance.now();
    if (now - this.#measuredAt >= GOOD_MS) {
      this.#measuredAt = now;
      this.#measure(now);
    }
    return this.#exceeded;
  }

  #measure(now: number): void {
    let resident = this.bytes === 0 ? 0 : this.memory.resident();
    // The runtime keeps garbage as long as nothing forces it to collect.
    if (this.#isTooMuch(resident) && now - this.#collectedAt >= COLLECTED_FOR_MS) {
      this.#collectedAt = now;
      this.memory.collectGarbage();
      resident = this.memory.resident();
    }
    const exceeded = this.#isTooMuch(resident);
    if (exceeded === this.#exceeded) return;
    this.#exceeded = exceeded;
    this.changed(exceeded, resident);
  }

  #isTooMuch(resident: number): boolean {
    return this.bytes > 0 && resident > this.bytes * (this.#exceeded ? ENOUGH : 1);
  }

  /** The error of who wants more. */
  error(severity: 'ERROR' | 'FATAL'): PgError {
    return new PgError(
      '53200',
      `out of memory: the proxy has more than its setting "limits.memory_high", which is ${this.bytes} bytes`,
      {
        severity,
        hint: 'Try again when other sessions have ended, give the proxy more memory, or raise "limits.memory_high".',
      },
    );
  }
}
