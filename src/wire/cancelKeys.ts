import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

/** Something that a CancelRequest can stop: a session. */
export interface Cancellable {
  cancel(): void;
}

/** A key as BackendKeyData carries it: the proxy's own, never the primary's. */
export interface CancelKey {
  readonly processId: number;
  readonly secret: Buffer;
}

/** How many of the lower bits of a process id hold the session's number. The worker's number is in the bits above. */
const SESSION_BITS = 24;

/**
 * The cancel keys of the sessions of this process. The process id carries the worker's number in its upper bits. A worker
 * that receives a request for a session of another worker can thus tell whose session it is.
 */
export class CancelKeys {
  readonly #byProcessId = new Map<number, { readonly key: CancelKey; readonly target: Cancellable }>();

  constructor(private readonly worker = 0) {}

  /** Makes a key for a session and remembers it. @param secretBytes 4 with protocol 3.0, up to 256 with 3.2 */
  add(target: Cancellable, secretBytes: number): CancelKey {
    let processId: number;
    do {
      processId = (this.worker << SESSION_BITS) | randomInt(1, 1 << SESSION_BITS);
    } while (this.#byProcessId.has(processId));
    const key: CancelKey = { processId, secret: randomBytes(secretBytes) };
    this.#byProcessId.set(processId, { key, target });
    return key;
  }

  /** Forgets the key of a session that has ended. */
  remove(key: CancelKey): void {
    this.#byProcessId.delete(key.processId);
  }

  /** The session that a CancelRequest names, or undefined if its key is wrong. Keys are compared in constant time. */
  find(processId: number, secret: Buffer): Cancellable | undefined {
    const entry = this.#byProcessId.get(processId);
    if (entry === undefined || entry.key.secret.length !== secret.length) return undefined;
    return timingSafeEqual(entry.key.secret, secret) ? entry.target : undefined;
  }
}
