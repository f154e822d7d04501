// As in bin/main.ts.
import '../../../bin/v8.js';

import { readFileSync } from 'node:fs';
import { memoryUsage } from 'node:process';
import { loadConfig } from '../../../src/config/index.js';
import { createLogger } from '../../../src/server/log.js';
import { startProxy } from '../../../src/server/server.js';
import { collectGarbage } from '../../support/collector.js';
import type { ChildMessage, Question } from './proxyProcess.js';

/** The program of a proxy process under test: it answers questions about itself beside doing its work. */

const { flags, env } = JSON.parse(process.argv[2] ?? '{}') as {
  flags: Record<string, unknown>;
  env: Record<string, string>;
};

const tell = (message: ChildMessage): void => void process.send?.(message);

const unhandled: string[] = [];
const note = (error: unknown): void => {
  unhandled.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
};
process.on('unhandledRejection', note);
process.on('uncaughtException', note);
process.on('disconnect', () => process.exit(0));

/** For how long the loop's thread could run and had no processor so far, in ms. Only Linux tells. */
function readyMs(): number {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}

const TICK_MS = 20;
let longestPauseMs = 0;
let longestOwnPauseMs = 0;
let last = performance.now();
let lastReady = readyMs();
setInterval(() => {
  const now = performance.now();
  const ready = readyMs();
  const pause = now - last - TICK_MS;
  longestPauseMs = Math.max(longestPauseMs, pause);
  longestOwnPauseMs = Math.max(longestOwnPauseMs, pause - (ready - lastReady));
  last = now;
  lastReady = ready;
}, TICK_MS).unref();

let peak = 0;
setInterval(() => {
  const { rss, external } = memoryUsage();
  peak = Math.max(peak, rss + external);
}, 50).unref();

const config = loadConfig({ flags, env });
const running = await startProxy(config, createLogger(config.log));

process.on('message', (question: Question) => {
  if (question.collect) {
    // Buffers are freed by another thread; a second collection begins with waiting for it.
    collectGarbage();
    collectGarbage();
  }
  const { rss, external, arrayBuffers, heapUsed } = memoryUsage();
  peak = Math.max(peak, rss + external);
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  tell({
    kind: 'answer',
    id: question.id,
    state: {
      memory: { rss, external, arrayBuffers, heapUsed, peak },
      resources: counts,
      unhandled,
      longestPauseMs,
      longestOwnPauseMs,
    },
  });
  longestPauseMs = 0;
  longestOwnPauseMs = 0;
  if (question.collect) peak = 0;
});
tell({ kind: 'listening', port: running.addresses[0]?.port ?? 0 });
