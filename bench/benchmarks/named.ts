import { type Benchmark, expect } from '../measure/benchmark.js';
import { type Connection, extendedQuery } from '../measure/connection.js';
import { small } from './session.js';

const PROTOCOLS = {
  simple: (connection: Connection, sql: string) => connection.query(sql),
  extended: (connection: Connection, sql: string) => connection.request(extendedQuery(sql)),
} as const;

/** The shortest calls there are on a connection by name: what is done around a call shows here. */
const CALLS = {
  exec: {
    what: "SELECT dblink_exec('c', 'INSERT …')",
    sql: (n: number) => `SELECT dblink_exec('c', 'INSERT INTO sink VALUES (${n})')`,
    answer: () => 'INSERT 0 1',
  },
  'one-row': {
    what: "SELECT * FROM dblink('c', …) AS t(…), 1 row",
    sql: (n: number) => `SELECT * FROM dblink('c', 'SELECT ${n}') AS t(n int)`,
    answer: String,
  },
} as const;

/** Numbers in the texts differ from call to call, as those of an application do, or the same text is sent over and over. */
const TEXTS = { '': 'texts that differ', '-same': 'a text that repeats' } as const;

export const namedBenchmarks: readonly Benchmark[] = (['exec', 'one-row'] as const).flatMap((name) =>
  (['', '-same'] as const).flatMap((texts) =>
    (['simple', 'extended'] as const).map((protocol) => {
      const { what, sql, answer } = CALLS[name];
      return small(
        {
          id: `dblink.${name}${texts}${protocol === 'simple' ? '' : '-extended'}`,
          title: `${what}, ${TEXTS[texts]}, ${protocol} protocol`,
          runs: protocol === 'simple' && texts === '' ? 'short' : 'full',
        },
        async (connection, n) => {
          const number = texts === '' ? n : 7;
          const { value } = await PROTOCOLS[protocol](connection, sql(number));
          expect(value, answer(number));
        },
      );
    }),
  ),
);
