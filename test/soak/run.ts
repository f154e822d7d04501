import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type Figure, shown } from './figures.js';
import { runSoak, type Standing } from './soak.js';

/** `npm run soak`: see docs/testing.md. */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    clients: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    rate: { type: 'string', default: '0' },
    json: { type: 'string' },
  },
});
const [minutes, clients, seed, rate] = [values.minutes, values.clients, values.seed, values.rate].map(Number);

function tell({ seconds, jobs, figures, wrong, starved, unhandled }: Standing): void {
  const time = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
  console.log(
    `${time}  ${jobs} jobs, ${wrong.length} wrong answers, ${starved.length} late ones without a processor, ${unhandled.length} complaints in the log`,
  );
  for (const [figure, { last, least, most, perHour, grows }] of Object.entries(figures)) {
    const show = (value: number): string => shown(figure as Figure, value);
    const slope = `${perHour < 0 ? '' : '+'}${show(perHour)} per hour${grows ? ', TOO STEEP' : ''}`;
    console.log(`  ${figure.padEnd(11)} ${show(last)} (${show(least)} to ${show(most)}), ${slope}`);
  }
}

console.log(`seed ${seed}`);
const result = await runSoak({
  seconds: minutes! * 60,
  clients: clients!,
  seed: seed!,
  rate: rate!,
  every: { ms: 30_000, say: tell },
});
tell(result);
const { p50, p99, max } = result.loopDelayMs;
const { before, after } = result.rest;
console.log(
  `delay of the event loop: ${p50.toFixed(1)} ms in the middle, ${p99.toFixed(1)} ms p99, ${max.toFixed(1)} ms at most`,
);
if (result.processorShare !== undefined)
  console.log(`the proxy took ${(result.processorShare * 100).toFixed(0)} % of a processor`);
for (const figure of ['rss', 'heap', 'external', 'descriptors'] as const)
  console.log(
    `with no client, ${figure}: ${shown(figure, before[figure])} before, ${shown(figure, after[figure])} behind it`,
  );
console.log(
  `resources: ${JSON.stringify(before.resources)} before, ${JSON.stringify(after.resources)} behind it`,
);
console.log(JSON.stringify(result.done));
for (const late of result.starved) console.log(`\nnot counted, the proxy hardly got a processor: ${late}`);
for (const failure of result.failures) console.log(`\n${failure}`);
if (values.json !== undefined) {
  const machine = { node: process.version, processors: cpus().length, model: cpus()[0]?.model };
  writeFileSync(values.json, `${JSON.stringify({ machine, ...result }, undefined, 2)}\n`);
}
console.log(`seed ${seed}; ${result.failures.length === 0 ? 'passed' : 'FAILED'}`);
process.exit(result.failures.length === 0 ? 0 : 1);
