import { connect, type Socket } from 'node:net';
import { serialize } from 'pg-protocol';
import { LIVENESS_MS } from './pace.js';

/**
 * A raw client for the frontend/backend protocol 3, for tests only.
 *
 * It shares no code with src/wire, so that a mistake there cannot hide itself; messages are made by pg-protocol where that can
 * say what a test means, and here where it cannot (bytes that are no UTF-8, any formats). It hides nothing either: what the
 * server sent is handed over as frames, in order, and any bytes can be sent. No TLS, no password: the servers of the
 * tests trust their clients.
 */

/** One message of the server: its type byte as a character, and what follows the length. */
export interface Frame {
  readonly type: string;
  readonly body: Buffer;
}

/** Types of frames that no server sends: the connection ended, or nothing more came in time. */
export const CLOSED = '<closed>';
export const TIMEOUT = '<timeout>';

/** True for the frames that stand for silence or a lost connection. */
export function isBroken(frame: Frame): boolean {
  return frame.type === CLOSED || frame.type === TIMEOUT;
}

type Int = number;

/** A value of a Bind message: bytes, or null. */
export type Value = Buffer | null;

function int16(value: Int): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}

function int32(value: Int): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function zeroTerminated(text: string | Buffer): Buffer {
  return Buffer.concat([typeof text === 'string' ? Buffer.from(text) : text, Buffer.from([0])]);
}

function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(body.length + 4), body]);
}

function counted<T>(items: readonly T[], encode: (item: T) => Buffer): Buffer {
  return Buffer.concat([int16(items.length), ...items.map(encode)]);
}

/** Encoders of the frontend messages (PostgreSQL documentation, "Message Formats"). Text is UTF-8 unless given as bytes. */
export const frontend = {
  startup(parameters: Readonly<Record<string, string>>, version = 196608): Buffer {
    const pairs = Object.entries(parameters).flatMap(([name, value]) => [
      zeroTerminated(name),
      zeroTerminated(value),
    ]);
    const body = Buffer.concat([int32(version), ...pairs, Buffer.from([0])]);
    return Buffer.concat([int32(body.length + 4), body]);
  },
  cancelRequest(processId: Int, secret: Buffer): Buffer {
    return Buffer.concat([int32(12 + secret.length), int32(80877102), int32(processId), secret]);
  },
  query: (sql: string | Buffer): Buffer =>
    typeof sql === 'string' ? serialize.query(sql) : message('Q', zeroTerminated(sql)),
  parse: (name: string, sql: string | Buffer, types: readonly Int[] = []): Buffer =>
    typeof sql === 'string'
      ? serialize.parse({ name, text: sql, types: [...types] })
      : message('P', zeroTerminated(name), zeroTerminated(sql), counted(types, int32)),
  bind(options: {
    readonly portal?: string;
    readonly statement?: string;
    readonly values?: readonly Value[];
    readonly valueFormats?: readonly Int[];
    readonly resultFormats?: readonly Int[];
  }): Buffer {
    const values = counted(options.values ?? [], (value) =>
      value === null ? int32(-1) : Buffer.concat([int32(value.length), value]),
    );
    return message(
      'B',
      zeroTerminated(options.portal ?? ''),
      zeroTerminated(options.statement ?? ''),
      counted(options.valueFormats ?? [], int16),
      values,
      counted(options.resultFormats ?? [], int16),
    );
  },
  describe: (kind: 'S' | 'P', name: string): Buffer => serialize.describe({ type: kind, name }),
  execute: (portal: string, maxRows: Int): Buffer => serialize.execute({ portal, rows: maxRows }),
  close: (kind: 'S' | 'P', name: string): Buffer => serialize.close({ type: kind, name }),
  flush: (): Buffer => serialize.flush(),
  sync: (): Buffer => serialize.sync(),
  terminate: (): Buffer => serialize.end(),
  copyData: (bytes: Buffer): Buffer => serialize.copyData(bytes),
  copyDone: (): Buffer => serialize.copyDone(),
  copyFail: (reason: string): Buffer => serialize.copyFail(reason),
};

