import { accountOptions } from '../../bridge/service/serviceConnection.js';
import type { RouterSettings } from '../../session/settings.js';
import { ConnectError, WireClient } from '../../wire/outbound/index.js';

/** How long an answer counts. Probes of many observers cost the primary one login. */
const GOOD_MS = 1_000;

/** Whom the proxy logs in as where it has no account: the primary need not know this role. */
const NOBODY = 'dblink_proxy_readiness';

/** Says whether a client that comes now would be served. */
export class Readiness {
  /** The question that is under way. */
  #asking: Promise<string | undefined> | undefined;
  /** The last answer, and when it came. */
  #last: { readonly at: number; readonly answer: string | undefined } | undefined;
  #closing = false;

  /**
   * @param servers those that sessions may be on that begin now
   * @param here what is wrong in the proxy itself, if anything is
   */
  constructor(
    private readonly servers: () => readonly RouterSettings[],
    private readonly here: () => string | undefined,
  ) {}

  /** Nobody is served any more. */
  close(): void {
    this.#closing = true;
  }

  /** Logs in to the primary, or asks it as far as that goes without an account. @returns what is wrong; undefined when nothing is */
  async obstacle(): Promise<string | undefined> {
    if (this.#closing) return 'shutting down';
    const here = this.here();
    if (here !== undefined) return here;
    if (this.#last !== undefined && performance.now() - this.#last.at < GOOD_MS) return this.#last.answer;
    this.#asking ??= this.#ask().then((answer) => {
      this.#last = { at: performance.now(), answer };
      this.#asking = undefined;
      return answer;
    });
    return this.#asking;
  }

  async #ask(): Promise<string | undefined> {
    let obstacle: string | undefined;
    for (const server of this.servers()) {
      obstacle = await this.#askOne(server);
      if (obstacle === undefined) break;
    }
    return obstacle;
  }

  async #askOne({ service, primary }: RouterSettings): Promise<string | undefined> {
    const account = service ?? { ...primary, user: NOBODY, password: undefined, database: NOBODY };
    try {
      (await WireClient.connect(accountOptions(account, account.database))).close();
      return undefined;
    } catch (error) {
      if (service === undefined && error instanceof ConnectError && answersClients(error)) return undefined;
      // The text could name the account.
      return 'the primary cannot be logged in to';
    }
  }
}

/** Whether a server that has refused a login would have taken another one. */
const answersClients = ({ stage, sqlstate }: ConnectError): boolean =>
  (stage === 'auth' || stage === 'startup') && !/^(?:57P|53)/.test(sqlstate ?? '');
