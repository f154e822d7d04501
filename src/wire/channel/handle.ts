import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/** The part of Node that a socket of TCP, or a Unix socket, reads from. */
export interface ReadHandle {
  /** Called for each read; `readResult` tells its result. @param memory unless the handle was given a buffer */
  onread: (this: ReadHandle, memory?: ArrayBuffer) => unknown;
  /** Kept by the socket, and by who takes the handle over. */
  reading: boolean;
  /** From now on everything is read into this buffer. */
  useUserBuffer(buffer: Buffer): void;
  /** @returns 0, or a negative error of the system */
  readStart(): number;
  readStop(): number;
}

/**
 * The versions of Node that this was tested with. Node has a documented way to read into a buffer of one's own (`onread`), but not for
 * connections that it has accepted. So this uses what that way stands on. Other versions read as streams do.
 */
const TESTED_MAJORS: ReadonlySet<number> = new Set([20, 22, 24]);

/** In `onread`: how many bytes were read, or a negative error of the system. Undefined where handles are left alone. */
export const readResult: (() => number) | undefined = findReadResult();

function findReadResult(): (() => number) | undefined {
  // Windows reports a failed read in a form of its own.
  if (process.platform === 'win32') return undefined;
  if (!TESTED_MAJORS.has(Number.parseInt(process.versions.node, 10))) return undefined;
  try {
    const { binding } = process as unknown as {
      binding(name: string): { streamBaseState: ArrayLike<number>; kReadBytesOrError: number };
    };
    const { streamBaseState, kReadBytesOrError } = binding('stream_wrap');
    if (typeof streamBaseState[kReadBytesOrError] !== 'number') return undefined;
    return () => streamBaseState[kReadBytesOrError]!;
  } catch {
    // For example under Node's permission model.
    return undefined;
  }
}

/** The handle of a connected socket. Undefined for anything else: TLS, a pipe inside of this process, a socket that is closed. */
export function readHandleOf(socket: Duplex): ReadHandle | undefined {
  if (!(socket instanceof Socket) || socket instanceof TLSSocket || socket.connecting) return undefined;
  const handle = (socket as { _handle?: ReadHandle })._handle;
  const known = (['useUserBuffer', 'readStart', 'readStop', 'onread'] as const).every(
    (name) => typeof handle?.[name] === 'function',
  );
  return known ? handle : undefined;
}
