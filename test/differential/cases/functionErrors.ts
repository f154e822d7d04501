import type { Case } from '../play/types.js';
import { calling, plpgsql, W } from './functionNotation.js';

/** Errors of calls inside of functions: as they reach handlers, and as they reach the client. */

const LOG = { remote: 'CREATE TABLE log (n serial, b text)' };
/** Everything that GET STACKED DIAGNOSTICS knows but the context, which names the frames of the bridge. */
const DIAGNOSTICS = `GET STACKED DIAGNOSTICS a = RETURNED_SQLSTATE, b = MESSAGE_TEXT, c = PG_EXCEPTION_DETAIL,
  d = PG_EXCEPTION_HINT, e = COLUMN_NAME, f = CONSTRAINT_NAME, g = PG_DATATYPE_NAME, h = TABLE_NAME, i = SCHEMA_NAME;
  RETURN concat_ws('|', a, b, c, d, e, f, g, h, i);`;

export const functionErrorCases: readonly Case[] = [
  calling(
    'errors that nobody catches',
    plpgsql("BEGIN RETURN dblink_exec('c', q); END", { args: 'q text' }) +
      plpgsql("BEGIN PERFORM * FROM dblink('c', q) AS t(a int); RETURN 'no error'; END", {
        name: 'g',
        args: 'q text',
      }),
    [
      "SELECT f('selec')",
      "SELECT f('SELECT fail(''ZZ123'', ''message'', ''detail'', ''hint'')')",
      "SELECT g('SELECT fail(''ZZ123'', ''message'', ''detail'', ''hint'')')",
      "SELECT g('SELECT 1/0')",
      "SELECT g('SELECT ''x''')",
      "SELECT g('SELECT 1, 2')",
      "SELECT g('SET a.b = 1')",
      "SELECT f('SELECT 1')",
      "SELECT g('')",
    ],
  ),
  calling(
    'one value that cannot be read here, of a type that both sides have',
    plpgsql("BEGIN RETURN a::text FROM dblink('c', q) AS t(a timestamptz); END", { args: 'q text' }) +
      "CREATE VIEW v AS SELECT a FROM dblink('c', $$SELECT timestamptz '2024-02-03 04:05:06+00'$$) AS t(a timestamptz);",
    [
      "SELECT dblink_exec('c', 'SET datestyle = SQL')",
      "SELECT dblink_exec('c', 'SET timezone = ''Asia/Jakarta''')",
      "SELECT f($$SELECT timestamptz '2024-02-03 04:05:06+00'$$)",
      'SELECT * FROM v',
      "SELECT dblink_exec('c', 'SET datestyle = ISO')",
      "SELECT f($$SELECT timestamptz '2024-02-03 04:05:06+00'$$)",
    ],
  ),
  calling(
    'errors of connections that nobody catches',
    plpgsql('BEGIN RETURN dblink_connect(c, s); END', { args: 'c text, s text' }) +
      plpgsql("BEGIN RETURN dblink_exec(c, 'SET a.b = 1'); END", { name: 'g', args: 'c text' }),
    [
      "SELECT f('c', '{R}')",
      "SELECT g('nosuch')",
      "SELECT g('host=127.0.0.1 port=1')",
      "SELECT f('d', 'host=127.0.0.1 port={port} user=postgres dbname=nosuch')",
      "SELECT dblink_disconnect('d')",
    ],
  ),
  calling(
    'errors by condition name',
    plpgsql(
      `BEGIN
         EXECUTE q;
         RETURN 'no error';
       EXCEPTION
         WHEN division_by_zero THEN RETURN 'division ' || SQLSTATE || ' ' || SQLERRM;
         WHEN unique_violation OR not_null_violation THEN RETURN 'constraint ' || SQLSTATE || ' ' || SQLERRM;
         WHEN sqlclient_unable_to_establish_sqlconnection THEN RETURN 'no connection ' || SQLSTATE || ' ' || SQLERRM;
         WHEN connection_does_not_exist THEN RETURN 'not open ' || SQLSTATE || ' ' || SQLERRM;
         WHEN duplicate_object THEN RETURN 'twice ' || SQLSTATE || ' ' || SQLERRM;
         WHEN SQLSTATE 'ZZ123' THEN RETURN 'own ' || SQLSTATE || ' ' || SQLERRM;
         WHEN datatype_mismatch THEN RETURN 'rowtype ' || SQLSTATE || ' ' || SQLERRM;
         WHEN invalid_text_representation THEN RETURN 'input ' || SQLSTATE || ' ' || SQLERRM;
         WHEN syntax_error_or_access_rule_violation THEN RETURN 'class ' || SQLSTATE || ' ' || SQLERRM;
         WHEN OTHERS THEN RETURN 'others ' || SQLSTATE || ' ' || SQLERRM;
       END`,
      { args: 'q text' },
    ),
    [
      "SELECT f($$SELECT dblink_exec('c', 'SELECT 1/0')$$), f($$SELECT dblink_exec('c', 'INSERT INTO w VALUES (1), (1)')$$), f($$SELECT dblink_exec('c', 'INSERT INTO w VALUES (NULL)')$$)",
      "SELECT f($$SELECT dblink_connect('d', 'host=127.0.0.1 port=1')$$), f($$SELECT dblink_disconnect('nosuch')$$), f($$SELECT dblink_connect('c', '{R}')$$)",
      "SELECT f($$SELECT * FROM dblink('c', 'SELECT fail(''ZZ123'', ''m'')') AS t(a int)$$), f($$SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(a int)$$), f($$SELECT * FROM dblink('c', 'SELECT ''x''') AS t(a int)$$)",
      "SELECT f($$SELECT dblink_exec('c', 'selec')$$), f($$SELECT dblink_exec('c', 'SELECT 1')$$), f($$SELECT dblink('c', 'SELECT 1')$$), f($$SELECT * FROM dblink('c', '') AS t(a int)$$), f($$SELECT 1/0$$)",
    ],
    W,
  ),
  calling(
    'GET STACKED DIAGNOSTICS',
    plpgsql(
      `DECLARE a text; b text; c text; d text; e text; f text; g text; h text; i text;
       BEGIN EXECUTE q; RETURN 'no error'; EXCEPTION WHEN OTHERS THEN ${DIAGNOSTICS} END`,
      { args: 'q text' },
    ),
    [
      "SELECT f($$SELECT dblink_exec('c', 'SELECT fail(''ZZ123'', ''m'', ''d'', ''h'')')$$)",
      "SELECT f($$SELECT dblink_exec('c', 'SELECT fail(''ZZ123'', ''m'', ''d'')')$$), f($$SELECT dblink_exec('c', 'SELECT fail(''ZZ123'', ''m'', NULL, ''h'')')$$)",
      "SELECT f($$SELECT dblink_exec('c', 'INSERT INTO w VALUES (1), (1)')$$), f($$SELECT * FROM dblink('c', 'INSERT INTO w VALUES (NULL) RETURNING 1') AS t(a int)$$)",
      "SELECT f($$SELECT dblink_connect('d', 'nosuch')$$), f($$SELECT dblink_connect('d', 'host=127.0.0.1 port={port} user=nobody dbname=remote')$$)",
      "SELECT f($$SELECT * FROM dblink('c', 'SELECT 0') AS t(a positive)$$), f($$SELECT * FROM dblink('c', 'SELECT NULL') AS t(a required)$$), f($$SELECT * FROM dblink('c', 'SELECT ''x''') AS t(a date)$$)",
      "SELECT f($$SELECT * FROM dblink('c', 'SET a.b = 1') AS t(a int)$$), f($$SELECT * FROM dblink('c', 'SET a.b = 1') AS t(a text, b text)$$), f($$SELECT * FROM dblink('c', 'SELECT 1') AS t(a int, b text)$$)",
    ],
    W,
  ),
  calling(
    'an autonomous log in the handler, which raises again',
    'CREATE TABLE l (a int);' +
      plpgsql(
        `BEGIN
         INSERT INTO l VALUES (1);
         PERFORM 1 / n;
         RETURN 'fine';
       EXCEPTION WHEN OTHERS THEN
         PERFORM dblink_exec('{R}', format('INSERT INTO log (b) VALUES (%L)', SQLERRM));
         RAISE;
       END`,
        { args: 'n int' },
      ),
    ['SELECT f(1)', 'SELECT f(0)', 'SELECT count(*) FROM l'],
    LOG,
  ),
  calling(
    'raising again what the remote raised',
    plpgsql("BEGIN PERFORM dblink_exec('c', q); RETURN 'fine'; EXCEPTION WHEN OTHERS THEN RAISE; END", {
      args: 'q text',
    }) +
      plpgsql(
        "BEGIN PERFORM * FROM dblink('c', q) AS t(a int); RETURN 'fine'; EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught % %', SQLSTATE, SQLERRM; RAISE EXCEPTION 'again: %', SQLERRM USING ERRCODE = SQLSTATE, HINT = 'mine'; END",
        { name: 'g', args: 'q text' },
      ),
    [
      "SELECT f('SELECT fail(''ZZ123'', ''m'', ''d'', ''h'')')",
      "SELECT f('selec')",
      "SELECT g('SELECT fail(''ZZ123'', ''m'', ''d'', ''h'')')",
      "SELECT g('SELECT ''x''')",
    ],
  ),
  calling(
    'nested blocks',
    'CREATE TABLE l (a int);' +
      plpgsql(
        `DECLARE v text := '';
       BEGIN
         INSERT INTO l VALUES (1);
         BEGIN
           INSERT INTO l VALUES (2);
           PERFORM dblink_exec('c', 'INSERT INTO w VALUES (1)');
           BEGIN
             INSERT INTO l VALUES (3);
             PERFORM dblink_exec('c', 'INSERT INTO w VALUES (2)');
             PERFORM dblink_exec('c', 'INSERT INTO w VALUES (2)');
           EXCEPTION WHEN division_by_zero THEN v := 'never';
           END;
         EXCEPTION WHEN unique_violation THEN
           v := v || SQLSTATE;
           BEGIN
             PERFORM dblink_exec('c', 'INSERT INTO w VALUES (1)');
           EXCEPTION WHEN OTHERS THEN v := v || ' in the handler ' || SQLSTATE;
           END;
           v := v || ' ' || SQLSTATE;
           PERFORM dblink_exec('c', 'INSERT INTO w VALUES (4)');
         END;
         INSERT INTO l VALUES (4);
         RETURN v;
       END`,
      ),
    ['SELECT f()', 'SELECT * FROM l ORDER BY a', "SELECT dblink_exec('c', 'SET a.b = 1')"],
    W,
  ),
  calling(
    'savepoints of blocks around each call of a loop',
    'CREATE TABLE l (a int, b text);' +
      plpgsql(
        `BEGIN
           FOR n IN 0 .. 4 LOOP
             BEGIN
               INSERT INTO l VALUES (n, (SELECT a FROM dblink('c', 'SELECT 12 / ' || n) AS t(a int)));
             EXCEPTION WHEN division_by_zero THEN INSERT INTO l VALUES (n, SQLERRM);
             END;
           END LOOP;
           RETURN (SELECT count(*) FROM l);
         END`,
      ),
    ['SELECT f()', 'SELECT * FROM l ORDER BY a'],
  ),
];
