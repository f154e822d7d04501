import { unlink } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../config/index.js';

/** An address that the proxy listens on: host and port, or the path of a Unix socket. */
export interface BoundAddress {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
}

/** What a listener does with connections. */
export interface ListenerOptions {
  /** Mode of a Unix socket; undefined leaves it to the process's umask. */
  readonly socketMode: number | undefined;
  readonly onConnection: (socket: Socket) => void;
  /** A connection could not be accepted: no descriptors or memory were left. The listener goes on by itself. */
  readonly onError: (error: NodeJS.ErrnoException) => void;
}

/** Begins to listen. @throws the system's error (EADDRINUSE, EACCES, …) */
export async function openListener(address: ListenAddress, options: ListenerOptions): Promise<Server> {
  const { socketMode } = options;
  if (address.kind === 'unix') await removeStaleSocket(address.path);
  return new Promise((resolve, reject) => {
    const server = createServer(
      {
        // Nothing is read before the startup reader, which takes exactly what belongs to it.
        pauseOnConnect: true,
        // Who sends nothing more gets the answers to what has come.
        allowHalfOpen: true,
        noDelay: true,
      },
      options.onConnection,
    );
    const listening = (): void => {
      server.off('error', reject);
      server.on('error', options.onError);
      resolve(server);
    };
    server.once('error', reject);
    if (address.kind === 'tcp') server.listen({ host: address.host, port: address.port }, listening);
    // The socket is made within the call, with the mode that it is to have. So there is no moment at which it has another one.
    else withMode(socketMode, () => server.listen({ path: address.path }, listening));
  });
}

/** Does something with a umask that gives new files this mode. */
function withMode(mode: number | undefined, make: () => void): void {
  if (mode === undefined) {
    make();
    return;
  }
  const before = process.umask(0o777 & ~mode);
  try {
    make();
  } finally {
    process.umask(before);
  }
}

/** Removes the socket that a killed process has left behind. Nobody answers there, and nobody else could listen there. */
function removeStaleSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve();
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNREFUSED') return resolve();
      unlink(path, () => resolve());
    });
  });
}

/** Where a server listens, with the port that it was given in place of 0. */
export function boundAddress(server: Server): BoundAddress {
  const address = server.address();
  if (typeof address === 'string') return { path: address };
  return address === null ? {} : { host: address.address, port: address.port };
}
