-- A runner that splits work over several sessions of its own, which it has by dblink, if dblink is there; otherwise it works alone.

--# the runner
CREATE SCHEMA jobs;
CREATE TABLE jobs.todo (id int PRIMARY KEY, sql text NOT NULL);
CREATE TABLE jobs.done (id int, lane text, result text);

CREATE FUNCTION jobs.can(extension text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM pg_extension WHERE extname = extension);
END $$;

CREATE FUNCTION jobs.alone() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  job jobs.todo;
  result text;
  n int := 0;
BEGIN
  FOR job IN SELECT * FROM jobs.todo ORDER BY id LOOP
    EXECUTE job.sql INTO result;
    INSERT INTO jobs.done VALUES (job.id, NULL, result);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

CREATE FUNCTION jobs.in_lanes(lanes int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  lane text;
  names text[] := ARRAY(SELECT 'lane ' || n FROM generate_series(1, lanes) n);
  running jsonb := '{}';
  job jobs.todo;
  n int := 0;
  all_jobs CURSOR FOR SELECT * FROM jobs.todo ORDER BY id;
BEGIN
  FOREACH lane IN ARRAY names LOOP
    PERFORM dblink_connect(lane, format('port=%s dbname=%s user=postgres', current_setting('port'), current_database()));
  END LOOP;
  OPEN all_jobs;
  LOOP
    FOREACH lane IN ARRAY names LOOP
      CONTINUE WHEN dblink_is_busy(lane) = 1;
      IF running ? lane THEN
        INSERT INTO jobs.done SELECT (running -> lane)::int, 'any', t.result FROM dblink_get_result(lane) AS t(result text);
        PERFORM * FROM dblink_get_result(lane) AS t(result text);
        running := running - lane;
        n := n + 1;
      END IF;
      FETCH all_jobs INTO job;
      IF FOUND THEN
        PERFORM dblink_send_query(lane, job.sql);
        running := running || jsonb_build_object(lane, job.id);
      END IF;
    END LOOP;
    EXIT WHEN running = '{}';
    PERFORM pg_sleep(0.001);
  END LOOP;
  PERFORM dblink_disconnect(name) FROM unnest(names) name;
  RETURN n;
EXCEPTION WHEN OTHERS THEN
  FOREACH lane IN ARRAY names LOOP
    CONTINUE WHEN dblink_is_busy(lane) = 0;
    RAISE NOTICE 'cancel %: %', lane, dblink_cancel_query(lane);
    PERFORM * FROM dblink_get_result(lane, false) AS t(result text);
  END LOOP;
  PERFORM dblink_disconnect(name) FROM unnest(names) name;
  RAISE;
END $$;

CREATE FUNCTION jobs.run(lanes int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE jobs.done;
  IF jobs.can('dblink') THEN
    RETURN format('%s jobs in lanes', jobs.in_lanes(lanes));
  END IF;
  RETURN format('%s jobs alone', jobs.alone());
END $$;

-- A cancel that comes before its query is lost.
CREATE FUNCTION jobs.wait_for_sleepers(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  WHILE (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND query = 'SELECT pg_sleep(600)' AND wait_event = 'PgSleep') <> n LOOP
    PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
  END LOOP;
  RETURN n;
END $$;

INSERT INTO jobs.todo SELECT n, format('SELECT sum(i) FROM generate_series(1, %s) i', n * 100) FROM generate_series(1, 12) n

--# without dblink it works alone
SELECT jobs.run(3)

--# dblink
CREATE EXTENSION dblink

--# with dblink it works in lanes
SELECT jobs.run(3)

--# what was done
SELECT id, lane, result FROM jobs.done ORDER BY id

--# in lanes, without asking
TRUNCATE jobs.done;
SELECT jobs.in_lanes(4);
SELECT count(*), sum(result::int) FROM jobs.done

--# whether dblink is there: by parameter
--: parameters ["dblink"]
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = $1)

--# whether dblink is there: by pattern
SELECT extname, extversion, extrelocatable FROM pg_extension WHERE extname LIKE 'dbl%'

--# whether dblink is there: by function
SELECT jobs.can('dblink'), jobs.can('plpgsql'), jobs.can('nosuch')

--# whether dblink is there: by its functions
SELECT count(*) FROM pg_proc WHERE proname IN ('dblink_send_query', 'dblink_is_busy', 'dblink_get_result') AND pronamespace = 'public'::regnamespace

--# a job fails, the others are cancelled
DELETE FROM jobs.todo;
INSERT INTO jobs.todo VALUES (1, 'SELECT pg_sleep(600)'), (2, 'SELECT jobs.wait_for_sleepers(2) / 0'), (3, 'SELECT pg_sleep(600)');
SELECT jobs.in_lanes(3)

--# nothing of it is left
SELECT dblink_get_connections(), count(*) FROM jobs.done

--# nobody sleeps
SELECT jobs.wait_for_sleepers(0)

--# by hand: three lanes
SELECT lane, dblink_connect(lane, format('port=%s dbname=%s user=postgres', current_setting('port'), current_database()))
FROM unnest('{a,b,c}'::text[]) lane

--# by hand: a job on each
SELECT dblink_send_query('a', 'SELECT 1'), dblink_send_query('b', 'SELECT pg_sleep(600)'), dblink_send_query('c', 'SELECT 3 AS x; SELECT 4')

--# by hand: one is busy
SELECT jobs.wait_for_sleepers(1), dblink_is_busy('b')

--# by hand: results of the others
SELECT 'a' AS lane, * FROM dblink_get_result('a') AS t(n int) UNION ALL SELECT 'c', * FROM dblink_get_result('c') AS t(n int) ORDER BY 1

--# by hand: it is cancelled
SELECT dblink_cancel_query('b')

--# by hand: its result
SELECT * FROM dblink_get_result('b') AS t(v text)

--# by hand: what it says
SELECT dblink_error_message('b')

--# by hand: the lane is free when its end has been taken
SELECT * FROM dblink_get_result('b') AS t(v text);
SELECT dblink_exec('b', 'CREATE TEMP TABLE free (n int)')

--# by hand: a lane that is not free
SELECT dblink_exec('c', 'SELECT 1')

--# by hand: an unknown lane
SELECT dblink_send_query('d', 'SELECT 1')

--# the session ends with lanes at work
SELECT dblink_send_query('b', 'SELECT pg_sleep(0)')
