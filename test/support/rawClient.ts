import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { LIVENESS_MS } from './pace.js';

/**
 * A client that sends any bytes in any portions, over plain TCP or TLS, and sees exactly what comes back: the phase
 * before the session included, where messages have no type. It shares no code with src/wire.
 */
export class RawClient {
  #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect({ port, host, noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** TLS from the first byte on, without an SSLRequest. */
  static async connectTls(port: number, options: ConnectionOptions): Promise<RawClient> {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    await once(socket, 'secureConnect');
    return new RawClient(socket);
  }

  #listen(socket: Socket): void {
    const wake = (): void => this.#wake?.();
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      wake();
    });
    socket.on('error', () => {}); // 'close' follows.
    socket.on('close', () => {
      if (socket !== this.#socket) return;
      this.#ended = true;
      wake();
    });
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Everything that has come and was not taken yet. */
  get buffered(): Buffer {
    return this.#buffer;
  }

  get closed(): boolean {
    return this.#ended;
  }

  write(...parts: readonly Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(parts));
  }

  /** Waits until `ready` holds or the connection is closed. Rejects when neither happens in time. */
  async #wait(ready: () => boolean, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(
          () =>
            reject(
              new Error(
                `nothing more came in ${timeoutMs} ms; so far ${JSON.stringify(this.#buffer.toString('latin1').slice(0, 500))}`,
              ),
            ),
          timeoutMs,
        );
        this.#wake = () => {
          if (ready() || this.#ended) resolve();
        };
        this.#wake();
      });
    } finally {
      clearTimeout(timer);
      this.#wake = undefined;
    }
  }

  #take(length: number): Buffer {
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }

  /** Exactly this many bytes, or fewer at the end of the connection. */
  async bytes(length: number, timeoutMs = LIVENESS_MS): Promise<Buffer> {
    await this.#wait(() => this.#buffer.length >= length, timeoutMs);
    return this.#take(length);
  }

  /** The next message, or undefined at the end of the connection. */
  async message(timeoutMs = LIVENESS_MS): Promise<Message | undefined> {
    const length = (): number => (this.#buffer.length < 5 ? 5 : this.#buffer.readInt32BE(1) + 1);
    await this.#wait(() => this.#buffer.length >= length(), timeoutMs);
    if (this.#buffer.length < length()) return undefined;
    return new Message(this.#take(length()));
  }

  /** Messages up to and including the first of this type, the n-th if a count is given; fewer if the connection ends. */
  async until(type: string, count = 1, timeoutMs = LIVENESS_MS): Promise<Message[]> {
    const messages: Message[] = [];
    for (let left = count; left > 0; ) {
      const message = await this.message(timeoutMs);
      if (message === undefined) break;
      messages.push(message);
      if (message.type === type) left -= 1;
    }
    return messages;
  }

  /** Everything up to the end of the connection. */
  async toEnd(timeoutMs = LIVENESS_MS): Promise<Buffer> {
    await this.#wait(() => false, timeoutMs);
    return this.#take(this.#buffer.length);
  }

  /** All messages up to the end of the connection. */
  async messagesToEnd(timeoutMs = LIVENESS_MS): Promise<Message[]> {
    return split(await this.toEnd(timeoutMs));
  }

  /** Makes TLS of the connection; what came before must have been taken. */
  async startTls(options: ConnectionOptions = {}): Promise<TLSSocket> {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    const socket = connectTls({ socket: plain, rejectUnauthorized: false, ...options });
    this.#socket = socket;
    this.#listen(socket);
    const failed = once(socket, 'close').then(() => Promise.reject(new Error('TLS handshake failed')));
    await Promise.race([once(socket, 'secureConnect'), failed]);
    failed.catch(() => {});
    return socket;
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#socket.destroy();
  }
}

/** One message of a server. */
export class Message {
  constructor(readonly whole: Buffer) {}

  get type(): string {
    return String.fromCharCode(this.whole[0] ?? 0);
  }

  get body(): Buffer {
    return this.whole.subarray(5);
  }

  /** Fields of an ErrorResponse or NoticeResponse by their letter. */
  get fields(): Readonly<Record<string, string>> {
    const parts = this.body.toString('utf8').split('\0');
    return Object.fromEntries(
      parts.filter((part) => part !== '').map((part) => [part.slice(0, 1), part.slice(1)]),
    );
  }
}

/** Splits what a server sent into messages; bytes that are not a whole message become one of type `?`. */
export function split(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const length = bytes.length - offset < 5 ? 0 : bytes.readInt32BE(offset + 1);
    const end = offset + 1 + length;
    if (length < 4 || end > bytes.length) {
      messages.push(new Message(Buffer.concat([Buffer.from('?    '), bytes.subarray(offset)])));
      break;
    }
    messages.push(new Message(bytes.subarray(offset, end)));
    offset = end;
  }
  return messages;
}
