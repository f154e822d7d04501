import { gives, LARGE, LARGE_SQL, LARGE_SUM, type Make, WRONG } from './expectations.js';

/**
 * Statements of the campaign that use the connection c for longer than one call: cursors, asynchronous queries,
 * notifications; and foreign servers and functions that connect with their owner's rights. What a fault leaves on it is put right before the next round.
 */

/** Bridged forms; `far` is a foreign server that leads to the remote. */
export const CALL_FIXTURES = `
  CREATE FUNCTION fetch_all(sql text) RETURNS TABLE (n bigint, total bigint, bytes bigint) LANGUAGE plpgsql AS $$
    DECLARE page record;
    BEGIN
      n := 0; total := 0; bytes := 0;
      PERFORM dblink_open('c', 'k', sql);
      LOOP
        SELECT count(*) AS n, sum(a) AS total, sum(length(b)) AS bytes INTO page
          FROM dblink_fetch('c', 'k', 1500) AS t(a int, b text);
        EXIT WHEN page.n = 0;
        n := n + page.n; total := total + page.total; bytes := bytes + page.bytes;
      END LOOP;
      IF dblink_close('c', 'k') IS DISTINCT FROM 'OK' THEN RAISE EXCEPTION 'not closed' USING ERRCODE = '${WRONG}'; END IF;
      RETURN NEXT;
    END $$;
  CREATE FUNCTION send(sql text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      -- The remote may have been lost before: then there is nothing to be got.
      IF dblink_send_query('c', sql) <> 1 THEN RAISE EXCEPTION 'not sent' USING ERRCODE = '08006'; END IF;
    END $$;
  CREATE FUNCTION later(n int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE v int; w int;
    BEGIN
      PERFORM send('SELECT ' || n || ' * 2, pg_sleep(0.01)::text; SELECT ' || n || ' * 5, NULL');
      WHILE dblink_is_busy('c') = 1 LOOP PERFORM pg_sleep(0.001); END LOOP;
      SELECT r INTO STRICT v FROM dblink_get_result('c') AS t(r int, x text);
      SELECT r INTO STRICT w FROM dblink_get_result('c') AS t(r int, x text);
      PERFORM FROM dblink_get_result('c') AS t(r int, x text);
      IF FOUND THEN RAISE EXCEPTION 'a third result' USING ERRCODE = '${WRONG}'; END IF;
      RETURN v + w;
    END $$;
  CREATE FUNCTION later_large() RETURNS TABLE (n bigint, total bigint, bytes bigint) LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM send($x$${LARGE_SQL}$x$);
      RETURN QUERY SELECT count(*), sum(a), sum(length(b)) FROM dblink_get_result('c') AS t(a int, b text);
      PERFORM FROM dblink_get_result('c') AS t(a int, b text);
    END $$;
  CREATE FUNCTION stop_it() RETURNS text LANGUAGE plpgsql AS $$
    DECLARE v int;
    BEGIN
      PERFORM send('SELECT 1, pg_sleep(0.2)::text');
      PERFORM pg_sleep(0.005);
      IF dblink_cancel_query('c') <> 'OK' THEN RAISE EXCEPTION 'not cancelled' USING ERRCODE = '08006'; END IF;
      BEGIN
        SELECT r INTO STRICT v FROM dblink_get_result('c') AS t(r int, x text);
      EXCEPTION WHEN query_canceled THEN
        -- The remote's, else it is the session's own.
        IF SQLERRM <> 'canceling statement due to user request' THEN RAISE; END IF;
      END;
      PERFORM FROM dblink_get_result('c') AS t(r int, x text);
      RETURN 'stopped';
    END $$;
  CREATE FUNCTION told(word text) RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM dblink_exec('c', 'LISTEN news');
      PERFORM dblink_exec('c', format('NOTIFY news, %L', word));
      RETURN (SELECT count(*) FROM dblink_get_notify('c') WHERE extra = word);
    END $$;
  CREATE FUNCTION far_triple(n int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RETURN (SELECT r FROM dblink('far', 'SELECT ' || n || ' * 3') AS t(r int)); END $$;
  CREATE FUNCTION far_named(n int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE v int;
    BEGIN
      PERFORM dblink_connect('f', 'far');
      SELECT r INTO STRICT v FROM dblink('f', 'SELECT ' || n || ' * 3') AS t(r int);
      PERFORM dblink_disconnect('f');
      RETURN v;
    END $$;
  CREATE FUNCTION lent(n int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE v int; w int;
    BEGIN
      PERFORM dblink_connect('l', (SELECT conninfo FROM conf));
      SELECT r INTO STRICT v FROM dblink('l', 'SELECT ' || n || ' * 3') AS t(r int);
      PERFORM dblink_disconnect('l');
      SELECT r INTO STRICT w FROM dblink((SELECT conninfo FROM conf), 'SELECT ' || n || ' * 5') AS t(r int);
      RETURN v + w;
    END $$;`;

