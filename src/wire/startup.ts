import type { Socket } from 'node:net';
import { errorResponse, PgError, protocolViolation } from './errors.js';
import { MAX_STARTUP_BYTES, RequestCode } from './protocol.js';
import { MessageReader } from './reader.js';

/** What a client can send before its session begins (protocol documentation, "Start-up" and "Cancel Request"). */
export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly key: Buffer }
  | {
      readonly kind: 'startup';
      readonly major: number;
      readonly minor: number;
      /** Names and values, as byte strings. */
      readonly parameters: ReadonlyMap<string, string>;
      /** The whole packet as it came, length field included. */
      readonly raw: Buffer;
    };

/** Longest secret of a cancel key (protocol 3.2). */
const MAX_CANCEL_KEY_BYTES = 256;

/**
 * Something that no client of PostgreSQL sends. As PostgreSQL does (COMMERROR), only the log is told, and the connection is closed
 * without a byte: what is at the other end may speak another protocol.
 */
export class Incomprehensible extends Error {}

/** A request for encryption where none can be made any more has the form of a startup packet of this odd version. */
export const unsupportedProtocol = (code: number): PgError =>
  new PgError(
    '0A000',
    `unsupported frontend protocol ${code >>> 16}.${code & 0xffff}: server supports 3.0 to 3.2`,
    { severity: 'FATAL' },
  );

/**
 * Decodes one packet of the phase before the session.
 * @param packet the whole packet, length field included
 * @throws PgError (FATAL) 08P01 for a packet that is not well-formed, 0A000 for a protocol version that is not served, 28000
 *   for a startup packet without a user; Incomprehensible for a cancel request with a key that none can have
 */
export function parseStartupPacket(packet: Buffer): StartupPacket {
  const reader = new MessageReader(packet, 4);
  const code = reader.int32();
  if (code === RequestCode.ssl) return { kind: 'ssl' };
  if (code === RequestCode.gssenc) return { kind: 'gssenc' };
  if (code === RequestCode.cancel) {
    if (reader.remaining < 4) throw new Incomprehensible('invalid length of cancel request packet');
    const processId = reader.int32();
    const key = Buffer.from(reader.bytes(reader.remaining));
    if (key.length === 0 || key.length > MAX_CANCEL_KEY_BYTES)
      throw new Incomprehensible('invalid length of cancel key in cancel request packet');
    return { kind: 'cancel', processId, key };
  }
  const major = code >>> 16;
  if (major !== 3) throw unsupportedProtocol(code);
  const parameters = readParameters(packet);
  if (!parameters.get('user')) {
    throw new PgError('28000', 'no PostgreSQL user name specified in startup packet', { severity: 'FATAL' });
  }
  return { kind: 'startup', major, minor: code & 0xffff, parameters, raw: packet };
}

/** Length and version. */
const PARAMETERS_AT = 8;

/** Names and values: each ends with a zero byte, and the packet with one more. @throws PgError 08P01 */
function readParameters(packet: Buffer): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  const endOf = (start: number): number => {
    const zero = packet.indexOf(0, start);
    return zero < 0 ? packet.length : zero;
  };
  let offset = PARAMETERS_AT;
  while (offset < packet.length && packet[offset] !== 0) {
    const nameEnd = endOf(offset);
    // A name without a value is found to be one below.
    if (nameEnd + 1 >= packet.length) break;
    const valueEnd = endOf(nameEnd + 1);
    parameters.set(
      packet.toString('latin1', offset, nameEnd),
      packet.toString('latin1', nameEnd + 1, valueEnd),
    );
    offset = valueEnd + 1;
  }
  if (offset !== packet.length - 1)
    throw protocolViolation('invalid startup packet layout: expected terminator as last byte');
  return parameters;
}

/**
 * The message that refuses a startup packet. Before protocol 3 an error was the letter E and a text. A client that asks for
 * such an old version gets the error in that form, as from PostgreSQL.
 * @param packet undefined when none has come
 */
export function refusal(error: PgError, packet: Buffer | undefined): Buffer {
  const old = packet !== undefined && packet.length >= 8 && packet.readUInt16BE(4) < 3;
  return old ? Buffer.from(`EFATAL:  ${error.message}\n\0`, 'latin1') : errorResponse(error);
}

/**
 * Reads the packets of the phase before the session, which have no type byte, from a socket. It reads no further than the
 * chunk in which a packet ends: what came in that chunk behind the packet is `rest`, and later bytes stay in the socket for
 * the TLS handshake or the session.
 */
export class StartupReader {
  #buffered: Buffer = Buffer.alloc(0);
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that have been read and belong to no packet yet. */
  get rest(): Buffer {
    return this.#buffered;
  }

  /**
   * The next packet, length field included, or undefined when the client closed the connection before a packet was complete.
   * @param isTls called with the first byte. If it is true, this is a TLS handshake without SSLRequest: the result is `tls`,
   *   and all bytes are left in `rest`
   * @throws Incomprehensible for a length that a startup packet cannot have; the socket's error
   */
  async next(isTls?: (firstByte: number) => boolean): Promise<Buffer | 'tls' | undefined> {
    for (;;) {
      const first = this.#buffered[0];
      if (first !== undefined && isTls?.(first)) return 'tls';
      if (this.#buffered.length >= 4) {
        const length = this.#buffered.readInt32BE(0);
        if (length < 8 || length > MAX_STARTUP_BYTES)
          throw new Incomprehensible('invalid length of startup packet');
        if (this.#buffered.length >= length) {
          const packet = this.#buffered.subarray(0, length);
          this.#buffered = this.#buffered.subarray(length);
          return packet;
        }
      }
      const chunk = await readChunk(this.#socket);
      if (chunk === undefined) return undefined;
      this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
    }
  }
}

/** The next chunk of a paused socket, or undefined at its end. */
export function readChunk(socket: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      socket.off('error', onError);
      act();
    };
    const onReadable = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk !== null) settle(() => resolve(chunk));
    };
    const onEnd = () => settle(() => resolve(undefined));
    const onError = (error: Error) => settle(() => reject(error));
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
    socket.on('error', onError);
    if (socket.destroyed || socket.readableEnded) onEnd();
    else onReadable();
  });
}

/** A whole startup packet with one more parameter at its end. Name and value are byte strings. */
export function withParameter(packet: Buffer, name: string, value: string): Buffer {
  const added = Buffer.concat([packet.subarray(0, -1), Buffer.from(`${name}\0${value}\0\0`, 'latin1')]);
  added.writeInt32BE(added.length, 0);
  return added;
}
