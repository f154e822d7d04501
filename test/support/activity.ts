import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../src/embedded/index.js';
import { execute } from './postgres.js';

/** Waits for something to become true, for two seconds at most. */
export async function eventually(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 2000;
  while (!(await check())) {
    if (performance.now() > deadline) assert.fail(`${what}: not in two seconds`);
    await delay(20);
  }
}

/** Waits until no session of the server has this application_name any more. */
export const untilGone = (server: PostgresServer, name: string): Promise<void> =>
  eventually(`the server's sessions named "${name}" end`, async () => {
    const rows = await execute(
      server.url(),
      `SELECT 1 FROM pg_stat_activity WHERE application_name = '${name}'`,
    );
    return rows.length === 0;
  });

/** Waits until a session with this application_name is in pg_sleep. */
export const untilSleeping = (server: PostgresServer, name: string): Promise<void> =>
  eventually(`the server's session named "${name}" sleeps`, async () => {
    const rows = await execute(
      server.url(),
      `SELECT 1 FROM pg_stat_activity WHERE application_name = '${name}' AND wait_event = 'PgSleep'`,
    );
    return rows.length > 0;
  });