const TOTALS = `${LARGE}|${LARGE_SUM}|${LARGE * 100}`;
const large = (source: string): string =>
  `SELECT count(*), sum(a), sum(length(b)) FROM ${source} AS t(a int, b text)`;
const PAIRS = 'AS t(a int, b text)';

/** As functions of the session, and as calls of its own: then a fault comes between them, too. */
export const CALLS: Readonly<Record<string, Make>> = {
  'a cursor': () => ({
    sql: `SELECT dblink_open('c', 'k', 'SELECT i, pg_sleep(0.002)::text FROM generate_series(1, 6) i');
      SELECT a FROM dblink_fetch('c', 'k', 4) ${PAIRS}; SELECT a + 0 FROM dblink_fetch('c', 'k', 4) ${PAIRS};
      SELECT dblink_close('c', 'k')`,
    check: gives('OK', '1', '2', '3', '4', '5', '6', 'OK'),
  }),
  'a cursor with a large page': () => ({
    sql: `SELECT dblink_open('c', 'k', $$${LARGE_SQL}$$); ${large(`dblink_fetch('c', 'k', ${LARGE})`)};
      SELECT dblink_close('c', 'k')`,
    check: gives('OK', TOTALS, 'OK'),
  }),
  'a function with a cursor': () => ({
    sql: `SELECT * FROM fetch_all($$${LARGE_SQL}$$)`,
    check: gives(TOTALS),
  }),
  'an asynchronous query': (random) => {
    const n = random.integer(1e6);
    return {
      sql: `SELECT dblink_send_query('c', 'SELECT ${n}, pg_sleep(0.01)::text; SELECT ${n + 1}, NULL');
        SELECT dblink_is_busy('c') IN (0, 1); SELECT a FROM dblink_get_result('c') ${PAIRS};
        SELECT a + 0 FROM dblink_get_result('c') ${PAIRS}; SELECT count(*) FROM dblink_get_result('c') ${PAIRS}`,
      check: gives('1', 't', `${n}`, `${n + 1}`, '0'),
    };
  },
  'a large asynchronous query': () => ({
    sql: `SELECT dblink_send_query('c', $$${LARGE_SQL}$$); SELECT pg_sleep(0.01)::text;
      ${large("dblink_get_result('c')")}; SELECT count(*) FROM dblink_get_result('c') ${PAIRS}`,
    check: gives('1', '', TOTALS, '0'),
  }),
  'a function with an asynchronous query': (random) => {
    const n = random.integer(1e6);
    return { sql: `SELECT later(${n})`, check: gives(`${n * 7}`) };
  },
  'a function with a large asynchronous query': () => ({
    sql: 'SELECT * FROM later_large()',
    check: gives(TOTALS),
  }),
  'an asynchronous query that is cancelled': () => ({
    sql: `SELECT dblink_send_query('c', 'SELECT 1, pg_sleep(0.2)::text'); SELECT pg_sleep(0.005)::text;
      SELECT dblink_cancel_query('c'); SELECT a FROM dblink_get_result('c', false) ${PAIRS} WHERE a <> 1;
      SELECT count(*) FROM dblink_get_result('c') ${PAIRS}`,
    check: gives('1', '', 'OK', '0'),
  }),
  'a function that cancels an asynchronous query': () => ({
    sql: 'SELECT stop_it()',
    check: gives('stopped'),
  }),
  'a notification': (random) => {
    const word = `w${random.integer(1e9)}`;
    return {
      sql: `SELECT dblink_exec('c', 'LISTEN news'); SELECT dblink_exec('c', 'NOTIFY news, ''${word}''');
        SELECT extra FROM dblink_get_notify('c') WHERE extra = '${word}'`,
      check: gives('LISTEN', 'NOTIFY', word),
    };
  },
  'a function with a notification': (random) => ({
    sql: `SELECT told('w${random.integer(1e9)}')`,
    check: gives('1'),
  }),
  'a foreign server': (random) => {
    const n = random.integer(1e6);
    return {
      sql: `SELECT a FROM dblink('far', 'SELECT ${n}') AS t(a int); SELECT dblink_connect('f', 'far');
        SELECT a + 0 FROM dblink('f', 'SELECT ${n + 1}') AS t(a int); SELECT dblink_disconnect('f')`,
      check: gives(`${n}`, 'OK', `${n + 1}`, 'OK'),
    };
  },
  "a definer's function that connects": (random) => {
    const n = random.integer(1e6);
    return { sql: `SELECT lent(${n})`, check: gives(`${n * 8}`) };
  },
  'functions with a foreign server': (random) => {
    const n = random.integer(1e6);
    return { sql: `SELECT far_triple(${n}), far_named(${n + 1})`, check: gives(`${n * 3}|${n * 3 + 3}`) };
  },
};
