interface Waiter {
  readonly acts: Set<() => void>;
  readonly abort: () => void;
}

/** What is to be done when a signal is aborted. */
const waiting = new WeakMap<AbortSignal, Waiter>();
/** Signals that keep their listener while nobody waits for them. */
const lasting = new WeakSet<AbortSignal>();

/**
 * Says that a signal is that of many short calls, one after another. Its listener stays from then on: adding and removing one takes as long
 * as a good part of a short call. A signal that is made of others must not be one of these. It lives as long as it has a listener.
 */
export const keepsListener = (signal: AbortSignal): AbortSignal => {
  lasting.add(signal);
  return signal;
};

/**
 * Does something as soon as a signal is aborted that is not aborted yet. All that wait for a signal share one listener.
 * @param act must not throw
 * @returns a function that takes it back
 */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const waiter = waiting.get(signal) ?? listenTo(signal);
  waiter.acts.add(act);
  return () => {
    if (!waiter.acts.delete(act) || waiter.acts.size > 0 || lasting.has(signal)) return;
    signal.removeEventListener('abort', waiter.abort);
    waiting.delete(signal);
  };
}

function listenTo(signal: AbortSignal): Waiter {
  const acts = new Set<() => void>();
  const abort = (): void => {
    for (const act of acts) act();
    acts.clear();
  };
  signal.addEventListener('abort', abort, { once: true });
  const waiter = { acts, abort };
  waiting.set(signal, waiter);
  return waiter;
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
