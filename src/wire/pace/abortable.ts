/** What is to be done when a signal is aborted. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Does something as soon as a signal is aborted that is not aborted yet. All that wait for a signal share one listener: adding and
 * removing one takes as long as a good part of a short call.
 * @param act must not throw
 * @returns a function that takes it back
 */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const acts = waiting.get(signal) ?? listenTo(signal);
  acts.add(act);
  return () => acts.delete(act);
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const acts = new Set<() => void>();
  const abort = (): void => {
    for (const act of acts) act();
    acts.clear();
  };
  signal.addEventListener('abort', abort, { once: true });
  waiting.set(signal, acts);
  return acts;
}

/** Settles like the promise, but rejects with the signal's reason as soon as the signal is aborted. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    // Nobody waits for the promise any more, so its rejection must not become an unhandled one.
    if (signal.aborted) promise.catch(() => undefined);
    if (signal.aborted) return abort();
    const settled = onAbort(signal, abort);
    promise.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
  });
}
