import { EQ } from '../../primary/operators.js';
import { PgError } from '../../wire/errors.js';
import type { CopyInControl, WireClient } from '../../wire/outbound/index.js';
import { withoutPlace } from '../exchange/bridgeAnswer.js';
import { WITH_TRIGGERS_PATH } from '../installed/eventTriggers.js';
import { isPortableType } from '../installed/portableTypes.js';
import { sealed } from '../installed/serviceSchema.js';
import type { DatabaseServices } from '../service/services.js';
import { CopyText } from './copyText.js';

/** A side table, and how its values are to be read. */
export interface BulkTable {
  readonly name: string;
  /** The process that may read it. */
  readonly pid: number;
  /** For each column the name of its type. null: its values are kept as text. */
  readonly types: readonly (string | null)[];
  readonly timeZone: string;
  readonly dateStyle: string;
  readonly intervalStyle: string;
}

/** The call that the rows are for. */
export interface BulkCall {
  /** The user that calls. Connections for large results are shared out among users. */
  readonly user: unknown;
  /** How deeply the session is nested in others. */
  readonly depth: number;
  /** Aborted when the table is no longer wanted before it exists. */
  readonly signal: AbortSignal;
  /** Called when the table exists, or may exist. */
  made(): void;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * A side table that is being filled with a remote's rows as they come. It is made, filled and frozen in one transaction, so
 * that every snapshot sees it. The process that asked reads it through a view that is empty for every other process.
 */
export class BulkRows {
  readonly #text: CopyText;
  #control: CopyInControl | undefined;
  /** The remote, while it is held back. */
  #stopped: WireClient | undefined;
  /** Settles when the transaction has ended. */
  readonly #finished: Promise<unknown>;

  private constructor(
    private readonly table: BulkTable,
    services: DatabaseServices,
    { user, depth, signal, made }: BulkCall,
    started: { resolve: () => void; reject: (error: unknown) => void },
  ) {
    this.#text = new CopyText(table.types.length);
    this.#finished = services.bulk(
      async (connection) => {
        signal.throwIfAborted();
        try {
          await connection.script(this.#sql(), (control) => {
            this.#control = control;
            control.onDrain = () => this.#resume();
            if (signal.aborted) this.abort();
            started.resolve();
          });
          made();
        } catch (error) {
          // The server may have committed, and its answer may have been lost with the connection.
          if (connection.closed) made();
          throw error;
        }
      },
      { user, depth, signal },
    );
    this.#finished.catch(started.reject);
  }

  /** Begins a table. Resolves when it takes rows. @throws PgError that its making raises; the signal's reason */
  static async open(services: DatabaseServices, table: BulkTable, call: BulkCall): Promise<BulkRows> {
    let bulk!: BulkRows;
    await new Promise<void>((resolve, reject) => {
      bulk = new BulkRows(table, services, call, { resolve, reject });
    });
    return bulk;
  }

  #sql(): string {
    const { name, pid, types, dateStyle, intervalStyle, timeZone } = this.table;
    // A function of the bridge asks for portable types only. Another one comes from a forged request, and no function of the
    // bridge reads its table.
    const columns = types
      .map((type, i) => `c${i + 1} ${type !== null && isPortableType(type) ? type : 'pg_catalog.text'}`)
      .join(', ');
    return `SELECT pg_catalog.set_config('datestyle', ${literal(dateStyle)}, true), pg_catalog.set_config('intervalstyle', ${literal(intervalStyle)}, true),
        pg_catalog.set_config('timezone', ${literal(timeZone)}, true),
        ${WITH_TRIGGERS_PATH};
      CREATE UNLOGGED TABLE dblink_proxy.${name} (${columns}) WITH (autovacuum_enabled = off, parallel_workers = 0);
      ${sealed(name)};
      CREATE VIEW dblink_proxy.${name}_v AS SELECT * FROM dblink_proxy.${name} WHERE pg_catalog.pg_backend_pid() ${EQ} ${pid};
      ${sealed(`${name}_v`)};
      GRANT SELECT ON dblink_proxy.${name}_v TO PUBLIC;
      COPY dblink_proxy.${name} FROM STDIN WITH (FREEZE)`;
  }

  /**
   * Takes rows of the remote. When the connection to the primary is congested, the remote is paused (backpressure).
   * @param messages bytes of DataRow messages, the continuation of those before
   */
  write(messages: Buffer, remote: WireClient): void {
    const message = this.#text.encode(messages);
    if (this.#control!.writeMessage(message, () => this.#text.recycle(message))) return;
    this.#stopped = remote;
    remote.pause();
  }

  #resume(): void {
    this.#stopped?.resume();
    this.#stopped = undefined;
  }

  /**
   * Completes the table.
   * @returns the name of the relation to read, in the service schema
   * @throws PgError that a value's conversion raised
   */
  async finish(): Promise<string> {
    this.#control!.done();
    // onDrain is not called for the last bytes.
    this.#resume();
    try {
      await this.#finished;
    } catch (error) {
      // The client is not to see where in the COPY it happened.
      throw error instanceof PgError ? withoutPlace(error) : error;
    }
    return `${this.table.name}_v`;
  }

  /** Rejects when the table fails, as when a value cannot be converted or the connection is lost. Never resolves. */
  get failed(): Promise<never> {
    return this.#finished.then(
      () => new Promise<never>(() => {}),
      (error: unknown) => {
        throw error instanceof PgError ? withoutPlace(error) : error;
      },
    );
  }

  /** Gives the table up. Its transaction fails, so that nothing of it is left. */
  abort(): void {
    this.#control?.fail('given up');
    this.#resume();
    this.#finished.catch(() => undefined);
  }
}
