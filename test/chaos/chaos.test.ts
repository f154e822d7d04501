import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runChaos } from './campaign.js';

/** A short form of `npm run chaos`, always of the same seed. CHAOS_SECONDS and CHAOS_SEED choose another one. */
const SECONDS = Number(process.env['CHAOS_SECONDS'] ?? 20);
const SEED = Number(process.env['CHAOS_SEED'] ?? 1);

it('faults of the network, of servers, of the clock and of a disk give errors, and no harm is left', async (t) => {
  const { cases, fates, findings } = await runChaos({ seed: SEED, seconds: SECONDS });
  t.diagnostic(JSON.stringify(fates));
  const told = findings.map(
    ({ number, text }) => `${text} (npm run chaos -- --seed ${SEED} --case ${number})`,
  );
  assert.deepEqual(told, []);
  assert.ok(cases > 0, 'nothing was played');
});
