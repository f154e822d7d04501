import { lstatSync, renameSync, rmSync, unlink } from 'node:fs';
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

/** A socket that is listened on. */
export interface Listener {
  readonly bound: BoundAddress;
  /** Its file descriptor, for a process that goes on with it. */
  readonly descriptor: number;
  /** Accepts no more. Never throws. @param keepPath a Unix socket stays where it is: another process goes on with it */
  close(keepPath?: boolean): void;
}

/**
 * Begins to listen.
 * @param inherited the descriptor of a socket that is listened on already
 * @throws the system's error (EADDRINUSE, EACCES, …)
 */
export async function openListener(
  address: ListenAddress,
  options: ListenerOptions,
  inherited?: number,
): Promise<Listener> {
  const { socketMode } = options;
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
  if (inherited !== undefined) await listening(server, () => server.listen({ fd: inherited }));
  else if (address.kind === 'tcp')
    await listening(server, () => server.listen({ host: address.host, port: address.port }));
  else await listenAt(server, address.path, socketMode);
  server.on('error', options.onError);
  const identity = address.kind === 'unix' ? identityOf(address.path) : undefined;
  return {
    bound: address.kind === 'unix' ? { path: address.path } : boundAddress(server),
    descriptor: descriptorOf(server),
    close(keepPath = false) {
      if (!server.listening) return;
      server.close();
      // It may be that of another process by now.
      if (address.kind !== 'unix' || keepPath) return;
      try {
        if (identityOf(address.path) === identity) rmSync(address.path, { force: true });
      } catch {
        // Where it may not be removed it stays: sessions that go on matter more.
      }
    },
  };
}

/** The descriptor of a listening socket. */
export const descriptorOf = (server: Server): number =>
  (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}

/**
 * Listens on a Unix socket. It is made by another name and moved: the runtime removes what it has made by that name when it closes
 * the socket, also where another process goes on with it.
 */
async function listenAt(server: Server, path: string, mode: number | undefined): Promise<void> {
  await removeStaleSocket(path);
  if (identityOf(path) !== undefined) throw inUse(path);
  const made = path.replace(/\.s(\.PGSQL\.\d+)$/, '.t$1');
  rmSync(made, { force: true });
  // The socket is made within the call, with the mode that it is to have. So there is no moment at which it has another one.
  await listening(server, () => withMode(mode, () => server.listen({ path: made })));
  renameSync(made, path);
}

/** What tells a file from another one by its name. Undefined where there is none. */
function identityOf(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found && `${found.dev} ${found.ino}`;
}

const inUse = (path: string): Error =>
  Object.assign(new Error(`listen EADDRINUSE: address already in use ${path}`), {
    code: 'EADDRINUSE',
    address: path,
  });

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
function boundAddress(server: Server): BoundAddress {
  const address = server.address();
  if (typeof address === 'string') return { path: address };
  return address === null ? {} : { host: address.address, port: address.port };
}
