-- An audit of DDL: an event trigger sends each command to another server.

--# dblink
CREATE EXTENSION dblink

--# where the audit is kept
SELECT dblink_connect('keeper', '{R}'),
  dblink_exec('keeper', 'CREATE TABLE ddl (n int GENERATED ALWAYS AS IDENTITY, event text, tag text, kind text, object text)')

--# the audit
CREATE SCHEMA audit;
CREATE TABLE audit.servers (address text);
INSERT INTO audit.servers VALUES ('{R}');
CREATE TABLE audit.here (n int GENERATED ALWAYS AS IDENTITY, tag text, object text);

CREATE FUNCTION audit.send(event text, tag text, kind text, object text) RETURNS text LANGUAGE sql AS $$
  SELECT dblink_exec(address, format('INSERT INTO ddl (event, tag, kind, object) VALUES (%L, %L, %L, %L)', event, tag, kind, object))
  FROM audit.servers
$$;

CREATE FUNCTION audit.on_end() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp' LOOP
    PERFORM audit.send(TG_EVENT, r.command_tag, r.object_type, r.object_identity);
  END LOOP;
END $$;

CREATE FUNCTION audit.on_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_dropped_objects() WHERE original LOOP
    PERFORM audit.send(TG_EVENT, TG_TAG, r.object_type, r.object_identity);
  END LOOP;
END $$;

CREATE FUNCTION audit.note() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() ORDER BY object_identity LOOP
    INSERT INTO audit.here (tag, object) VALUES (TG_TAG, r.object_identity);
  END LOOP;
END $$

--# event triggers
CREATE EVENT TRIGGER audit_end ON ddl_command_end EXECUTE FUNCTION audit.on_end();
CREATE EVENT TRIGGER audit_drop ON sql_drop EXECUTE FUNCTION audit.on_drop()

--# a table
CREATE TABLE goods (id int PRIMARY KEY, name text)

--# a serial column and an index
CREATE TABLE more (id serial, name text UNIQUE);
CREATE INDEX more_upper ON more (upper(name))

--# changes of a table
ALTER TABLE goods ADD COLUMN price numeric, ALTER COLUMN name SET NOT NULL;
COMMENT ON TABLE goods IS 'what is sold';
GRANT SELECT ON goods TO plain_user

--# a table from a query, by the extended protocol
--: parameters ["3"]
CREATE TABLE counted AS SELECT n, 'dblink' AS word FROM generate_series(1, $1::int) n

--# in a DO block
DO $$ BEGIN EXECUTE 'CREATE VIEW counted_view AS SELECT * FROM counted'; CREATE TEMP TABLE passing (n int); END $$

--# a view and a materialized view that use dblink
CREATE VIEW far AS SELECT * FROM dblink('{R}', 'SELECT id, name FROM people') AS t(id int, name text);
CREATE MATERIALIZED VIEW far_copy AS SELECT * FROM far ORDER BY id;
REFRESH MATERIALIZED VIEW far_copy

--# a table from dblink
CREATE TABLE people AS SELECT * FROM dblink('keeper', 'SELECT id, name FROM people ORDER BY id') AS t(id int, name text)

--# SELECT INTO from dblink
SELECT * INTO people_too FROM dblink('{R}', 'SELECT id, name FROM people ORDER BY id') AS t(id int, name text)

--# what a transaction takes back has been sent
BEGIN;
CREATE TABLE never (n int);
ROLLBACK

--# a failing command
CREATE TABLE goods (n int)

--# drops
DROP VIEW counted_view;
DROP TABLE counted, more CASCADE

