import { pbkdf2Sync } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** A key that is to be derived from a password (PBKDF2, RFC 8018 section 5.2). */
export interface KeyRequest {
  readonly password: Uint8Array;
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly bytes: number;
  readonly digest: 'sha1' | 'sha256';
}

parentPort?.on('message', ({ password, salt, iterations, bytes, digest }: KeyRequest) => {
  parentPort?.postMessage(pbkdf2Sync(password, salt, iterations, bytes, digest));
});
