import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { makePipe } from '../../../src/wire/pipe.js';

describe('a connection inside of the process', () => {
  it('passes bytes both ways, and holds back who writes faster than the other end reads', async () => {
    const [one, other] = makePipe();
    one.write('there');
    assert.equal(String((await once(other, 'data'))[0]), 'there');
    other.write('back');
    assert.equal(String((await once(one, 'data'))[0]), 'back');
    other.pause();
    let full = false;
    for (let i = 0; i < 100 && !full; i++) full = !one.write(Buffer.alloc(16_384));
    assert.ok(full);
    other.resume();
    await once(one, 'drain');
  });

  it('gives what was written before its end', async () => {
    const [one, other] = makePipe();
    let got = '';
    other.on('data', (bytes) => {
      got += bytes;
    });
    one.end('last words');
    await once(other, 'end');
    assert.equal(got, 'last words');
  });

  for (const reads of [true, false]) {
    it(`ends for an end that ${reads ? 'reads' : 'does not read'}, when the other one is destroyed`, async () => {
      const [one, other] = makePipe();
      for (const end of [one, other]) end.on('error', () => {});
      other.on('data', () => {});
      if (!reads) other.pause();
      one.write(Buffer.alloc(1 << 20));
      one.destroy();
      if (!other.closed) await once(other, 'close');
    });
  }
});
