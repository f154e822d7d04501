import type { Clock } from '../../../src/server/sessionClock.js';

/** A clock that goes on when it is told to. */
export class MovableClock implements Clock {
  #now = 0;
  readonly #acts = new Map<object, { readonly ms: number; readonly act: () => void; due: number }>();

  now(): number {
    return this.#now;
  }

  every(ms: number, act: () => void): () => void {
    const key = {};
    this.#acts.set(key, { ms, act, due: this.#now + ms });
    return () => this.#acts.delete(key);
  }

  /** Lets time pass, in which everything is done that is due, at the moment when it is. */
  move(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = [...this.#acts.values()].sort((a, b) => a.due - b.due)[0];
      if (next === undefined || next.due > end) break;
      this.#now = next.due;
      next.due += next.ms;
      next.act();
    }
    this.#now = end;
  }
}
