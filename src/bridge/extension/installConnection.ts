import { SERVICE_SESSION, SESSION_SETTING } from '../../primary/marks.js';
import type { ServiceAccount } from '../../session/settings.js';
import { PgError } from '../../wire/errors.js';
import { WireClient } from '../../wire/outbound/index.js';
import { parseDataRow } from '../../wire/rows.js';
import { accountOptions } from '../service/serviceConnection.js';

/** A name as a quoted identifier of SQL. */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The connection by which an account installs or removes the bridge. The caller begins and ends transactions on it. */
export class InstallConnection {
  private constructor(private readonly client: WireClient) {}

  /** Logs in to a database. @throws ConnectError */
  static async open(account: ServiceAccount, database: string): Promise<InstallConnection> {
    const options = accountOptions(account, database);
    const startup = [
      ...options.startup,
      ['client_encoding', 'UTF8'] as const,
      [SESSION_SETTING, SERVICE_SESSION] as const,
    ];
    return new InstallConnection(await WireClient.connect({ ...options, startup }));
  }

  /**
   * Runs SQL: one statement, or several if there are no parameters.
   * @returns the rows of all of them, values as text
   * @throws PgError whose texts are byte strings; ConnectionLost
   */
  async query(sql: string, params: readonly string[] = []): Promise<readonly (readonly (string | null)[])[]> {
    const rows: (string | null)[][] = [];
    let failure: PgError | undefined;
    const handler = {
      rowDescription: () => 'rows' as const,
      row: (message: Buffer) => {
        rows.push(parseDataRow(message).map((value) => value?.toString('utf8') ?? null));
      },
      error: (fields: Parameters<typeof PgError.from>[0]) => {
        failure = PgError.from(fields);
      },
    };
    const text = Buffer.from(sql);
    if (params.length === 0) await this.client.query(text, handler);
    else {
      const values = params.map((param) => Buffer.from(param));
      await this.client.execute(text, values, { resultFormat: 0 }, handler);
    }
    if (failure !== undefined) throw failure;
    return rows;
  }

  close(): void {
    this.client.close();
  }
}
