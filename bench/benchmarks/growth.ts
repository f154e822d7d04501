import { type Benchmark, type ContenderName, expect, TIME } from '../measure/benchmark.js';
import { repeat } from '../measure/repeat.js';
import { openIdle } from './crowd.js';
import type { Driver } from './pgbench.js';
import { connected } from './session.js';

/** How what takes little for few takes more for many. They run when they are named: `npm run bench -- growth`. */

const ROWS = [1e3, 1e4, 1e5, 1e6, 1e7];
const TEXTS = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
const SESSIONS = [10, 100, 1_000, 5_000];
/** Beyond this the machine would have no memory left for two contenders. */
const MOST_SESSIONS_OF_TWO = 1_000;
const BUSY = 10;
const ROUNDS = 3;
/** What is as large as this is not done more than once, nor before as a trial. */
const LARGE_ROWS = 1e6;
const HUGE_ROWS = 1e7;

const large = (rows: number): Pick<Benchmark, 'mostRounds' | 'cold'> => ({
  mostRounds: rows >= HUGE_ROWS ? 1 : ROUNDS,
  cold: rows >= LARGE_ROWS,
});

/** Rows of some 115 bytes on the wire, which the remote makes up: no table of that size has to be filled. */
const remoteRows = (rows: number, n: number): string =>
  `dblink('c', 'SELECT i, repeat(''x'', 94) FROM generate_series(${n}, ${n + rows - 1}) i') AS t(id int, filler text)`;

function rowsOf(name: 'rows' | 'counted', rows: number): Benchmark {
  const toClient = name === 'rows';
  return {
    id: `growth.${name}-${rows}`,
    title: `${rows.toLocaleString('en')} remote rows, ${toClient ? 'sent to the client' : 'count(*)'}`,
    group: 'dblink',
    metrics: TIME,
    runs: 'named',
    ...large(rows),
    async measure(contender, context) {
      const connection = await connected(await context.connect(contender), context);
      const once = async (n: number): Promise<void> => {
        const answer = await connection.query(
          `SELECT ${toClient ? '*' : 'count(*)'} FROM ${remoteRows(rows, n)}`,
        );
        expect(toClient ? answer.rows : Number(answer.value), rows);
      };
      const { medianMs, count } = await repeat({ ...context, warmup: rows < LARGE_ROWS ? 1 : 0 }, once);
      return { values: [medianMs], units: count * rows };
    },
  };
}

const textsOf = (bytes: number): Benchmark => ({
  id: `growth.texts-${bytes}`,
  title: `a call whose text for the remote has ${bytes.toLocaleString('en')} bytes`,
  group: 'dblink',
  metrics: TIME,
  runs: 'named',
  mostRounds: ROUNDS,
  async measure(contender, context) {
    const connection = await connected(await context.connect(contender), context);
    const frame = "SELECT length('''')";
    const { medianMs, count } = await repeat({ ...context, warmup: 1 }, async (n) => {
      const content = String(n).padEnd(bytes - frame.length, 'x');
      const { value } = await connection.query(
        `SELECT * FROM dblink('c', 'SELECT length(''${content}'')') AS t(n int)`,
      );
      expect(value, String(content.length));
    });
    return { values: [medianMs], units: count };
  },
});

const sessionsOf = (sessions: number, driver: Driver): Benchmark => ({
  id: `growth.sessions-${sessions}`,
  title: `SELECT of one row, prepared, ${BUSY} busy of ${sessions.toLocaleString('en')} sessions`,
  group: 'relay',
  contenders:
    sessions > MOST_SESSIONS_OF_TWO ? ['proxy'] : (['pgbouncer', 'proxy'] satisfies ContenderName[]),
  metrics: [
    { name: 'p99', better: 'lower' },
    { name: 'queries/s', better: 'higher' },
  ],
  runs: 'named',
  mostRounds: ROUNDS,
  sessions,
  prepare: (contender) => openIdle(contender, sessions - BUSY),
  async measure(contender, context) {
    const load = await driver.run({ mode: 'prepared', clients: BUSY }, contender, context);
    const { p99Ms, perSecond, units, processorSeconds } = load;
    return { values: [p99Ms, perSecond], units, processorSeconds };
  },
});

/** The largest come last, so that a slow machine has measured the rest. */
export const growthBenchmarks = (driver: Driver): readonly Benchmark[] => [
  ...TEXTS.map(textsOf),
  ...SESSIONS.map((sessions) => sessionsOf(sessions, driver)),
  ...ROWS.flatMap((rows) => [rowsOf('rows', rows), rowsOf('counted', rows)]),
];
