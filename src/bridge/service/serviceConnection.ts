import { EQ } from '../../primary/operators.js';
import type { ServiceAccount } from '../../session/settings.js';
import { PgError } from '../../wire/errors.js';
import {
  ConnectionLost,
  type ConnectOptions,
  type CopyInControl,
  type PipelineStep,
  type QueryHandler,
  WireClient,
} from '../../wire/outbound/index.js';
import { FairQueue } from '../../wire/pace/fairQueue.js';
import { parseDataRow } from '../../wire/rows.js';
import { WITHOUT_EVENT_TRIGGERS } from '../installed/eventTriggers.js';

/** Rows of values in text format. null is SQL's NULL. */
export type Rows = readonly (readonly (Buffer | null)[])[];

/** A parameter of a statement: text, or bytes of the type's binary form. */
export type Parameter = string | { readonly binary: Buffer } | null;

/** A statement of a pipeline. */
export interface Step {
  readonly sql: string;
  readonly params?: readonly Parameter[];
  /** For a statement that runs often: the name under which it is prepared the first time. */
  readonly name?: string | undefined;
  readonly returnsRows: boolean;
}

const ROLLBACK = Buffer.from('ROLLBACK', 'latin1');
const DEALLOCATE = Buffer.from('DEALLOCATE ALL', 'latin1');

/** Settings under which the proxy's own SQL runs, whatever the account's or the server's defaults are. */
const SETTINGS = `SELECT pg_catalog.set_config(s.name, v.value, false) FROM pg_catalog.pg_settings s JOIN (VALUES
  ('statement_timeout', '0'), ('lock_timeout', '1s'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
  ('transaction_timeout', '0'), ('search_path', 'pg_catalog, pg_temp'), ('default_transaction_isolation', 'read committed'),
  ('default_transaction_read_only', 'off'), ('synchronous_commit', 'off'), ('row_security', 'on'), ('client_min_messages', 'warning'),
  ('standard_conforming_strings', 'on'), ('client_encoding', pg_catalog.current_setting('server_encoding')), ('extra_float_digits', '1'), ('bytea_output', 'hex'),
  ('log_parameter_max_length_on_error', '0')
) AS v(name, value) ON v.name ${EQ} s.name`;

/**
 * Answers of remotes are parameters of statements here, and log_statement and log_min_duration_statement would show them. This
 * switches that off where the account may do so (a superuser, or GRANT SET ON PARAMETER).
 */
const UNLOGGED_PARAMETERS = `DO $$ BEGIN
  PERFORM pg_catalog.set_config('log_parameter_max_length', '0', false);
EXCEPTION WHEN insufficient_privilege THEN NULL;
END $$`;

const CONNECT_TIMEOUT_MS = 10_000;

const lost = (cause: ConnectionLost): PgError =>
  new PgError('08006', 'the connection by which dblink-proxy answers dblink calls was lost', {
    detail: cause.message,
  });

/** How the service account connects to a database. */
export const accountOptions = (account: ServiceAccount, database: string): ConnectOptions => ({
  address: account.address,
  tls: account.tls,
  plainPassword: account.plainPassword === true,
  keepAlive: account.keepAlive,
  startup: [
    ['user', Buffer.from(account.user)],
    ['database', Buffer.from(database)],
    ['application_name', 'dblink-proxy'],
  ],
  password: account.password === undefined ? undefined : Buffer.from(account.password),
  timeoutMs: CONNECT_TIMEOUT_MS,
});

const tooMany = (): PgError =>
  new PgError('54000', 'the session sends requests to dblink-proxy faster than they are answered');

/** How many statements of one session may wait. There are more only where it sends requests faster than they are answered. */
const MAX_WAITING_OF_ONE = 64;

/** A connection, and what those who use it have in common. */
class Shared {
  readonly turns = new FairQueue<() => Promise<unknown>>();
  #running = false;
  closed = false;
  /** Names of prepared statements. */
  readonly named = new Set<string>();
  onLost: (() => void) | undefined;

  constructor(readonly client: WireClient) {
    client.onClose = () => {
      this.closed = true;
      this.onLost?.();
    };
  }

  next(): void {
    if (this.#running) return;
    const act = this.turns.next();
    if (act === undefined) return;
    this.#running = true;
    void act().finally(() => {
      this.#running = false;
      this.next();
    });
  }
}

/**
 * A connection of the proxy's own to the primary. Statements queue up. Where several sessions use the connection, they take
 * turns. Text is byte strings.
 */
export class ServiceConnection {
  /** @param who whose statements these are (FairQueue) */
  private constructor(
    private readonly shared: Shared,
    private readonly who: readonly unknown[],
  ) {}

  /** The same connection, for the statements of somebody who takes turns with others. @param who see FairQueue */
  of(who: readonly unknown[]): ServiceConnection {
    return new ServiceConnection(this.shared, who);
  }

  private get client(): WireClient {
    return this.shared.client;
  }

