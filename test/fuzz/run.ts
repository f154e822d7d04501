import { parseArgs } from 'node:util';
import { DIRECTIONS, type Direction, replay, runCampaign } from './campaign.js';

/** `npm run fuzz`: see docs/testing.md. */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    only: { type: 'string', multiple: true },
    case: { type: 'string' },
    times: { type: 'string', default: '3' },
  },
});
const seed = Number(values.seed);
const say = (line: string): void => console.log(line);
const again = (id: string): string => `npm run fuzz -- --seed ${seed} --case ${id}`;

say(`seed ${seed}`);
if (values.case !== undefined) {
  const findings = await replay(seed, values.case, Number(values.times), say);
  say(`${findings.length === 0 ? 1 : 0} passed, ${findings.length === 0 ? 0 : 1} failed`);
  process.exit(findings.length === 0 ? 0 : 1);
}

const directions = values.only as Direction[] | undefined;
for (const name of directions ?? []) {
  if (!DIRECTIONS.includes(name)) {
    console.error(`--only ${name}: one of ${DIRECTIONS.join(', ')}`);
    process.exit(2);
  }
}
const figures = await runCampaign({ seed, seconds: Number(values.seconds), directions, say });
const total = Object.values(figures.cases).reduce((sum, count) => sum + count, 0);
const mib = (pairs: readonly (readonly [number, number])[]): string =>
  pairs.map((pair) => pair.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(' → ')).join(', ');
say(`cases: ${DIRECTIONS.map((name) => `${name} ${figures.cases[name]}`).join(', ')}`);
say(`slowest answer to the control session: ${Math.round(figures.slowestControlMs)} ms`);
say(
  `event loop held up over the limit: ${figures.pauses.seen} times (longest ${Math.round(figures.pauses.longestMs)} ms), ` +
    `${figures.pauses.replayed} cases of those times played again alone`,
);
say(`memory in use, MiB: ${mib(figures.heldBytes)}; resident: ${mib(figures.rssBytes)}`);
for (const { case: id, text } of figures.unrepeated) say(`late, but not again alone: ${id}: ${text}`);
for (const { case: id, text } of figures.findings) {
  say(`\n${id}: ${text}${id === '-' ? '' : `\n  again: ${again(id)}`}`);
}
const failed = new Set(figures.findings.map(({ case: id }) => id)).size;
say(`seed ${seed}; one case again: ${again('DIRECTION:NUMBER')}`);
say(`${total - Math.min(total, failed)} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
