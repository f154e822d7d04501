import { Worker } from 'node:worker_threads';
import { abortable } from '../pace/abortable.js';
import { Turns } from '../pace/turns.js';
import type { KeyRequest } from './keyWorker.js';

/** A key with at most this many iterations takes some milliseconds. It does not wait for keys that take longer. */
const SHORT_ITERATIONS = 20_000;

/** A key with more iterations than this takes so long that its thread is stopped when nobody waits for the key any more. */
const UNSTOPPED_ITERATIONS = 100_000;

/** For whom a key is derived. */
export interface KeyOwner {
  /** Owners take turns: however many keys one owner wants, the others wait for at most one of them. */
  readonly owner?: object | undefined;
  /** Ends the wait for the key, and the derivation if it is a long one (UNSTOPPED_ITERATIONS). */
  readonly signal?: AbortSignal | undefined;
}

/** One thread, which derives one key at a time. */
class Lane {
  readonly #turns = new Turns({ total: 1, perOwner: 1 });
  #worker: Worker | undefined;

  async derive(request: KeyRequest, { owner = {}, signal }: KeyOwner): Promise<Buffer> {
    const release = await this.#turns.take(owner, signal);
    const key = this.#run(request, signal);
    // The turn is over when the thread is done. A short derivation is not stopped, so it goes on after the signal.
    void key.catch(() => undefined).then(release);
    return signal === undefined ? key : abortable(key, signal);
  }

  #run(request: KeyRequest, signal: AbortSignal | undefined): Promise<Buffer> {
    const worker = (this.#worker ??= new Worker(new URL('./keyWorker.js', import.meta.url)));
    worker.ref();
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        worker.off('message', onMessage);
        worker.off('error', onEnd);
        worker.off('exit', onEnd);
        signal?.removeEventListener('abort', onAbort);
        worker.unref();
        act();
      };
      const end = (reason: unknown): void => {
        this.#worker = undefined;
        settle(() => reject(reason));
        // An error that nobody listens for would end the process.
        worker.on('error', () => undefined);
        void worker.terminate();
      };
      const onMessage = (key: Uint8Array): void => settle(() => resolve(Buffer.from(key)));
      const onEnd = (cause: unknown): void =>
        end(cause instanceof Error ? cause : new Error('the thread for password hashes has ended'));
      const onAbort = (): void => end(signal?.reason);
      worker.on('message', onMessage);
      worker.on('error', onEnd);
      worker.on('exit', onEnd);
      if (request.stoppable) signal?.addEventListener('abort', onAbort, { once: true });
      worker.postMessage(request);
    });
  }
}

const short = new Lane();
const long = new Lane();

/**
 * Derives a key in a thread for keys. It holds up neither the event loop nor the few threads that the runtime has for files.
 * @throws the signal's reason; an Error when the thread has ended
 */
export function deriveKey(request: Omit<KeyRequest, 'stoppable'>, owner: KeyOwner = {}): Promise<Buffer> {
  const { iterations } = request;
  const lane = iterations <= SHORT_ITERATIONS ? short : long;
  return lane.derive({ ...request, stoppable: iterations > UNSTOPPED_ITERATIONS }, owner);
}
