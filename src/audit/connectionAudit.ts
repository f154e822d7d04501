import type { Audit } from './audit.js';
import type { AuditEvents } from './events.js';
import { type HowToRead, StatementAudit } from './statementAudit.js';

/** The part of the audit that is about one connection to a remote, from its beginning to its end. */
export class ConnectionAudit {
  readonly #began = performance.now();
  #ended = false;

  /** @param write writes an event of the session that has the connection */
  constructor(
    private readonly audit: Audit,
    private readonly connection: { readonly number: number; readonly asker: readonly unknown[] },
    private readonly write: <Event extends keyof AuditEvents>(
      event: Event,
      fields: AuditEvents[Event],
    ) => void,
  ) {}

  /** Whether a statement has to wait for `room` before it is sent. */
  get makesWait(): boolean {
    return this.audit.makesWait;
  }

  room(): Promise<void> {
    return this.audit.room();
  }

  /**
   * A statement is sent.
   * @param name of the function that sends it
   * @returns undefined when statements are not told of
   */
  statement(name: string, sql: Buffer, how: HowToRead): StatementAudit | undefined {
    const { audit, connection } = this;
    if (audit.statements === 'none') return undefined;
    const { number, asker } = connection;
    const sent = { connection: number, function: name, sql, asker, ...how };
    return new StatementAudit(audit, sent, (fields) => this.write('statement', fields));
  }

  /** A text was not sent, since it could write where nothing may be written. @param name of the function */
  refused(name: string, sqlstate: string): void {
    const { number: connection } = this.connection;
    this.write('refused', { kind: 'read_only', by: 'read_only', sqlstate, connection, function: name });
  }

  /** The connection has ended. @param lost whether somebody else has ended it @param sqlstate what the server said */
  ended(lost: boolean, sqlstate?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const duration = Math.round(performance.now() - this.#began);
    this.write('connection_ended', {
      connection: this.connection.number,
      reason: lost ? 'lost' : 'closed',
      sqlstate,
      duration_ms: duration,
    });
  }
}
