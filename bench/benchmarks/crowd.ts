import type { Benchmark } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import type { Driver, LoadOptions } from './pgbench.js';

/** Many sessions at a time. */
const IDLE = 1_000;
const BUSY = 100;
/** Of each busy session in a turn: some seconds of both kinds. */
const QUERIES = 250;
const PACED_QUERIES = 50;
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

/** Busy sessions beside idle ones. */
const crowd = (
  driver: Driver,
  described: Pick<Benchmark, 'id' | 'title' | 'runs'>,
  load: Pick<LoadOptions, 'rate' | 'transactions'>,
): Benchmark => ({
  ...described,
  group: 'relay',
  contenders: ['pgbouncer', 'proxy'],
  metrics: [
    { name: 'p99', better: 'lower' },
    { name: 'queries/s', better: 'higher' },
  ],
  sessions: IDLE + BUSY,
  prepare: (contender) => openIdle(contender, IDLE),
  async measure(contender, context) {
    const options = { mode: 'prepared', clients: BUSY, ...load } as const;
    const { p99Ms, perSecond, units, processorSeconds } = await driver.run(options, contender, context);
    return { values: [p99Ms, perSecond], units, processorSeconds };
  },
});

export const crowdBenchmarks = (driver: Driver): readonly Benchmark[] => [
  crowd(
    driver,
    {
      id: 'relay.crowd',
      title: `SELECT of one row, prepared, ${BUSY} clients beside ${IDLE} idle sessions`,
      runs: 'full',
    },
    { transactions: QUERIES },
  ),
  crowd(
    driver,
    {
      id: 'relay.crowd-paced',
      title: `the same at ${PACE} queries a second of all clients together`,
      runs: 'named',
    },
    { transactions: PACED_QUERIES, rate: PACE },
  ),
];
