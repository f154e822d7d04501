import { byteString } from './byteString.js';

/**
 * Where a server listens: a TCP host and port, or the path of a Unix socket. `host` is an IP address, or a name that is
 * looked up when a connection is made (`lookupConfigured`). A path that begins with `@` is a name in the abstract namespace.
 */
export type SocketAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Space for a path in the kernel's socket address (sun_path, without the terminating zero byte). */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * How libpq names a server in its messages: `server at "h" (127.0.0.1), port 5432` or `server on socket "/run/.s.PGSQL.5432"`.
 * The part in parentheses is left out when the name is missing, empty or the same as the address.
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

/**
 * Checks that the path of a Unix socket fits into the kernel's socket address, which would cut it.
 * @returns libpq's message for a path that is too long, a byte string; undefined if it fits or the address is a TCP one
 */
export function socketPathProblem(address: SocketAddress): string | undefined {
  if (!('path' in address) || Buffer.byteLength(address.path) <= MAX_SOCKET_PATH_BYTES) return undefined;
  return byteString(
    `Unix-domain socket path "${address.path}" is too long (maximum ${MAX_SOCKET_PATH_BYTES} bytes)`,
  );
}

/**
 * The address in the form that net.connect takes. `@name` is a socket in the abstract namespace, as for libpq. Some runtimes
 * fill such a name up with zero bytes (Node 20 does). They find no server there, and the connection is refused.
 */
export function connectTarget(address: SocketAddress): { host: string; port: number } | { path: string } {
  if (!('path' in address)) return { host: address.host, port: address.port };
  return { path: address.path.startsWith('@') ? `\0${address.path.slice(1)}` : address.path };
}
