import { it } from 'node:test';
import { runInterrupts } from './interrupts.js';

for (const major of [18, 15]) {
  it(`a cancel in the middle of what the bridge does shows nothing of it, and does not hinder the next call, PostgreSQL ${major}`, async (t) => {
    const interrupted = await runInterrupts({ major, interrupts: 400, seed: 5, seconds: 8 });
    t.diagnostic(`${interrupted} interrupted`);
  });
}
