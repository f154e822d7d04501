/** The names of the fixtures' template databases; every driver gets a copy of its own. */
export const TEMPLATE = 'fixture';

/** The role of the remote that must give a password, and that password. */
export const READER = { name: 'reader', password: "pass wo'rd" } as const;

/** Types on both sides, since values cross as text. */
const TYPES = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN short AS varchar(4) CHECK (VALUE <> 'bad');
`;

/** Makes the database a driver connects to. */
export const LOCAL_FIXTURE = `${TYPES}
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text);
INSERT INTO customers VALUES (1, 'Ada', 'London'), (2, 'Grace', 'New York'), (3, 'Emmy', U&'G\\00F6ttingen'), (4, 'Sofia', NULL);
CREATE TABLE archive (id int PRIMARY KEY, item text, amount numeric(10,2));
CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY, line text);
CREATE TABLE conf (k text PRIMARY KEY, v text);
ANALYZE;
`;

/**
 * Makes the database that the connection string leads to. `kinds` has a column of every type drivers decode.
 *
 * @param nap seconds that who reads `slow` waits
 */
export const remoteFixture = (nap: number): string => `${TYPES}
CREATE TABLE orders (
  id int PRIMARY KEY, customer_id int NOT NULL, item text NOT NULL, amount numeric(10,2), ordered_on date,
  shipped boolean NOT NULL DEFAULT false);
INSERT INTO orders VALUES
  (1, 1, 'punched cards', 120.00, '2024-03-01', true), (2, 2, 'compiler', 950.50, '2024-11-20', false),
  (3, 1, 'difference engine', 4999.99, '2025-02-14', true), (4, 3, 'ring', 75.25, '2025-05-30', false),
  (5, 2, 'nanosecond of wire', 0.30, '2025-07-04', true);
CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY, line text);
CREATE TABLE kinds (
  n int, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, num numeric, num2 numeric(8,3), t text,
  vc varchar(12), ch char(5), nm name, b boolean, d date, tm time, tmz timetz, ts timestamp, tsz timestamptz,
  iv interval, u uuid, j json, jb jsonb, ba bytea, ia int[], ta text[], na numeric[], ip inet, r int4range, bits bit(4),
  o oid, pt point);
