import assert from 'node:assert/strict';
import { bridgedStatement } from '../faults/world/bridgeStatements.js';
import { PROTOCOLS, type Protocol } from '../faults/world/client.js';
import { gives, rowsOf } from '../faults/world/expectations.js';
import type { Random } from '../faults/world/random.js';
import type { Frame } from '../support/wire.js';

/** A statement, and what it has to give if it gives anything. */
export interface ChaosStatement {
  readonly name: string;
  readonly sql: string;
  readonly protocol: Protocol;
  /** @throws AssertionError when an answer without an error is not the right one */
  check(frames: readonly Frame[]): void;
}

type Made = Omit<ChaosStatement, 'name' | 'protocol'> & { readonly protocol?: Protocol };

const numbered = (count: number) => (frames: readonly Frame[]) => {
  const rows = rowsOf(frames);
  assert.equal(rows.length, count);
  for (const [i, row] of rows.entries()) assert.equal(row, `${i + 1}|${'x'.repeat(100)}`);
};

const series = (count: number): string => `SELECT i, repeat('x', 100) FROM generate_series(1, ${count}) i`;
const quoted = (sql: string): string => `'${sql.replaceAll("'", "''")}'`;

/** By the plan that serves them. `c` leads to the remote, as `conninfo` does. */
const KINDS: Readonly<Record<string, (random: Random, conninfo: string) => Made>> = {
  relay: (random) => {
    const count = random.pick([1, 300, 4000]);
    return { sql: series(count), check: numbered(count) };
  },
  'relay, COPY': () => ({
    sql: `COPY (${series(2000)}) TO STDOUT`,
    protocol: 'simple',
    check: (frames) => assert.equal(frames.filter(({ type }) => type === 'd').length, 2000),
  }),
  'relay, a write': (random) => {
    const n = random.integer(1e9);
    return { sql: `INSERT INTO written VALUES (${n}) RETURNING n`, check: gives(`${n}`) };
  },
  'relay, a large write': () => ({
    sql: `BEGIN; CREATE TABLE many AS ${series(4000)}; SELECT count(*) FROM many; ROLLBACK`,
    protocol: 'simple',
    check: gives('4000'),
  }),
  stream: (random) => {
    const count = random.pick([1, 300, 4000]);
    return {
      sql: `SELECT * FROM dblink('c', ${quoted(series(count))}) AS t(a int, b text)`,
      check: numbered(count),
    };
  },
  'stream, slow': () => ({
    sql: "SELECT * FROM dblink('c', 'SELECT i, pg_sleep(0.01)::text FROM generate_series(1, 5) i') AS t(a int, b text)",
    check: gives('1|', '2|', '3|', '4|', '5|'),
  }),
  'stream, connection string': (random, conninfo) => {
    const n = random.integer(1e9);
    return {
      sql: `SELECT * FROM dblink('${conninfo}', 'SELECT ${n}') AS t(a int)`,
      check: gives(`${n}`),
    };
  },
  answer: (random) => {
    const n = random.integer(1e9);
    return { sql: `SELECT dblink_exec('c', 'SET a.b = ${n}')`, check: gives('SET') };
  },
  'answer, a connection': (_, conninfo) => ({
    sql: `SELECT dblink_connect('d', '${conninfo}'); SELECT dblink_disconnect('d')`,
    protocol: 'simple',
    check: gives('OK', 'OK'),
  }),
  splice: () => ({
    sql: `SELECT count(*), min(name) FROM dblink('c', ${quoted(series(400))}) AS t(a int, b text) JOIN names ON id = a`,
    check: gives('400|name 1'),
  }),
  'splice, rows into a table': () => ({
    sql: `INSERT INTO written SELECT a FROM dblink('c', 'SELECT generate_series(1, 30)') AS t(a int) RETURNING 7`,
    check: gives(...Array.from({ length: 30 }, () => '7')),
  }),
};

/** A random statement. Half of them are of the bridge, or several calls that belong together. */
export function chaosStatement(random: Random, conninfo: string): ChaosStatement {
  if (random.number() < 0.5) {
    const { name, sql, check } = bridgedStatement(random);
    return { name: `bridge, ${name}`, sql, check, protocol: 'simple' };
  }
  const [name, make] = random.pick(Object.entries(KINDS));
  return { name, protocol: random.pick(PROTOCOLS), ...make(random, conninfo) };
}
