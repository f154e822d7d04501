import type { Failure } from './harness.js';
import { variantName } from './types.js';

/** Failures of one case that show the same difference. */
export interface FailureGroup {
  readonly failures: readonly [Failure, ...Failure[]];
}

/** Groups by case and kind of difference, in the order of their first appearance. */
export function groupFailures(failures: readonly Failure[]): readonly FailureGroup[] {
  const groups = new Map<string, [Failure, ...Failure[]]>();
  for (const failure of failures) {
    const { what, extension, proxy } = failure.difference;
    const key = JSON.stringify([failure.testCase.name, what, extension, proxy]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [failure]);
    else group.push(failure);
  }
  return [...groups.values()].map((group) => ({ failures: group }));
}

/** The first failure in full, and in which variants else it shows. */
export function printGroup({ failures }: FailureGroup): string {
  const [first] = failures;
  const variants = failures.map(({ major, variant }) => `${major} ${variantName(variant)}`);
  return [
    `=== case "${first.testCase.name}": ${first.difference.what}`,
    `    in ${variants.length} comparisons: ${variants.slice(0, 6).join(', ')}${variants.length > 6 ? ', …' : ''}`,
    first.difference.report,
  ].join('\n');
}
