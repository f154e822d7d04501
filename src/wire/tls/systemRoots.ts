import { Worker } from 'node:worker_threads';

/** Code that makes the runtime read its own collection of root certificates. All threads of the process share it afterwards. */
const LOAD = `require('node:tls').createSecureContext();`;

let loading: Promise<void> | undefined;

/**
 * Loads the runtime's own root certificates, once and in a thread of its own, because the event loop would stand still for a
 * tenth of a second or more. Never rejects: if the thread fails, the collection is read when it is first used.
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
