-- A harness that gives each test a database of its own: copies of a template, made, renamed and dropped right after dblink was used
-- in them, by statements of the client and by dblink to the same server. (Where somebody else is in a database, a server waits five
-- seconds before it says so: two steps do that.)

--# the template
CREATE DATABASE shop TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'

--# what is in it
--: session template
--: database shop
CREATE EXTENSION dblink;
CREATE TABLE goods (id int PRIMARY KEY, name text);
INSERT INTO goods VALUES (1, 'apple');
CREATE VIEW people AS SELECT * FROM dblink('{R}', 'SELECT id, name FROM people') AS t(id int, name text);
CREATE FUNCTION import() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  n int;
BEGIN
  INSERT INTO goods SELECT id + 100, name FROM people;
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$

--# dblink is used in the template
--: session template
SELECT count(*) FROM people

--# no copy while somebody is in it
CREATE DATABASE shop_too_early TEMPLATE shop

--# everybody leaves
--: session template
--: ends

--# a copy right after
CREATE DATABASE shop_1 TEMPLATE shop

--# a test in the copy
--: session test
--: database shop_1
SELECT import(), count(*) FROM goods

--# the copy has its own rows
--: session test
SELECT g.id, g.name, p.name FROM goods g LEFT JOIN people p ON p.id = g.id - 100 ORDER BY g.id

--# the test ends
--: session test
--: ends

--# it is renamed right after
ALTER DATABASE shop_1 RENAME TO shop_2

--# a test under the new name
--: session test
--: database shop_2
SELECT current_database(), import_again FROM (SELECT count(*) AS import_again FROM people) s

--# a copy of the database that the session itself is in
--: session test
CREATE DATABASE shop_3 TEMPLATE shop_2

--# in a transaction there is none
--: session test
BEGIN;
CREATE DATABASE shop_4 TEMPLATE shop_2

--# it is over
--: session test
ROLLBACK

--# the test ends again
--: session test
--: ends

--# a setting of the database
ALTER DATABASE shop_2 SET statement_timeout = '1h'

--# a test in the copy of a copy
--: session test
--: database shop_3
SELECT count(*) FROM goods, people

--# a large result in it
--: session test
SELECT sum(length(t.v)) FROM goods, LATERAL dblink('{R}', format('SELECT repeat(''x'', %s)', 20000 * (id % 10))) AS t(v text)

--# it leaves, too
--: session test
--: ends

--# all are dropped
DROP DATABASE shop_2

--# the other one
DROP DATABASE IF EXISTS shop_3

--# one that is gone already
DROP DATABASE IF EXISTS shop_3

--# a harness that works by dblink
CREATE EXTENSION dblink;
CREATE FUNCTION server(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT format('port=%s dbname=%s user=postgres', current_setting('port'), name) $$;
CREATE FUNCTION make_copy(name text, template text DEFAULT 'shop') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN dblink_exec(server('postgres'), format('CREATE DATABASE %I TEMPLATE %I', name, template));
END $$;
CREATE FUNCTION in_copy(name text, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT t.v FROM dblink(server(name), statement) AS t(v text);
END $$

--# a copy by a function
SELECT make_copy('shop_5')

--# a command in it
SELECT in_copy('shop_5', 'INSERT INTO goods VALUES (2, ''pear'')')

--# a test in it that uses dblink
SELECT in_copy('shop_5', 'SELECT import()')

--# what it has now
SELECT in_copy('shop_5', 'SELECT string_agg(name, '', '' ORDER BY id) FROM goods')

--# a copy by a statement at the top level
SELECT dblink_exec(server('postgres'), 'CREATE DATABASE shop_6 TEMPLATE shop_5')

--# a test in its own session
--: session test
--: database shop_6
SELECT count(*) FROM people

--# the harness waits for it
--: session test
--: ends

--# a copy by dblink right after
SELECT make_copy('shop_7', 'shop_6')

--# a rename by dblink
SELECT dblink_exec(server('postgres'), 'ALTER DATABASE shop_7 RENAME TO shop_8')

--# a copy of the harness's own database
SELECT make_copy('program_copy', 'program')

--# drops by dblink
SELECT name, dblink_exec(server('postgres'), format('DROP DATABASE %I', name)) FROM unnest('{shop_5,shop_6,shop_8}'::text[]) name

--# the template by force
--: session template
--: database shop
SELECT count(*) FROM people

--# no test is left behind in it
SELECT dblink_exec(server('postgres'), 'DROP DATABASE shop WITH (FORCE)')

--# it is gone
--: session template
SELECT 1

--# the databases
SELECT datname FROM pg_database WHERE datname LIKE 'shop%'
