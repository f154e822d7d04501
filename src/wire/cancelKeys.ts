import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

/** Something that a CancelRequest can stop. */
export interface Cancellable {
  cancel(): void;
}

/** A key as BackendKeyData carries it: the proxy's own, never the primary's. */
export interface CancelKey {
  readonly processId: number;
  readonly secret: Buffer;
}

/** Bits of the process id that are left for a session's number beside the worker's. */
const SESSION_BITS = 24;

/**
 * The cancel keys of the sessions of this process. The process id carries the worker's number in its upper bits, so that
 * a worker that gets a request of another one's session can tell whose it is.
 */
export class CancelKeys {
  readonly #byProcessId = new Map<number, { readonly key: CancelKey; readonly target: Cancellable }>();

  constructor(private readonly worker = 0) {}

  /** Makes a key for a session. @param secretBytes 4 with protocol 3.0, up to 256 with 3.2 */
  add(target: Cancellable, secretBytes: number): CancelKey {
    let processId: number;
    do {
      processId = (this.worker << SESSION_BITS) | randomInt(1, 1 << SESSION_BITS);
    } while (this.#byProcessId.has(processId));
    const key: CancelKey = { processId, secret: randomBytes(secretBytes) };
    this.#byProcessId.set(processId, { key, target });
    return key;
  }

  remove(key: CancelKey): void {
    this.#byProcessId.delete(key.processId);
  }

  /** The session that a CancelRequest names, if its key is right; compared in constant time. */
  find(processId: number, secret: Buffer): Cancellable | undefined {
    const entry = this.#byProcessId.get(processId);
    if (entry === undefined || entry.key.secret.length !== secret.length) return undefined;
    return timingSafeEqual(entry.key.secret, secret) ? entry.target : undefined;
  }
}
