import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MessageWalk } from '../../../bench/rig/bareRelay.js';

const message = (type: string, content: string): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(4 + content.length, 1);
  return Buffer.concat([head, Buffer.from(content, 'latin1')]);
};

/** A startup packet has no type. */
const startup = message('x', '\0\x03\0\0user\0dblink\0\0').subarray(1);

describe('the bare relay walks over messages', () => {
  it('finds dblink in Query and Parse only', () => {
    const walk = new MessageWalk(true);
    walk.take(
      Buffer.concat([
        startup,
        message('Q', 'SELECT dblink()\0'),
        message('B', 'dblink'),
        message('P', '\0SELECT dblink()\0\0\0'),
        message('S', ''),
        message('Q', 'SELECT 1\0'),
        message('D', 'dblink'),
      ]),
    );
    assert.equal(walk.found, 2);
  });

  it('however the messages are cut', () => {
    const types = fc.constantFrom('Q', 'P', 'B', 'E', 'S');
    const bodies = fc.constantFrom('', 'x', 'SELECT 1\0', 'Q\0\0\0\x04', 'P'.repeat(40));
    fc.assert(
      fc.property(fc.array(fc.tuple(types, bodies)), fc.array(fc.nat(400)), (messages, cuts) => {
        const bytes = Buffer.concat([
          startup,
          ...messages.map(([type, body]) => message(type, body)),
          message('Q', 'dblink'),
        ]);
        const walk = new MessageWalk(true);
        // The last message stays whole: the relay does not look for what is divided between two chunks.
        const places = cuts.filter((cut) => cut < bytes.length - 11).sort((a, b) => a - b);
        for (const [i, place] of [0, ...places].entries())
          walk.take(bytes.subarray(place, places[i] ?? bytes.length));
        assert.equal(walk.found, 1);
      }),
    );
  });

  it('begins with a typed message on the server’s side', () => {
    const walk = new MessageWalk(false);
    walk.take(Buffer.concat([message('R', '\0\0\0\0'), message('Q', 'dblink')]));
    assert.equal(walk.found, 1);
  });
});
