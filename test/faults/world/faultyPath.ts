import { connect, createServer, type Socket } from 'node:net';

/** A way to a server on which things can be made to go wrong. */
export interface FaultyPath {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Connections that are open now. */
  readonly open: () => number;
  /** Bytes that have come from the server. */
  readonly received: () => number;
  /** Keeps back what the server sends from now on, until the function that is returned is called. */
  keepBack(): () => void;
  /** Both directions of all connections, and of new ones, stand still: nothing passes, nothing ends. */
  stall(): void;
  resume(): void;
  /** Ends all connections on the side of the proxy under test: an orderly end, or a reset. */
  cut(how: 'end' | 'reset'): void;
  /** Sends these bytes to the proxy under test, as if they came from the server. */
  inject(bytes: Buffer): void;
  /** Refuses connections from now on. */
  refuse(): Promise<void>;
  close(): Promise<void>;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

/** A TCP forwarder in front of a server. */
export async function faultyPath(server: {
  readonly host: string;
  readonly port: number;
}): Promise<FaultyPath> {
  const pairs = new Set<Pair>();
  let stalled = false;
  let received = 0;
  let kept: (() => void)[] | undefined;
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = connect({ ...server, noDelay: true, allowHalfOpen: true });
    const pair = { near, far };
    pairs.add(pair);
    const over = (): void => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      socket.on('error', over);
      if (stalled) socket.pause();
    }
    near.on('data', (chunk) => void far.write(chunk));
    near.on('end', () => far.end());
    near.on('close', over);
    far.on('data', (chunk) => {
      received += chunk.length;
      const pass = (): void => {
        if (near.write(chunk)) return;
        far.pause();
        near.once('drain', () => void (stalled || far.resume()));
      };
      if (kept === undefined) pass();
      else kept.push(pass);
    });
    far.on('end', () => near.end());
    far.on('close', over);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();

  const path: FaultyPath = {
    host: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    open: () => pairs.size,
    received: () => received,
    keepBack() {
      kept = [];
      return () => {
        const passes = kept ?? [];
        kept = undefined;
        for (const pass of passes) pass();
      };
    },
    stall() {
      stalled = true;
      for (const { near, far } of pairs) {
        near.pause();
        far.pause();
      }
    },
    resume() {
      stalled = false;
      for (const { near, far } of pairs) {
        near.resume();
        far.resume();
      }
    },
    cut(how) {
      for (const { near, far } of pairs) {
        far.destroy();
        if (how === 'reset') near.resetAndDestroy();
        else near.end(() => near.destroy());
      }
      pairs.clear();
    },
    inject(bytes) {
      for (const { near } of pairs) near.write(bytes);
    },
    refuse: () => new Promise<void>((resolve) => listener.close(() => resolve())),
    async close() {
      const closed = listener.listening ? path.refuse() : undefined;
      for (const { near, far } of pairs) {
        near.destroy();
        far.destroy();
      }
      await closed;
    },
  };
  return path;
}
