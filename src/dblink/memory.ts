import { PgError } from '../wire/errors.js';
import type { MemoryCeiling } from '../wire/host/memoryCeiling.js';

/**
 * A budget of memory, in bytes. Whoever holds data takes their size from it, and gives it back when the data are dropped.
 */
export interface Memory {
  /** @throws PgError 53200 when not enough is left */
  take(bytes: number): void;
  /** Gives back what was taken. */
  give(bytes: number): void;
}

/** One session's part of a budget. */
export interface SessionMemory extends Memory {
  /** Like `take`, without the error. @returns whether there was enough */
  tryTake(bytes: number): boolean;
}

/** A session's memory where there is no limit. */
export const UNLIMITED: SessionMemory = { take: () => undefined, tryTake: () => true, give: () => undefined };

/** What a session may hold of results also when the process has too much memory. */
const SMALL_BYTES = 1024 * 1024;

/** The memory that all sessions together may use for results that they hold. */
export class MemoryBudget {
  #used = 0;

  /**
   * @param limit in bytes; 0 for none
   * @param perSession what one session may have of it, in bytes; 0 for no limit of its own
   * @param ceiling above which no session gets more than a megabyte
   */
  constructor(
    public limit: number,
    public perSession = 0,
    private readonly ceiling?: MemoryCeiling,
  ) {}

  /** Bytes that all sessions together have taken. */
  get used(): number {
    return this.#used;
  }

  /**
   * One session's part of the budget. The last tenth of the budget is kept for sessions that hold no more than a tenth
   * themselves.
   */
  session(): SessionMemory {
    let held = 0;
    const isTooMuchForOne = (bytes: number): boolean => this.perSession > 0 && held + bytes > this.perSession;
    const isTooMuchNow = (bytes: number): boolean =>
      held + bytes > SMALL_BYTES && this.ceiling?.exceeded === true;
    const isTooMuch = (bytes: number): boolean => isTooMuchForOne(bytes) || isTooMuchNow(bytes);
    const tryTake = (bytes: number): boolean => {
      if (isTooMuch(bytes)) return false;
      const free = this.limit - this.#used - bytes;
      const spare = Math.floor(this.limit / 10);
      if (this.limit > 0 && (free < 0 || (free < spare && held + bytes > spare))) return false;
      this.#used += bytes;
      held += bytes;
      return true;
    };
    return {
      tryTake,
      take: (bytes) => {
        if (tryTake(bytes)) return;
        if (isTooMuchForOne(bytes)) throw exceeded('session_memory', this.perSession);
        throw isTooMuchNow(bytes) ? this.ceiling!.error('ERROR') : exceeded('memory', this.limit);
      },
      give: (bytes) => {
        this.#used -= bytes;
        held -= bytes;
      },
    };
  }
}

const exceeded = (setting: 'memory' | 'session_memory', limit: number): PgError => {
  const again = setting === 'memory' ? ' try again when other sessions hold less,' : '';
  return new PgError(
    '53200',
    `out of memory for results: the setting "limits.${setting}" of the proxy is ${limit} bytes`,
    {
      detail: 'The statement needs the primary to go on with the rows, and until then the proxy holds them.',
      hint: `Let remote queries return less,${again} or raise "limits.${setting}".`,
    },
  );
};

/**
 * A part of a session's memory that ends at a known moment. `release` then gives back at once all that has not been given
 * back before.
 */
export class HeldMemory implements Memory {
  #held = 0;
  #over = false;

  constructor(private readonly memory: Memory) {}

  /** @throws PgError 53200 when not enough is left; 57014 after `release`, for a caller that has not noticed it */
  take(bytes: number): void {
    if (this.#over) throw new PgError('57014', 'the statement that rows were collected for is over');
    this.memory.take(bytes);
    this.#held += bytes;
  }

  /** Gives back bytes, but no more than are still held. */
  give(bytes: number): void {
    const given = Math.min(bytes, this.#held);
    this.#held -= given;
    this.memory.give(given);
  }

  /** Gives back everything. From now on `take` throws. */
  release(): void {
    this.#over = true;
    this.give(this.#held);
  }
}
