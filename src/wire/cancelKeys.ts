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

/** The processes of one proxy, as cancel keys know them. */
export interface CancelPeers {
  /** This process's number, from 0. */
  readonly index: number;
  readonly count: number;
  /** Hands a CancelRequest to another process. Resolves when that one has it. Never rejects. */
  passOn(owner: number, key: CancelKey): Promise<void>;
  /** Takes a CancelRequest of a key that is none of this process's. */
  elsewhere(key: CancelKey): void;
}

const ALONE: CancelPeers = { index: 0, count: 1, passOn: async () => undefined, elsewhere: () => undefined };

/**
 * The cancel keys of the sessions of this process. The process id is that of the session's backend on the primary: by it clients
 * know their own notifications, and find themselves in pg_stat_activity and pg_locks. The secret is the proxy's own, so that a
 * CancelRequest is good for the proxy alone, and nobody learns the primary's.
 *
 * Where the proxy has several processes, the first four bytes of a secret tell which one made it: their number modulo the number
 * of processes. So a secret loses no more than that of what makes it hard to guess.
 */
export class CancelKeys {
  /** By process id. The primary can give one again before the session that had it has ended here. */
  readonly #sessions = new Map<number, Map<CancelKey, Cancellable>>();

  constructor(private readonly peers: CancelPeers = ALONE) {}

  /**
   * Makes a key for a session and remembers it.
   * @param processId of the session's backend @param secretBytes 4 with protocol 3.0, up to 256 with 3.2
   */
  add(target: Cancellable, processId: number, secretBytes: number): CancelKey {
    const key: CancelKey = { processId, secret: this.#secret(secretBytes) };
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

  /**
   * Carries a CancelRequest out, here or in the process that made its key. A wrong key does nothing. Secrets are compared in
   * constant time. Never rejects.
   */
  async cancel(request: CancelKey): Promise<void> {
    const owner = this.#ownerOf(request.secret);
    if (owner !== this.peers.index) return this.peers.passOn(owner, request);
    const target = this.#find(request);
    if (target === undefined) this.peers.elsewhere(request);
    else target.cancel();
  }

  #find({ processId, secret }: CancelKey): Cancellable | undefined {
    for (const [key, target] of this.#sessions.get(processId) ?? []) {
      if (key.secret.length === secret.length && timingSafeEqual(key.secret, secret)) return target;
    }
    return undefined;
  }

  #secret(bytes: number): Buffer {
    for (;;) {
      const secret = randomBytes(bytes);
      if (this.#ownerOf(secret) === this.peers.index) return secret;
    }
  }

  #ownerOf(secret: Buffer): number {
    return ownerOf(secret, this.peers) ?? this.peers.index;
  }
}

/** Which of the processes of a proxy has made a secret; undefined for one that none can have made. */
export function ownerOf(secret: Buffer, { count }: { readonly count: number }): number | undefined {
  return secret.length < 4 ? undefined : secret.readUInt32BE(0) % count;
}
