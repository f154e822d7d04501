/** Lines of one kind come no closer to each other than this. */
const INTERVAL_MS = 1000;

/**
 * For what may happen a thousand times a second: has it logged at most once in a second.
 * @param log is told how many times were passed over since the last line
 */
export function logSeldom<T>(log: (missed: number, what: T) => void): (what: T) => void {
  let last = Number.NEGATIVE_INFINITY;
  let missed = 0;
  return (what) => {
    const now = performance.now();
    if (now - last < INTERVAL_MS) {
      missed++;
      return;
    }
    log(missed, what);
    last = now;
    missed = 0;
  };
}
