import { connect, createServer, type Socket } from 'node:net';
import { type Pattern, writePieces } from './play.js';

/** A TCP relay that cuts what it passes into pieces: it makes the server's answers arrive in any portions. */
export interface Splitter {
  readonly port: number;
  /** The pattern of each connection that begins from now on. */
  pattern: () => Pattern;
  stop(): Promise<void>;
}

export async function startSplitter(target: number): Promise<Splitter> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const pattern = splitter.pattern();
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    for (const [from, to, pieces] of [
      [near, far, (): number => Number.POSITIVE_INFINITY],
      [far, near, pattern],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => sockets.delete(from));
      let sent = 0;
      // Chunks one after another: a piece must not overtake what is still being cut.
      let last = Promise.resolve();
      from.on('data', (chunk: Buffer) => {
        last = last.then(() => writePieces(chunk, pieces, (piece) => to.destroyed || to.write(piece), sent));
        sent += chunk.length;
      });
      from.on('end', () => void last.then(() => to.end()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const splitter: Splitter = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    pattern: () => () => Number.POSITIVE_INFINITY,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return splitter;
}
