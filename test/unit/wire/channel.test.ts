import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { DirectChannel } from '../../../src/wire/channel/directChannel.js';
import { type Channel, openChannel, owned } from '../../../src/wire/channel/index.js';
import { makePipe } from '../../../src/wire/pipe.js';
import { seeded } from '../../differential/play/random.js';

/** A connection: the end that is accepted, as the proxy has it, and the other one. */
async function connection(t: TestContext): Promise<{ accepted: Socket; peer: Socket }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  server.close();
  for (const socket of [accepted, peer]) {
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
  }
  if (peer.connecting) await once(peer, 'connect');
  return { accepted, peer };
}

/** Passes on what comes from one connection to another, with back-pressure. */
function join(from: Channel, to: Channel): void {
  from.start((chunk) => {
    to.cork();
    // In pieces, as a session passes messages on.
    const half = chunk.length >> 1;
    to.write(chunk.subarray(0, half));
    if (!to.write(chunk.subarray(half))) from.pause();
    to.uncork();
  });
  to.onDrain = () => from.resume();
}

const sha = (bytes: Buffer | readonly Buffer[]): string =>
  createHash('sha256')
    .update(Buffer.concat([bytes].flat()))
    .digest('hex');

test('bytes that the system has not taken stay as they are while other connections are read', async (t) => {
  const pairs = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const [from, to] = [await connection(t), await connection(t)];
      join(openChannel(from.accepted), openChannel(to.accepted));
      return { sender: from.peer, receiver: to.peer, sent: [] as Buffer[], got: [] as Buffer[] };
    }),
  );
  const stuck = pairs.slice(0, 2);
  for (const { receiver, got } of pairs) receiver.on('data', (chunk: Buffer) => got.push(chunk));
  for (const { receiver } of stuck) receiver.pause();
  const send = (pair: (typeof pairs)[number], length: number): void => {
    const bytes = randomBytes(length);
    pair.sent.push(bytes);
    pair.sender.write(bytes);
  };
  for (const pair of stuck) send(pair, 16 << 20);
  // Meanwhile the others read and write, in small pieces and in large ones.
  for (let i = 0; i < 200; i++) {
    for (const pair of pairs.slice(2)) send(pair, i % 10 === 0 ? 100_000 : 1 + (i % 90));
    await delay(1);
  }
  for (const { sender } of stuck) assert.ok(sender.writableLength > 1 << 20, 'nobody was slow');
  for (const { receiver } of stuck) receiver.resume();
  const length = (of: readonly Buffer[]): number => of.reduce((sum, { length }) => sum + length, 0);
  for (const { sent, got } of pairs) {
    for (let i = 0; length(got) < length(sent) && i < 1000; i++) await delay(10);
    assert.equal(sha(got), sha(sent));
  }
});

test('bytes keep their order whenever a peer becomes slow', async () => {
  const handle = {
    reading: false,
    onread: () => {},
    useUserBuffer() {},
    readStart: () => 0,
    readStop: () => 0,
  };
  /** A connection whose system takes what is written at once, or keeps it. */
  const channels = Array.from({ length: 3 }, () => {
    const got: Buffer[] = [];
    const peer = { slow: false, waiting: undefined as (() => void) | undefined };
    const socket = new Writable({
      highWaterMark: 1 << 20,
      write(chunk: Buffer, _, taken) {
        got.push(Buffer.from(chunk));
        if (peer.slow) peer.waiting = taken;
        else taken();
      },
    });
    return { got, peer, sent: [] as Buffer[], channel: new DirectChannel(socket as Socket, handle, () => 0) };
  });
  const random = seeded(1);
  for (let i = 0; i < 1000; i++) {
    const { peer, sent, channel } = channels[Math.floor(random() * channels.length)]!;
    peer.slow = random() < 0.3;
    channel.cork();
    for (let parts = Math.floor(random() * 5); parts >= 0; parts--) {
      const bytes = randomBytes(1 + Math.floor(random() * (random() < 0.5 ? 100 : 12_000)));
      sent.push(bytes);
      channel.write(bytes);
    }
    channel.uncork();
    // What the system takes at last it takes in a later turn.
    if (random() < 0.5) {
      peer.slow = false;
      peer.waiting?.();
      peer.waiting = undefined;
      await turn();
    }
  }
  for (const { got, peer, sent } of channels) {
    peer.slow = false;
    peer.waiting?.();
    await turn();
    assert.equal(sha(got), sha(sent));
  }
});

test('what is read is handed out in memory that is used again, and owned() keeps it', async (t) => {
  const { accepted, peer } = await connection(t);
  const seen: Buffer[] = [];
  const kept: Buffer[] = [];
  openChannel(accepted).start((chunk) => {
    seen.push(chunk);
    kept.push(owned(chunk));
  });
  for (const text of ['first', 'other']) {
    peer.write(text);
    while (kept.length === 0 || kept.at(-1)!.toString() !== text) await delay(1);
  }
  assert.deepEqual(kept.map(String), ['first', 'other']);
  assert.deepEqual(seen.map(String), ['other', 'other']);
  const mine = Buffer.from('mine');
  assert.equal(owned(mine), mine);
});

