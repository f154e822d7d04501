import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * How long anything may take before a test says that it hangs. It says nothing about speed: what must be quick is compared
 * with something else of its kind, in the same run.
 */
export const LIVENESS_MS = 120_000;

/** The promise's outcome; rejects when it has none at all. */
export async function lively<T>(what: string, promise: Promise<T>): Promise<T> {
  const over = new AbortController();
  try {
    return await Promise.race([
      promise,
      delay(LIVENESS_MS, undefined, { signal: over.signal }).then(() => assert.fail(`${what}: hangs`)),
    ]);
  } finally {
    over.abort();
  }
}

/** How long it takes, in ms. */
export async function timed(act: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await act();
  return performance.now() - since;
}

export interface Comparison {
  /** How many times as long it may take: a way of more steps is a longer one. */
  readonly factor?: number;
  /** What it may take beyond that, in ms: turns of the event loop, and of the scheduler. */
  readonly allowanceMs?: number;
  /** How often both are measured before it counts as slow. */
  readonly rounds?: number;
}

/**
 * Compares how long two things take in turns, each of which measures itself (in ms), without what leads to it. Noise only
 * adds to a time, so that the least of each counts, and a machine that is busy makes both slower.
 */
export async function asQuickAs(
  what: string,
  ours: () => Promise<number>,
  reference: () => Promise<number>,
  { factor = 5, allowanceMs = 50, rounds = 12 }: Comparison = {},
): Promise<void> {
  let [our, their] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < rounds; round += 1) {
    their = Math.min(their, await lively(`the reference of ${what}`, reference()));
    our = Math.min(our, await lively(what, ours()));
    if (our <= factor * their + allowanceMs) return;
  }
  assert.fail(`${what}: ${our.toFixed(1)} ms, where the reference takes ${their.toFixed(1)} ms`);
}

/** Timers count in whole milliseconds, from the loop's own time. */
const EARLY_MS = 10;

/**
 * Checks that something that a time limit of this process ends is ended by it: not before the limit, and before a timer of
 * three times its length, which is started at the same moment, and one more event of the kind that the end consists of.
 *
 * @param ended starts the time and resolves at the end
 * @param reference such an event: a connection that is made and closed unless something else is given
 */
export async function atLimit(
  what: string,
  limitMs: number,
  ended: () => Promise<unknown>,
  reference: () => Promise<unknown> = connectionAndEnd,
): Promise<void> {
  const since = performance.now();
  const over = new AbortController();
  const late = delay(3 * limitMs, undefined, { signal: over.signal })
    .then(reference)
    .then(() => 'late' as const);
  late.catch(() => undefined);
  const end = ended().then(() => performance.now() - since);
  const first = await lively(what, Promise.race([end, late]));
  const elapsed = await lively(what, end);
  over.abort();
  assert.notEqual(
    first,
    'late',
    `${what}: after ${elapsed.toFixed(0)} ms, where ${limitMs} ms are the limit`,
  );
  assert.ok(elapsed > limitMs - EARLY_MS, `${what}: after ${elapsed.toFixed(0)} ms, before its limit`);
}

/** Makes a connection that is ended by the other side. */
async function connectionAndEnd(): Promise<void> {
  const server = createServer((socket) => socket.end('over')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const socket = connect(address.port, '127.0.0.1').resume();
  await once(socket, 'close');
  server.close();
}

/** What the process computes meanwhile, in ms of processor time: waiting for a processor does not count. */
function computed(act: () => void): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/**
 * Checks that something takes time in proportion to its length. Other work of the machine, and of the runtime's own threads,
 * only adds to a time, so that the least of some rounds counts.
 */
export function isLinear(what: string, act: (length: number) => void, length: number, times: number): void {
  let [short, long] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < 12; round += 1) {
    // As long for the short one, which is too short to be measured by itself.
    const repeated = (): void => {
      for (let i = 0; i < times; i += 1) act(length);
    };
    short = Math.min(short, computed(repeated));
    long = Math.min(
      long,
      computed(() => act(length * times)),
    );
    // In proportion to its square it would be so many times as long.
    if (long < (times / 4) * short + 1) return;
  }
  assert.fail(`${what}: ${long} ms, and ${short} ms for ${times} of them that are so many times as short`);
}
