import { createServer, type Socket } from 'node:net';

/** A server whose behaviour is a script: for everything that a real one does not do on demand. */
export interface FakePrimary {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** What came on one connection, and what can be done with it. */
export interface FakeConnection {
  readonly socket: Socket;
  /** Number of this connection, from 1. */
  readonly number: number;
  /** Waits until at least this many further bytes have come and takes them. */
  take(bytes: number): Promise<Buffer>;
  /** Waits for a startup packet, also if TLS is asked for first, which is refused. */
  startup(): Promise<Buffer>;
  /** Waits for a message with a type. */
  message(): Promise<Buffer>;
  /** Reads no further, so that somebody else can. @returns what has come and was not taken */
  release(): Buffer;
}

/** Starts a server on a free port that treats every connection according to the script. */
export async function fakePrimary(
  script: (connection: FakeConnection) => Promise<void> | void,
): Promise<FakePrimary> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    Promise.resolve(script(connectionOf(socket, connections))).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get connections() {
      return connections;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function connectionOf(socket: Socket, number: number): FakeConnection {
  let buffer: Buffer = Buffer.alloc(0);
  let wake: () => void = () => {};
  const receive = (chunk: Buffer): void => {
    buffer = Buffer.concat([buffer, chunk]);
    wake();
  };
  socket.on('data', receive);
  socket.on('close', () => wake());
  const need = async (bytes: number): Promise<void> => {
    while (buffer.length < bytes) {
      if (socket.destroyed) throw new Error('the connection is closed');
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const take = async (bytes: number): Promise<Buffer> => {
    await need(bytes);
    const taken = buffer.subarray(0, bytes);
    buffer = buffer.subarray(bytes);
    return taken;
  };
  return {
    socket,
    number,
    take,
    async startup() {
      await need(8);
      const packet = await take(buffer.readInt32BE(0));
      if (packet.length !== 8) return packet;
      socket.write('N');
      await need(8);
      return take(buffer.readInt32BE(0));
    },
    async message() {
      await need(5);
      return take(buffer.readInt32BE(1) + 1);
    },
    release() {
      socket.off('data', receive);
      return buffer;
    },
  };
}

/** A message of a server: its type and what follows its length. */
export function backend(type: string, body: Buffer | string = ''): Buffer {
  const content = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(content.length + 4, 1);
  return Buffer.concat([head, content]);
}

/** A message header that promises this length, whatever follows. */
export function header(type: string, length: number): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(length | 0, 1);
  return head;
}

/** An ErrorResponse. */
export const failure = (severity: string, sqlstate: string, message: string): Buffer =>
  backend('E', `S${severity}\0V${severity}\0C${sqlstate}\0M${message}\0\0`);

/** AuthenticationOk, BackendKeyData and ReadyForQuery. */
export const GREETING = Buffer.concat([
  backend('R', '\0\0\0\0'),
  backend('K', '\0\0\0\x05key!'),
  backend('Z', 'I'),
]);
