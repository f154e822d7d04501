import { parseArgs } from 'node:util';
import { runChaos } from './campaign.js';

/** `npm run chaos`: see docs/testing.md. */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    case: { type: 'string', multiple: true },
  },
});
const seed = Number(values.seed);
console.log(`seed ${seed}`);
const { cases, fates, plans, findings, longestSettlingMs } = await runChaos({
  seed,
  seconds: Number(values.seconds),
  ...(values.case === undefined ? {} : { cases: values.case.map(Number) }),
  say: (line) => console.log(line),
});
console.table(fates);
console.log(`plans: ${plans.join(', ')}`);
console.log(`all was as before after ${(longestSettlingMs / 1000).toFixed(1)} s at most`);
for (const { number } of findings) console.log(`again: npm run chaos -- --seed ${seed} --case ${number}`);
console.log(`seed ${seed}; ${cases - findings.length} passed, ${findings.length} failed`);
process.exit(findings.length === 0 ? 0 : 1);
