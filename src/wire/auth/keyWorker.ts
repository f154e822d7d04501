import { pbkdf2Sync } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { steppedPbkdf2 } from './pbkdf2.js';

/** A key that is to be derived from a password (PBKDF2, RFC 8018 section 5.2). */
export interface KeyRequest {
  readonly password: Uint8Array;
  readonly salt: Uint8Array;
  readonly iterations: number;
  /** Length of the key. */
  readonly bytes: number;
  readonly digest: 'sha1' | 'sha256';
  /**
   * Whether it must be possible to stop the thread during the derivation. Only code in JavaScript can be stopped, so the
   * runtime's own function, which is faster, is not used then.
   */
  readonly stoppable: boolean;
}

parentPort?.on('message', ({ password, salt, iterations, bytes, digest, stoppable }: KeyRequest) => {
  const derive = stoppable ? steppedPbkdf2 : pbkdf2Sync;
  parentPort?.postMessage(derive(password, salt, iterations, bytes, digest));
});
