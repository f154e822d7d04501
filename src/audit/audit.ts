import type { AuditEvents, AuditedStatements, AuditWho } from './events.js';
import { AuditWriter, type WriterOptions } from './writer.js';

/** What is told of SQL for a remote; see AuditText in src/sql. The text is a byte string. */
export interface AuditReading {
  readonly fingerprint: string;
  readonly text?: string;
  /** Only the beginning of the text is there. */
  readonly cut?: true;
}

/** Reads SQL for a remote. A promise for what takes its time. Undefined for what cannot be read. */
export type AuditReader = (
  sql: Buffer,
  withText: boolean,
  asker: readonly unknown[],
) => AuditReading | undefined | Promise<AuditReading | undefined>;

export interface AuditOptions extends Pick<WriterOptions, 'file' | 'maxBytes' | 'onFull' | 'report'> {
  readonly statements: AuditedStatements;
  readonly read: AuditReader;
}

/** How long the end of the process waits for what is written. */
const CLOSE_MS = 3000;

/** The audit of a process: what its sessions do, as lines of JSON (docs/audit.md). */
export class Audit {
  readonly statements: AuditedStatements;
  readonly read: AuditReader;
  readonly #writer: AuditWriter;
  /** What is still to be told, and waits for a text to be read. */
  readonly #pending = new Set<Promise<void>>();
  #connections = 0;

  /** @throws the system's error if the file cannot be opened */
  constructor({ statements, read, ...writer }: AuditOptions) {
    this.statements = statements;
    this.read = read;
    this.#writer = new AuditWriter({
      ...writer,
      dropped: (events) => lineOf('dropped', { events }),
    });
  }

  /** Tells of a connection that was refused before anybody knew who wants what. It cannot wait. */
  turnedAway(client: string | undefined, by: string, sqlstate: string): void {
    this.#writer.add(lineOf('refused', { client, kind: 'limit', by, sqlstate }), false);
  }

  /** Writes an event of a session. Who makes it has waited for room. */
  write<Event extends keyof AuditEvents>(event: Event, who: AuditWho, fields: AuditEvents[Event]): void {
    this.#writer.add(lineOf(event, { ...who, ...fields }));
  }

  /** Whether who is about to do something that is told has to wait for `room` first. */
  get makesWait(): boolean {
    return this.#writer.makesWait;
  }

  /** Resolves when there is room. */
  room(): Promise<void> {
    return this.#writer.room();
  }

  /** A number by which a connection to a remote is known in the process. */
  nextConnection(): number {
    return ++this.#connections;
  }

  /** Has the end of the process wait for something. @param telling never rejects */
  expect(telling: Promise<void>): void {
    this.#pending.add(telling);
    void telling.then(() => this.#pending.delete(telling));
  }

  /** Opens the file anew, as after it has been moved away. */
  reopen(): void {
    this.#writer.reopen();
  }

  /** Writes what there is, in a few seconds at most. @returns how many events are lost */
  async close(): Promise<number> {
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    await Promise.race([Promise.all(this.#pending), late]);
    return this.#writer.close(CLOSE_MS);
  }
}

const lineOf = (event: keyof AuditEvents, fields: object): string =>
  JSON.stringify({ time: new Date().toISOString(), event, pid: process.pid, ...fields });
