import type { SocketAddress } from '../address.js';
import { peerCertificate } from '../tls/tls.js';
import { isEncrypted, type ServerSocket } from './socket.js';

/** Where a connection leads, and as whom. */
export interface ServerEnd {
  /** Address and port, or the path of a socket. */
  readonly address: string;
  /** The certificate by whose key the server has proved itself; undefined without TLS. */
  readonly certificate: Buffer | undefined;
  /** Byte strings, as the startup packet has them. */
  readonly user: string;
  readonly database: string;
}

/** Where a connected socket leads. @param address that was connected to */
export const addressOf = (socket: ServerSocket, address: SocketAddress): string =>
  'path' in address
    ? address.path
    : `${(socket.remoteAddress ?? address.host).replace(/^::ffff:/, '')} ${socket.remotePort ?? address.port}`;

export const certificateOf = (socket: ServerSocket): Buffer | undefined =>
  isEncrypted(socket) ? peerCertificate(socket) : undefined;

/** @param options of the connection */
export function serverEnd(
  socket: ServerSocket,
  options: {
    readonly address: SocketAddress;
    readonly startup: readonly (readonly [string, string | Buffer])[];
  },
): ServerEnd {
  const text = (name: string): string => {
    const value = options.startup.find(([given]) => given === name)?.[1] ?? '';
    return typeof value === 'string' ? value : value.toString('latin1');
  };
  const user = text('user');
  return {
    address: addressOf(socket, options.address),
    certificate: certificateOf(socket),
    user,
    database: text('database') || user,
  };
}
