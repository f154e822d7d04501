-- An install script that looks up what it requires, in all the ways in which scripts and tools do so.

--# before: by list
SELECT e.extname FROM pg_extension e WHERE e.extname IN ('dblink', 'plpgsql') ORDER BY 1

--# before: what is available
SELECT name, default_version, installed_version, comment FROM pg_available_extensions WHERE name = 'dblink'

--# before: versions that are available
SELECT name, version, installed, superuser, relocatable FROM pg_available_extension_versions WHERE name LIKE 'dbl%' ORDER BY version

--# before: a function that tells what is missing
CREATE FUNCTION missing(VARIADIC wanted text[]) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT array_agg(w ORDER BY w) FROM unnest(wanted) w WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = w)
$$;
SELECT missing('plpgsql', 'dblink', 'nosuch')

--# before: a view
CREATE VIEW extensions AS SELECT extname, extversion, extnamespace::regnamespace AS place FROM pg_extension;
SELECT * FROM extensions ORDER BY 1

--# before: a prepared statement
PREPARE has(text) AS SELECT extname, extversion FROM pg_extension WHERE extname = $1;
EXECUTE has('dblink')

--# it is made in a schema of its own
CREATE SCHEMA tools;
CREATE EXTENSION IF NOT EXISTS dblink WITH SCHEMA tools

--# again
CREATE EXTENSION IF NOT EXISTS dblink

--# again, without a condition
CREATE EXTENSION dblink

--# the prepared statement finds it
EXECUTE has('dblink')

--# the function finds it
SELECT missing('plpgsql', 'dblink', 'nosuch')

--# the view has it
SELECT * FROM extensions ORDER BY 1

--# by literal
SELECT extname, extversion, extnamespace::regnamespace, extrelocatable, extconfig, extcondition FROM pg_extension WHERE extname = 'dblink'

--# by pattern
SELECT extname FROM pg_extension WHERE extname LIKE 'dbl%'

--# by regular expression
SELECT extname FROM pg_extension WHERE extname ~ '^(dblink|postgres_fdw)$'

--# by list of literals
SELECT extname FROM pg_extension WHERE extname IN ('dblink', 'postgres_fdw', 'plpgsql') ORDER BY extname

--# by array
SELECT extname FROM pg_extension WHERE extname = ANY ('{dblink,hstore}')

--# by parameter
--: parameters ["dblink"]
SELECT extname, extversion FROM pg_extension WHERE extname = $1

--# by pattern in a parameter
--: parameters ["%link"]
SELECT extname FROM pg_extension WHERE extname LIKE $1

--# by array in a parameter
--: parameters ["{plpgsql,dblink,nosuch}"]
SELECT w AS missing FROM unnest($1::text[]) w LEFT JOIN pg_extension e ON e.extname = w WHERE e.oid IS NULL

--# all
SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1

--# how many
SELECT count(*) FROM pg_extension

--# as psql lists them
SELECT e.extname AS "Name", e.extversion AS "Version", n.nspname AS "Schema", c.description AS "Description"
FROM pg_catalog.pg_extension e LEFT JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_description c ON c.objoid = e.oid AND c.classoid = 'pg_catalog.pg_extension'::pg_catalog.regclass
ORDER BY 1

--# as psql lists one
SELECT e.extname AS "Name", e.extversion AS "Version", n.nspname AS "Schema", c.description AS "Description"
FROM pg_catalog.pg_extension e LEFT JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_description c ON c.objoid = e.oid AND c.classoid = 'pg_catalog.pg_extension'::pg_catalog.regclass
WHERE e.extname OPERATOR(pg_catalog.~) '^(dblink)$' COLLATE pg_catalog.default
ORDER BY 1

--# as psql lists what belongs to it
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0) AS "Object description"
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
WHERE d.deptype = 'e' AND e.extname = 'dblink' ORDER BY 1

--# what is available
SELECT name, default_version, installed_version, comment FROM pg_available_extensions WHERE name LIKE 'dbl%'

--# what is available and not installed
SELECT a.name FROM pg_available_extensions a LEFT JOIN pg_extension e ON e.extname = a.name WHERE e.oid IS NULL AND a.name IN ('dblink', 'plpgsql')

--# versions that are available
SELECT name, version, installed, superuser, trusted, relocatable, schema, requires, comment FROM pg_available_extension_versions
WHERE name = 'dblink' ORDER BY version

