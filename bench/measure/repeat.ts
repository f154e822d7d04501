import { median } from './statistics.js';

/** What repeating an operation gave. */
export interface Repeated {
  readonly count: number;
  readonly perSecond: number;
  /** Of one operation, in milliseconds. */
  readonly medianMs: number;
}

/** Does something again and again, one after the other, after a few times that do not count. */
export async function repeat(
  options: { readonly seconds: number; readonly warmup?: number; readonly signal: AbortSignal },
  operation: (n: number) => Promise<unknown>,
): Promise<Repeated> {
  const { seconds, warmup = 5, signal } = options;
  for (let n = 0; n < warmup; n++) await operation(n);
  const times: number[] = [];
  const begin = performance.now();
  let now = begin;
  while (now - begin < seconds * 1000 || times.length === 0) {
    signal.throwIfAborted();
    await operation(warmup + times.length);
    const then = performance.now();
    times.push(then - now);
    now = then;
  }
  return {
    count: times.length + warmup,
    perSecond: (times.length * 1000) / (now - begin),
    medianMs: median(times),
  };
}
