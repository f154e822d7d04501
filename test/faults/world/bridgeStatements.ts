import assert from 'node:assert/strict';
import type { Frame } from '../../support/wire.js';
import { CALL_FIXTURES, CALLS } from './callStatements.js';
import { gives, LARGE, LARGE_SQL, LARGE_SUM, type Make, WRONG } from './expectations.js';
import type { Random } from './random.js';

/** A statement with dblink calls, most of them through the bridge, and what it has to give if it gives anything. */
export interface BridgedStatement {
  readonly name: string;
  readonly sql: string;
  /** @throws AssertionError when an answer without an error is not the right one */
  check(frames: readonly Frame[]): void;
}

/** What the statements need at the primary; `c` is the session's remote connection. */
export const BRIDGE_FIXTURES = `
  CREATE VIEW small AS SELECT * FROM dblink('c', 'SELECT i, i * 3 FROM generate_series(1, 20) i') AS t(a int, b int);
  CREATE VIEW large AS SELECT * FROM dblink('c', '${LARGE_SQL}') AS t(a int, b text);
  CREATE VIEW slow_large AS SELECT * FROM dblink('c', '${LARGE_SQL}, pg_sleep(0.02)') AS t(a int, b text);
  CREATE FUNCTION triple(n int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE v int;
    BEGIN
      SELECT r INTO STRICT v FROM dblink('c', 'SELECT ' || n || ' * 3, pg_sleep(0.002)::text') AS t(r int, x text);
      RETURN v;
    END $$;
  CREATE FUNCTION triple_or(n int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE v int;
    BEGIN
      BEGIN
        SELECT r INTO STRICT v FROM dblink('c', 'SELECT ' || n || ' * 3, pg_sleep(0.03)::text') AS t(r int, x text);
      EXCEPTION WHEN query_canceled THEN
        v := NULL;
      END;
      IF v IS NULL THEN
        SELECT r INTO STRICT v FROM dblink('c', 'SELECT ' || n || ' * 3') AS t(r int);
      END IF;
      RETURN v;
    END $$;
  CREATE FUNCTION sleepy() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN dblink_exec('c', 'DO $x$ BEGIN RAISE NOTICE ''from afar''; PERFORM pg_sleep(0.02); END $x$'); END $$;
  CREATE TABLE audited (a int);
  CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF dblink_exec('c', 'SET a.b = ' || NEW.a) IS DISTINCT FROM 'SET' THEN
        RAISE EXCEPTION 'no status' USING ERRCODE = '${WRONG}';
      END IF;
      RETURN NEW;
    END $$;
  CREATE TRIGGER audit BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit();
  ${CALL_FIXTURES}`;

const SMALL_ROWS = Array.from({ length: 20 }, (_, i) => `${i + 1}|${(i + 1) * 3}`);
const LARGE_TOTALS = `${LARGE}|${LARGE_SUM}|${LARGE * 100}`;
const totalsOf = (relation: string): string => `SELECT count(*), sum(a), sum(length(b)) FROM ${relation}`;

const LEVELS = [
  '',
  'READ COMMITTED',
  'REPEATABLE READ',
  'SERIALIZABLE',
  'REPEATABLE READ READ ONLY',
  'SERIALIZABLE READ ONLY',
  'READ COMMITTED READ ONLY',
] as const;

const READS: Readonly<Record<string, Make>> = {
  ...CALLS,
  'a view': () => ({ sql: 'SELECT * FROM small', check: gives(...SMALL_ROWS) }),
  'a large view': () => ({ sql: totalsOf('large'), check: gives(LARGE_TOTALS) }),
  'a slow large view': () => ({ sql: totalsOf('slow_large'), check: gives(LARGE_TOTALS) }),
  'a function': (random) => {
    const n = random.integer(1e6);
    return { sql: `SELECT triple(${n}), triple(${n + 1})`, check: gives(`${n * 3}|${n * 3 + 3}`) };
  },
  'a function that catches query_canceled': (random) => {
    const n = random.integer(1e6);
    return { sql: `SELECT triple_or(${n}), triple_or(7)`, check: gives(`${n * 3}|21`) };
  },
  'a call for each row': () => ({
    sql: `SELECT i, (SELECT r FROM dblink('c', 'SELECT ' || i * 7) AS t(r int)) FROM generate_series(1, 6) i`,
    check: gives(...[1, 2, 3, 4, 5, 6].map((i) => `${i}|${i * 7}`)),
  }),
  'a lateral call': () => ({
    sql: `SELECT count(*), sum(r) FROM generate_series(1, 4) i, LATERAL dblink('c', 'SELECT generate_series(1, ' || i * 10 || ')') AS t(r int)`,
    check: gives('100|1550'),
  }),
  'a DO block': () => ({
    sql: `DO $$
      DECLARE v bigint; total bigint := 0; r record;
      BEGIN
        FOR i IN 1 .. 5 LOOP
          SELECT x INTO v FROM dblink('c', 'SELECT ' || i * 11) AS t(x bigint);
          IF v IS DISTINCT FROM i * 11 THEN RAISE EXCEPTION 'got % for %', v, i USING ERRCODE = '${WRONG}'; END IF;
        END LOOP;
        FOR r IN SELECT a FROM large LOOP total := total + r.a; END LOOP;
        IF total <> ${LARGE_SUM} THEN RAISE EXCEPTION 'total %', total USING ERRCODE = '${WRONG}'; END IF;
      END $$`,
    check: gives(),
  }),
  'a DO block that catches whatever comes': () => ({
    sql: `DO $$
      DECLARE v int;
      BEGIN
        FOR i IN 1 .. 4 LOOP
          BEGIN
            v := triple(i);
            IF v IS DISTINCT FROM i * 3 THEN RAISE EXCEPTION 'got % for %', v, i USING ERRCODE = '${WRONG}'; END IF;
          EXCEPTION WHEN query_canceled OR connection_exception OR sqlclient_unable_to_establish_sqlconnection THEN NULL;
          END;
        END LOOP;
      END $$`,
    check: gives(),
  }),
  'a function with notices': () => ({ sql: 'SELECT sleepy()', check: gives('DO') }),
  'a COPY': () => ({
    sql: 'COPY (SELECT a, b FROM large) TO STDOUT',
    check: (frames) => assert.equal(frames.filter(({ type }) => type === 'd').length, LARGE),
  }),
  'no rows': () => ({
    sql: `SELECT count(*) FROM (VALUES (1)) v(x), LATERAL dblink('c', 'SELECT ' || x || ' WHERE false') AS t(r int)`,
    check: gives('0'),
  }),
};

const WRITES: Readonly<Record<string, Make>> = {
  'a trigger': (random) => {
    const n = random.integer(1e6);
    return { sql: `INSERT INTO audited VALUES (${n}), (${n}) RETURNING a`, check: gives(`${n}`, `${n}`) };
  },
};

/** A random statement in a random isolation level. It is one Query message. */
export function bridgedStatement(random: Random): BridgedStatement {
  const level = random.pick(LEVELS);
  const kinds = Object.entries(level.includes('READ ONLY') ? READS : { ...READS, ...WRITES });
  const [name, make] = random.pick(kinds);
  const { sql, check } = make(random);
  if (level === '') return { name, sql, check };
  return { name: `${name}, ${level}`, sql: `BEGIN ISOLATION LEVEL ${level}; ${sql}; COMMIT`, check };
}
