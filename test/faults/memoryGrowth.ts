import type { ProxyState } from './proxyProcess.js';

export const MIB = 1 << 20;

/** Whether a test of memory moves all that it can, not the continuous tests' share. */
export const FULL = process.argv.includes('--full') || process.env['DBLINK_PROXY_TEST_MEMORY'] === 'full';

/** What a session's buffers may add to an idle process, whatever it moves. */
export const ROOM = 64 * MIB;

/** By how much memory has grown. External memory that is in use is resident too: it counts twice. */
export const growth = ({ memory: before }: ProxyState, { memory }: ProxyState): number =>
  memory.rss + memory.external - before.rss - before.external;

/**
 * The same where garbage has not been collected: V8 lets up to 32 MiB of it lie in Buffers, and they are both resident and
 * external. Each of the two is held against the bound by itself, then.
 */
export const growthWithGarbage = ({ memory: before }: ProxyState, { memory }: ProxyState): number =>
  Math.max(memory.rss - before.rss, memory.external - before.external);