--# a function that reads results of any size
CREATE FUNCTION far_length(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  total bigint;
BEGIN
  SELECT sum(length(v)) INTO total FROM dblink('keeper', format('SELECT repeat(''x'', %s) FROM generate_series(1, 10)', n)) AS t(v text);
  RETURN total;
END $$;

--# a large result while the audit is awake
SELECT far_length(20000)

--# what the keeper has
SELECT * FROM dblink('keeper', 'SELECT event, tag, kind, object FROM ddl ORDER BY n') AS t(event text, tag text, kind text, object text)

--# the keeper refuses
SELECT dblink_exec('keeper', 'ALTER TABLE ddl ADD CHECK (tag <> ''CREATE SEQUENCE'') NOT VALID');
CREATE SEQUENCE refused

--# so there is none
SELECT to_regclass('refused')

--# a handler
DO $$
BEGIN
  CREATE SEQUENCE refused;
EXCEPTION WHEN check_violation THEN
  RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$

--# the keeper cannot be reached
UPDATE audit.servers SET address = 'host=127.0.0.1 port=1 dbname=nosuch user=postgres';
CREATE TABLE unheard (n int)

--# the audit sleeps
ALTER EVENT TRIGGER audit_end DISABLE;
ALTER EVENT TRIGGER audit_drop DISABLE;
CREATE TABLE unheard (n int);
UPDATE audit.servers SET address = '{R}'

--# an audit into a table of its own
CREATE EVENT TRIGGER audit_note ON ddl_command_end EXECUTE FUNCTION audit.note()

--# results of every size are read meanwhile
SELECT count(*), max(length(t.v)) FROM (VALUES (1), (20000)) s(n), LATERAL dblink('keeper', format('SELECT repeat(''x'', %s) FROM generate_series(1, 10)', n)) AS t(v text)

--# by a function
SELECT far_length(1), far_length(20000)

--# in repeatable read
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT far_length(1), far_length(20000);
COMMIT

--# in repeatable read, read only
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT far_length(1), far_length(20000);
COMMIT

--# a command
CREATE TYPE colour AS ENUM ('red')

--# only that is in the audit
SELECT tag, object FROM audit.here ORDER BY n

--# the extension is dropped and made again
BEGIN;
TRUNCATE audit.here;
CREATE TABLE audit.tags (n int GENERATED ALWAYS AS IDENTITY, event text, tag text);
CREATE FUNCTION audit.tag() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit.tags (event, tag) VALUES (TG_EVENT, TG_TAG);
END $$;
CREATE EVENT TRIGGER tag_start ON ddl_command_start EXECUTE FUNCTION audit.tag();
CREATE EVENT TRIGGER tag_end ON ddl_command_end EXECUTE FUNCTION audit.tag();
CREATE EVENT TRIGGER tag_drop ON sql_drop EXECUTE FUNCTION audit.tag();
DROP VIEW far CASCADE;
DROP EXTENSION dblink;
CREATE EXTENSION dblink;
SELECT tag, object FROM audit.here WHERE tag <> 'CREATE EXTENSION' ORDER BY n

--# what it is tagged with
SELECT event, tag, count(*) FROM audit.tags GROUP BY event, tag ORDER BY event, tag

--# what comes last
SELECT event, tag FROM audit.tags ORDER BY n DESC LIMIT 1

--# what begins first
SELECT tag FROM audit.tags WHERE event = 'ddl_command_start' AND tag <> 'DROP VIEW' AND tag <> 'DROP EXTENSION' ORDER BY n LIMIT 1

--# the extension as what a command has made
SELECT tag, object FROM audit.here WHERE tag = 'CREATE EXTENSION'

--# as it was
ROLLBACK

--# no more extensions
BEGIN;
CREATE FUNCTION audit.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'somebody wants %', TG_TAG;
  RAISE EXCEPTION 'no % here', TG_TAG USING ERRCODE = '42501';
END $$;
CREATE EVENT TRIGGER audit_refuse ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION audit.refuse();
DROP EXTENSION dblink CASCADE;
CREATE EXTENSION dblink

--# all that is over
ROLLBACK

--# nor in a block
BEGIN;
CREATE FUNCTION audit.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'no % here', TG_TAG;
END $$;
CREATE EVENT TRIGGER audit_refuse ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION audit.refuse();
DROP EXTENSION dblink CASCADE;
DO $$
BEGIN
  CREATE EXTENSION dblink;
EXCEPTION WHEN raise_exception THEN
  RAISE NOTICE '%', SQLERRM;
END $$;
SELECT count(*) FROM pg_extension WHERE extname = 'dblink'

--# that is over, too
ROLLBACK

--# an event trigger that asks dblink at the start
CREATE FUNCTION audit.may() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (SELECT ok FROM dblink('{R}', format('SELECT %L NOT IN (''CREATE SEQUENCE'')', TG_TAG)) AS t(ok boolean)) THEN
    RAISE EXCEPTION 'no % today', TG_TAG;
  END IF;
END $$;
CREATE EVENT TRIGGER audit_may ON ddl_command_start EXECUTE FUNCTION audit.may()

--# what it allows
CREATE TABLE allowed (n int)

--# what it does not
CREATE SEQUENCE forbidden

--# what is in the audit's own table, which is emptied
SELECT tag, object FROM audit.here WHERE object IN ('public.allowed', 'public.forbidden') ORDER BY n;
TRUNCATE audit.here RESTART IDENTITY

--# the event triggers are removed
DROP EVENT TRIGGER audit_end;
DROP EVENT TRIGGER audit_drop;
DROP EVENT TRIGGER audit_note;
DROP EVENT TRIGGER audit_may
