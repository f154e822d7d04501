-- A job logger: what it writes stays, whatever becomes of the transaction that logs, since each line goes through a connection of
-- its own to the same database.

--# dblink is made by a DO block
DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS dblink; END $$

--# dblink is made by a statement, if it is not there yet
CREATE EXTENSION IF NOT EXISTS dblink

--# the script goes on only with dblink
DO $$
DECLARE
  place name;
BEGIN
  SELECT n.nspname INTO place FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'dblink';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the job logger needs the extension dblink' USING HINT = 'Run CREATE EXTENSION dblink first.';
  END IF;
  RAISE NOTICE 'dblink is in the schema %', place;
END $$

--# the script goes on only with the functions it needs
DO $$
BEGIN
  IF to_regprocedure('dblink_connect(text, text)') IS NULL OR to_regproc('dblink_disconnect') IS NOT NULL THEN
    RAISE EXCEPTION 'dblink is not complete';
  END IF;
END $$

--# a script that rolls back its check
BEGIN;
DO $$ BEGIN PERFORM 1 FROM pg_extension WHERE extname = 'dblink'; RAISE NOTICE 'found: %', FOUND; END $$;
ROLLBACK

--# tables
CREATE SCHEMA joblog;
CREATE TABLE joblog.jobs (id int PRIMARY KEY, name text NOT NULL UNIQUE, state text NOT NULL DEFAULT 'new');
CREATE TABLE joblog.lines (line int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job int, level text NOT NULL
  CONSTRAINT known_level CHECK (level IN ('info', 'warning', 'error')), message text NOT NULL, role name DEFAULT session_user);
CREATE TABLE joblog.stock (item text PRIMARY KEY, amount int NOT NULL CHECK (amount >= 0));
INSERT INTO joblog.jobs VALUES (1, 'refill'), (2, 'count'), (3, 'fail');
INSERT INTO joblog.stock VALUES ('apple', 3), ('pear', 0)

--# functions
CREATE FUNCTION joblog.address() RETURNS text LANGUAGE sql STABLE AS
  $$ SELECT format('port=%s dbname=%s user=postgres', current_setting('port'), current_database()) $$;

