import { EQ } from '../../primary/operators.js';
import { PgError } from '../../wire/errors.js';
import type { CopyInControl, WireClient } from '../../wire/outbound/index.js';
import { withoutPlace } from '../exchange/answer.js';
import { isPortableType } from '../installed/portableTypes.js';
import { sealed } from '../installed/serviceSchema.js';
import type { DatabaseServices } from '../service/services.js';
import { CopyText } from './copyText.js';

/** A side table, and how its values are to be read. */
export interface BulkTable {
  readonly name: string;
  /** The process that may read it. */
  readonly pid: number;
  /** For each column its type's name, or null: kept as text. */
  readonly types: readonly (string | null)[];
  readonly timeZone: string;
  readonly dateStyle: string;
  readonly intervalStyle: string;
}

/** What the rows are for. */
export interface BulkCall {
  /** Whose: connections for such rows are shared out by that. */
  readonly user: unknown;
  /** Aborted when the table is not wanted any more before it is there. */
  readonly signal: AbortSignal;
  /** Called when the table is there, or may be. */
  made(): void;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * A side table that is being filled with a remote's rows as they come: made, filled and frozen in one transaction, so that
 * every snapshot sees it. The process that asked reads it through a view that shows nothing to any other.
 */
export class BulkRows {
  readonly #text: CopyText;
  #control: CopyInControl | undefined;
  /** The remote, while it is held back. */
  #stopped: WireClient | undefined;
  readonly #finished: Promise<unknown>;

  private constructor(
    private readonly table: BulkTable,
    services: DatabaseServices,
    { user, signal, made }: BulkCall,
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
          // Its last words may have been lost with the connection.
          if (connection.closed) made();
          throw error;
        }
      },
      user,
      signal,
    );
    this.#finished.catch(started.reject);
  }

  /** Begins a table. @throws PgError what its making raises */
  static async open(services: DatabaseServices, table: BulkTable, call: BulkCall): Promise<BulkRows> {
    let bulk!: BulkRows;
    await new Promise<void>((resolve, reject) => {
      bulk = new BulkRows(table, services, call, { resolve, reject });
    });
    return bulk;
  }

  #sql(): string {
    const { name, pid, types, dateStyle, intervalStyle, timeZone } = this.table;
    // A type that is not known here can only be one that was made up: no function of the bridge reads such a table.
    const columns = types
      .map((type, i) => `c${i + 1} ${type !== null && isPortableType(type) ? type : 'pg_catalog.text'}`)
      .join(', ');
    return `SELECT pg_catalog.set_config('datestyle', ${literal(dateStyle)}, true), pg_catalog.set_config('intervalstyle', ${literal(intervalStyle)}, true),
        pg_catalog.set_config('timezone', ${literal(timeZone)}, true);
      CREATE UNLOGGED TABLE dblink_proxy.${name} (${columns}) WITH (autovacuum_enabled = off, parallel_workers = 0);
      ${sealed(name)};
      CREATE VIEW dblink_proxy.${name}_v AS SELECT * FROM dblink_proxy.${name} WHERE pg_catalog.pg_backend_pid() ${EQ} ${pid};
      ${sealed(`${name}_v`)};
      GRANT SELECT ON dblink_proxy.${name}_v TO PUBLIC;
      COPY dblink_proxy.${name} FROM STDIN WITH (FREEZE)`;
  }

  /** Rows of the remote, whole DataRow messages; a full pipe stops the remote. */
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
   * Completes the table. @returns the relation to read
   * @throws PgError what a value's conversion raised
   */
  async finish(): Promise<string> {
    this.#control!.done();
    // When the last bytes go out, nobody is told any more.
    this.#resume();
    try {
      await this.#finished;
    } catch (error) {
      // Where in the COPY it was is nobody's business.
      throw error instanceof PgError ? withoutPlace(error) : error;
    }
    return `${this.table.name}_v`;
  }

  /** Rejects when the table fails before it is complete: a value cannot be converted, the connection is lost. */
  get failed(): Promise<never> {
    return this.#finished.then(
      () => new Promise<never>(() => {}),
      (error: unknown) => {
        throw error instanceof PgError ? withoutPlace(error) : error;
      },
    );
  }

  /** Gives up; nothing is left. */
  abort(): void {
    this.#control?.fail('given up');
    this.#resume();
    this.#finished.catch(() => undefined);
  }
}