INSERT INTO kinds VALUES
  (1, 1, 42, 9007199254740993, 1.5, 2.25, 12345678901234567890.123456789, 3.14, U&'t\\00E9xt \\20AC', 'short', 'ab', 'n', true,
   '2024-02-29', '13:14:15.5', '13:14:15+02', '2024-02-29 13:14:15.123456', '2024-02-29 13:14:15.123456+00', '1 day 02:03',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1,  "a": [null]}', '{"b": {"c": [1, 2.50]}, "a": "x"}', '\\x00ff10',
   '{1,NULL,3}', '{"a,b","NULL",NULL,""}', '{1.10,-2}', '10.0.0.1/8', '[1,5)', b'1010', 4294967295, '(1,2)'),
  (2, -32768, -2147483648, -9223372036854775808, -1e-30, 1.7976931348623157e308, -0.0001, -99999.999, '', '', '', '', false,
   '0044-03-15 BC', '00:00', '24:00:00-12', '-infinity', 'infinity', '-1 year', '00000000-0000-0000-0000-000000000000', 'null',
   '[]', '', '{}', '{}', '{}', '::1', 'empty', b'0000', 0, '(-0.5,1e10)'),
  (3, NULL, NULL, NULL, 'NaN', '-Infinity', 'NaN', NULL, E'tab\\tand\\nline \\\\ ''"', NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{{1,2},{3,4}}', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE FUNCTION fail(state text, message text, detail text, hint text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint;
END $$;
CREATE FUNCTION noise() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'noise'; RETURN 1; END $$;
CREATE PROCEDURE until_asleep() LANGUAGE plpgsql AS $$
BEGIN
  WHILE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep') LOOP
    PERFORM pg_stat_clear_snapshot();
  END LOOP;
END $$;
CREATE VIEW slow AS SELECT 1 AS a FROM pg_sleep(${nap});
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
ANALYZE;
`;

/** The remote's connection string, in the SQL of the objects below. */
const FAR = "(SELECT v FROM conf WHERE k = 'remote')";

/** What calls dblink where only the primary's executor sees it; made when the functions and `conf` are there. */
export const bridgedFixture = (nap: number): string => `
CREATE VIEW far_orders AS SELECT * FROM dblink(${FAR}, 'SELECT id, customer_id, item, amount, ordered_on, shipped FROM orders')
  AS t(id int, customer_id int, item text, amount numeric(10,2), ordered_on date, shipped boolean);
CREATE VIEW far_kinds AS SELECT * FROM dblink(${FAR}, 'SELECT n, i8, f8, num, t, b, u, jb, ba, ia, iv FROM kinds WHERE n <> 2')
  AS t(n int, i8 bigint, f8 float8, num numeric, t text, b boolean, u uuid, jb jsonb, ba bytea, ia text, iv interval);
CREATE VIEW far_nothing AS SELECT * FROM dblink(${FAR}, 'SELECT 1 WHERE false') AS t(a int);
CREATE VIEW far_mismatch AS SELECT * FROM dblink(${FAR}, 'SELECT 1, 2') AS t(a int);
CREATE VIEW far_division AS SELECT * FROM dblink(${FAR}, 'SELECT 1/(3 - g) FROM generate_series(1, 5) g') AS t(a int);
CREATE VIEW far_sleep AS SELECT * FROM dblink(${FAR}, 'SELECT pg_sleep(${nap})') AS t(a text);
CREATE VIEW far_many AS SELECT * FROM dblink(${FAR}, 'SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 20000) g')
  AS t(n int, line text);
CREATE FUNCTION far_item(wanted int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  found text;
BEGIN
  SELECT t.item INTO found FROM dblink(${FAR}, 'SELECT item FROM orders WHERE id = ' || wanted) AS t(item text);
  RETURN found;
END $$;
CREATE FUNCTION far_rows(up_to int) RETURNS TABLE (id int, item text) LANGUAGE sql AS $$
  SELECT * FROM dblink(${FAR}, format('SELECT id, item FROM orders WHERE id <= %s ORDER BY id', up_to)) AS t(id int, item text)
$$;
CREATE FUNCTION far_total(customer int) RETURNS numeric LANGUAGE sql STABLE AS $$
  SELECT sum(amount) FROM far_orders WHERE customer_id = customer
$$;
CREATE FUNCTION far_write(line text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN dblink_exec(${FAR}, format('INSERT INTO log (line) VALUES (%L)', line));
END $$;
CREATE FUNCTION unguarded(sql text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT t.a FROM dblink(${FAR}, sql) AS t(a int));
END $$;
CREATE FUNCTION attempted(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  detail text;
  hint text;
BEGIN
  RETURN unguarded(sql);
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN concat_ws('|', SQLSTATE, SQLERRM, detail, hint);
END $$;
CREATE TABLE watched (id int PRIMARY KEY, line text);
CREATE FUNCTION tell_remote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dblink_exec(${FAR}, CASE NEW.line WHEN 'refused' THEN 'SELECT nosuch' ELSE format('INSERT INTO log (line) VALUES (%L)', NEW.line) END);
  RETURN NEW;
END $$;
CREATE TRIGGER tell BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tell_remote();
`;

/** Makes the remote's role with a password. */
export const ROLES = `CREATE ROLE ${READER.name} LOGIN PASSWORD '${READER.password.replaceAll("'", "''")}'`;

/** pg_hba.conf of the remotes. */
export const REMOTE_HBA: readonly string[] = [
  'local all all trust',
  `host all ${READER.name} 127.0.0.1/32 scram-sha-256`,
  'host all all 127.0.0.1/32 trust',
];
