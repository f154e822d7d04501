import { setTimeout as delay } from 'node:timers/promises';
import { LIVENESS_MS } from './pace.js';

/** Tells what is so now: false, or an error, where it is not what it should be. */
export type Check = () => Promise<unknown> | unknown;

/** How often a state is asked for that has to come soon. */
const QUESTIONS = 80;
const SOON_MS = 2_000;
/** Between two questions: short at first. */
const LONGEST_PAUSE_MS = 20;

/** Waits until a check holds, however long that takes, unless it hangs: then its last failure is thrown. */
export const eventually = (what: string, check: Check): Promise<void> =>
  until(what, check, (_questions, elapsedMs) => elapsedMs > LIVENESS_MS);

/**
 * Waits until a check holds, which has to be soon. Soon is counted in questions to those whose state it is, since a machine
 * on which they answer slowly is as slow with everything else; a machine that is quick gives two seconds.
 */
export const soon = (what: string, check: Check): Promise<void> =>
  until(
    what,
    check,
    (questions, elapsedMs) => (questions >= QUESTIONS && elapsedMs > SOON_MS) || elapsedMs > LIVENESS_MS,
  );

async function until(
  what: string,
  check: Check,
  enough: (questions: number, elapsedMs: number) => boolean,
): Promise<void> {
  const since = performance.now();
  for (let questions = 1; ; questions += 1) {
    let cause: unknown;
    try {
      if ((await check()) !== false) return;
    } catch (error) {
      cause = error;
    }
    const elapsedMs = performance.now() - since;
    if (enough(questions, elapsedMs)) {
      throw new Error(`not within ${questions} questions in ${elapsedMs.toFixed(0)} ms: ${what}`, { cause });
    }
    await delay(Math.min(questions, LONGEST_PAUSE_MS));
  }
}
