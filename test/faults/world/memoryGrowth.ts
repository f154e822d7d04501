import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/eventually.js';
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

const LOOKS = 4;

/**
 * Waits until a server's session cannot get rid of what it sends, and stays so: all buffers between it and a client that
 * does not read are full, and no more can come.
 */
export const heldBack = (
  ask: (sql: string) => Promise<readonly (readonly unknown[])[]>,
  applicationName: string,
): Promise<void> =>
  eventually(`the session of ${applicationName} has to wait`, async () => {
    for (let look = 0; look < LOOKS; look++) {
      if (look > 0) await delay(20);
      const rows = await ask(
        `SELECT state, wait_event FROM pg_stat_activity WHERE application_name = '${applicationName}'`,
      );
      assert.deepEqual(rows, [['active', 'ClientWrite']]);
    }
  });