/** How to reach a server; `parameters` are those of the startup packet (user, database, …). */
export interface WireOptions {
  readonly host: string;
  readonly port: number;
  readonly parameters: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

interface Waiter {
  readonly done: (frame: Frame) => boolean;
  readonly resolve: (frames: Frame[]) => void;
  readonly timer: NodeJS.Timeout;
  readonly frames: Frame[];
}

/** One connection to a server. Frames that nobody waits for yet are kept, in order. */
export class WireConnection {
  readonly #socket: Socket;
  #pending: Buffer = Buffer.alloc(0);
  #queue: Frame[] = [];
  #waiter: Waiter | undefined;
  #ended: Promise<void>;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => {}); // 'close' follows and is what counts.
    this.#ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.#closed = true;
        this.#deliver({ type: CLOSED, body: Buffer.alloc(0) });
        resolve();
      });
    });
  }

  /** Connects and goes through the start-up; the frames up to the first ReadyForQuery, or what came instead, are returned. */
  static async open(options: WireOptions): Promise<{ connection: WireConnection; startup: Frame[] }> {
    const connection = new WireConnection(connect(options.port, options.host));
    connection.send(frontend.startup(options.parameters));
    const startup = await connection.collect(1, options.timeoutMs);
    return { connection, startup };
  }

  /** Bytes that are still to be sent: the other side does not take them. */
  unsent(): number {
    return this.#socket.writableLength;
  }

  send(...messages: readonly Buffer[]): void {
    if (!this.#closed) this.#socket.write(Buffer.concat(messages));
  }

  /** Frames up to and including the n-th ReadyForQuery. */
  collect(readies: number, timeoutMs?: number): Promise<Frame[]> {
    let left = readies;
    return this.until((frame) => frame.type === 'Z' && --left === 0, timeoutMs);
  }

  /**
   * Frames up to and including the first for which `done` holds. A lost connection or the time limit end the wait as
   * well; then the last frame is of type {@link CLOSED} or {@link TIMEOUT}.
   */
  until(done: (frame: Frame) => boolean, timeoutMs = LIVENESS_MS): Promise<Frame[]> {
    if (this.#waiter !== undefined) throw new Error('somebody is waiting for frames already');
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#deliver({ type: TIMEOUT, body: Buffer.alloc(0) }), timeoutMs);
      this.#waiter = { done, resolve, timer, frames: [] };
      const queue = this.#queue;
      this.#queue = [];
      for (const frame of queue) this.#deliver(frame);
      if (this.#closed && this.#waiter !== undefined) this.#deliver({ type: CLOSED, body: Buffer.alloc(0) });
    });
  }

  /** Simple query, for the tests' own housekeeping: rows as text. Rejects with the message of an error. */
  async rows(sql: string, timeoutMs?: number): Promise<(string | null)[][]> {
    this.send(frontend.query(sql));
    const frames = await this.collect(1, timeoutMs);
    const failure = frames.find((frame) => frame.type === 'E' || isBroken(frame));
    if (failure !== undefined) {
      const text = failure.body.toString('utf8').replaceAll('\0', ' ').trim();
      throw new Error(`${failure.type} ${text} in: ${sql.slice(0, 500)}`);
    }
    return frames.filter((frame) => frame.type === 'D').map((frame) => dataRowText(frame.body));
  }

  /** Says goodbye and waits until the socket has closed. */
  async end(): Promise<void> {
    this.send(frontend.terminate());
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), 2_000);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Cuts the connection without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Ends the connection with a reset. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #receive(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    let offset = 0;
    while (this.#pending.length - offset >= 5) {
      const length = this.#pending.readInt32BE(offset + 1);
      const end = offset + 1 + length;
      if (length < 4) {
        this.#socket.destroy();
        return;
      }
      if (end > this.#pending.length) break;
      const type = String.fromCharCode(this.#pending[offset] ?? 0);
      this.#deliver({ type, body: this.#pending.subarray(offset + 5, end) });
      offset = end;
    }
    this.#pending = this.#pending.subarray(offset);
  }

  #deliver(frame: Frame): void {
    const waiter = this.#waiter;
    if (waiter === undefined) {
      if (!isBroken(frame)) this.#queue.push(frame);
      return;
    }
    waiter.frames.push(frame);
    if (!isBroken(frame) && !waiter.done(frame)) return;
    clearTimeout(waiter.timer);
    this.#waiter = undefined;
    waiter.resolve(waiter.frames);
  }
}

/** Values of a DataRow in text format. */
export function dataRowText(body: Buffer): (string | null)[] {
  return dataRowValues(body).map((value) => value?.toString('utf8') ?? null);
}

/** Values of a DataRow. */
export function dataRowValues(body: Buffer): Value[] {
  const count = body.readInt16BE(0);
  const values: Value[] = [];
  let offset = 2;
  for (let index = 0; index < count; index += 1) {
    const length = body.readInt32BE(offset);
    offset += 4;
    values.push(length === -1 ? null : body.subarray(offset, offset + length));
    offset += Math.max(length, 0);
  }
  return values;
}
