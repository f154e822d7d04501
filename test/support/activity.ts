import type { PostgresServer } from '../../src/embedded/index.js';
import { eventually, soon } from './eventually.js';
import { execute } from './postgres.js';

/** Waits until no session of the server has this application_name any more, which has to be soon. */
export const untilGone = (server: PostgresServer, name: string): Promise<void> =>
  soon(`the server's sessions named "${name}" end`, async () => {
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
