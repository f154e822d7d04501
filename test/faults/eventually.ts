import { setTimeout as delay } from 'node:timers/promises';

/** Waits until the check no longer fails; after the time its last failure is thrown. Where no time is given it is liveness, not speed. */
export async function eventually(
  what: string,
  check: () => Promise<void> | void,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: error });
    }
    await delay(20);
  }
}
