import assert from 'node:assert/strict';
import { it } from 'node:test';
import { DIRECTIONS, runCampaign } from './campaign.js';

/** A short form of `npm run fuzz`, always of the same seed. FUZZ_SECONDS and FUZZ_SEED choose another one. */
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 60);
const SEED = Number(process.env['FUZZ_SEED'] ?? 1);

it('clients, primaries, remotes and statements that are fuzzed do no harm', async (t) => {
  const { cases, findings, unrepeated } = await runCampaign({ seed: SEED, seconds: SECONDS });
  const told = findings.map(
    ({ case: id, text }) => `${id}: ${text} (npm run fuzz -- --seed ${SEED} --case ${id})`,
  );
  for (const { case: id, text } of unrepeated) t.diagnostic(`late, but not again alone: ${id}: ${text}`);
  assert.deepEqual(told, []);
  for (const direction of DIRECTIONS)
    assert.ok(cases[direction] > 0, `nothing was played towards ${direction}`);
});
