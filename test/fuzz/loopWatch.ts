import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { memoryUsage } from 'node:process';
import { collectGarbage } from '../support/collector.js';
import type { FromTarget, ToTarget } from './target.js';

/**
 * Preloaded into the process that is watched: tells whenever its event loop was held up, and answers questions about its
 * memory. Held up means that the main thread computed: where the system tells its processor time, waiting for a processor
 * does not count.
 */
const INTERVAL_MS = 10;
const REPORTED_MS = 25;

/** A time that the system has counted for the main thread, in ms; NaN where it does not. */
function counted(field: number): number {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[field]) / 1e6;
  } catch {
    return Number.NaN;
  }
}

/** Processor time; where it is not known elapsed time alone counts. */
const computed = (): number => counted(0);

const tell = (message: FromTarget): void => void process.send?.(message);

let last = performance.now();
let lastComputed = computed();
setInterval(() => {
  const now = performance.now();
  const used = computed();
  const late = now - last - INTERVAL_MS;
  const busy = Number.isNaN(used) ? late : used - lastComputed;
  if (Math.min(late, busy) > REPORTED_MS) {
    tell({ kind: 'pause', from: Date.now() - (now - last), to: Date.now(), ms: Math.min(late, busy) });
  }
  last = now;
  lastComputed = used;
}, INTERVAL_MS).unref();

const delays = monitorEventLoopDelay({ resolution: INTERVAL_MS });
delays.enable();

function descriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

process.on('message', (question: ToTarget) => {
  // It is for another file that is preloaded.
  if (typeof question.id !== 'number') return;
  // It counts whole times between two looks, in nanoseconds.
  const late = (ns: number): number => Math.max(0, ns / 1e6 - INTERVAL_MS);
  const loopDelayMs = {
    p50: late(delays.percentile(50)),
    p99: late(delays.percentile(99)),
    max: late(delays.max),
  };
  if (question.collect) {
    // Buffers are freed by another thread; a second collection begins with waiting for it.
    collectGarbage();
    collectGarbage();
    last = performance.now();
    lastComputed = computed();
  }
  const { rss, heapUsed, external } = memoryUsage();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  tell({
    kind: 'answer',
    id: question.id,
    state: {
      rss,
      held: heapUsed + external,
      heap: heapUsed,
      external,
      resources,
      descriptors: descriptors(),
      waitedMs: counted(1) || 0,
      loopDelayMs,
    },
  });
  // The collection above is not the proxy's.
  delays.reset();
});
process.on('disconnect', () => process.exit(0));
process.channel?.unref();
