import { randomBytes, timingSafeEqual } from 'node:crypto';

/** Something that a CancelRequest can stop: a session. */
export interface Cancellable {
  cancel(): void;
}

/** A key as BackendKeyData carries it. */
export interface CancelKey {
  readonly processId: number;
  readonly secret: Buffer;
}

/**
 * The cancel keys of the sessions of this process. The process id is that of the session's backend on the primary: by it clients
 * know their own notifications, and find themselves in pg_stat_activity and pg_locks. The secret is the proxy's own, so that a
 * CancelRequest is good for the proxy alone, and nobody learns the primary's.
 */
export class CancelKeys {
  /** By process id. The primary can give one again before the session that had it has ended here. */
  readonly #sessions = new Map<number, Map<CancelKey, Cancellable>>();

  /**
   * Makes a key for a session and remembers it.
   * @param processId of the session's backend @param secretBytes 4 with protocol 3.0, up to 256 with 3.2
   */
  add(target: Cancellable, processId: number, secretBytes: number): CancelKey {
    const key: CancelKey = { processId, secret: randomBytes(secretBytes) };
    const same = this.#sessions.get(processId) ?? new Map<CancelKey, Cancellable>();
    this.#sessions.set(processId, same.set(key, target));
    return key;
  }

  /** Forgets the key of a session that has ended. */
  remove(key: CancelKey): void {
    const same = this.#sessions.get(key.processId);
    same?.delete(key);
    if (same?.size === 0) this.#sessions.delete(key.processId);
  }

  /** The session that a CancelRequest names, or undefined if its key is wrong. Secrets are compared in constant time. */
  find(processId: number, secret: Buffer): Cancellable | undefined {
    for (const [key, target] of this.#sessions.get(processId) ?? []) {
      if (key.secret.length === secret.length && timingSafeEqual(key.secret, secret)) return target;
    }
    return undefined;
  }
}
