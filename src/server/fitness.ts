import { accountOptions, ServiceConnection } from '../bridge/service/serviceConnection.js';
import type { SessionAttributes } from '../config/index.js';
import type { ServiceAccount } from '../session/settings.js';
import { describeServer } from '../wire/address.js';

/** How long an answer counts, in ms. */
export const BELIEVED_MS = 1000;

type Wanted = Exclude<SessionAttributes, 'any'>;

/** Whether a server has the attributes that are wanted. Asked by the service account, for all sessions that begin meanwhile. */
export class Fitness {
  #answer: { readonly unfit: Promise<string | undefined>; readonly until: () => number } | undefined;

  constructor(
    private readonly account: ServiceAccount,
    private readonly wanted: Wanted,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** What is wrong with the server, in libpq's words; undefined if nothing is. Never rejects. */
  unfit(): Promise<string | undefined> {
    if (this.#answer !== undefined && this.now() < this.#answer.until()) return this.#answer.unfit;
    let until = Number.POSITIVE_INFINITY;
    const unfit = this.#ask().finally(() => {
      until = this.now() + BELIEVED_MS;
    });
    this.#answer = { unfit, until: () => until };
    return unfit;
  }

  async #ask(): Promise<string | undefined> {
    const { account, wanted } = this;
    try {
      // Without the settings of the account's other connections, which make them read-write.
      const connection = await ServiceConnection.connect(accountOptions(account, account.database));
      const [row] = await connection
        .query(
          "SELECT pg_catalog.pg_is_in_recovery(), (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only')",
        )
        .finally(() => connection.close());
      const standby = row?.[0]?.toString('latin1') === 't';
      const readOnly = standby || row?.[1]?.toString('latin1') === 'on';
      const unfit = unfitFor(wanted, standby, readOnly);
      const name = describeServer(account.address, account.tls.serverName);
      return unfit && `connection to ${name} failed: ${unfit}`;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/** As libpq says it. */
export function unfitFor(wanted: Wanted, standby: boolean, readOnly: boolean): string | undefined {
  switch (wanted) {
    case 'read-write':
      return readOnly ? 'session is read-only' : undefined;
    case 'read-only':
      return readOnly ? undefined : 'session is not read-only';
    case 'primary':
      return standby ? 'server is in hot standby mode' : undefined;
    case 'standby':
    case 'prefer-standby':
      return standby ? undefined : 'server is not in hot standby mode';
  }
}
