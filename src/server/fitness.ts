import { accountOptions, ServiceConnection } from '../bridge/service/serviceConnection.js';
import type { SessionAttributes } from '../config/index.js';
import type { ServiceAccount } from '../session/settings.js';
import { describeServer } from '../wire/address.js';

/** How long an answer counts, in ms. */
export const BELIEVED_MS = 1000;
/** How long a server may take to say what it is. Others wait behind it. */
const PATIENCE_MS = 10_000;

type Wanted = Exclude<SessionAttributes, 'any'>;

/** Whether a server has the attributes that are wanted. Asked by the service account, for all sessions that begin meanwhile. */
export class Fitness {
  /** The last answer, and until when it counts. */
  #answer: { readonly unfit: string | undefined; readonly until: number } | undefined;
  /** The question that is under way, and since when. There is only one: a server that has frozen gets no more connections. */
  #asking: { readonly answer: Promise<string | undefined>; readonly since: number } | undefined;

  /** @param ask what is wrong with the server; by default the server itself */
  constructor(
    private readonly account: ServiceAccount,
    private readonly wanted: Wanted,
    private readonly ask: () => Promise<string | undefined> = () => this.#ask(),
  ) {}

  /** What is wrong with the server, in libpq's words; undefined if nothing is. Never rejects. */
  async unfit(): Promise<string | undefined> {
    if (this.#answer !== undefined && performance.now() < this.#answer.until) return this.#answer.unfit;
    this.#asking ??= { answer: this.#begin(), since: performance.now() };
    const { answer, since } = this.#asking;
    let late: NodeJS.Timeout | undefined;
    const patience = new Promise<string>((resolve) => {
      const restMs = Math.max(0, since + PATIENCE_MS - performance.now());
      late = setTimeout(() => resolve(`connection to ${this.#name} failed: timeout expired`), restMs);
    });
    return Promise.race([answer, patience]).finally(() => clearTimeout(late));
  }

  async #begin(): Promise<string | undefined> {
    const unfit = await this.ask();
    this.#answer = { unfit, until: performance.now() + BELIEVED_MS };
    this.#asking = undefined;
    return unfit;
  }

  get #name(): string {
    return describeServer(this.account.address, this.account.tls.serverName);
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
      return unfit && `connection to ${this.#name} failed: ${unfit}`;
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
