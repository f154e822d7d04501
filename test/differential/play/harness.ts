import { type Conversation, compare, type Difference } from '../compare/compare.js';
import type { Environment } from './environment.js';
import { play } from './play.js';
import { NotInEncoding } from './player.js';
import { sample, seeded } from './random.js';
import { type Case, type Variant, variantName } from './types.js';
import { ALL_VARIANTS, applies, CORE_VARIANTS, SESSIONS } from './variants.js';

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
  /** Only so many of the comparisons, chosen by the seed. */
  readonly sample?: number | undefined;
}

/** What to run, in which order: the same for the same seed and cases, whichever other cases there are. */
export function comparisons(plan: Plan, major: number): readonly Comparison[] {
  const all = plan.cases.flatMap((testCase): Comparison[] => {
    const random = seeded(plan.seed ^ hash(testCase.name));
    const applicable = (variant: Variant): boolean => applies(testCase, variant, major);
    const isCore = (variant: Variant): boolean =>
      CORE_VARIANTS.some((core) => variantName(core) === variantName(variant));
    const core = CORE_VARIANTS.filter(applicable);
    const others = ALL_VARIANTS.filter((variant) => applicable(variant) && !isCore(variant));
    const pick = (variants: readonly Variant[], count: number | 'all'): readonly Variant[] =>
      count === 'all' ? variants : sample(variants, count, random);
    // Cases of a session that no core variant has.
    const further = core.length === 0 && plan.others !== 'all' ? Math.max(plan.others, 1) * 3 : plan.others;
    return [...pick(core, plan.core), ...pick(others, further)].map((variant) => ({ testCase, variant }));
  });
  return plan.sample === undefined ? all : sample(all, plan.sample, seeded(plan.seed));
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

/**
 * Plays every comparison on both sides, both at the same time. Several environments share the list, since a session
 * waits more than it works.
 */
export async function runComparisons(
  environments: readonly Environment[],
  list: readonly Comparison[],
): Promise<Outcome> {
  const results = new Array<Difference | 'skipped' | undefined>(list.length);
  let next = 0;
  const lane = async (environment: Environment): Promise<void> => {
    for (let index = next++; index < list.length; index = next++) {
      const { testCase, variant } = list[index]!;
      results[index] = await compareOnce(environment, testCase, variant);
    }
    await environment.checkFixtures();
  };
  await Promise.all(environments.map(lane));
  const failures = list.flatMap((comparison, index): Failure[] => {
    const difference = results[index];
    if (difference === undefined || difference === 'skipped') return [];
    return [{ ...comparison, major: environments[0]?.major ?? 0, difference }];
  });
  const skipped = results.filter((result) => result === 'skipped').length;
  return { passed: list.length - skipped - failures.length, skipped, failures };
}

async function compareOnce(
  environment: Environment,
  testCase: Case,
  variant: Variant,
): Promise<Difference | 'skipped' | undefined> {
  const both = await record(environment, testCase, variant);
  if (both === 'skipped') return both;
  const [extension, proxy] = both;
  const { encoding } = SESSIONS[variant.session];
  return compare(extension, proxy, { encoding, major: environment.major, differs: testCase.differs });
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
