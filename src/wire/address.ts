import { byteString } from './byteString.js';

/** Where a server listens. `host` is an address, or a name that the system's resolver knows. */
export type SocketAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Space for a path in the kernel's socket address (sun_path, its terminator not counted). */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * How libpq names a server in its messages: `server at "h" (127.0.0.1), port 5432`, or without the parentheses when the
 * name says the same as the address, or `server on socket "/run/.s.PGSQL.5432"`.
 * @param name what the user called the host, when the address was found by resolving it
 * @returns a byte string
 */
export function describeServer(address: SocketAddress, name?: string): string {
  if ('path' in address) return byteString(`server on socket "${address.path}"`);
  if (name === undefined || name === '' || name === address.host) {
    return byteString(`server at "${address.host}", port ${address.port}`);
  }
  return byteString(`server at "${name}" (${address.host}), port ${address.port}`);
}

/** libpq's complaint about a socket path that the kernel would cut, or undefined if it fits. */
export function socketPathProblem(address: SocketAddress): string | undefined {
  if (!('path' in address) || Buffer.byteLength(address.path) <= MAX_SOCKET_PATH_BYTES) return undefined;
  return byteString(
    `Unix-domain socket path "${address.path}" is too long (maximum ${MAX_SOCKET_PATH_BYTES} bytes)`,
  );
}

/**
 * The address in the form that net.connect takes; `@name` is a socket in the abstract namespace, as for libpq. Runtimes
 * that fill such a name up with zero bytes (Node 20 does) find no server there: connection refused.
 */
export function connectTarget(address: SocketAddress): { host: string; port: number } | { path: string } {
  if (!('path' in address)) return { host: address.host, port: address.port };
  return { path: address.path.startsWith('@') ? `\0${address.path.slice(1)}` : address.path };
}
