import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { SUPPORTED_MAJORS } from '../support/majors.js';
import { CASES } from './cases/index.js';
import { groupFailures, printGroup } from './compare/report.js';
import { type SecondSide, startEnvironment } from './play/environment.js';
import { generatedCases } from './play/generate.js';
import { type Comparison, comparisons, type Failure, type Plan, runComparisons } from './play/harness.js';
import { variantName } from './play/types.js';
import { suits } from './play/variants.js';

/** The differential run from the command line; see docs/testing.md. */
const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: process.env['DBLINK_PROXY_TEST_FULL'] === '1' },
    seed: { type: 'string', default: process.env['DBLINK_PROXY_TEST_SEED'] ?? '1' },
    case: { type: 'string', default: '' },
    variant: { type: 'string', default: '' },
    major: { type: 'string', multiple: true, default: ['18', '15'] },
    'remote-major': { type: 'string' },
    'same-cluster': { type: 'boolean', default: false },
    matrix: { type: 'boolean', default: false },
    'extension-only': { type: 'boolean', default: false },
    forced: { type: 'boolean', default: false },
    sample: { type: 'string' },
    core: { type: 'string' },
    others: { type: 'string', default: '1' },
    generated: { type: 'string', default: '500' },
    lanes: { type: 'string', default: '2' },
    report: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

const second: SecondSide = values['extension-only'] ? 'extension' : values.forced ? 'forced' : 'proxy';
const seed = Number(values.seed);
const remoteMajor = values['remote-major'] === undefined ? undefined : Number(values['remote-major']);
const cases = CASES.filter(
  (testCase) =>
    testCase.name.includes(values.case) && (remoteMajor === undefined || suits(testCase, remoteMajor)),
);
/** Made up anew for each seed; see generate.ts. */
const generated = generatedCases(seed, Number(values.generated)).filter(({ name }) =>
  name.includes(values.case),
);
const majors = values.matrix ? SUPPORTED_MAJORS : values.major.map(Number);

/**
 * The first major gets all core variants, others a sample of them, unless everything is asked for; in the matrix no
 * major is less than the first.
 */
function planFor(major: number): Plan {
  const sample = values.sample === undefined ? undefined : Number(values.sample);
  if (values.full) return { cases, seed, core: 'all', others: 'all', sample };
  return values.matrix || major === majors[0]
    ? {
        cases,
        seed,
        core: values.core === undefined ? 'all' : Number(values.core),
        others: Number(values.others),
        sample,
      }
    : { cases, seed, core: 1, others: 0, sample };
}

function chosen(major: number): readonly Comparison[] {
  if (values.variant === '') {
    // Each in one of all variants: there are always others.
    const random = comparisons({ cases: generated, seed: seed + major, core: 0, others: 1 }, major);
    return [...comparisons(planFor(major), major), ...random];
  }
  const everything = comparisons(
    { cases: [...cases, ...generated], seed, core: 'all', others: 'all' },
    major,
  );
  return everything.filter(({ variant }) => variantName(variant).includes(values.variant));
}

async function main(): Promise<number> {
  if (values.list) {
    for (const { name } of cases) console.log(name);
    return 0;
  }
  const started = Date.now();
  const remotes = remoteMajor === undefined ? '' : `remotes ${remoteMajor}, `;
  console.log(
    `${cases.length} cases, PostgreSQL ${majors.join(' and ')}, ${remotes}extension against ${second}, seed ${seed}`,
  );
  let passed = 0;
  let skipped = 0;
  const failures: Failure[] = [];
  for (const major of majors) {
    const lanes = Array.from({ length: Number(values.lanes) }, () =>
      startEnvironment(major, second, { remoteMajor, sameCluster: values['same-cluster'] }),
    );
    const environments = await Promise.all(lanes);
    try {
      const list = chosen(major);
      console.log(`PostgreSQL ${major}: ${list.length} comparisons`);
      const outcome = await runComparisons(environments, list);
      passed += outcome.passed;
      skipped += outcome.skipped;
      failures.push(...outcome.failures);
      console.log(`PostgreSQL ${major}: ${outcome.passed} passed, ${outcome.failures.length} failed`);
    } finally {
      await Promise.all(environments.map((environment) => environment.stop()));
    }
  }
  const groups = groupFailures(failures);
  for (const group of groups) console.log(`\n${printGroup(group)}`);
  if (values.report !== undefined) writeFileSync(values.report, groups.map(printGroup).join('\n\n'));
  const seconds = Math.round((Date.now() - started) / 1000);
  console.log(
    `\n${cases.length} cases, ${passed + failures.length} comparisons in ${seconds} s, ${skipped} skipped because ` +
      `the encoding lacks a character, ${groups.length} kinds of differences, seed ${seed}`,
  );
  console.log(`${passed} passed, ${failures.length} failed`);
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();
