-- A replicator: copies tables of a remote in batches by cursors and several asynchronous queries, and sends changes back with
-- statements that dblink builds.

--# dblink
CREATE EXTENSION dblink

--# the source
SELECT dblink_connect('source', '{R}'), dblink_exec('source', $remote$
  CREATE TABLE orders (shop int, number int, item text, price numeric(8,2), ordered date, tags text[], PRIMARY KEY (shop, number));
  INSERT INTO orders SELECT 1 + n % 3, n, 'item ' || n, n * 1.25, date '2024-01-31' + n, ARRAY['t' || n % 5] FROM generate_series(1, 50) n
$remote$)

--# the copy
CREATE SCHEMA copy;
CREATE TABLE copy.orders (gone int, shop int, number int, item text, price numeric(8,2), ordered date, tags text[], PRIMARY KEY (shop, number));
ALTER TABLE copy.orders DROP COLUMN gone;
CREATE TABLE copy.batches (n int GENERATED ALWAYS AS IDENTITY, rows int)

--# functions
CREATE FUNCTION copy.pull(batch int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  n int;
  total int := 0;
BEGIN
  PERFORM dblink_open('source', 'all_orders', 'SELECT * FROM orders ORDER BY number');
  LOOP
    INSERT INTO copy.orders SELECT * FROM dblink_fetch('source', 'all_orders', batch)
      AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[]);
    GET DIAGNOSTICS n = ROW_COUNT;
    EXIT WHEN n = 0;
    INSERT INTO copy.batches (rows) VALUES (n);
    total := total + n;
  END LOOP;
  PERFORM dblink_close('source', 'all_orders');
  RETURN total;
END $$;

CREATE FUNCTION copy.key(OUT positions int2vector, OUT columns int) LANGUAGE sql AS $$
  SELECT string_agg(k.position::text, ' ' ORDER BY k.position)::int2vector, count(*)::int FROM dblink_get_pkey('copy.orders') k
$$;

CREATE FUNCTION copy.push() RETURNS trigger LANGUAGE plpgsql SET search_path = copy, public AS $$
DECLARE
  k record;
  id text[];
BEGIN
  SELECT * INTO k FROM copy.key();
  IF TG_OP = 'DELETE' THEN
    id := ARRAY[OLD.shop, OLD.number];
    PERFORM dblink_exec('source', dblink_build_sql_delete('orders', k.positions, k.columns, id));
  ELSE
    id := ARRAY[NEW.shop, NEW.number];
    IF TG_OP = 'INSERT' THEN
      PERFORM dblink_exec('source', dblink_build_sql_insert('orders', k.positions, k.columns, id, id));
    ELSE
      PERFORM dblink_exec('source', dblink_build_sql_update('orders', k.positions, k.columns, id, id));
    END IF;
  END IF;
  RETURN NULL;
END $$

--# batches by a function
SELECT copy.pull(20)

--# how large they were
SELECT rows FROM copy.batches ORDER BY n

--# the copy is complete
SELECT count(*), sum(price), min(ordered), max(ordered) FROM copy.orders

--# it is the source's
SELECT * FROM copy.orders EXCEPT
SELECT * FROM dblink('source', 'SELECT * FROM orders') AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[])

--# the same batches again are rolled back
SELECT copy.pull(20)

--# the cursor is still open
SELECT * FROM dblink_fetch('source', 'all_orders', 1) AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[])

--# it is closed by hand
SELECT dblink_close('source', 'all_orders'), dblink_error_message('source')

--# batches by statements: the cursor
BEGIN;
TRUNCATE copy.orders;
SELECT dblink_open('source', 'c', 'SELECT * FROM orders WHERE shop = 1 ORDER BY number')

--# batches by statements: the first
INSERT INTO copy.orders SELECT * FROM dblink_fetch('source', 'c', 5)
  AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[]) RETURNING number

--# batches by statements: with a parameter
--: parameters ["7"]
INSERT INTO copy.orders SELECT * FROM dblink_fetch('source', 'c', $1::int)
  AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[]) RETURNING number

--# batches by statements: more than there are
INSERT INTO copy.orders SELECT * FROM dblink_fetch('source', 'c', 1000)
  AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[])

--# batches by statements: none is left
INSERT INTO copy.orders SELECT * FROM dblink_fetch('source', 'c', 5)
  AS t(shop int, number int, item text, price numeric(8,2), ordered date, tags text[])

--# batches by statements: the end
SELECT dblink_close('source', 'c');
COMMIT;
SELECT count(*) FROM copy.orders

--# columns that do not fit
SELECT dblink_open('source', 'c', 'SELECT * FROM orders');
SELECT * FROM dblink_fetch('source', 'c', 1) AS t(shop int)

--# values that do not fit
SELECT * FROM dblink_fetch('source', 'c', 1) AS t(shop int, number int, item int, price numeric, ordered date, tags text[])

--# the cursor has gone on
SELECT number FROM dblink_fetch('source', 'c', 1) AS t(shop int, number int, item text, price numeric, ordered date, tags text[])

--# a cursor that is not there
SELECT * FROM dblink_fetch('source', 'nosuch', 1) AS t(n int)

--# a cursor that is not there, in a handler
DO $$
BEGIN
  PERFORM dblink_close('source', 'nosuch');
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
END $$

