import type { Socket } from 'node:net';
import { Client, type ClientConfig, type QueryArrayConfig } from 'pg';
import { emit, readInput, show, showError } from './support.js';

/** What the driver's program is told. */
export const { target, flows } = readInput();

/** The remote's connection string. */
export const { remote } = target;

/** Options that `pg` takes beside those in its types. */
export interface Options extends Partial<QueryArrayConfig> {
  readonly binary?: boolean;
  readonly rows?: number;
  readonly queryMode?: 'extended';
}

/** What `pg` does not show. */
export interface WithConnection {
  readonly connection: { sync(): void; readonly stream: Socket };
}

/** The key of a connection, which `pg` does not show either. */
export interface WithKey {
  readonly processID: number;
  readonly secretKey: number;
}

/** Settings of a connection, with those that are not in `pg`'s types. */
export interface Config extends ClientConfig {
  readonly pipeline?: boolean;
}

/** Where to connect. */
export const config: Config = {
  host: target.host,
  port: target.port,
  user: target.user,
  database: target.database,
};

/** The part of a result that is compared. */
export interface Result {
  readonly command: string;
  readonly rowCount: number | null;
  readonly fields: readonly {
    readonly name: string;
    readonly dataTypeID: number;
    readonly dataTypeModifier: number;
  }[];
  readonly rows: readonly unknown[];
}

/** A connection whose statements go into the transcript. */
export class Session {
  readonly #flow: string;
  readonly #notices: unknown[] = [];
  readonly client: Client;

  constructor(flow: string, options: Config = {}) {
    this.#flow = flow;
    this.client = new Client({ ...config, ...options });
    this.client.on('notice', (notice) => this.#notices.push(showError(notice)));
    this.client.on('notification', ({ channel, payload }) => this.#notices.push({ channel, payload }));
  }

  /** Runs a statement; an error is part of the transcript. */
  async run(sql: string, values: readonly unknown[] = [], options: Options = {}): Promise<void> {
    let outcome: Record<string, unknown>;
    try {
      const query = { rowMode: 'array', ...options, text: sql, ...(values.length > 0 ? { values } : {}) };
      const results: unknown = await this.client.query(query as QueryArrayConfig);
      outcome = { results: (Array.isArray(results) ? results : [results]).map(showResult) };
    } catch (error) {
      outcome = { error: showError(error) };
      // With a row limit the driver has sent a Flush, and after an error it forgets the Sync.
      if (options.rows !== undefined) (this.client as unknown as WithConnection).connection.sync();
    }
    this.note(sql, outcome);
  }

  note(at: string, outcome: Readonly<Record<string, unknown>>): void {
    emit(this.#flow, at, { ...outcome, notices: this.#notices.splice(0) });
  }
}

/** A result for the transcript. */
export function showResult({ command, rowCount, fields, rows }: Result): Readonly<Record<string, unknown>> {
  return {
    command,
    rowCount,
    columns: fields.map(({ name, dataTypeID, dataTypeModifier }) => [name, dataTypeID, dataTypeModifier]),
    rows: rows.map(show),
  };
}

/** A session of its own, closed in any case. */
export async function session(
  flow: string,
  run: (session: Session) => Promise<void>,
  options?: Config,
): Promise<void> {
  const opened = new Session(flow, options);
  await opened.client.connect();
  try {
    await run(opened);
  } finally {
    await opened.client.end();
  }
}
