import type { CallContext, DblinkHome } from '../../../src/dblink/context.js';
import type { RowSink } from '../../../src/dblink/remote/results.js';
import { DblinkSession } from '../../../src/dblink/session.js';
import type { PgError } from '../../../src/wire/errors.js';
import { parseDataRow, type WireClient } from '../../../src/wire/outbound/index.js';
import type { FieldDescription } from '../../../src/wire/rows.js';

/** A session of the dblink functions, whose primary nobody asks. */
export const newSession = (home: Partial<DblinkHome> = {}): DblinkSession =>
  new DblinkSession({
    primaryHost: '127.0.0.1',
    primaryPort: 1,
    user: 'postgres',
    database: 'postgres',
    ...home,
  });

/** The circumstances of calls, and the notices that they gave, as `sqlstate message`. */
export function callContext(options: { major?: number; signal?: AbortSignal } = {}): {
  readonly call: CallContext;
  readonly notices: string[];
} {
  const notices: string[] = [];
  const call: CallContext = {
    facts: {
      superuser: true,
      readOnly: false,
      confirmSuperuser: async () => true,
      findServer: async () => undefined,
      isMember: async () => false,
      primaryMajor: options.major ?? 18,
      databaseEncoding: 'UTF8',
    },
    notice: ({ sqlstate, message }: PgError) => void notices.push(`${sqlstate} ${message}`),
    signal: options.signal ?? new AbortController().signal,
  };
  return { call, notices };
}

/** Collects the rows of the last result. */
export class CollectingSink implements RowSink {
  readonly maxRowBytes = 1024 * 1024;
  rows: (string | null)[][] = [];
  /** Called with every row. */
  onRow: ((client: WireClient) => void) | undefined;
  #client!: WireClient;

  constructor(readonly columns = 1) {}

  begin(_: readonly FieldDescription[], client: WireClient): 'rows' {
    this.#client = client;
    this.rows = [];
    return 'rows';
  }

  style(): void {}

  row(message: Buffer): void {
    this.rows.push(parseDataRow(message).map((value) => value?.toString('latin1') ?? null));
    this.onRow?.(this.#client);
  }

  raw(): void {
    throw new Error('rows were asked for one by one');
  }

  end(): void {}

  reset(): void {
    this.rows = [];
  }
}

export const sql = (text: string): Buffer => Buffer.from(text);
