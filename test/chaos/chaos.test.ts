import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runChaos } from './campaign.js';

/** A short form of `npm run chaos`: the same cases of the same seed, however quick the machine is. */
const SEED = 1;
const CASES = Array.from({ length: 40 }, (_, i) => i);
/** As much time as they may take. */
const SECONDS = 300;

it('faults of the network, of servers, of the clock and of a disk give errors, and no harm is left', async (t) => {
  const { cases, fates, findings } = await runChaos({ seed: SEED, seconds: SECONDS, cases: CASES });
  t.diagnostic(JSON.stringify(fates));
  const told = findings.map(
    ({ number, text }) => `${text} (npm run chaos -- --seed ${SEED} --case ${number})`,
  );
  assert.deepEqual(told, []);
  assert.equal(cases, CASES.length);
});