test('what the socket has read before comes first, and nothing while reading is paused', async (t) => {
  const { accepted, peer } = await connection(t);
  peer.write('one ');
  accepted.read(0);
  while (accepted.readableLength === 0) await delay(1);
  const channel = openChannel(accepted);
  const chunks: string[] = [];
  const got = (): string => chunks.join('');
  channel.start((chunk) => void chunks.push(chunk.toString()));
  assert.equal(got(), '');
  peer.write('two ');
  while (got().length < 8) await delay(1);
  channel.pause();
  peer.write('three ');
  await delay(50);
  assert.equal(got(), 'one two ');
  channel.resume();
  channel.pause();
  await delay(50);
  assert.equal(got(), 'one two ');
  channel.resume();
  while (got().length < 14) await delay(1);
  assert.equal(got(), 'one two three ');
});

test('the end is told, also one that came before, and what is written still arrives', async (t) => {
  for (const early of [true, false]) {
    const { accepted, peer } = await connection(t);
    peer.end('last');
    if (early) {
      accepted.read(0);
      while (accepted.readableLength === 0) await delay(1);
      await delay(20);
    }
    let got = '';
    const ended = once(accepted, 'end');
    const channel = openChannel(accepted);
    channel.start((chunk) => {
      got += chunk.toString();
    });
    await ended;
    assert.equal(got, 'last');
    channel.write(Buffer.from('answer, '));
    channel.end(Buffer.from('end'));
    let answer = '';
    peer.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
    });
    await once(peer, 'close');
    assert.equal(answer, 'answer, end');
  }
});

test('what is written in one turn, or between cork and uncork, leaves together', async (t) => {
  const { accepted, peer } = await connection(t);
  const channel = openChannel(accepted);
  const written: string[] = [];
  const { write } = accepted;
  accepted.write = ((bytes: Buffer, ...rest: []) => {
    written.push(bytes.toString());
    return write.call(accepted, bytes, ...rest);
  }) as typeof write;
  channel.write(Buffer.from('a'));
  channel.write(Buffer.from('b'));
  assert.deepEqual(written, []);
  await delay(1);
  assert.deepEqual(written, ['ab']);
  channel.cork();
  channel.cork();
  channel.write(Buffer.from('c'));
  await delay(1);
  channel.uncork();
  channel.write(Buffer.from('d'));
  await delay(1);
  assert.deepEqual(written, ['ab']);
  channel.uncork();
  assert.deepEqual(written, ['ab', 'cd']);
  const other = await connection(t);
  const second = openChannel(other.accepted);
  channel.cork();
  second.cork();
  channel.write(Buffer.from('e'));
  second.write(Buffer.from('x'));
  channel.write(Buffer.from('f'));
  second.uncork();
  channel.uncork();
  let got = '';
  peer.on('data', (chunk: Buffer) => {
    got += chunk.toString();
  });
  let gotOther = '';
  other.peer.on('data', (chunk: Buffer) => {
    gotOther += chunk.toString();
  });
  while (got.length < 6 || gotOther.length < 1) await delay(1);
  assert.deepEqual([got, gotOther], ['abcdef', 'x']);
});

test('whenWritten tells when a slow peer has read everything', async (t) => {
  const { accepted, peer } = await connection(t);
  const channel = openChannel(accepted);
  const told: boolean[] = [];
  channel.write(Buffer.from('x'));
  channel.whenWritten((unread) => void told.push(unread));
  assert.deepEqual(told, [true]);
  const full = (): boolean => !channel.write(Buffer.alloc(1 << 20, 'y'));
  while (!full());
  channel.whenWritten((unread) => void told.push(unread));
  await delay(20);
  assert.deepEqual(told, [true]);
  const drained = new Promise<void>((resolve) => {
    channel.onDrain = resolve;
  });
  peer.resume();
  await drained;
  while (told.length < 2) await delay(1);
  assert.deepEqual(told, [true, true]);
});

test('a pipe inside of this process is a connection like any other', async () => {
  const [outside, inside] = makePipe();
  const channel = openChannel(inside);
  let got = '';
  channel.start((chunk) => {
    got += chunk.toString();
  });
  channel.resume();
  outside.write('there');
  let back = '';
  outside.on('data', (chunk: Buffer) => {
    back += chunk.toString();
  });
  channel.write(Buffer.from('and '));
  channel.write(Buffer.from('back'));
  while (got !== 'there' || back !== 'and back') await delay(1);
  outside.destroy();
});

test('a paused channel that is abandoned drops what comes, and notices the end behind it', async (t) => {
  const { accepted, peer } = await connection(t);
  const channel = openChannel(accepted);
  const got: Buffer[] = [];
  channel.start((chunk) => {
    got.push(owned(chunk));
    channel.pause();
  });
  peer.write('seen');
  while (got.length === 0) await delay(1);
  peer.write('dropped');
  const ended = once(accepted, 'end');
  channel.end();
  channel.abandon();
  peer.end();
  await ended;
  assert.equal(Buffer.concat(got).toString(), 'seen');
});

test('an abandoned channel does not read without end', async (t) => {
  const { accepted, peer } = await connection(t);
  const channel = openChannel(accepted);
  let first = true;
  channel.start(() => {
    if (first) channel.pause();
    first = false;
  });
  peer.write('seen');
  while (first) await delay(1);
  channel.abandon();
  let written = 0;
  const chunk = Buffer.alloc(65_536);
  while (peer.write(chunk)) written += chunk.length;
  // Far more than the system keeps in its buffers: it is not taken.
  for (let i = 0; i < 1000; i++) peer.write(chunk);
  for (let same = 0, last = -1; same < 20; same += 1) {
    await delay(10);
    if (peer.bytesWritten - peer.writableLength !== last) same = 0;
    last = peer.bytesWritten - peer.writableLength;
  }
  assert.ok(peer.writableLength > 0, `${written} bytes were taken`);
});
