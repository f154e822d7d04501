import type { Socket } from 'node:net';
import { openServerSocket } from '../wire/outbound/socket.js';
import { Backend, RequestCode } from '../wire/protocol.js';
import type { RouterSettings } from './settings.js';

/** An error message of the time before protocol 3. */
const OLD_ERROR = Buffer.from('EFATAL:  ', 'latin1');

/** The longest refusal that is taken. */
const MAX_REFUSAL_BYTES = 16_384;

/** Type and length of a message. */
const HEADER_BYTES = 5;

/** Where a startup packet has the version. */
const VERSION_AT = 4;

/** A request for encryption that comes too often is refused as a protocol version. This one means nothing. */
const STAND_IN = (1234 << 16) | 5677;

const versionText = (code: number): string => `${code >>> 16}.${code & 0xffff}`;

/**
 * What the primary says to a startup packet that the proxy refuses. Its words depend on its version, and where it says them on its
 * release. It costs the primary what it costs to be asked by the client itself.
 *
 * @param signal ends the attempt
 * @returns undefined when the primary does not refuse it, or cannot be asked
 */
export async function refusalOfPrimary(
  { primary, timeouts }: RouterSettings,
  packet: Buffer,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const code = packet.readUInt32BE(VERSION_AT);
  const isRequest = code === RequestCode.ssl || code === RequestCode.gssenc;
  const asked = isRequest ? Buffer.from(packet) : packet;
  if (isRequest) asked.writeUInt32BE(STAND_IN, VERSION_AT);
  const limit = timeouts.connect;
  try {
    const signals = limit === 0 ? [signal] : [signal, AbortSignal.timeout(limit)];
    const ended = AbortSignal.any(signals);
    const answer = await answerOf(await openServerSocket(primary.address, primary.tls, ended), asked, ended);
    if (answer === undefined || !isRefusal(answer)) return undefined;
    return isRequest ? withText(answer, versionText(STAND_IN), versionText(code)) : answer;
  } catch {
    return undefined;
  }
}

/** Everything that a server says up to the end. Undefined when that is too much, or takes too long. */
function answerOf(socket: Socket, packet: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    let tooMuch = false;
    const stop = (): void => {
      tooMuch = true;
      socket.destroy();
    };
    socket.on('data', (chunk: Buffer) => {
      length += chunk.length;
      chunks.push(chunk);
      // An answer of another kind is followed by a wait.
      if (length > MAX_REFUSAL_BYTES || !mayBeRefusal(chunks[0]!)) stop();
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      signal.removeEventListener('abort', stop);
      resolve(tooMuch ? undefined : Buffer.concat(chunks));
    });
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    socket.write(packet);
  });
}

const mayBeRefusal = (answer: Buffer): boolean =>
  answer[0] === Backend.errorResponse || answer[0] === Backend.negotiateProtocolVersion;

/** Whether an answer is an error and nothing else, but for a NegotiateProtocolVersion in front of it. */
function isRefusal(answer: Buffer): boolean {
  if (answer.subarray(0, OLD_ERROR.length).equals(OLD_ERROR)) return answer.indexOf(0) === answer.length - 1;
  let at = 0;
  if (answer[0] === Backend.negotiateProtocolVersion) at = endOf(answer, 0);
  return answer[at] === Backend.errorResponse && endOf(answer, at) === answer.length;
}

/** Where the message at an offset ends; beyond the answer's end when it is cut. */
const endOf = (answer: Buffer, at: number): number =>
  answer.length < at + HEADER_BYTES ? Number.POSITIVE_INFINITY : at + 1 + answer.readUInt32BE(at + 1);

/** Replaces a text by one that is as long. */
function withText(answer: Buffer, text: string, other: string): Buffer {
  const copy = Buffer.from(answer);
  const at = copy.indexOf(text, 0, 'latin1');
  if (at >= 0) copy.write(other, at, 'latin1');
  return copy;
}
