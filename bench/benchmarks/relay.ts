import { type Benchmark, type ContenderName, expect, TIME } from '../measure/benchmark.js';
import { Connection, copyData } from '../measure/connection.js';
import { repeat } from '../measure/repeat.js';
import type { Driver, QueryMode } from './pgbench.js';

const RATE = [{ name: 'queries/s', better: 'higher' }] as const;
/** For what is not compared with the bare relay. */
const COMMON: readonly ContenderName[] = ['direct', 'pgbouncer', 'proxy'];
const BULK_ROUNDS = 5;
const COPY_CHUNK_ROWS = 500;

/** What the proxy costs statements that it has nothing to do with. */
export function relayBenchmarks(driver: Driver): readonly Benchmark[] {
  return [...smallQueries(driver), connecting, ...bulk];
}

function smallQueries(driver: Driver): readonly Benchmark[] {
  const modes: readonly QueryMode[] = ['simple', 'extended', 'prepared'];
  return modes.flatMap((mode) =>
    [1, 16].map(
      (clients): Benchmark => ({
        id: `relay.${mode}-${clients}`,
        title: `SELECT of one row, ${mode}, ${clients} client${clients === 1 ? '' : 's'}`,
        group: 'relay',
        metrics: RATE,
        runs: runsOf(mode, clients),
        async measure(contender, context) {
          const load = await driver.run({ mode, clients }, contender, context);
          const { perSecond, units, processorSeconds } = load;
          return { values: [perSecond], units, processorSeconds };
        },
      }),
    ),
  );
}

function runsOf(mode: QueryMode, clients: number): Benchmark['runs'] {
  if ((mode === 'simple' && clients === 1) || (mode === 'prepared' && clients === 16)) return 'short';
  return mode === 'extended' ? 'named' : 'full';
}

const connecting: Benchmark = {
  id: 'relay.connect',
  title: 'connect, SELECT 1, disconnect',
  group: 'relay',
  contenders: COMMON,
  metrics: TIME,
  runs: 'short',
  async measure({ host, port }, { seconds, signal }) {
    const { medianMs, count } = await repeat({ seconds, signal }, async () => {
      const connection = await Connection.open(host, port);
      await connection.query('SELECT 1');
      await connection.end();
    });
    return { values: [medianMs], units: count };
  },
};

const bulk: readonly Benchmark[] = [
  {
    id: 'relay.bulk-select',
    title: 'SELECT of all rows of a large table',
    group: 'relay',
    contenders: COMMON,
    metrics: TIME,
    runs: 'short',
    mostRounds: BULK_ROUNDS,
    async measure(contender, { connect, bulkRows }) {
      const connection = await connect(contender);
      const { rows, totalMs } = await connection.query('SELECT id, filler FROM bulk');
      expect(rows, bulkRows);
      return { values: [totalMs], units: rows };
    },
  },
  {
    id: 'relay.copy-out',
    title: 'COPY of a large table TO STDOUT',
    group: 'relay',
    contenders: COMMON,
    metrics: TIME,
    runs: 'short',
    mostRounds: BULK_ROUNDS,
    async measure(contender, { connect, bulkRows }) {
      const connection = await connect(contender);
      const { rows, totalMs } = await connection.query('COPY bulk TO STDOUT');
      expect(rows, bulkRows);
      return { values: [totalMs], units: rows };
    },
  },
  {
    id: 'relay.copy-in',
    title: 'COPY of as much FROM STDIN',
    group: 'relay',
    contenders: COMMON,
    metrics: TIME,
    runs: 'short',
    mostRounds: BULK_ROUNDS,
    async measure(contender, { connect, bulkRows }) {
      const connection = await connect(contender);
      await connection.query('TRUNCATE bulk_copy');
      const { totalMs } = await connection.copyIn('COPY bulk_copy FROM STDIN', copyRows(bulkRows));
      const { value } = await connection.query('SELECT count(*) FROM bulk_copy');
      expect(Number(value), bulkRows);
      return { values: [totalMs], units: bulkRows };
    },
  },
];

/** The same block of lines over and over: making rows must not cost what sending them does. */
function* copyRows(rows: number): Generator<Buffer> {
  const lines = (count: number): Buffer => copyData(Buffer.from(`123456\t${'x'.repeat(94)}\n`.repeat(count)));
  const block = lines(COPY_CHUNK_ROWS);
  for (let left = rows; left > 0; left -= COPY_CHUNK_ROWS) {
    yield left < COPY_CHUNK_ROWS ? lines(left) : block;
  }
}
