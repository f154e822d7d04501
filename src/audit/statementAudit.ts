import type { Audit, AuditReading } from './audit.js';
import type { AuditEvents } from './events.js';
import { firstKeyword } from './firstKeyword.js';

/** A command tag with a number of rows is no longer than this. */
const MOST_TAG_CHARS = 64;

/** How a text is read. */
export interface HowToRead {
  /** Whether it is certain where its literals end. Else nothing is told of it. */
  readonly isReadable: boolean;
  /** Makes a text of a byte string that is a part of it. */
  readonly asText: (bytes: string) => string;
}

interface Sent extends HowToRead {
  readonly connection: number;
  readonly function: string;
  readonly sql: Buffer;
  /** Whose work it is to read the text, where sessions take turns. */
  readonly asker: readonly unknown[];
}

/** A statement on its way through a remote: what comes of it is added up, and told when it is over. */
export class StatementAudit {
  readonly #began = performance.now();
  readonly #reading: AuditReading | undefined | Promise<AuditReading | undefined>;
  readonly #keyword: string | undefined;
  readonly #textBytes: number;
  #rows = 0;
  #bytes = 0;
  #sqlstate: string | undefined;
  #told = false;

  constructor(
    private readonly audit: Audit,
    private readonly sent: Sent,
    private readonly tell: (fields: AuditEvents['statement']) => void,
  ) {
    const { sql, asker, isReadable } = sent;
    this.#textBytes = sql.length;
    this.#keyword = firstKeyword(sql);
    this.#reading = isReadable ? audit.read(sql, audit.statements === 'full', asker) : undefined;
  }

  /** Bytes of rows have come. */
  came(bytes: number): void {
    this.#bytes += bytes;
  }

  /** A result is complete. @param tag its command tag */
  completed(tag: string): void {
    if (tag.length <= MOST_TAG_CHARS) this.#rows += Number(/ (\d{1,15})$/.exec(tag)?.[1] ?? 0);
  }

  /** It has failed, or is given up. The first one counts. */
  failed(sqlstate: string): void {
    // What a server calls a SQLSTATE may be anything.
    this.#sqlstate ??= /^[0-9A-Z]{5}$/.test(sqlstate) ? sqlstate : 'XX000';
  }

  /**
   * Nothing more comes.
   * @param complete whether the answer has come to its end
   * @returns a promise while the text is still being read; never rejects
   */
  over(complete: boolean): Promise<void> | undefined {
    if (this.#told) return undefined;
    this.#told = true;
    const durationMs = Math.round(performance.now() - this.#began);
    const tell = (reading: AuditReading | undefined): void => this.#tell(reading, complete, durationMs);
    if (!(this.#reading instanceof Promise)) {
      tell(this.#reading);
      return undefined;
    }
    const telling = this.#reading.then(tell, () => tell(undefined));
    this.audit.expect(telling);
    return telling;
  }

  #tell(reading: AuditReading | undefined, complete: boolean, durationMs: number): void {
    const { connection, function: name, asText } = this.sent;
    const text = reading?.text;
    this.tell({
      connection,
      function: name,
      keyword: this.#keyword,
      fingerprint: reading?.fingerprint,
      text: text && asText(text),
      text_cut: reading?.cut,
      unread: reading === undefined ? true : undefined,
      text_bytes: this.#textBytes,
      rows: this.#rows,
      bytes: this.#bytes,
      complete,
      sqlstate: this.#sqlstate,
      duration_ms: durationMs,
    });
  }
}
