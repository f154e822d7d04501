import type { Audit } from './audit.js';
import { ConnectionAudit } from './connectionAudit.js';
import type { AuditEvents, AuditTarget, AuditWho, EndReason, LoginFailure } from './events.js';

/** What is known of an attempt to connect to a remote. */
export interface Attempt {
  readonly to: AuditTarget;
  readonly rule?: string | undefined;
}

/** One session's part of the audit. Those that are nested in it have views of it. */
export class SessionAudit {
  readonly #began = performance.now();
  /** Whose work the reading of texts is, where sessions take turns. */
  #asker: readonly unknown[];

  constructor(
    readonly audit: Audit,
    private readonly who: AuditWho,
    private readonly tls: boolean,
  ) {
    this.#asker = [who.user, this];
  }

  /** The same session's, for one that is nested in it. */
  nested(depth: number): SessionAudit {
    const view = new SessionAudit(this.audit, { ...this.who, depth }, this.tls);
    view.#asker = this.#asker;
    return view;
  }

  /** Whether the session has to wait for `room` before it does something that is told. */
  get makesWait(): boolean {
    return this.audit.makesWait;
  }

  room(): Promise<void> {
    return this.audit.room();
  }

  opened(application: string | undefined): void {
    this.#write('session_opened', { tls: this.tls, application });
  }

  ended(reason: EndReason, sqlstate: string | undefined, requests: number): void {
    this.#write('session_ended', { reason, sqlstate, duration_ms: since(this.#began), requests });
  }

  loginFailed(reason: LoginFailure, sqlstate?: string): void {
    this.#write('login_failed', { tls: this.tls, reason, sqlstate });
  }

  /** The client was refused before its login, or a call was. */
  refused(refusal: Omit<AuditEvents['refused'], 'tls'>): void {
    this.#write('refused', refusal.kind === 'access' ? { ...refusal, tls: this.tls } : refusal);
  }

  leftToExtension(functions: readonly string[], times: 'once' | 'each'): void {
    this.#write('left_to_extension', { functions, times });
  }

  /** A connection to a remote has been made. @param began by performance.now() */
  connected(
    { to, rule }: Attempt,
    { tls, readOnly, began }: { readonly tls: boolean; readonly readOnly: boolean; readonly began: number },
  ): ConnectionAudit {
    const connection = this.audit.nextConnection();
    const opened = { connection, to, tls, rule, read_only: readOnly, duration_ms: since(began) };
    this.#write('connection_opened', opened);
    return new ConnectionAudit(this.audit, { number: connection, asker: this.#asker }, (event, fields) =>
      this.#write(event, fields),
    );
  }

  /** A connection to a remote could not be made. @param began by performance.now() */
  notConnected(
    { to, rule }: Attempt,
    failure: Pick<AuditEvents['connection_failed'], 'stage' | 'sqlstate' | 'code'>,
    began: number,
  ): void {
    this.#write('connection_failed', { to, rule, ...failure, duration_ms: since(began) });
  }

  #write<Event extends keyof AuditEvents>(event: Event, fields: AuditEvents[Event]): void {
    this.audit.write(event, this.who, fields);
  }
}

/** In whole milliseconds. */
const since = (began: number): number => Math.round(performance.now() - began);