--# ways to update
SELECT source, target, path FROM pg_extension_update_paths('dblink') ORDER BY 1, 2

--# a DO block that requires it
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY '{plpgsql,dblink}'::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = wanted) THEN
      RAISE EXCEPTION 'required extension "%" is not installed', wanted USING ERRCODE = 'undefined_object';
    END IF;
  END LOOP;
  RAISE NOTICE 'all there';
END $$

--# a DO block that makes it if it is missing
DO $$
BEGIN
  IF (SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink' AND installed_version IS NULL) > 0 THEN
    EXECUTE 'CREATE EXTENSION dblink';
    RAISE NOTICE 'made';
  ELSE
    RAISE NOTICE 'it was there';
  END IF;
END $$

--# a function for it
CREATE FUNCTION make(extension text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA tools', extension);
  RETURN extversion FROM pg_extension WHERE extname = extension;
END $$

--# a function that makes it
SELECT make('dblink')

--# in a CTE
WITH wanted(name) AS (VALUES ('dblink'), ('nosuch')), found AS (SELECT extname, extversion FROM pg_extension)
SELECT w.name, f.extversion FROM wanted w LEFT JOIN found f ON f.extname = w.name ORDER BY 1

--# by a cursor
BEGIN;
DECLARE c CURSOR FOR SELECT extname FROM pg_extension ORDER BY extname;
FETCH ALL FROM c;
COMMIT

--# into a table
CREATE TABLE installed AS SELECT extname, extversion FROM pg_extension;
SELECT * FROM installed ORDER BY 1

--# the table is dropped
DROP TABLE installed

--# by its functions: their number and language
SELECT count(*), min(n.nspname), bool_and(p.provolatile = 'v') FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname LIKE 'dblink%' AND n.nspname = 'tools'

--# by a function's signature
SELECT to_regprocedure('tools.dblink_connect(text,text)'), to_regproc('tools.dblink_current_query'), to_regprocedure('tools.dblink(text)')

--# by the extension of a function
SELECT e.extname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid WHERE p.oid = 'tools.dblink_connect(text)'::regprocedure

--# by the description
SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'dblink'

--# who may
SELECT has_function_privilege('plain_user', 'tools.dblink_connect(text)', 'EXECUTE'), has_function_privilege('plain_user', 'tools.dblink_connect_u(text)', 'EXECUTE')

--# the wrapper
SELECT fdwname, fdwhandler::regproc, fdwvalidator::regproc FROM pg_foreign_data_wrapper

--# the whole list of functions
SELECT p.oid::regprocedure, pg_get_function_result(p.oid), p.proisstrict, p.prosecdef, p.proretset FROM pg_proc p
WHERE p.pronamespace = 'tools'::regnamespace ORDER BY p.oid::regprocedure::text

--# it is used from where it is
SET search_path = public, tools;
SELECT * FROM dblink('{R}', 'SELECT count(*) FROM people') AS t(n int)

--# it is moved
ALTER EXTENSION dblink SET SCHEMA public;
SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'dblink'

--# it is updated
ALTER EXTENSION dblink UPDATE

--# a view that depends on it
CREATE VIEW people AS SELECT * FROM dblink('{R}', 'SELECT id FROM people') AS t(id int)

--# it cannot be dropped
DROP EXTENSION dblink

--# a DO block drops it
DO $$ BEGIN DROP EXTENSION IF EXISTS dblink CASCADE; END $$

--# the view has gone with it
SELECT missing('dblink'), to_regclass('people'), to_regproc('dblink_current_query')

--# a statement drops it, if it is still there
DROP EXTENSION IF EXISTS dblink CASCADE

--# nothing is left of it
SELECT to_regclass('people'), to_regproc('dblink_current_query'), count(*) FROM pg_foreign_data_wrapper

--# in a transaction
BEGIN

--# a DO block makes it
DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS dblink SCHEMA tools; END $$

--# the transaction sees it
SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'dblink'

--# the transaction takes it back
ROLLBACK

--# there is none
SELECT count(*), to_regproc('tools.dblink_current_query') FROM pg_extension WHERE extname = 'dblink'

--# what an installer does in one transaction
BEGIN;
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public;
CREATE VIEW people AS SELECT * FROM dblink('{R}', 'SELECT id FROM people') AS t(id int);
COMMIT;
SELECT count(*) FROM people
