import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { FairReader } from '../../src/wire/fairReader.js';

const BYTES = 4 << 20;

/** How many chunks of a flood were handled in one turn of the event loop at most, when each keeps it busy for so long. */
async function chunksInATurn(busyMs: number, pausing = false): Promise<number> {
  const flood = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(Buffer.alloc(BYTES));
  });
  await new Promise<void>((resolve) => flood.listen(0, '127.0.0.1', resolve));
  const address = flood.address();
  assert.ok(typeof address === 'object' && address !== null);

  let turn = 0;
  let over = false;
  const count = (): void => {
    turn++;
    if (!over) setImmediate(count);
  };
  count();
  const perTurn = new Map<number, number>();
  const socket = connect(address.port, '127.0.0.1');
  const reader = new FairReader(socket);
  let bytes = 0;
  socket.on('data', (chunk: Buffer) =>
    reader.take(() => {
      bytes += chunk.length;
      perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
      for (const began = performance.now(); performance.now() - began < busyMs; );
      if (pausing) {
        reader.pause();
        setTimeout(() => reader.resume(), 1);
      }
    }),
  );
  await new Promise((resolve) => socket.on('close', resolve));
  over = true;
  flood.close();
  assert.equal(bytes, BYTES);
  return Math.max(...perTurn.values());
}

test('whoever has been busy for some milliseconds rests for a turn of the event loop, and misses nothing', async () => {
  assert.equal(await chunksInATurn(6), 1);
});

test('a rest does not end a pause', async () => {
  assert.equal(await chunksInATurn(6, true), 1);
});
