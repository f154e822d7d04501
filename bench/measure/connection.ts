import { connect, type Socket } from 'node:net';
import { type ErrorFields, parseFields } from '../../src/wire/errors.js';
import { Framer } from '../../src/wire/framer.js';
import { bind, execute, parse, query, SYNC, TERMINATE } from '../../src/wire/messages.js';
import { startupMessage } from '../../src/wire/outbound/index.js';
import { Backend, EMPTY, Frontend } from '../../src/wire/protocol.js';
import { parseDataRow } from '../../src/wire/rows.js';
import { MessageWriter } from '../../src/wire/writer.js';

/** What a request was answered. */
export interface Answer {
  readonly rows: number;
  /** From sending the request to the first row, in milliseconds; undefined without rows. */
  readonly firstRowMs: number | undefined;
  /** From sending the request to ReadyForQuery, in milliseconds. */
  readonly totalMs: number;
  /** First value of the first row, as text. */
  readonly value: string | undefined;
}

const READ_BUFFER_BYTES = 256 * 1024;
/** What a slow reader takes. */
const SLOW_BYTES_PER_MS = 2_000;
const COPY_DONE = new MessageWriter(Frontend.copyDone).end();
const NO_NAME = EMPTY;

/** The messages of one extended query, unnamed and without parameters. */
export const extendedQuery = (sql: string): Buffer =>
  Buffer.concat([parse('', sql, []), bindAndExecute('', [])]);

/** Runs a prepared statement with values in text. */
export const bindAndExecute = (statement: string, values: readonly string[]): Buffer =>
  Buffer.concat([
    bind({
      portal: NO_NAME,
      statement: Buffer.from(statement),
      formats: [],
      values: values.map((value) => Buffer.from(value)),
      resultFormats: [],
    }),
    execute(''),
    SYNC,
  ]);

/**
 * A client that costs next to nothing, so that what is measured is the servers: rows are counted, not read, except for
 * the first. One request at a time; the servers must trust it.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #framer: Framer;
  #waiter: { resolve(): void; reject(error: Error): void } | undefined;
  #copy: (() => void) | undefined;
  #rows = 0;
  #sentAt = 0;
  #firstRowAt = 0;
  #first: Buffer = EMPTY;
  #error: ErrorFields | undefined;
  #closedWith: Error | undefined;
  #slowUntil = 0;

  private constructor(host: string, port: number) {
    this.#framer = new Framer({
      head: (type) => this.#head(type),
      whole: (type, message) => this.#whole(type, message),
      pass: () => undefined,
      badLength: (type) => {
        throw new Error(`message ${type} with an impossible length`);
      },
    });
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES),
        callback: (length, buffer) => {
          this.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          if (performance.now() >= this.#slowUntil) return true;
          setTimeout(() => this.#socket.resume(), length / SLOW_BYTES_PER_MS);
          return false;
        },
      },
    });
    this.#socket.on('error', (error) => {
      this.#closedWith = error;
    });
    this.#socket.on('close', () => {
      this.#closedWith ??= new Error('the server closed the connection');
      this.#settle(this.#closedWith);
    });
  }

  /** Connects as the superuser of the embedded servers. */
  static async open(host: string, port: number): Promise<Connection> {
    const connection = new Connection(host, port);
    await connection.request(
      startupMessage([
        ['user', 'postgres'],
        ['database', 'postgres'],
      ]),
    );
    return connection;
  }

  #receive(bytes: Buffer): void {
    try {
      this.#framer.push(bytes);
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
  }

  #head(type: number): 'pass' | 'whole' {
    switch (type) {
      case Backend.dataRow:
      case Backend.copyData:
        if (this.#rows++ > 0) return 'pass';
        this.#firstRowAt = performance.now();
        return 'whole';
      case Backend.readyForQuery:
      case Backend.errorResponse:
      case Backend.copyInResponse:
        return 'whole';
      default:
        return 'pass';
    }
  }

  #whole(type: number, message: Buffer): boolean {
    if (type === Backend.dataRow) this.#first = Buffer.from(message);
    else if (type === Backend.errorResponse) this.#error = parseFields(message);
    else if (type === Backend.copyInResponse) this.#copy?.();
    else if (type === Backend.readyForQuery) this.#settle();
    return false;
  }

  #settle(lost?: Error): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) return;
    const failed = this.#error === undefined ? lost : new Error(describe(this.#error));
    if (failed === undefined) waiter.resolve();
    else waiter.reject(failed);
  }

  /** Sends messages and waits for ReadyForQuery. @throws Error for an error of the server's or a lost connection */
  async request(messages: Buffer): Promise<Answer> {
    if (this.#closedWith !== undefined) throw this.#closedWith;
    this.#rows = 0;
    this.#first = EMPTY;
    this.#error = undefined;
    const answered = new Promise<void>((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
    this.#sentAt = performance.now();
    this.#socket.write(messages);
    await answered;
    const totalMs = performance.now() - this.#sentAt;
    return {
      rows: this.#rows,
      firstRowMs: this.#rows === 0 ? undefined : this.#firstRowAt - this.#sentAt,
      totalMs,
      value: this.#first.length === 0 ? undefined : parseDataRow(this.#first)[0]?.toString(),
    };
  }

  /** Runs SQL by the simple protocol. */
  query(sql: string): Promise<Answer> {
    return this.request(query(sql));
  }

  /** COPY FROM STDIN: sends each chunk as one CopyData message, as fast as they are taken. */
  async copyIn(sql: string, chunks: Iterable<Buffer>): Promise<Answer> {
    this.#copy = () => {
      const source = chunks[Symbol.iterator]();
      const socket = this.#socket;
      const feed = (): void => {
        for (;;) {
          const { done, value } = source.next();
          if (done === true) break;
          if (!socket.write(value)) {
            socket.once('drain', feed);
            return;
          }
        }
        socket.write(COPY_DONE);
      };
      feed();
    };
    try {
      return await this.query(sql);
    } finally {
      this.#copy = undefined;
    }
  }

  /** Takes 2 MB of what comes in a second, from now on for so long. */
  readSlowly(durationMs: number): void {
    this.#slowUntil = performance.now() + durationMs;
  }

  /** Says goodbye and waits for the server to close its end. */
  async end(): Promise<void> {
    if (this.#closedWith !== undefined) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.end(TERMINATE);
    await closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Whole CopyData message. */
export const copyData = (bytes: Buffer): Buffer =>
  new MessageWriter(Frontend.copyData, bytes.length).bytes(bytes).end();

function describe(fields: ErrorFields): string {
  const { sqlstate, message, detail, hint } = fields;
  return [`${sqlstate} ${message}`, detail, hint].filter(Boolean).join(' / ');
}
