import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { ClientLink } from '../../../src/session/clientLink.js';
import { batchWrites } from '../../../src/wire/batch.js';

/** A stream that notes what it is given at a time. */
function noting(): { stream: Duplex; written: string[] } {
  const written: string[] = [];
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      written.push(chunk.toString());
      done();
    },
    writev(chunks: { chunk: Buffer }[], done) {
      written.push(chunks.map(({ chunk }) => chunk.toString()).join(''));
      done();
    },
  });
  return { stream, written };
}

/** In a step of the event loop of its own, as what comes from a socket is handled. */
const inStep = (act: () => void): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(act);
    setImmediate(resolve);
  });

test('what is written until nothing is left but to wait is sent together', async () => {
  const { stream, written } = noting();
  const later = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await undefined;
    stream.write('c');
  };
  await inStep(() => {
    batchWrites(stream);
    stream.write('a');
    batchWrites(stream);
    stream.write('b');
    void later();
  });
  assert.deepEqual(written, ['abc']);
  await inStep(() => {
    stream.write('d');
  });
  assert.deepEqual(written, ['abc', 'd']);
});

const unexpected = (): never => assert.fail('unexpected');

function linkTo(stream: Duplex): ClientLink {
  return new ClientLink(
    stream,
    {
      head: unexpected,
      refused: unexpected,
      whole: unexpected,
      pass: unexpected,
      chunk() {},
      failed: unexpected,
      ending() {},
      ended() {},
      closed() {},
    },
    256 * 1024,
  );
}

test('what is written for later is sent with the next bytes, in front of them', async () => {
  const { stream, written } = noting();
  const link = linkTo(stream);
  await inStep(() => {
    link.writeLater(Buffer.from('a'));
    link.writeLater(Buffer.from('b'));
  });
  assert.deepEqual(written, []);
  await inStep(() => void link.write(Buffer.from('c')));
  assert.deepEqual(written, ['abc']);
  await inStep(() => void link.write(Buffer.from('d')));
  assert.deepEqual(written, ['abc', 'd']);
});

test('what is written for later is not lost when the connection ends', async () => {
  const { stream, written } = noting();
  const link = linkTo(stream);
  link.writeLater(Buffer.from('a'));
  link.end(Buffer.from('b'));
  await once(stream, 'finish');
  assert.equal(written.join(''), 'ab');
});
