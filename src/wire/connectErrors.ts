import { getSystemErrorMap } from 'node:util';
import type { ErrorFields } from './errors.js';
import { renderError } from './errorText.js';

/** How far a connection attempt got. */
export type ConnectStage = 'network' | 'tls' | 'auth' | 'startup';

/** What is known about a failed connection attempt, beside its text. */
export interface ConnectFailure {
  readonly stage: ConnectStage;
  /** The server's ErrorResponse, if it was the server that refused. */
  readonly fields?: ErrorFields | undefined;
  /** The operating system's error code (`ECONNREFUSED`, `EMFILE`), if a system call failed. */
  readonly code?: string | undefined;
  /** The server answered the startup packet with an error before authentication was complete. Another sslmode may succeed. */
  readonly refused?: boolean;
  /** The connection was encrypted when it failed, or its TLS handshake failed. */
  readonly encrypted?: boolean;
}

/**
 * A connection could not be made. `message` is the text that libpq 15 would give: a byte string without a newline at its
 * end. With several attempts (sslmode prefer and allow) it has one line for each.
 */
export class ConnectError extends Error {
  readonly stage: ConnectStage;
  readonly fields: ErrorFields | undefined;
  readonly code: string | undefined;
  readonly refused: boolean;
  readonly encrypted: boolean;

  constructor(message: string, failure: ConnectFailure) {
    super(message);
    this.name = 'ConnectError';
    this.stage = failure.stage;
    this.fields = failure.fields;
    this.code = failure.code;
    this.refused = failure.refused ?? false;
    this.encrypted = failure.encrypted ?? false;
  }

  /** The SQLSTATE of the server's error; undefined when the failure was no error of the server. */
  get sqlstate(): string | undefined {
    return this.fields?.sqlstate || undefined;
  }

  /** The error of a second attempt, with the text of this one, which was the first, in front of it. */
  followedBy(second: ConnectError): ConnectError {
    return new ConnectError(`${this.message}\n${second.message}`, second);
  }
}

/**
 * The error of one failed attempt. As in libpq, the server that was tried stands in front of what went wrong.
 * @param describe the server, as `describeServer` names it
 */
export function connectError(describe: string, text: string, failure: ConnectFailure): ConnectError {
  return new ConnectError(`connection to ${describe} failed: ${text}`, failure);
}

/**
 * An established connection ended. `message` is libpq's text, a byte string: first the server's FATAL error as it is rendered,
 * if one came, then what happened to the socket.
 */
export class ConnectionLost extends Error {
  /** The FATAL error that the server sent before the end. */
  readonly fields: ErrorFields | undefined;
  /** What happened to the socket, without the text of the FATAL error. */
  readonly reason: string;

  constructor(text: string, fatal?: ErrorFields, cause?: unknown) {
    super(fatal === undefined ? text : `${renderError(fatal)}\n${text}`, { cause });
    this.name = 'ConnectionLost';
    this.fields = fatal;
    this.reason = text;
  }
}

/** A query was started while another one is running on the same connection. */
export class ConnectionBusy extends Error {
  constructor() {
    super('another command is already in progress');
    this.name = 'ConnectionBusy';
  }
}

/** The server sent something that the protocol does not allow at this point. The connection cannot go on. */
export class ServerViolation extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ServerViolation';
  }
}

/**
 * The error for a message with an impossible length, in libpq's words.
 * @param length the message's own length field, which does not count the type byte
 */
export const lostSynchronization = (type: number, length: number): ServerViolation =>
  new ServerViolation(
    `lost synchronization with server: got message type "${String.fromCharCode(type)}", length ${length}`,
  );

const SERVER_CLOSED =
  'server closed the connection unexpectedly\n' +
  '\tThis probably means the server terminated abnormally\n' +
  '\tbefore or while processing the request.';

/** The C library's words for the errors that connections meet. The runtime's own words differ. */
const SYSTEM_MESSAGES: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EAGAIN: 'Resource temporarily unavailable',
  ECONNABORTED: 'Software caused connection abort',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EHOSTUNREACH: 'No route to host',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ENFILE: 'Too many open files in system',
  ENOBUFS: 'No buffer space available',
  ENOENT: 'No such file or directory',
  ENOTDIR: 'Not a directory',
  ENOTSOCK: 'Socket operation on non-socket',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EPROTOTYPE: 'Protocol wrong type for socket',
  ETIMEDOUT: 'Connection timed out',
};

/** The error code of a failed system call. When several addresses were tried for one name, it is the code of the first. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof AggregateError && error.errors.length > 0) return systemCode(error.errors[0]);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** The message for a failed system call, in the C library's words where they are known. */
export function systemMessage(error: unknown): string {
  const code = systemCode(error);
  const known = code === undefined ? undefined : SYSTEM_MESSAGES[code];
  if (known !== undefined) return known;
  const errno = (error as NodeJS.ErrnoException | undefined)?.errno;
  const words = typeof errno === 'number' ? getSystemErrorMap().get(errno)?.[1] : undefined;
  if (words !== undefined) return words.charAt(0).toUpperCase() + words.slice(1);
  return error instanceof Error ? error.message : String(error);
}

/** OpenSSL's words for a failure inside TLS, or undefined if the error is not one of TLS. */
export function tlsReason(error: unknown): string | undefined {
  const { code, reason } = (error ?? {}) as { code?: unknown; reason?: unknown };
  if (typeof code !== 'string' || !/^ERR_(SSL|OSSL|TLS)/.test(code)) return undefined;
  if (typeof reason === 'string') return reason;
  return error instanceof Error ? error.message : code;
}

/**
 * What libpq says when a socket ends or fails while libpq reads from it.
 * @param error of the socket, or undefined at its orderly end
 * @param orderly the server has announced the end by a FATAL error. Over TLS this includes that TLS was ended in order.
 */
export function socketFailure(error: Error | undefined, encrypted: boolean, orderly: boolean): string {
  const code = systemCode(error);
  if (error === undefined && encrypted) {
    return orderly ? 'SSL connection has been closed unexpectedly' : 'SSL SYSCALL error: EOF detected';
  }
  if (error === undefined || code === 'ECONNRESET' || code === 'EPIPE') return SERVER_CLOSED;
  const reason = tlsReason(error);
  if (reason !== undefined) return `SSL error: ${reason}`;
  return encrypted
    ? `SSL SYSCALL error: ${systemMessage(error)}`
    : `could not receive data from server: ${systemMessage(error)}`;
}
