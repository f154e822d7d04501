import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Channel, StreamChannel } from './channel.js';
import { DirectChannel } from './directChannel.js';
import { readHandleOf, readResult } from './handle.js';

export type { Channel } from './channel.js';
export { owned } from './shared.js';

/** Makes the fastest channel that a connection allows. From `start` on nobody else may read from the socket. */
export function openChannel(socket: Duplex): Channel {
  const handle = readHandleOf(socket);
  return handle === undefined || readResult === undefined
    ? new StreamChannel(socket)
    : new DirectChannel(socket as Socket, handle, readResult);
}
