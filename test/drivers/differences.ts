import type { Line } from './transcript.js';

/** What the proxy knowingly does otherwise than the extension, where a driver can notice. The list is closed. */
interface KnownDifference {
  readonly reason: string;
  readonly applies: (line: Line) => boolean;
  /** Makes the two sides' outcomes comparable. */
  readonly reconcile: (line: Line) => Line;
}

const KNOWN: readonly KnownDifference[] = [
  {
    reason:
      'Rows that were streamed before the remote failed have been sent: who fetches page by page sees them before the error.',
    applies: ({ at, outcome }) => at === 'an error in mid-fetch' && Array.isArray(outcome['result']),
    reconcile: (line) => ({
      ...line,
      outcome: { ...line.outcome, result: (line.outcome['result'] as readonly unknown[]).slice(-1) },
    }),
  },
  {
    reason:
      'Cancelling and timeouts take effect at once; the extension waits for the remote. The time is looked at apart.',
    applies: ({ outcome }) => 'elapsedMs' in outcome,
    reconcile: (line) => {
      const { elapsedMs: _, ...rest } = line.outcome;
      return { ...line, outcome: rest };
    },
  },
];

/** Takes what is known to differ out of a transcript. */
export function withoutKnownDifferences(lines: readonly Line[]): readonly Line[] {
  return lines.map((line) =>
    KNOWN.reduce((result, known) => (known.applies(line) ? known.reconcile(result) : result), line),
  );
}

/** Lines that took as long as the remote's statement, although it was cancelled. */
export function tooSlow(lines: readonly Line[]): readonly Line[] {
  return lines.filter(({ outcome }) => Number(outcome['elapsedMs'] ?? 0) > Number(outcome['limitMs'] ?? 0));
}
