import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { dataRowValues, frontend } from '../../support/wire.js';

export const ROW_BYTES = 16 * 1024;

/** A query for so many rows of a number and a line that tells which row it belongs to. */
export const numberedRows = (count: number): string =>
  `SELECT i, repeat(md5(i::text), ${ROW_BYTES / 32}) FROM generate_series(1, ${count}) i`;

const lineOf = (number: number): Buffer =>
  Buffer.alloc(ROW_BYTES, createHash('md5').update(String(number)).digest('hex'));

/** A client that can stop reading, checks every row of `numberedRows` as it comes, and keeps none. */
export class RowReader {
  /** Rows of the present statement that have come, each the right one. */
  rows = 0;
  /** Tag or error of the present statement. */
  outcome: string | undefined;
  #pending: Buffer = Buffer.alloc(0);
  #failure: unknown;
  #ready: () => void = () => {};

  private constructor(private readonly socket: Socket) {
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#failure ??= new Error('the session ended');
      this.#ready();
    });
    socket.on('data', (chunk: Buffer) => {
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
      let offset = 0;
      while (this.#pending.length >= offset + 5) {
        const end = offset + 1 + this.#pending.readInt32BE(offset + 1);
        if (this.#pending.length < end) break;
        this.#take(this.#pending[offset]!, this.#pending.subarray(offset + 5, end));
        offset = end;
      }
      this.#pending = this.#pending.subarray(offset);
    });
  }

  static async open(port: number): Promise<RowReader> {
    const reader = new RowReader(connect({ port, host: '127.0.0.1', noDelay: true }));
    const begun = reader.#nextReady();
    reader.socket.write(frontend.startup({ user: 'postgres', database: 'postgres' }));
    await begun;
    return reader;
  }

  /** Runs a statement. @returns its tag, when all of it has come @throws AssertionError for a row that is not the next one */
  async run(sql: string): Promise<string | undefined> {
    this.rows = 0;
    this.outcome = undefined;
    const answered = this.#nextReady();
    this.socket.write(frontend.query(sql));
    await answered;
    return this.outcome;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.destroy();
  }

  async #nextReady(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#ready = resolve;
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  #take(type: number, body: Buffer): void {
    if (type === 0x44) this.#row(body);
    else if (type === 0x43 || type === 0x45)
      this.outcome = body.toString('latin1').replaceAll('\0', ' ').trim();
    else if (type === 0x5a) this.#ready();
  }

  #row(body: Buffer): void {
    const [number, line] = dataRowValues(body);
    this.rows++;
    if (line === undefined) return;
    try {
      assert.equal(number?.toString(), String(this.rows));
      assert.ok(line?.equals(lineOf(this.rows)), `the line of row ${this.rows}`);
    } catch (error) {
      this.#failure ??= error;
      this.socket.destroy();
    }
  }
}
