-- A framework for unit tests that opens sessions of its own by dblink, to test what only two sessions can: locks and serialization.
-- What the tests call in these sessions uses dblink again.

--# dblink and a schema for the framework
CREATE EXTENSION dblink;
CREATE SCHEMA unit

--# the framework
CREATE TABLE unit.results (test text, step int GENERATED ALWAYS AS IDENTITY, said text);

CREATE FUNCTION unit.open(VARIADIC names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY names LOOP
    IF dblink_connect(name, format('host=127.0.0.1 port=%s dbname=%s user=postgres', current_setting('port'), current_database())) <> 'OK' THEN
      RAISE EXCEPTION 'no session %', name;
    END IF;
    PERFORM dblink_exec(name, 'SET application_name = ' || quote_literal('unit ' || name));
  END LOOP;
END $$;

CREATE FUNCTION unit.close() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  n int := 0;
  name text;
BEGIN
  FOREACH name IN ARRAY coalesce(dblink_get_connections(), '{}') LOOP
    PERFORM dblink_disconnect(name);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- The first column of all rows, the command tag, or the error.
CREATE FUNCTION unit.run(session text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  SELECT string_agg(t.v, ', ') INTO result FROM dblink(session, statement) AS t(v text);
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN format('%s %s', SQLSTATE, SQLERRM);
END $$;

CREATE FUNCTION unit.start(session text, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF dblink_send_query(session, statement) <> 1 THEN
    RAISE EXCEPTION 'session % is busy', session;
  END IF;
END $$;

CREATE FUNCTION unit.wait_until_blocked(session text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    PERFORM pg_stat_clear_snapshot();
    IF EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = 'unit ' || session AND cardinality(pg_blocking_pids(a.pid)) > 0) THEN
      RETURN dblink_is_busy(session) = 1;
    END IF;
    IF dblink_is_busy(session) = 0 THEN
      RETURN false;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;

CREATE FUNCTION unit.finish(session text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  SELECT string_agg(t.v, ', ') INTO result FROM dblink_get_result(session) AS t(v text);
  PERFORM * FROM dblink_get_result(session) AS t(v text);
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  PERFORM * FROM dblink_get_result(session) AS t(v text);
  RETURN format('%s %s', SQLSTATE, SQLERRM);
END $$;

CREATE PROCEDURE unit.test(name text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO unit.results (test, said) SELECT %L, said FROM unit.test_%s() AS said', name, name);
END $$

--# what is tested
CREATE TABLE accounts (id int PRIMARY KEY, owner text, balance int NOT NULL);
INSERT INTO accounts VALUES (1, 'ann', 100), (2, 'bob', 100), (3, 'cleo', 100);
CREATE FUNCTION withdraw(account int, amount int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  left_over int;
BEGIN
  IF (SELECT sum(balance) FROM accounts) < amount THEN
    RAISE EXCEPTION 'not enough money' USING ERRCODE = 'P0042', DETAIL = 'Asked for ' || amount, HINT = 'Save some.';
  END IF;
  UPDATE accounts SET balance = balance - amount WHERE id = account RETURNING balance INTO left_over;
  RETURN left_over;
END $$

--# tests of locks
CREATE FUNCTION unit.test_locks() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM unit.open('one', 'two');
  RETURN NEXT unit.run('one', 'BEGIN');
  RETURN NEXT unit.run('one', 'SELECT withdraw(1, 10)');
  RETURN NEXT unit.run('two', 'SELECT * FROM accounts WHERE id = 1 FOR UPDATE NOWAIT');
  RETURN NEXT unit.run('two', 'SELECT id FROM accounts ORDER BY id FOR UPDATE SKIP LOCKED');
  RETURN NEXT unit.run('two', 'SET lock_timeout = 1; UPDATE accounts SET owner = upper(owner) WHERE id = 1');
  RETURN NEXT unit.run('two', 'RESET lock_timeout');
  PERFORM unit.start('two', 'SELECT withdraw(1, 20)');
  RETURN NEXT 'blocked: ' || unit.wait_until_blocked('two');
  RETURN NEXT unit.run('one', 'COMMIT');
  RETURN NEXT unit.finish('two');
  RETURN NEXT 'closed: ' || unit.close();
END $$

--# tests of serialization
CREATE FUNCTION unit.test_serialization() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  name text;
BEGIN
  PERFORM unit.open('one', 'two');
  FOREACH name IN ARRAY '{one,two}'::text[] LOOP
    RETURN NEXT unit.run(name, 'BEGIN ISOLATION LEVEL SERIALIZABLE');
    RETURN NEXT unit.run(name, 'SELECT sum(balance) FROM accounts');
  END LOOP;
  RETURN NEXT unit.run('one', 'SELECT withdraw(1, 5)');
  RETURN NEXT unit.run('two', 'SELECT withdraw(2, 5)');
  RETURN NEXT unit.run('one', 'COMMIT');
  RETURN NEXT unit.run('two', 'COMMIT');
  RETURN NEXT unit.run('two', 'SELECT balance FROM accounts ORDER BY id');
  RETURN NEXT 'closed: ' || unit.close();
END $$

--# tests of snapshots
CREATE FUNCTION unit.test_snapshots() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM unit.open('one', 'two');
  RETURN NEXT unit.run('one', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT balance FROM accounts WHERE id = 3');
  RETURN NEXT unit.run('two', 'UPDATE accounts SET balance = 1 WHERE id = 3');
  RETURN NEXT unit.run('one', 'SELECT balance FROM accounts WHERE id = 3');
  RETURN NEXT unit.run('one', 'UPDATE accounts SET balance = 2 WHERE id = 3');
  RETURN NEXT unit.run('one', 'SELECT 1');
  RETURN NEXT unit.run('one', 'ROLLBACK');
  RETURN NEXT unit.run('one', 'SELECT withdraw(3, 1000000)');
  RETURN NEXT 'closed: ' || unit.close();
END $$

--# the tests run
CALL unit.test('locks');
CALL unit.test('serialization');
CALL unit.test('snapshots')

--# what they found
SELECT test, said FROM unit.results ORDER BY step

--# an error of a tested function, as it is
SELECT unit.open('one');
SELECT * FROM dblink('one', 'SELECT withdraw(3, 1000000)') AS t(balance int)

--# the session of the failed test is still there, since a rollback closes none
SELECT unit.open('one')

--# it is closed
SELECT unit.close()

--# a test in a transaction does not see its own rows by the other session
BEGIN;
INSERT INTO accounts VALUES (4, 'dora', 1);
SELECT unit.open('other');
SELECT unit.run('other', 'SELECT id FROM accounts ORDER BY id'), unit.run('other', 'INSERT INTO accounts VALUES (5, ''eve'', 5)');
ROLLBACK;
SELECT id FROM accounts ORDER BY id

--# objects that use dblink
CREATE VIEW far_people AS SELECT * FROM dblink('{R}', 'SELECT id, name FROM people') AS t(id int, name text);
CREATE FUNCTION far(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN dblink_exec('{R}', statement);
END $$;
CREATE FUNCTION far_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dblink_exec('far', format('INSERT INTO copied VALUES (%L)', NEW.owner));
  RETURN NEW;
END $$;
CREATE TABLE owners (owner text);
CREATE TRIGGER far_copy AFTER INSERT ON owners FOR EACH ROW EXECUTE FUNCTION far_copy();
SELECT far('CREATE TABLE copied (owner text)')

--# a view that uses dblink, in another session
SELECT * FROM dblink('other', 'SELECT id, name FROM far_people ORDER BY id') AS t(id int, name text)

--# a function that uses dblink, in another session
SELECT * FROM dblink('other', $$ SELECT far('INSERT INTO copied VALUES (''by a function'')') $$) AS t(v text)

--# dblink itself, in another session
SELECT * FROM dblink('other', $$ SELECT dblink_connect('far', '{R}') $$) AS t(v text)

--# it is that session's, not this one's
SELECT dblink_get_connections(), other FROM dblink('other', 'SELECT dblink_get_connections()') AS t(other text[])

--# a trigger that uses dblink, in another session
SELECT dblink_exec('other', $$ INSERT INTO owners VALUES ('fay'), ('gus') $$)

--# a trigger that uses dblink, in another session's transaction
SELECT dblink_exec('other', 'BEGIN');
SELECT dblink_exec('other', $$ INSERT INTO owners VALUES ('hal') $$)

--# that is rolled back
SELECT dblink_exec('other', 'ROLLBACK')

--# an error of dblink in another session
SELECT * FROM dblink('other', $$ SELECT far('INSERT INTO nosuch VALUES (1)') $$) AS t(v text)

--# a third session behind the other
SELECT * FROM dblink('other', format($$ SELECT * FROM dblink('port=%s dbname=%s user=postgres', 'SELECT count(*) FROM far_people') AS t(n int) $$,
  current_setting('port'), current_database())) AS t(n int)

--# dblink in another session, asynchronously
SELECT dblink_send_query('other', 'SELECT count(*) FROM far_people');
SELECT * FROM dblink_get_result('other') AS t(n int)

--# its end
SELECT * FROM dblink_get_result('other') AS t(n int)

--# the framework in another session: a test inside of a test
SELECT dblink_exec('other', $$ CALL unit.test('snapshots') $$)

--# what it found
SELECT said FROM unit.results WHERE test = 'snapshots' ORDER BY step

--# what the remote has
SELECT * FROM dblink('{R}', 'SELECT owner FROM copied ORDER BY 1') AS t(owner text)

--# all is emptied
TRUNCATE owners, unit.results RESTART IDENTITY;
SELECT dblink_exec('{R}', 'TRUNCATE copied')

--# the last session is closed
SELECT dblink_disconnect('other')
