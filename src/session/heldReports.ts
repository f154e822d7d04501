import { parameterStatus } from '../wire/messages.js';

/** What reports are told to, and what is to be known of the session for it. */
interface ReportEvents {
  /** The primary's major version. 0 until it is known. */
  readonly majorVersion: () => number;
  /** How many ReadyForQuery messages have come from the primary. */
  readonly readies: () => number;
  /** Called for a setting that the client is to be told of. @returns whether it is told */
  readonly changed: (name: string, value: string) => boolean;
  readonly toClient: (message: Buffer) => void;
}

/** A setting, its value when the first report of it was kept, and after how many ReadyForQuery messages it changed last. */
interface HeldParameter {
  readonly before: string | undefined;
  readonly value: string;
  readonly part: number;
}

/**
 * Reports of changed settings, and notifications, that are kept back. While a Query is carried out in parts, the primary sends several
 * ReadyForQuery messages. The client has to get the reports in front of the one that it is sent.
 */
export class HeldReports {
  #holding = false;
  readonly #parameters = new Map<string, HeldParameter>();
  #notifications: Buffer[] = [];

  constructor(private readonly events: ReportEvents) {}

  /** Whether the server reports each change of a setting at once, as before PostgreSQL 14, and not in front of ReadyForQuery. */
  get #atOnce(): boolean {
    return this.events.majorVersion() < 14;
  }

  /** Keeps reports back until `release`. */
  hold(): void {
    if (!this.#atOnce) this.#holding = true;
  }

  /**
   * An error takes the transaction back, and with it changes of settings. A server that reports at once does so right behind the
   * error. The client gets these reports in front of ReadyForQuery, because it may hear of the error itself only when the proxy
   * has dealt with it.
   */
  holdOfAbort(): void {
    if (this.#atOnce) this.#holding = true;
  }

  /** Sends what has been kept back: the notifications, then those settings that have another value than before. */
  release(): void {
    this.#holding = false;
    if (this.#notifications.length === 0 && this.#parameters.size === 0) return;
    const { changed, majorVersion, toClient } = this.events;
    const notifications = this.#notifications;
    const parameters = [...this.#parameters];
    this.#notifications = [];
    this.#parameters.clear();
    for (const notification of notifications) toClient(notification);
    // A server reports settings in the order of their names. From PostgreSQL 16 on it begins with what changed last.
    const byName = majorVersion() < 16;
    const reports = parameters.sort(([aName, a], [bName, b]) =>
      byName ? compareNames(aName, bName) : b.part - a.part,
    );
    for (const [name, { before, value }] of reports) {
      if (value !== before && changed(name, value)) toClient(parameterStatus(name, value));
    }
  }

  /** A notification has come. @returns whether the client gets it now */
  notification(message: Buffer): boolean {
    if (this.#holding) this.#notifications.push(Buffer.from(message));
    return !this.#holding;
  }

  /** A setting has changed. @param before its value until now, if any @returns whether the client is told now */
  parameter(name: string, value: string, before: string | undefined): boolean {
    if (!this.#holding) return this.events.changed(name, value);
    const first = this.#parameters.get(name)?.before ?? before;
    this.#parameters.set(name, { before: first, value, part: this.events.readies() });
    return false;
  }
}

const compareNames = (a: string, b: string): number => (a.toLowerCase() < b.toLowerCase() ? -1 : 1);
