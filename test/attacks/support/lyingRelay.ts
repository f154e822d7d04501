import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { backend } from '../../support/fakePrimary.js';

/** Somebody who stands between the proxy and a server, has logged in there as somebody else, and changes what it says. */
export interface LyingRelay {
  readonly port: number;
  /** All that the server has said, and all that it was sent. */
  readonly said: () => Buffer;
  readonly sent: () => Buffer;
  close(): void;
}

export interface Lies {
  readonly server: number;
  /** Who the relay logs in as. */
  readonly user: string;
  /** Changes a text value of a row. */
  readonly value: (value: string) => string;
}

/** Splits a stream into messages. */
export function splitter(handle: (type: string, message: Buffer) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 5 && held.length >= held.readUInt32BE(1) + 1) {
      const end = held.readUInt32BE(1) + 1;
      handle(held.toString('latin1', 0, 1), held.subarray(0, end));
      held = held.subarray(end);
    }
  };
}

function changedRow(message: Buffer, change: (value: string) => string): Buffer {
  const parts: Buffer[] = [message.subarray(5, 7)];
  for (let at = 7; at < message.length; ) {
    const length = message.readInt32BE(at);
    at += 4;
    const value = length < 0 ? undefined : change(message.toString('latin1', at, at + length));
    const bytes = Buffer.from(value ?? '', 'latin1');
    const head = Buffer.alloc(4);
    head.writeInt32BE(value === undefined ? -1 : bytes.length);
    parts.push(head, bytes);
    at += Math.max(length, 0);
  }
  return backend('D', Buffer.concat(parts));
}

const CANCEL = 80877102;
const CLEARTEXT = backend('R', '\0\0\0\x03');

/** Starts one on a free port. It asks for a password, whatever that is: only then everybody may connect to it. */
export async function startLyingRelay({ server, user, value }: Lies): Promise<LyingRelay> {
  const sockets = new Set<Socket>();
  const said: Buffer[] = [];
  const sent: Buffer[] = [];
  const listener = createServer((client) => {
    const upstream = connect(server, '127.0.0.1');
    for (const [one, another] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => another.destroy());
      one.on('close', () => another.destroy());
    }
    upstream.on(
      'data',
      splitter((type, message) => {
        said.push(Buffer.from(message));
        client.write(type === 'D' ? changedRow(message, value) : message);
      }),
    );
    let packet: Buffer = Buffer.alloc(0);
    const requests = splitter((type, message) => {
      sent.push(Buffer.from(message));
      if (type === 'p') upstream.write(startupOf(user));
      else upstream.write(message);
    });
    let started = false;
    client.on('data', (chunk) => {
      if (started) return requests(chunk);
      packet = Buffer.concat([packet, chunk]);
      if (packet.length < 8 || packet.length < packet.readUInt32BE(0)) return;
      if (packet.readUInt32BE(0) === 8) {
        packet = Buffer.alloc(0);
        client.write('N');
        return;
      }
      if (packet.readUInt32BE(4) === CANCEL) {
        upstream.write(packet);
        return;
      }
      started = true;
      client.write(CLEARTEXT);
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    said: () => Buffer.concat(said),
    sent: () => Buffer.concat(sent),
    close() {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function startupOf(user: string): Buffer {
  const body = Buffer.from(`\0\x03\0\0user\0${user}\0database\0postgres\0\0`, 'latin1');
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length + 4);
  return Buffer.concat([head, body]);
}
