import { setImmediate as turn } from 'node:timers/promises';
import { type Message, RawClient } from '../support/rawClient.js';
import { frontend } from '../support/wire.js';
import type { Conversation } from './conversation.js';
import { normalise } from './normalise.js';

/** How long the pieces are in which bytes are sent, one after another. */
export type Pattern = (sent: number) => number;

/** Everything in as few segments as the network makes of it. */
export const whole: Pattern = () => Number.POSITIVE_INFINITY;

/** One byte at a time; far into a stream in larger pieces, which are still split at odd places. */
export const byteByByte: Pattern = (sent) => (sent < 3000 ? 1 : 997);

/** Random pieces, many of which end within a header; the longer the stream, the longer they are. */
export function randomPieces(random: () => number): Pattern {
  return (sent) => 1 + Math.floor(random() ** 3 * (40 + sent / 4));
}

/** Writes bytes in the pieces of a pattern, each in a turn of its own so that the reader can see it alone. */
export async function writePieces(
  bytes: Buffer,
  pattern: Pattern,
  write: (piece: Buffer) => void,
  already = 0,
): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const piece = bytes.subarray(offset, offset + pattern(already + offset));
    write(piece);
    offset += piece.length;
    if (offset < bytes.length) await turn();
  }
}

/**
 * Plays a conversation to a server and returns everything it sends until it closes, normalised.
 *
 * @param atOnce sends it all without waiting for any answer
 */
export async function play(
  conversation: Conversation,
  port: number,
  pattern: Pattern,
  atOnce: boolean,
): Promise<readonly Message[]> {
  const client = await RawClient.connect(port);
  const steps = [
    { send: frontend.startup({ user: 'postgres', database: 'parity', ...conversation.parameters }) },
    ...conversation.steps,
  ];
  const messages: Message[] = [];
  try {
    if (atOnce) {
      const bytes = Buffer.concat([...steps.map(({ send }) => send), frontend.terminate()]);
      await writePieces(bytes, pattern, (piece) => client.write(piece));
    } else {
      let sent = 0;
      for (const { send, until = 'Z', count = 1 } of steps) {
        await writePieces(send, pattern, (piece) => client.write(piece), sent);
        sent += send.length;
        if (until !== '') messages.push(...(await client.until(until, count)));
      }
      client.write(frontend.terminate());
    }
    messages.push(...(await client.messagesToEnd()));
  } catch (error) {
    const so = messages.map(({ type }) => type).join('');
    throw new Error(`${conversation.name}, on port ${port}, after ${so}: ${(error as Error).message}`);
  } finally {
    client.destroy();
  }
  return messages.map(normalise);
}

/** Where two conversations differ first, or undefined. */
export function difference(direct: readonly Message[], proxied: readonly Message[]): string | undefined {
  const show = (message: Message | undefined): string =>
    message === undefined ? 'nothing' : `${JSON.stringify(message.whole.toString('latin1').slice(0, 300))}`;
  for (let index = 0; index < Math.max(direct.length, proxied.length); index += 1) {
    const [expected, actual] = [direct[index], proxied[index]];
    if (expected !== undefined && actual !== undefined && expected.whole.equals(actual.whole)) continue;
    const before = direct.slice(Math.max(0, index - 8), index).map(({ type }) => type);
    return `message ${index}, behind ${before.join('')}: direct ${show(expected)}, through the proxy ${show(actual)}`;
  }
  return undefined;
}
