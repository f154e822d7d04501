import type { Line } from './transcript.js';

/** What the proxy knowingly does otherwise than the extension, where a driver can notice. The list is closed. */
interface KnownDifference {
  readonly reason: string;
  readonly applies: (line: Line) => boolean;
  /** Makes the two sides' outcomes comparable. */
  readonly reconcile: (line: Line) => Line;
}

/** What is done first, on the same dblink connection, after a statement was cancelled. */
const AFTER_CANCEL = 'after the cancel';

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
  {
    reason:
      'After a cancelled dblink() the connection is usable here; with the extension it may be left busy (it is on 15). ' +
      'That it is usable here is looked at apart.',
    applies: ({ at }) => at === AFTER_CANCEL,
    reconcile: (line) => ({ ...line, outcome: {} }),
  },
];

/** Takes what is known to differ out of a transcript. */
export function withoutKnownDifferences(lines: readonly Line[]): readonly Line[] {
  return lines.map((line) =>
    KNOWN.reduce((result, known) => (known.applies(line) ? known.reconcile(result) : result), line),
  );
}

/**
 * What the proxy promises beyond what the extension does, and did not keep.
 *
 * @param nap seconds that the remote sleeps: who is stopped at once has an answer before it wakes up
 */
export function brokenPromises(lines: readonly Line[], nap: number): readonly string[] {
  return lines.flatMap(({ flow, at, outcome }) => {
    const { elapsedMs, error } = outcome;
    if (Number(elapsedMs ?? 0) >= nap * 1000) {
      return [`${flow}: not stopped at once, it took ${String(elapsedMs)} ms`];
    }
    if (at === AFTER_CANCEL && error !== undefined) return [`${flow}: ${at}: ${JSON.stringify(error)}`];
    return [];
  });
}
