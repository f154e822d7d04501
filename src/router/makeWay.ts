import type { Bridge } from '../bridge/bridge.js';
import type { Presence } from '../bridge/service/presence.js';

/** How long a command waits for connections to leave. PostgreSQL then waits for five seconds more. */
const PATIENCE_MS = 2_000;

/**
 * Has the proxy's own connections leave a database for a command that needs it for itself (databaseCommand.ts). They are
 * connections that a client does not know of, and natively nobody has them.
 */
export class WayMaker {
  constructor(
    private readonly presence: Presence,
    /** The session's database. */
    private readonly own: string,
    private readonly bridge: () => Bridge | undefined,
  ) {}

  /**
   * For a command of the client's that is about to be sent, when the primary has nothing else to do for the session. It may copy
   * the session's own database. Never rejects.
   */
  async forClient(databases: readonly string[]): Promise<void> {
    await patiently(async () => {
      if (databases.includes(this.own)) await this.bridge()?.vacate();
      await this.presence.vacate(databases);
    });
  }

  /**
   * For a command that a remote is about to get, which may be the same server. There the session itself is in the way of a command
   * for its own database, as it is natively. Never rejects.
   */
  async forRemote(databases: readonly string[]): Promise<void> {
    await patiently(() => this.presence.vacate(databases));
  }
}

/** Waits until something is done, or for long enough. */
async function patiently(act: () => Promise<void>): Promise<void> {
  let clock: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    clock = setTimeout(resolve, PATIENCE_MS).unref();
  });
  await Promise.race([act().catch(() => undefined), enough]);
  clearTimeout(clock);
}
