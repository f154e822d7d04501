import { connect, createServer, type Socket } from 'node:net';

/** Who sends: the side that opens connections, or the server behind the path. */
export type Direction = 'toServer' | 'fromServer';

/** What is wrong with the way. Nothing given: nothing is. */
export interface Weather {
  /** Every chunk is late by this. */
  readonly latencyMs?: number;
  readonly bytesPerSecond?: number;
  /** Nothing passes, no end and no reset either, and nothing is lost. */
  readonly still?: boolean;
}

/** How often a slow way passes something on. */
const PORTION_MS = 50;
/** What waits on the way before it stops taking more. */
const MOST_WAITING = 64 * 1024;

interface Waiting {
  readonly bytes: Buffer;
  readonly dueAt: number;
}

/** One direction of one connection. */
class Lane {
  readonly #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;
  #nextAt = 0;

  constructor(
    readonly from: Socket,
    readonly to: Socket,
    private readonly path: {
      readonly weather: Weather;
      /** What happens within so many bytes, and behind how many of them. */
      passes(bytes: number): { readonly after: number; readonly act: () => void } | undefined;
    },
  ) {
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => {
      this.#ended = true;
      this.pump();
    });
    to.on('drain', () => this.pump());
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    // The fault comes between two bytes of a chunk.
    for (;;) {
      const due = this.path.passes(rest.length);
      if (due === undefined) break;
      this.#wait(rest.subarray(0, due.after));
      this.pump();
      due.act();
      rest = rest.subarray(due.after);
    }
    this.#wait(rest);
    if (this.#waitingBytes > MOST_WAITING) this.from.pause();
    this.pump();
  }

  #wait(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#waiting.push({ bytes, dueAt: performance.now() + (this.path.weather.latencyMs ?? 0) });
    this.#waitingBytes += bytes.length;
  }

  /** Passes on what may pass now. */
  pump(): void {
    clearTimeout(this.#timer);
    while (!this.to.destroyed) {
      const { still, bytesPerSecond } = this.path.weather;
      if (still === true || this.to.writableNeedDrain) return;
      const [first] = this.#waiting;
      if (first === undefined) {
        if (this.#ended) this.to.end();
        return;
      }
      const now = performance.now();
      const at = Math.max(first.dueAt, bytesPerSecond === undefined ? 0 : this.#nextAt);
      if (at > now) {
        this.#timer = setTimeout(() => this.pump(), at - now);
        return;
      }
      this.#waiting.shift();
      const most = bytesPerSecond === undefined ? first.bytes.length : (bytesPerSecond * PORTION_MS) / 1000;
      if (first.bytes.length > most)
        this.#waiting.unshift({ bytes: first.bytes.subarray(most), dueAt: first.dueAt });
      const passed = first.bytes.subarray(0, most);
      this.#nextAt = now + PORTION_MS;
      this.#waitingBytes -= passed.length;
      this.to.write(passed);
      if (this.#waitingBytes <= MOST_WAITING) this.from.resume();
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  readonly lanes: readonly Lane[];
  /** The server's side has gone, and this side is not told. */
  orphan: boolean;
}

/** A way to a server on which whatever can go wrong goes wrong. */
export class ChaosPath {
  readonly #pairs = new Set<Pair>();
  #weather: Weather = {};
  #refuses = false;
  #armed: { readonly direction: Direction; left: number; readonly act: () => void } | undefined;
  /** Kept back while nothing passes: ends and resets. */
  readonly #late: (() => void)[] = [];

  private constructor(
    private readonly server: { readonly host: string; readonly port: () => number },
    private readonly listener: ReturnType<typeof createServer>,
  ) {
    listener.on('connection', (near) => this.#accept(near));
  }

  /** @param port of the server, which may change */
  static async open(port: () => number): Promise<ChaosPath> {
    const listener = createServer({ noDelay: true, allowHalfOpen: true });
    const path = new ChaosPath({ host: '127.0.0.1', port }, listener);
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    return path;
  }

  get port(): number {
    const address = this.listener.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Has something happen when so many further bytes have passed in a direction, before the next one. */
  arm(direction: Direction, after: number, act: () => void): void {
    this.#armed = { direction, left: after, act };
  }

  set weather(weather: Weather) {
    this.#weather = weather;
    if (weather.still !== true) for (const act of this.#late.splice(0)) act();
    for (const { lanes } of this.#pairs) for (const lane of lanes) lane.pump();
  }

  /** New connections are refused by a reset. */
  refuse(): void {
    this.#refuses = true;
  }

  /** Ends all connections: by a reset, or in order, whatever has not passed yet. */
  cut(how: 'reset' | 'end'): void {
    for (const { near, far } of this.#pairs) {
      for (const socket of [near, far]) {
        if (how === 'reset') socket.resetAndDestroy();
        else socket.end(() => socket.destroy());
      }
    }
  }

  /** The servers' ends of all connections are gone; the others hear nothing of it before the weather is good again. */
  orphan(): void {
    for (const pair of this.#pairs) {
      pair.orphan = true;
      pair.far.resetAndDestroy();
    }
  }

  /** Puts bytes between those that come from one side. */
  inject(direction: Direction, bytes: Buffer): void {
    for (const { near, far } of this.#pairs) (direction === 'toServer' ? far : near).write(bytes);
  }

  /** All is well again, but for connections that are lost. */
  heal(): void {
    this.#armed = undefined;
    this.#refuses = false;
    this.weather = {};
    for (const pair of this.#pairs) if (pair.orphan) pair.near.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.heal();
    this.cut('reset');
    await new Promise<void>((resolve) => this.listener.close(() => resolve()));
  }

  #accept(near: Socket): void {
    near.on('error', () => {});
    if (this.#refuses) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({
      host: this.server.host,
      port: this.server.port(),
      noDelay: true,
      allowHalfOpen: true,
    });
    far.on('error', () => {});
    const path = this;
    const way = (direction: Direction) => ({
      get weather(): Weather {
        return path.#weather;
      },
      passes: (bytes: number) => path.#passes(direction, bytes),
    });
    const pair: Pair = {
      near,
      far,
      lanes: [new Lane(near, far, way('toServer')), new Lane(far, near, way('fromServer'))],
      orphan: false,
    };
    this.#pairs.add(pair);
    near.on('close', (failed) => this.#closed(pair, far, failed));
    far.on('close', (failed) => this.#closed(pair, near, failed));
  }

  /** One side is over: the other one is, too, as soon as the way lets it know. */
  #closed(pair: Pair, other: Socket, failed: boolean): void {
    for (const lane of pair.lanes) if (lane.to !== other) lane.stop();
    const tell = (): void => {
      if (pair.orphan && other === pair.near) return;
      if (!other.destroyed) {
        if (failed) other.resetAndDestroy();
        else other.destroySoon();
      }
      if (pair.near.destroyed && pair.far.destroyed) this.#pairs.delete(pair);
    };
    if (this.#weather.still === true) this.#late.push(tell);
    else tell();
    if (pair.near.destroyed && pair.far.destroyed) this.#pairs.delete(pair);
  }

  #passes(
    direction: Direction,
    bytes: number,
  ): { readonly after: number; readonly act: () => void } | undefined {
    const armed = this.#armed;
    if (armed?.direction !== direction) return undefined;
    if (armed.left > bytes) {
      armed.left -= bytes;
      return undefined;
    }
    this.#armed = undefined;
    return { after: armed.left, act: armed.act };
  }
}
