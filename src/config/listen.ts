import { isIPv6 } from 'node:net';
import { ValueError } from './errors.js';
import { parseInteger, parseText, show } from './values.js';

/** A place where clients can connect. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  /** `path` is the socket itself, named as libpq expects it: `<directory>/.s.PGSQL.<port>`. */
  | { readonly kind: 'unix'; readonly directory: string; readonly port: number; readonly path: string };

/** The port in a socket's name when a directory is given without one. */
export const DEFAULT_PORT = 6432;

/** The kernel's limit for a socket's path: sun_path has 108 bytes on Linux and 104 on macOS, the last one a NUL. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

/**
 * Reads `HOST:PORT`, `[IPv6]:PORT`, `*:PORT`, `/socket/directory` or `/socket/directory:PORT`. Port 0 of a host takes
 * a free one.
 *
 * @throws ValueError
 */
export function parseListenAddress(value: unknown): ListenAddress {
  const text = parseText(value);
  return text.startsWith('/') ? socketAddress(text) : tcpAddress(text);
}

/** The address for HTTP. @throws ValueError for a Unix socket, which no observer asks */
export function parseHttpAddress(value: unknown): ListenAddress & { kind: 'tcp' } {
  const address = parseListenAddress(value);
  if (address.kind === 'tcp') return address;
  throw new ValueError('has to be HOST:PORT');
}

function socketAddress(text: string): ListenAddress {
  const [, directory = text, portText] = /^(.*?)(?::(\d+))?$/s.exec(text) ?? [];
  const port = portText === undefined ? DEFAULT_PORT : parseInteger(portText, 1, 65535);
  const path = socketPath(directory, port);
  return { kind: 'unix', directory, port, path };
}

/**
 * The path of the socket in `directory` for `port`.
 *
 * @throws ValueError if the kernel would refuse it for its length
 */
export function socketPath(directory: string, port: number): string {
  let end = directory.length;
  while (directory[end - 1] === '/') end--;
  const path = `${directory.slice(0, end)}/.s.PGSQL.${port}`;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new ValueError(`the socket's path ${show(path)} is longer than ${MAX_SOCKET_PATH_BYTES} bytes`);
  }
  return path;
}

function tcpAddress(text: string): ListenAddress {
  const colon = text.lastIndexOf(':');
  const expected = `${show(text)} is neither HOST:PORT nor the directory of a Unix socket`;
  if (colon <= 0)
    throw new ValueError(`${expected}${colon === 0 ? `; for every address write *${text}` : ''}`);
  const bracketed = /^\[(.*)\]$/.exec(text.slice(0, colon))?.[1];
  const host = bracketed ?? text.slice(0, colon);
  if (bracketed === undefined ? host.includes(':') : !isIPv6(bracketed)) {
    throw new ValueError(`${expected}; an IPv6 address is written in brackets: [::1]:${DEFAULT_PORT}`);
  }
  if (/[\s/@]/.test(host)) throw new ValueError(expected);
  const portText = text.slice(colon + 1);
  if (!/^\d+$/.test(portText)) throw new ValueError(`${expected}: ${show(portText)} is not a port`);
  // "::" accepts IPv4 connections as well where the system has both.
  return { kind: 'tcp', host: host === '*' ? '::' : host, port: parseInteger(portText, 0, 65535) };
}
