import { bound, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Calls that the primary meets inside of what it runs: functions, triggers, and calls of a form that only it can judge. */
const hidden = (
  name: string,
  setup: readonly string[],
  sql: string,
  more: Omit<Case, 'name' | 'steps' | 'bridged'> = {},
): Case =>
  testCase(`bridge: ${name}`, [open('c'), ...setup, sql, 'SELECT 1'], {
    local: '',
    ...more,
    bridged: true,
  });

const FUNCTION = (body: string, name = 'f', returns = 'text'): string =>
  `CREATE FUNCTION ${name}() RETURNS ${returns} LANGUAGE plpgsql AS $body$ ${body} $body$`;
const REMOTE = { remote: 'CREATE TABLE w (a int)' };

export const hiddenCases: readonly Case[] = [
  hidden(
    'a plpgsql function',
    [FUNCTION("BEGIN RETURN dblink_exec('c', 'INSERT INTO w VALUES (1)'); END")],
    'SELECT f()',
    REMOTE,
  ),
  hidden(
    'a plpgsql function with its own connection',
    [
      FUNCTION(
        "BEGIN PERFORM dblink_connect('own', '{R}'); PERFORM dblink_disconnect('own'); RETURN 'done'; END",
      ),
    ],
    'SELECT f()',
  ),
  hidden(
    'a loop over rows',
    [
      FUNCTION(
        "DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(a int) LOOP n := n + r.a; END LOOP; RETURN n; END",
        'f',
        'int',
      ),
    ],
    'SELECT f()',
  ),
  hidden(
    'SELECT INTO a variable',
    [
      FUNCTION(
        "DECLARE v int; BEGIN SELECT a INTO STRICT v FROM dblink('c', 'SELECT 5') AS t(a int); RETURN v; END",
        'f',
        'int',
      ),
    ],
    'SELECT f()',
  ),
  hidden(
    'RETURN QUERY',
    [
      FUNCTION(
        "BEGIN RETURN QUERY SELECT a FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(a int); END",
        'f',
        'SETOF int',
      ),
    ],
    'SELECT * FROM f()',
  ),
  hidden(
    'EXECUTE format',
    [
      FUNCTION(
        "BEGIN EXECUTE format('CREATE TABLE copied AS SELECT * FROM dblink(%L, %L) AS t(a int)', 'c', 'SELECT id FROM people'); RETURN 'ok'; END",
      ),
    ],
    'SELECT f()',
  ),
  hidden(
    'a trigger',
    [
      'CREATE TABLE l (a int)',
      FUNCTION(
        "BEGIN PERFORM dblink_exec('c', format('INSERT INTO w VALUES (%s)', NEW.a)); RETURN NEW; END",
        'trig',
        'trigger',
      ),
      'CREATE TRIGGER t AFTER INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()',
    ],
    'INSERT INTO l VALUES (1), (2)',
    REMOTE,
  ),
  hidden(
    'SECURITY DEFINER',
    [
      "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $body$ BEGIN RETURN dblink_connect('sd', '{R}'); END $body$",
      'SET ROLE plain_user',
    ],
    'SELECT f()',
  ),
  // In a select list nobody says which types are wanted.
  hidden(
    'PERFORM dblink() of a command',
    [],
    "DO $$ BEGIN PERFORM dblink('c', 'INSERT INTO w VALUES (1)'); END $$",
    REMOTE,
  ),
  hidden('PERFORM dblink() of rows', [], "DO $$ BEGIN PERFORM dblink('c', 'SELECT 1'); END $$"),
  hidden(
    'PERFORM dblink() of many rows',
    [],
    "DO $$ BEGIN PERFORM dblink('c', 'SELECT n, repeat(''x'', 120) FROM generate_series(1, 900) n'); END $$",
  ),
  hidden(
    'PERFORM dblink() that fails',
    [],
    "DO $$ BEGIN PERFORM dblink('c', 'SELECT 1/0', false); PERFORM dblink('c', 'SELECT 1/0'); END $$",
  ),
  hidden(
    'a cleanup block',
    [
      FUNCTION(
        "BEGIN IF 'c' = ANY (dblink_get_connections()) THEN PERFORM dblink_disconnect('c'); END IF; RETURN 'ok'; END",
      ),
    ],
    'SELECT f()',
  ),
  // The call itself is wrong in a way that only a primary that knows the function can tell.
  ...[
    "dblink_exec(DISTINCT 'c', 'x')",
    "dblink_exec('c', 'x') OVER ()",
    "dblink_exec(VARIADIC ARRAY['c'])",
    'dblink_exec(*)',
    "dblink_exec('c' ORDER BY 1)",
    "dblink_exec('c', 'x') FILTER (WHERE true)",
  ].map((call) => hidden(`not an aggregate: ${call}`, [], `SELECT ${call}`)),
  hidden('has the function at all', [], "SELECT 'dblink(text,text)'::regprocedure::text"),
  testCase(
    'bridge: a function LANGUAGE sql',
    [
      open('c'),
      "CREATE FUNCTION f() RETURNS TABLE (a int) LANGUAGE sql AS $body$ SELECT * FROM dblink('c', 'SELECT id FROM people ORDER BY id') AS t(a int) $body$",
      'SELECT * FROM f()',
    ],
    { local: '', bridged: true },
  ),
  testCase(
    'bridge: parameters of a lateral call',
    [
      open('c'),
      bound(
        "SELECT i.id, t.n FROM items i, LATERAL dblink($1, format('SELECT %s', i.id)) AS t(n int) WHERE i.id > $2 ORDER BY 1",
        ['c', 1],
      ),
    ],
    { bridged: true },
  ),
];
