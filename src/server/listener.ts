import { unlink } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../config/index.js';

/** An address that the proxy listens on. */
export interface BoundAddress {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
}

export interface ListenerOptions {
  /** Idle time before the first keep-alive probe; 0 for none. */
  readonly keepAliveMs: number;
  /** Mode of a Unix socket; undefined leaves it to the process's umask. */
  readonly socketMode: number | undefined;
  readonly onConnection: (socket: Socket) => void;
  /** A connection could not be accepted: no descriptors or memory were left. The listener goes on by itself. */
  readonly onError: (error: NodeJS.ErrnoException) => void;
}

/** Begins to listen. @throws the system's error (EADDRINUSE, EACCES, …) */
export async function openListener(address: ListenAddress, options: ListenerOptions): Promise<Server> {
  const { keepAliveMs, socketMode } = options;
  if (address.kind === 'unix') await removeStaleSocket(address.path);
  return new Promise((resolve, reject) => {
    const server = createServer(
      {
        // The startup reader takes exactly what belongs to it.
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: keepAliveMs > 0,
        keepAliveInitialDelay: keepAliveMs,
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
    // The socket is made within the call, with the mode that it is to have: there is no moment at which it has another.
    else withMode(socketMode, () => server.listen({ path: address.path }, listening));
  });
}

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

/** A process that was killed leaves its socket behind: nobody answers there, and nobody else can listen there. */
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

export function boundAddress(server: Server): BoundAddress {
  const address = server.address();
  if (typeof address === 'string') return { path: address };
  return address === null ? {} : { host: address.address, port: address.port };
}
