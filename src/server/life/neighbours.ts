import type { ChildProcess } from 'node:child_process';
import type { CancelKey } from '../../wire/cancelKeys.js';

/** How long a neighbour may take for what it is asked. */
const PATIENCE_MS = 2_000;

/** What processes say to each other of which one replaces the other. */
export type NeighbourMessage =
  /** The successor serves whoever comes from now on. */
  | { readonly kind: 'ready' }
  /** A cancel request for a session that is none of the successor's. */
  | { readonly kind: 'cancel'; readonly request: CancelKey }
  | { readonly kind: 'vacate'; readonly id: number; readonly databases: readonly string[] }
  | { readonly kind: 'vacated'; readonly id: number };

/** What a process does for its neighbours. */
export interface Obliging {
  cancel(request: CancelKey): void;
  /** Has its service connections leave databases. Resolves when they have, or cannot. Never rejects. */
  vacate(databases: readonly string[]): Promise<void>;
}

/** A process at the other end of a channel. One that has gone is asked for nothing. */
export class Neighbour {
  readonly #asked = new Map<number, () => void>();
  #number = 0;
  readonly #gone: Promise<void>;

  /** @param hear is given what this does not know itself */
  constructor(
    private readonly peer: ChildProcess | NodeJS.Process,
    private readonly obliging: Obliging,
    hear: (message: NeighbourMessage) => void = () => undefined,
  ) {
    peer.on('message', (message: NeighbourMessage) => this.#hear(message, hear));
    this.#gone = new Promise((resolve) => {
      peer.on('disconnect', () => {
        for (const done of [...this.#asked.values()]) done();
        resolve();
      });
    });
    // It is no reason to stay.
    peer.channel?.unref();
  }

  /** Stays until it has ended. */
  untilGone(): Promise<void> {
    this.peer.channel?.ref();
    return this.#gone;
  }

  say(message: NeighbourMessage): void {
    if (this.peer.connected) this.peer.send?.(message, undefined, undefined, () => undefined);
  }

  /** Asks it to leave databases. Resolves then, or when it is gone or takes too long. */
  vacate(databases: readonly string[]): Promise<void> {
    if (!this.peer.connected) return Promise.resolve();
    return new Promise((resolve) => {
      const id = ++this.#number;
      const done = (): void => {
        clearTimeout(enough);
        this.#asked.delete(id);
        resolve();
      };
      const enough = setTimeout(done, PATIENCE_MS).unref();
      this.#asked.set(id, done);
      this.say({ kind: 'vacate', id, databases });
    });
  }

  #hear(message: NeighbourMessage, hear: (message: NeighbourMessage) => void): void {
    switch (message.kind) {
      case 'cancel':
        this.obliging.cancel(message.request);
        return;
      case 'vacate':
        void this.obliging
          .vacate(message.databases)
          .then(() => this.say({ kind: 'vacated', id: message.id }));
        return;
      case 'vacated':
        this.#asked.get(message.id)?.();
        return;
      default:
        hear(message);
    }
  }
}

/** The process that this one has replaced, and the one that replaces it, as far as there are such. */
export class Neighbours {
  predecessor: Neighbour | undefined;
  successor: Neighbour | undefined;

  /** Passes on a cancel request that nobody here knows: its session may be one of the process before. */
  cancel(request: CancelKey): void {
    this.predecessor?.say({ kind: 'cancel', request });
  }

  /** Has the service connections of both leave databases. */
  async vacate(databases: readonly string[]): Promise<void> {
    await Promise.all([this.predecessor?.vacate(databases), this.successor?.vacate(databases)]);
  }
}
