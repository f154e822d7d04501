import type { Benchmark } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import type { Driver } from './pgbench.js';

/** Many sessions at a time. */
const IDLE = 1_000;
const BUSY = 100;
/** A hundred connections take some of it. */
const SECONDS = 3;
/** Queries per second of all busy sessions together, as much as leaves the machine some time. */
const PACE = 2_000;
/** The most that are opened at a time, so that no queue of new connections overflows. */
const AT_A_TIME = 20;

/** Opens so many sessions that do nothing. @returns what closes them */
export async function openIdle(
  { host, port }: { readonly host: string; readonly port: number },
  sessions: number,
): Promise<() => Promise<void>> {
  const open: Connection[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(open.map((connection) => connection.end()));
  };
  let left = sessions;
  const opener = async (): Promise<void> => {
    while (left-- > 0) open.push(await Connection.open(host, port));
  };
  try {
    await Promise.all(Array.from({ length: AT_A_TIME }, opener));
  } catch (error) {
    left = 0;
    for (const connection of open) connection.destroy();
    throw error;
  }
  return close;
}

export const crowdBenchmarks = (driver: Driver): readonly Benchmark[] => [
  {
    id: 'relay.crowd',
    title: `SELECT of one row, prepared, ${BUSY} clients beside ${IDLE} idle sessions`,
    group: 'relay',
    contenders: ['pgbouncer', 'proxy'],
    metrics: [
      { name: 'p99', better: 'lower' },
      { name: `p99 at ${PACE}/s`, better: 'lower' },
      { name: 'queries/s', better: 'higher' },
    ],
    runs: 'full',
    sessions: IDLE + BUSY,
    prepare: (contender) => openIdle(contender, IDLE),
    async measure(contender, context) {
      const load = { mode: 'prepared', clients: BUSY, seconds: SECONDS } as const;
      const full = await driver.run(load, contender, context);
      const paced = await driver.run({ ...load, rate: PACE }, contender, context);
      return {
        values: [full.p99Ms, paced.p99Ms, full.perSecond],
        units: full.units,
        processorSeconds: full.processorSeconds,
      };
    },
  },
];
