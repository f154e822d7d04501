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
    /** Of the session that this one is nested in. */
    private readonly outer: WayMaker | undefined,
  ) {}

  /**
   * For a command that is about to be sent: the client's, to the primary, which has nothing else to do for the session; or dblink's, to
   * a remote, which may be the same server. It may be for the session's own database. The client's can copy that. Of dblink's the
   * session itself is in the way, as it is natively, and those that it is nested in. Never rejects.
   * @param awaited false: functions that wait are answered before the command is over
   */
  async make(databases: readonly string[], awaited = true): Promise<void> {
    await patiently(async () => {
      if (awaited) await this.#leave(databases);
      await this.presence.vacate(databases);
    });
  }

  /** Has the session, and those that wait for it, give up their places on service connections to these databases. Never rejects. */
  async #leave(databases: readonly string[]): Promise<void> {
    if (databases.includes(this.own)) await this.bridge()?.vacate();
    if (this.outer !== undefined) await this.outer.#leave(databases);
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
