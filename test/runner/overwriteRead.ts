import { SHARED } from '../../src/wire/channel/shared.js';
import { Framer } from '../../src/wire/framer.js';

// Loaded before each test file. What was read into the buffer that all connections share is overwritten as soon as it has been dealt
// with. So whoever keeps a view of it finds nothing of what it held, in whatever test.
const push = Framer.prototype.push;
Framer.prototype.push = function (this: Framer, chunk: Buffer): void {
  try {
    push.call(this, chunk);
  } finally {
    if (chunk.buffer === SHARED.buffer) chunk.fill(0xdb);
  }
};
