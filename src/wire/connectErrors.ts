import { getSystemErrorMap } from 'node:util';
import type { ErrorFields } from './errors.js';
import { renderError } from './errorText.js';

/** How far a connection attempt got. */
export type ConnectStage = 'network' | 'tls' | 'auth' | 'startup';

export interface ConnectFailure {
  readonly stage: ConnectStage;
  /** What the server said, if it was the server that refused. */
  readonly fields?: ErrorFields | undefined;
  /** The operating system's error code (`ECONNREFUSED`, `EMFILE`), if it was the system. */
  readonly code?: string | undefined;
  /** The server answered the startup with an error before it let the client in; another sslmode may do better. */
  readonly refused?: boolean;
  /** The connection was encrypted when it failed. */
  readonly encrypted?: boolean;
}

/**
 * A connection could not be made. `message` is the text that libpq 15 would give, as a byte string without a newline at
 * its end; several attempts (sslmode prefer and allow) are several lines.
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

  /** The server's SQLSTATE; undefined when the failure was not the server's answer. */
  get sqlstate(): string | undefined {
    return this.fields?.sqlstate || undefined;
  }

  /** The failure of a second attempt, with the text of this first one in front. */
  followedBy(second: ConnectError): ConnectError {
    return new ConnectError(`${this.message}\n${second.message}`, second);
  }
}

/** The text of a failed attempt: libpq puts the server that was tried in front of whatever went wrong. */
export function connectError(describe: string, text: string, failure: ConnectFailure): ConnectError {
  return new ConnectError(`connection to ${describe} failed: ${text}`, failure);
}

/**
 * An established connection ended. `message` is libpq's text as a byte string: the rendering of the server's FATAL
 * error if one came, then what happened to the socket.
 */
export class ConnectionLost extends Error {
  /** The FATAL error that the server sent before the end. */
  readonly fields: ErrorFields | undefined;
  /** What happened to the socket, without that error. */
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

/** The server sent something that the protocol does not allow at this point; the connection cannot go on. */
export class ServerViolation extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ServerViolation';
  }
}

/** libpq's text for messages whose length cannot be true. */
export const lostSynchronization = (type: number, length: number): ServerViolation =>
  new ServerViolation(
    `lost synchronization with server: got message type "${String.fromCharCode(type)}", length ${length}`,
  );

const SERVER_CLOSED =
  'server closed the connection unexpectedly\n' +
  '\tThis probably means the server terminated abnormally\n' +
  '\tbefore or while processing the request.';

/** The C library's words for the errors that connections meet; the runtime's own words differ. */
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

/** The error code of a failed system call; of the first address when several were tried for one name. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof AggregateError && error.errors.length > 0) return systemCode(error.errors[0]);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** The words for a failed system call, as the C library has them. */
export function systemMessage(error: unknown): string {
  const code = systemCode(error);
  const known = code === undefined ? undefined : SYSTEM_MESSAGES[code];
  if (known !== undefined) return known;
  const errno = (error as NodeJS.ErrnoException | undefined)?.errno;
  const words = typeof errno === 'number' ? getSystemErrorMap().get(errno)?.[1] : undefined;
  if (words !== undefined) return words.charAt(0).toUpperCase() + words.slice(1);
  return error instanceof Error ? error.message : String(error);
}

/** The words of OpenSSL for a failure inside TLS, or undefined if the error is not one of TLS. */
export function tlsReason(error: unknown): string | undefined {
  const { code, reason } = (error ?? {}) as { code?: unknown; reason?: unknown };
  if (typeof code !== 'string' || !/^ERR_(SSL|OSSL|TLS)/.test(code)) return undefined;
  if (typeof reason === 'string') return reason;
  return error instanceof Error ? error.message : code;
}

/**
 * What libpq says when a socket ends or fails while it reads.
 * @param error of the socket, or undefined at its orderly end
 * @param orderly the server had said that it would end (a FATAL error came), which over TLS includes an orderly end of TLS
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
