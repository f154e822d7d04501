import { type Conversation, type Difference, compare, missingHint } from './compare.js';
import type { Environment } from './environment.js';
import { NotInEncoding, play } from './play.js';
import { sample, seeded } from './random.js';
import { type Case, type Variant, variantName } from './types.js';
import { ALL_VARIANTS, CORE_VARIANTS, SESSIONS, applies } from './variants.js';

/** One case in one variant on the servers of one major. */
export interface Comparison {
  readonly testCase: Case;
  readonly variant: Variant;
}

export interface Plan {
  readonly cases: readonly Case[];
  /** Every case in all core variants, or in this many of them chosen by the seed. */
  readonly core: number | 'all';
  /** How many of the other variants per case, chosen by the seed. */
  readonly others: number | 'all';
  readonly seed: number;
}

/** What to run, in which order: the same for the same seed and cases, whichever other cases there are. */
export function comparisons(plan: Plan, major: number): readonly Comparison[] {
  return plan.cases.flatMap((testCase) => {
    const random = seeded(plan.seed ^ hash(testCase.name));
    const applicable = (variant: Variant): boolean => applies(testCase, variant, major);
    const isCore = (variant: Variant): boolean =>
      CORE_VARIANTS.some((core) => variantName(core) === variantName(variant));
    const core = CORE_VARIANTS.filter(applicable);
    const others = ALL_VARIANTS.filter((variant) => applicable(variant) && !isCore(variant));
    const pick = (variants: readonly Variant[], count: number | 'all'): readonly Variant[] =>
      count === 'all' ? variants : sample(variants, count, random);
    return [...pick(core, plan.core), ...pick(others, plan.others)].map((variant) => ({ testCase, variant }));
  });
}

function hash(text: string): number {
  let value = 2166136261;
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 16777619);
  return value >>> 0;
}

export interface Failure extends Comparison {
  readonly major: number;
  readonly difference: Difference;
}

export interface Outcome {
  readonly passed: number;
  /** Cases with a character that the session's encoding lacks. */
  readonly skipped: number;
  readonly failures: readonly Failure[];
}

/** Plays every comparison on both sides, one after the other, both sides at the same time. */
export async function runComparisons(
  environment: Environment,
  list: readonly Comparison[],
  onResult: (result: Failure | undefined) => void = () => {},
): Promise<Outcome> {
  let passed = 0;
  let skipped = 0;
  const failures: Failure[] = [];
  for (const { testCase, variant } of list) {
    const result = await compareOnce(environment, testCase, variant);
    if (result === 'skipped') {
      skipped += 1;
    } else if (result === undefined) {
      passed += 1;
      onResult(undefined);
    } else {
      const failure = { testCase, variant, major: environment.major, difference: result };
      failures.push(failure);
      onResult(failure);
    }
  }
  await environment.checkFixtures();
  return { passed, skipped, failures };
}

async function compareOnce(
  environment: Environment,
  testCase: Case,
  variant: Variant,
): Promise<Difference | 'skipped' | undefined> {
  const both = await record(environment, testCase, variant);
  if (both === 'skipped') return both;
  const [extension, proxy] = both;
  const refusal =
    testCase.bridge !== undefined && environment.extension.standsInForRefusals
      ? (testCase.bridge.sqlstate ?? '0A000')
      : undefined;
  const { encoding } = SESSIONS[variant.session];
  const difference = compare(extension, proxy, { encoding, refusal, differs: testCase.differs });
  return difference ?? (refusal === '0A000' ? missingHint(proxy) : undefined);
}

/** Both conversations of one case in one variant. */
export async function record(
  environment: Environment,
  testCase: Case,
  variant: Variant,
): Promise<readonly [extension: Conversation, proxy: Conversation] | 'skipped'> {
  const runs = await Promise.allSettled([
    play(environment.extension, testCase, variant),
    play(environment.proxy, testCase, variant),
  ]);
  const conversations: Conversation[] = [];
  for (const run of runs) {
    if (run.status === 'fulfilled') conversations.push(run.value);
    else if (run.reason instanceof NotInEncoding) return 'skipped';
    else throw new Error(`case "${testCase.name}", ${variantName(variant)}`, { cause: run.reason });
  }
  const [extension, proxy] = conversations;
  if (extension === undefined || proxy === undefined) throw new Error('two sides, two conversations');
  return [extension, proxy];
}
