import { MalformedResult } from '../../../dblink/errors.js';
import type { Memory } from '../../../dblink/memory.js';
import type { RemoteStyle, RowSink } from '../../../dblink/remote/results.js';
import type { ValueCheck } from '../../../dblink/remote/valueCheck.js';
import type { ClientLink } from '../../../session/clientLink.js';
import type { WireClient } from '../../../wire/outbound/index.js';
import type { FieldDescription } from '../../../wire/rows.js';
import type { CollectSink } from '../../calls/collectSink.js';
import type { ColumnType } from '../../calls/columns.js';
import { invalidValue, streamCheck, type WritingStyle } from './streamable.js';
import { anyText } from './values/texts.js';

/** How statements begin that return rows and nothing else. */
const COUNTED = /^\s*(?:select|values|table|fetch|with)\b/i;

/**
 * Whether a query string for a remote is one statement whose rows may be sent before the statement has ended. A string that might
 * hold more than one statement is not.
 */
export function mayStream(sql: Buffer): boolean {
  const text = sql.toString('latin1');
  const semicolon = text.indexOf(';');
  return COUNTED.test(text) && (semicolon < 0 || text.slice(semicolon + 1).trim() === '');
}

/**
 * Passes the remote's rows to the client as they arrive. When their types do not allow that, it collects them. The choice is made
 * at the remote's RowDescription.
 */
export class StreamSink implements RowSink {
  readonly columns: number;
  /** Whether the rows go to the client. */
  streamed = false;
  /** Number of rows that the client has been sent. */
  count = 0;
  /** See RowSink. */
  checks: readonly (ValueCheck | undefined)[] | undefined;

  constructor(
    private readonly types: readonly ColumnType[],
    private readonly local: WritingStyle,
    private readonly client: ClientLink,
    private readonly collector: CollectSink,
  ) {
    this.columns = types.length;
  }

  /** The remote that sends the rows. */
  #remote: WireClient | undefined;
  /** Backpressure: nothing is read from the remote, because the client is slow. */
  #waiting = false;

  get #rowsHaveCome(): boolean {
    return this.count > 0 || this.collector.rowCount > 0;
  }

  get memory(): Memory {
    return this.collector.memory;
  }

  get maxRowBytes(): number {
    return this.collector.maxRowBytes;
  }

  begin(fields: readonly FieldDescription[], remote: WireClient): 'rows' | 'raw' {
    // One statement has one result. Rows of another one, which perhaps must not be streamed, cannot follow what has been sent.
    if (this.#rowsHaveCome) throw new MalformedResult('unexpected second result of one statement');
    const far = {
      dateStyle: remote.parameters.get('DateStyle'),
      intervalStyle: remote.parameters.get('IntervalStyle'),
      timeZone: remote.parameters.get('TimeZone'),
      version: remote.serverVersion,
      encoding: remote.parameters.get('client_encoding') ?? '',
      serverEncoding: remote.parameters.get('server_encoding'),
    };
    const checks = this.types.map((type, i) => streamCheck(type, fields[i]!, this.local, far));
    this.streamed = checks.every((check) => check !== undefined);
    this.#remote = remote;
    if (!this.streamed) return this.collector.begin();
    this.checks = checks.map((check) => (check === anyText ? undefined : check));
    this.client.inParts = true;
    return 'raw';
  }

  /** The remote has announced a type, and sent something else. The primary says what is wrong with it, unless rows have been sent. */
  strange(column: number, value: Buffer): void {
    if (this.count > 0) throw invalidValue(this.types[column]!, value);
    this.streamed = false;
    this.collector.begin();
  }

  style(style: RemoteStyle): void {
    if (!this.streamed) this.collector.style(style);
  }

  row(message: Buffer): void {
    this.collector.row(message);
  }

  raw(bytes: Buffer, rows: number): void {
    this.count += rows;
    if (this.client.write(bytes) || this.#waiting) return;
    const remote = this.#remote!;
    this.#waiting = true;
    remote.pause();
    void this.client.drained().then(() => {
      this.#waiting = false;
      remote.resume();
    });
  }

  end(): void {}

  reset(): void {
    this.collector.reset();
  }
}
