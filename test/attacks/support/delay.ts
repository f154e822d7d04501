import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FaultClient } from '../../faults/world/client.js';

/** What an attack costs others, in ms. */
export interface Delay {
  /** The slowest `select 1` of another session, one every 20 ms. */
  readonly slowest: number;
  /** The longest time for which the proxy's event loop stood still. */
  readonly pause: number;
  /** The same without the time for which another program had its processor. */
  readonly ownPause: number;
}

const EVERY_MS = 20;

/** A file that gets a line for each attack: for how long it stopped the loop, and the control did (docs/security.md). */
const PAUSES = process.env['DBLINK_PROXY_TEST_PAUSES'];

/** A proxy whose event loop is watched. */
export interface WatchedProxy {
  readonly port: number;
  /** How long the loop stood still at most since the last question: in all, and by itself. */
  state(): Promise<{ readonly longestPauseMs: number; readonly longestOwnPauseMs: number }>;
}

/** Measures while something is done, and a little longer: what it has left behind counts as well. */
export async function delayDuring(
  world: { readonly proxy: WatchedProxy },
  act: () => Promise<unknown>,
): Promise<Delay> {
  const other = await FaultClient.open(world.proxy.port, { user: 'other' });
  let slowest = 0;
  let going = true;
  const watching = (async () => {
    for (let rest = 5; rest > 0; rest -= going ? 0 : 1) {
      const began = performance.now();
      assert.deepEqual(await other.rows('select 1'), [['1']]);
      slowest = Math.max(slowest, performance.now() - began);
      await delay(EVERY_MS);
    }
  })();
  try {
    await world.proxy.state();
    await act();
  } finally {
    going = false;
    await watching;
    await other.end();
  }
  const { longestPauseMs, longestOwnPauseMs } = await world.proxy.state();
  return { slowest, pause: longestPauseMs, ownPause: longestOwnPauseMs };
}

const describe = ({ pause, ownPause }: Delay): string =>
  `${ownPause.toFixed(1)} ms, with neighbours ${pause.toFixed(1)} ms`;

/** So many times as long as in the control it may take; without a bound it is hundreds of times. */
const TIMES = 15;
/** A control that shows nothing at all is no measure. */
const LEAST_MS = 10;
const TRIES = 3;

/**
 * Compares what an attack costs with what as much harmless work does, in the same run. A busy machine makes either slow,
 * now and then: the best of a few tries counts.
 */
export async function costsNoMoreThan(
  world: { readonly proxy: WatchedProxy },
  control: () => Promise<unknown>,
  attack: () => Promise<unknown>,
): Promise<void> {
  const costs: string[] = [];
  for (let i = 0; i < TRIES; i++) {
    const usual = await delayDuring(world, control);
    const attacked = await delayDuring(world, attack);
    costs.push(`${JSON.stringify(attacked)} instead of ${JSON.stringify(usual)}`);
    if (PAUSES !== undefined) appendFileSync(PAUSES, `${describe(attacked)}; control: ${describe(usual)}\n`);
    const fits = (what: keyof Delay): boolean => attacked[what] <= TIMES * Math.max(usual[what], LEAST_MS);
    if (fits('slowest') && fits('pause')) return;
  }
  assert.fail(costs.join('; '));
}