CREATE FUNCTION joblog.log(job int, level text, message text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = joblog, public, pg_temp AS $$
BEGIN
  IF 'joblog' <> ALL (coalesce(dblink_get_connections(), '{}')) THEN
    PERFORM dblink_connect('joblog', joblog.address());
  END IF;
  PERFORM dblink_exec('joblog', format('INSERT INTO joblog.lines (job, level, message) VALUES (%L, %L, %L)', job, level, message));
END $$;

CREATE FUNCTION joblog.close() RETURNS text LANGUAGE sql AS
  $$ SELECT dblink_disconnect(c) FROM unnest(dblink_get_connections()) c WHERE c = 'joblog' $$;

CREATE FUNCTION joblog.log_once(message text) RETURNS text LANGUAGE sql AS
  $$ SELECT dblink_exec(joblog.address(), format('INSERT INTO joblog.lines (level, message) VALUES (''info'', %L)', message)) $$;

CREATE FUNCTION joblog.on_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM joblog.log(NULL, 'warning', format('%s %s %s', TG_OP, TG_TABLE_NAME, OLD));
    RETURN OLD;
  END IF;
  PERFORM joblog.log(NULL, 'info', format('%s %s %s', TG_OP, TG_TABLE_NAME, NEW));
  RETURN NEW;
END $$;
CREATE TRIGGER log_change BEFORE INSERT OR UPDATE OR DELETE ON joblog.stock FOR EACH ROW EXECUTE FUNCTION joblog.on_change();

CREATE FUNCTION joblog.run(wanted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  job joblog.jobs;
BEGIN
  SELECT * INTO STRICT job FROM joblog.jobs WHERE name = wanted;
  UPDATE joblog.jobs SET state = 'running' WHERE id = job.id;
  PERFORM joblog.log(job.id, 'info', 'begins');
  CASE wanted
    WHEN 'refill' THEN UPDATE joblog.stock SET amount = amount + 10;
    WHEN 'count' THEN PERFORM joblog.log(job.id, 'info', (SELECT sum(amount)::text FROM joblog.stock));
    ELSE UPDATE joblog.stock SET amount = amount - 100;
  END CASE;
  PERFORM joblog.log(job.id, 'info', 'ends');
  RETURN 'done';
EXCEPTION WHEN check_violation THEN
  PERFORM joblog.log(job.id, 'error', SQLERRM);
  UPDATE joblog.jobs SET state = SQLSTATE WHERE id = job.id;
  RETURN 'failed';
END $$;

CREATE PROCEDURE joblog.steps(n int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP
    INSERT INTO joblog.stock VALUES ('step ' || i, i);
    PERFORM joblog.log(NULL, 'info', 'step ' || i);
    IF i % 2 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
  END LOOP;
END $$

--# a line from the top level
SELECT joblog.log(NULL, 'info', 'it''s a "line"')

--# a line with parameters
--: parameters ["2", "warning", "by parameters \\ and 'quotes'"]
SELECT joblog.log($1, $2, $3)

--# a line on a connection of its own
SELECT joblog.log_once('once')

--# jobs run
SELECT name, joblog.run(name) FROM joblog.jobs ORDER BY id

--# what they have left
SELECT j.id, j.state, l.line, l.level, l.message, l.role FROM joblog.jobs j LEFT JOIN joblog.lines l ON l.job = j.id ORDER BY l.line, j.id

--# a transaction that will be rolled back logs
BEGIN;
UPDATE joblog.stock SET amount = amount * 2;
SELECT joblog.log(1, 'warning', 'to be rolled back')

--# another session reads its lines meanwhile
--: session reader
SELECT line, message FROM joblog.lines WHERE message LIKE '%stock%' OR message LIKE 'to be%' ORDER BY line

--# it is rolled back
ROLLBACK

--# its lines are still there
SELECT count(*) FROM joblog.lines WHERE message = 'to be rolled back'

--# a savepoint is rolled back
BEGIN;
SAVEPOINT s;
DELETE FROM joblog.stock WHERE item = 'pear';
ROLLBACK TO s;
SELECT item FROM joblog.stock ORDER BY item;
COMMIT

--# a trigger whose statement fails
UPDATE joblog.stock SET amount = amount - 100

--# a line that cannot be written
SELECT joblog.log(1, 'fatal', 'no such level')

--# a line that cannot be written, in a handler
DO $$
DECLARE
  detail text;
BEGIN
  PERFORM joblog.log(1, 'fatal', 'no such level');
EXCEPTION WHEN check_violation THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
  RAISE NOTICE '% (%): %', SQLERRM, SQLSTATE, left(detail, 24);
END $$

--# a procedure that commits and rolls back
CALL joblog.steps(3)

--# a procedure inside of a transaction
BEGIN;
DELETE FROM joblog.stock;
CALL joblog.steps(1)

--# that is rolled back
ROLLBACK

--# a statement at a time of repeatable read
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM joblog.lines WHERE message = 'not in this snapshot';
SELECT joblog.log(2, 'info', 'not in this snapshot');
SELECT count(*) FROM joblog.lines WHERE message = 'not in this snapshot';
COMMIT

--# rights of those who only log
GRANT USAGE ON SCHEMA joblog TO plain_user

--# a role without rights on the table
--: session plain
--: user plain_user
INSERT INTO joblog.lines (level, message) VALUES ('info', 'directly')

--# it logs by the function
--: session plain
SELECT joblog.log(NULL, 'info', 'as ' || current_user)

--# it cannot open the connection itself
--: session plain
SELECT dblink_connect('mine', joblog.address())

--# it uses the connection that the function has opened
--: session plain
SELECT * FROM dblink('joblog', 'SELECT current_user, count(*) > 0 FROM joblog.lines') AS t(who name, lines bool)

--# the connection is closed
SELECT joblog.close()

--# it is gone
SELECT dblink_get_connections()

--# a line opens it again, and it is closed in the same statement
SELECT joblog.log(NULL, 'info', 'last line'), dblink_get_connections(), joblog.close(), dblink_get_connections()

--# there is none to close
SELECT joblog.close()

--# a deferred constraint trigger logs at COMMIT
CREATE FUNCTION joblog.at_commit() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM joblog.log(NEW.id, 'info', 'at commit'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON joblog.jobs DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION joblog.at_commit();
BEGIN;
UPDATE joblog.jobs SET state = 'old' WHERE id < 3;
SELECT count(*) FROM joblog.lines WHERE message = 'at commit';
COMMIT;
SELECT count(*) FROM joblog.lines WHERE message = 'at commit'
