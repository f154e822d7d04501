import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runSoak } from './soak.js';

/** A short form of `npm run soak`. It is too short for slopes that are small; what is wrong, or left behind, shows. */
const SECONDS = 15;

it('many clients with mixed work, that come, go and are killed, get right answers and leave nothing behind', async (t) => {
  const result = await runSoak({
    seconds: SECONDS,
    warmUpSeconds: 5,
    clients: 50,
    seed: 1,
    rate: 100,
    sampleMs: 1_000,
  });
  t.diagnostic(JSON.stringify(result.done));
  assert.deepEqual(result.failures, []);
  assert.ok(result.samples.length > 0);
});
