import type { Failure } from '../play/harness.js';
import { variantName } from '../play/types.js';

/** Failures that probably have one cause. */
export interface FailureGroup {
  readonly kind: string;
  readonly failures: readonly [Failure, ...Failure[]];
}

/** Groups by what differs and by what the proxy said, without names and numbers; the largest groups come first. */
export function groupFailures(failures: readonly Failure[]): readonly FailureGroup[] {
  const groups = new Map<string, [Failure, ...Failure[]]>();
  for (const failure of failures) {
    const { what, extension, proxy } = failure.difference;
    const kind = `${what}: ${shape(extension)} became ${shape(proxy)}`;
    const group = groups.get(kind);
    if (group === undefined) groups.set(kind, [failure]);
    else group.push(failure);
  }
  return [...groups]
    .map(([kind, group]) => ({ kind, failures: group }))
    .sort((a, b) => cases(b).size - cases(a).size);
}

/** What stays the same when names, numbers and values change. */
function shape(text: string): string {
  return text
    .replace(/value \d+ ".*/s, 'values')
    .replace(/column \d+ (name|table) ".*/s, 'columns')
    .replace(/"([^"]{0,40})" does not exist/g, '… does not exist')
    .replace(/\d+/g, '0')
    .slice(0, 220);
}

function cases({ failures }: FailureGroup): ReadonlySet<string> {
  return new Set(failures.map(({ testCase }) => testCase.name));
}

/** The shortest failure of the group in full, and where else it shows. */
export function printGroup(group: FailureGroup): string {
  const { failures } = group;
  const shortest =
    [...failures].sort((a, b) => a.difference.report.length - b.difference.report.length)[0] ?? failures[0];
  const names = [...cases(group)];
  return [
    `=== ${failures.length} comparisons of ${names.length} cases: ${names
      .slice(0, 8)
      .map((name) => `"${name}"`)
      .join(', ')}${names.length > 8 ? ', …' : ''}`,
    `    what differs: ${shortest.difference.what}`,
    `    shown by: "${shortest.testCase.name}", PostgreSQL ${shortest.major}, ${variantName(shortest.variant)}`,
    shortest.difference.report.length > 6000
      ? `${shortest.difference.report.slice(0, 6000)}…`
      : shortest.difference.report,
  ].join('\n');
}
