/** The least time between two lines of one kind. */
const INTERVAL_MS = 1000;

/**
 * Has something that may happen a thousand times a second logged at most once a second.
 * @param log writes a line; `missed` is how many times there was no line since the last one
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