  /** Called once when the connection is lost, or somebody who uses it has closed it; must not throw. */
  set onLost(act: (() => void) | undefined) {
    this.shared.onLost = act;
  }

  /** Logs in, and makes the settings for the proxy's own SQL. @throws ConnectError, PgError */
  static async connect(options: ConnectOptions): Promise<ServiceConnection> {
    const client = await WireClient.connect({ ...options, timeoutMs: CONNECT_TIMEOUT_MS });
    const connection = new ServiceConnection(new Shared(client), []);
    try {
      await connection.script(`${UNLOGGED_PARAMETERS};\n${WITHOUT_EVENT_TRIGGERS}`);
      await connection.query(SETTINGS);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  get closed(): boolean {
    return this.shared.closed;
  }

  /**
   * Runs one statement.
   * @param name for a statement that runs often: the name under which it is prepared the first time
   * @returns its rows @throws PgError see `pipeline`
   */
  query(sql: string, params: readonly Parameter[] = [], name?: string): Promise<Rows> {
    return this.pipeline([{ sql, params, name, returnsRows: true }]);
  }

  /**
   * Runs statements in one round trip, as one transaction unless they say otherwise.
   * @returns the rows of all of them
   * @throws PgError of the first statement that fails, and then nothing behind it was run and no transaction is open; 08006 when
   * the connection is lost; 54000 when too many statements of one session wait
   */
  pipeline(steps: readonly Step[]): Promise<Rows> {
    return this.#inTurn(async (handler, failed) => {
      const { named } = this.shared;
      const fresh = steps.some(({ name }) => name !== undefined && !named.has(name));
      await this.client.pipeline(
        steps.map((step) => this.#encode(step)),
        handler,
      );
      if (!failed()) for (const { name } of steps) if (name !== undefined) named.add(name);
      if (!failed()) return;
      if (this.client.transactionStatus !== 'I') await this.client.query(ROLLBACK, {});
      if (!fresh) return;
      // It is not known which of the new statements have been prepared.
      await this.client.query(DEALLOCATE, {});
      named.clear();
    });
  }

  #encode({ sql, params = [], name, returnsRows }: Step): PipelineStep {
    return {
      sql: Buffer.from(sql, 'latin1'),
      params: params.map((param) =>
        param === null ? null : typeof param === 'string' ? Buffer.from(param, 'latin1') : param.binary,
      ),
      options: {
        resultFormat: returnsRows ? 0 : undefined,
        paramFormats: params.map((param) => (param !== null && typeof param === 'object' ? 1 : 0)),
        statement: name === undefined ? undefined : { name, known: this.shared.named.has(name) },
      },
    };
  }

  /**
   * Runs statements as one transaction unless they say otherwise, without parameters. No transaction is open afterwards.
   * @param copyIn feeds a COPY FROM STDIN among them
   * @throws PgError; 08006 when the connection is lost; 54000 when too many statements of one session wait
   */
  script(sql: string, copyIn?: (control: CopyInControl) => void): Promise<Rows> {
    return this.#inTurn(async (handler) => {
      const all = copyIn === undefined ? handler : { ...handler, copyIn };
      await this.client.query(Buffer.from(sql, 'latin1'), all);
      if (this.client.transactionStatus !== 'I') await this.client.query(ROLLBACK, {});
    });
  }

  /**
   * Runs statements as `script` does, with the data for the one COPY FROM STDIN among them, in one round trip.
   * @throws as `script`
   */
  copy(sql: string, data: Buffer): Promise<Rows> {
    return this.#inTurn(async (handler) => {
      await this.client.copy(Buffer.from(sql, 'latin1'), data, handler);
      if (this.client.transactionStatus !== 'I') await this.client.query(ROLLBACK, {});
    });
  }

  #inTurn(act: (handler: QueryHandler, failed: () => boolean) => Promise<void>): Promise<Rows> {
    const run = async (): Promise<Rows> => {
      const rows: (Buffer | null)[][] = [];
      let failure: PgError | undefined;
      const done = act(
        {
          rowDescription: () => 'rows',
          row: (message) => void rows.push([...parseDataRow(Buffer.from(message))]),
          error: (fields) => {
            failure = PgError.from(fields);
          },
        },
        () => failure !== undefined,
      );
      await done.catch((error: unknown) => {
        throw error instanceof ConnectionLost ? lost(error) : error;
      });
      if (failure !== undefined) throw failure;
      return rows;
    };
    const { turns } = this.shared;
    return new Promise((resolve, reject) => {
      if (this.who.length > 0 && turns.sizeOf(this.who) >= MAX_WAITING_OF_ONE) throw tooMany();
      turns.add(this.who, () => run().then(resolve, reject));
      this.shared.next();
    });
  }

  /** Closes the connection, for all who use it. Those who wait for something on it would not notice otherwise. */
  close(): void {
    if (this.shared.closed) return;
    this.shared.closed = true;
    this.client.close();
    this.shared.onLost?.();
  }
}