--# the remote transaction has failed
SELECT dblink_exec('source', 'ROLLBACK'), dblink_error_message('source')

--# keys
SELECT * FROM dblink_get_pkey('copy.orders'), copy.key() ORDER BY 1

--# changes are sent back
CREATE TRIGGER push AFTER INSERT OR UPDATE OR DELETE ON copy.orders FOR EACH ROW EXECUTE FUNCTION copy.push();
INSERT INTO copy.orders VALUES (9, 100, 'it''s \ new', 9.99, '2025-06-07', '{a,"b c"}');
UPDATE copy.orders SET item = upper(item), tags = NULL WHERE number IN (3, 6, 100);
DELETE FROM copy.orders WHERE number = 9

--# the statements for it
SELECT dblink_build_sql_insert('copy.orders', positions, columns, '{1,3}', '{7,8}'),
  dblink_build_sql_update('copy.orders', positions, columns, '{1,3}', '{1,3}'),
  dblink_build_sql_delete('copy.orders', positions, columns, '{1,3}') FROM copy.key()

--# a row that is not there
SELECT dblink_build_sql_insert('copy.orders', '1 2', 2, '{1,-1}', '{1,-1}')

--# the source has the changes
SELECT * FROM dblink('source', 'SELECT shop, number, item, tags FROM orders WHERE number IN (3, 6, 9, 100)') AS t(shop int, number int, item text, tags text[])
ORDER BY number

--# a change that the source refuses
INSERT INTO copy.orders VALUES (2, 1, 'is there already', 1, '2024-02-01', '{}')

--# changes in one remote transaction
SELECT dblink_exec('source', 'BEGIN');
UPDATE copy.orders SET price = price + 1 WHERE number < 10;
SELECT dblink_exec('source', 'COMMIT'), sum(price) FROM copy.orders

--# changes in one remote transaction, rolled back on both sides
SELECT dblink_exec('source', 'BEGIN');
BEGIN;
DELETE FROM copy.orders;
ROLLBACK;
SELECT dblink_exec('source', 'ROLLBACK'), count(*) FROM copy.orders

--# several connections
SELECT shop, dblink_connect('shop ' || shop, '{R}') FROM generate_series(1, 3) shop

--# a query on each
SELECT shop, dblink_send_query('shop ' || shop, format('SELECT number, price FROM orders WHERE shop = %s ORDER BY number', shop))
FROM generate_series(1, 3) shop

--# a second query on one
SELECT dblink_send_query('shop 1', 'SELECT 1')

--# they are waited for
DO $$
DECLARE
  shop int;
BEGIN
  FOR shop IN 1..3 LOOP
    WHILE dblink_is_busy('shop ' || shop) = 1 LOOP PERFORM pg_sleep(0.01); END LOOP;
  END LOOP;
END $$

--# their results
SELECT shop, count(*), sum(price) FROM generate_series(1, 3) shop, dblink_get_result('shop ' || shop) AS t(number int, price numeric)
GROUP BY shop ORDER BY shop

--# nothing is left of them
SELECT shop, t.* FROM generate_series(1, 3) shop LEFT JOIN LATERAL dblink_get_result('shop ' || shop) AS t(number int, price numeric) ON true
ORDER BY shop

--# results that go into a table
CREATE TABLE copy.prices (shop int, number int, price numeric);
DO $$
DECLARE
  shop int;
BEGIN
  FOR shop IN 1..3 LOOP
    PERFORM dblink_send_query('shop ' || shop, 'SELECT number, price FROM orders WHERE shop = ' || shop);
  END LOOP;
  FOR shop IN 1..3 LOOP
    LOOP
      INSERT INTO copy.prices SELECT shop, t.* FROM dblink_get_result('shop ' || shop) AS t(number int, price numeric);
      EXIT WHEN NOT FOUND;
    END LOOP;
  END LOOP;
END $$;
SELECT shop, count(*), sum(price) FROM copy.prices GROUP BY shop ORDER BY shop

--# one of several fails
SELECT dblink_send_query('shop 1', 'SELECT 1'), dblink_send_query('shop 2', 'SELECT 1/0'), dblink_send_query('shop 3', 'SELECT 3; SELECT 4')

--# its result
SELECT * FROM dblink_get_result('shop 2') AS t(n int)

--# what it says
SELECT dblink_error_message('shop 2'), dblink_error_message('shop 1')

--# the others
SELECT 1 AS shop, * FROM dblink_get_result('shop 1') AS t(n int) UNION ALL
SELECT 3, * FROM dblink_get_result('shop 3') AS t(n int) ORDER BY 1

--# the second result of a string
SELECT * FROM dblink_get_result('shop 3') AS t(n int)

--# an error as a notice
SELECT dblink_exec('source', 'INSERT INTO orders (shop) VALUES (1)', false)

--# a large batch
CREATE VIEW copy.large AS SELECT * FROM dblink('source', 'SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 2000) n') AS t(n int, filler text);
SELECT count(*), sum(length(filler)), md5(string_agg(filler, ',' ORDER BY n)) FROM copy.large

--# all connections are closed
SELECT count(dblink_disconnect(name)) FROM unnest(dblink_get_connections()) name

--# no connection is left
SELECT dblink_get_connections()
