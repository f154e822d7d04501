import { connect, createServer, type Socket } from 'node:net';

/** A server as if it were far away: what it sends arrives later. */
export interface DistantServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** @param server on 127.0.0.1 @param delayMs from its sending to the arrival */
export async function startDistantServer(
  { port }: { readonly port: number },
  delayMs: number,
): Promise<DistantServer> {
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ host: '127.0.0.1', port, noDelay: true });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.end();
      });
    }
    client.on('data', (bytes) => server.write(bytes));
    // Timers of one length end in the order in which they began, so that the bytes stay in order.
    server.on('data', (bytes) => setTimeout(() => client.write(bytes), delayMs));
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(0, '127.0.0.1', resolve);
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the distant server has no port');
  return {
    port: address.port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
