import assert from 'node:assert/strict';
import { it } from 'node:test';
import { DIRECTIONS, runCampaign } from './campaign.js';

/** A short form of `npm run fuzz`, always of the same seed. FUZZ_SECONDS and FUZZ_SEED choose another one. */
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 15);
const SEED = Number(process.env['FUZZ_SEED'] ?? 1);

it('clients, primaries, remotes and statements that are fuzzed do no harm', async () => {
  const { cases, findings } = await runCampaign({ seed: SEED, seconds: SECONDS });
  const told = findings.map(
    ({ case: id, text }) => `${id}: ${text} (npm run fuzz -- --seed ${SEED} --case ${id})`,
  );
  assert.deepEqual(told, []);
  for (const direction of DIRECTIONS)
    assert.ok(cases[direction] > 0, `nothing was played towards ${direction}`);
});
