import { Worker } from 'node:worker_threads';

/** Has the runtime read its own collection of root certificates, which all threads of the process share afterwards. */
const LOAD = `require('node:tls').createSecureContext();`;

let loading: Promise<void> | undefined;

/**
 * Loads the runtime's own root certificates once, in a thread of its own: the event loop would stand still for a tenth
 * of a second and more. Never rejects; where no thread can be had the collection is read when it is used.
 */
export function loadSystemRoots(): Promise<void> {
  loading ??= new Promise((resolve) => {
    const worker = new Worker(LOAD, { eval: true, execArgv: [] });
    worker.unref();
    worker.once('error', () => resolve());
    worker.once('exit', () => resolve());
  });
  return loading;
}
