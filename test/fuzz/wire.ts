import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A client that writes any bytes and notes what comes back, without ever keeping it. */
export class FuzzClient {
  readonly #socket: Socket;
  #pending: Buffer = Buffer.alloc(0);
  /** Bytes of the present message that are still to come. */
  #skip = 0;
  #lastData = performance.now();
  /** Types of the last messages. */
  tail = '';
  readies = 0;
  closed = false;
  /** XX000 of the proxy's: something was thrown that should not have been. */
  internalError: string | undefined;
  readonly values: string[] = [];

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.closed = true;
    });
  }

  #receive(chunk: Buffer): void {
    this.#lastData = performance.now();
    if (this.#skip >= chunk.length) {
      this.#skip -= chunk.length;
      return;
    }
    const bytes = Buffer.concat([this.#pending, chunk.subarray(this.#skip)]);
    this.#skip = 0;
    let offset = 0;
    // Answers to requests for encryption are single letters, in front of everything.
    if (this.tail === '') while (bytes[offset] === 0x4e && (bytes[offset + 1] ?? 0x4e) !== 0) offset++;
    while (bytes.length - offset >= 5) {
      const length = bytes.readInt32BE(offset + 1);
      const type = String.fromCharCode(bytes[offset]!);
      const end = offset + 1 + length;
      if (length < 4) {
        this.#note('?', Buffer.alloc(0));
        return;
      }
      const bulky = length > 100_000;
      if (end > bytes.length && !bulky) break;
      this.#note(type, bytes.subarray(offset + 5, Math.min(end, bytes.length)));
      if (end > bytes.length) this.#skip = end - bytes.length;
      offset = Math.min(end, bytes.length);
    }
    this.#pending = Buffer.from(bytes.subarray(offset));
  }

  #note(type: string, body: Buffer): void {
    this.tail = (this.tail + type).slice(-24);
    if (type === 'Z') this.readies++;
    if (type === 'E' && body.includes('internal error')) this.internalError = body.toString('latin1', 0, 300);
    if (type === 'D' && body.length > 6 && body.length < 200) this.values.push(body.toString('latin1', 6));
    if (this.values.length > 5) this.values.shift();
  }

  write(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** Writes portions, each in a turn of its own. */
  async writeAll(portions: readonly Buffer[]): Promise<void> {
    for (const portion of portions) {
      this.write(portion);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A message has begun whose rest has not come. */
  get midMessage(): boolean {
    return this.#skip > 0 || this.#pending.length > 0;
  }

  /** For how long nothing has come. */
  get silentMs(): number {
    return performance.now() - this.#lastData;
  }

  /** Waits until this holds. @returns false when the time is up */
  async until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!holds()) {
      if (performance.now() > deadline) return false;
      await delay(3);
    }
    return true;
  }

  /** Says that nothing more will come. */
  finish(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
