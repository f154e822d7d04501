import { fetch } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { bridged, ONE_BY_ONE, plpgsql, sql } from './functionNotation.js';

/**
 * SECURITY DEFINER functions called by a login that could not take their owner's role: the extension judges a call by the role
 * that runs it. The remote asks nobody for a password, which only a superuser may use.
 */

const asPlain = (
  name: string,
  functions: string,
  steps: Case['steps'],
  more: Pick<Case, 'differs'> = {},
): Case =>
  bridged(`definers: ${name}`, steps, {
    local: functions,
    user: 'plain_user',
    transports: ONE_BY_ONE,
    ...more,
  });

const DEFINER = { attributes: 'SECURITY DEFINER' } as const;
const NO_PATH = { attributes: "SECURITY DEFINER SET search_path = ''" } as const;

/** Connects without a password, as its owner; `g` does as its caller. */
const CONNECTS =
  plpgsql("BEGIN RETURN dblink_connect(name, '{R}'); END", { args: 'name text', ...DEFINER }) +
  plpgsql("BEGIN RETURN dblink_connect(name, '{R}'); END", { name: 'g', args: 'name text' });
const UNAIDED = ["SELECT dblink_connect('x', '{R}')", "SELECT g('y')", 'SELECT dblink_get_connections()'];

/** A server whose mapping for PUBLIC only its owner can read, a role that may use it, and that role's function. */
const PUBLIC_MAPPING = `DROP FOREIGN DATA WRAPPER IF EXISTS handmade CASCADE;
CREATE FOREIGN DATA WRAPPER handmade;
CREATE SERVER sv FOREIGN DATA WRAPPER handmade OPTIONS (host '{host}', port '{port}', dbname 'remote');
CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS ("user" 'md5_user', password 'md5 pass');
GRANT USAGE ON FOREIGN SERVER sv TO clear_user;
${plpgsql("BEGIN RETURN (SELECT u FROM dblink(name, 'SELECT current_user') AS t(u text)); END", { args: 'name text', ...DEFINER })}
ALTER FUNCTION f(text) OWNER TO clear_user;
${plpgsql("BEGIN RETURN (SELECT u FROM dblink(name, 'SELECT current_user') AS t(u text)); END", { name: 'g', args: 'name text' })}`;

export const definerCases: readonly Case[] = [
  asPlain("a superuser's connects without a password", CONNECTS, [
    "SELECT f('c')",
    ...UNAIDED,
    fetch('SELECT current_user', 'u text'),
    "SELECT f('d'), f('e')",
    ...UNAIDED,
  ]),
  asPlain(
    'connections for one call',
    plpgsql("BEGIN RETURN (SELECT a FROM dblink('{R}', 'SELECT current_user') AS t(a text)); END", DEFINER) +
      plpgsql("BEGIN RETURN dblink_exec('{R}', 'SET a.b = 1'); END", { name: 'g', ...DEFINER }) +
      sql("SELECT * FROM public.dblink('{R}', 'SELECT g FROM generate_series(1, 3) AS g') AS t(a int)", {
        name: 'h',
        returns: 'SETOF int',
        ...NO_PATH,
      }),
    [
      'SELECT f()',
      'SELECT g()',
      'SELECT * FROM h()',
      "SELECT dblink_exec('{R}', 'SET a.b = 1')",
      fetch('SELECT 1', 'a int', "'{R}', "),
    ],
  ),
  asPlain(
    'many rows',
    plpgsql(
      "BEGIN RETURN (SELECT count(a) FROM dblink('{R}', 'SELECT repeat(''x'', 100) FROM generate_series(1, 3000)') AS t(a text)); END",
      DEFINER,
    ),
    ['SELECT f()', 'SELECT f()'],
  ),
  asPlain(
    'errors of the remote, caught and not',
    plpgsql("BEGIN RETURN dblink_exec('{R}', what); END", { args: 'what text', ...DEFINER }) +
      plpgsql("BEGIN RETURN f(what); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM; END", {
        name: 'g',
        args: 'what text',
      }) +
      plpgsql("BEGIN RETURN dblink_exec('{R}', what, false); END", {
        name: 'h',
        args: 'what text',
        ...DEFINER,
      }),
    [
      "SELECT g('selec')",
      "SELECT h('selec')",
      "SELECT g('SET a.b = 1')",
      "SELECT f('selec')",
      "SELECT f('SET a.b = 1')",
    ],
  ),
  asPlain(
    'what cannot be reached',
    plpgsql("BEGIN RETURN dblink_connect('c', conninfo); END", { args: 'conninfo text', ...DEFINER }),
    [
      "SELECT f('host=127.0.0.1 port=1')",
      "SELECT f('nonsense')",
      "SELECT f('{R} dbname=nosuch')",
      "SELECT f('{R}')",
      "SELECT f('{R}')",
    ],
  ),
  asPlain(
    'one that calls a function of the caller',
    plpgsql('BEGIN RETURN g(name); END', { args: 'name text', ...DEFINER }) +
      plpgsql("BEGIN RETURN current_user || dblink_connect(name, '{R}'); END", {
        name: 'g',
        args: 'name text',
      }),
    ["SELECT f('c')", ...UNAIDED],
  ),
  asPlain('of a role that is no superuser', `${CONNECTS} ALTER FUNCTION f(text) OWNER TO clear_user;`, [
    "SELECT f('c')",
    ...UNAIDED,
  ]),
  asPlain(
    'per row and in a trigger',
    `${CONNECTS}
     CREATE TABLE logged (n int);
     ${plpgsql(
       "BEGIN PERFORM dblink_exec('{R}', 'INSERT INTO w VALUES (' || NEW.n || ')'); RETURN NEW; END",
       {
         name: 'sent',
         returns: 'trigger',
         ...DEFINER,
       },
     )}
     CREATE TRIGGER t BEFORE INSERT ON logged FOR EACH ROW EXECUTE FUNCTION sent();
     GRANT ALL ON logged TO PUBLIC;`,
    [
      "SELECT n, f('c' || n) FROM generate_series(1, 3) AS n",
      'INSERT INTO logged VALUES (1), (2)',
      ...UNAIDED,
    ],
  ),
  asPlain('in a read-only transaction', CONNECTS, [
    'SET default_transaction_read_only = on',
    "SELECT f('c')",
    ...UNAIDED,
    fetch('SELECT 1', 'a int'),
  ]),
  asPlain(
    'serializable, with savepoints of its own',
    plpgsql(
      "BEGIN BEGIN PERFORM dblink_connect('c', '{R}'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN dblink_connect('d', '{R}'); END",
      DEFINER,
    ),
    [
      "SET default_transaction_isolation = 'serializable'",
      'SELECT f()',
      'SELECT dblink_get_connections() IS NULL',
    ],
  ),
  // A view is read with its owner's rights, its functions run with the reader's.
  asPlain(
    "a superuser's view",
    "CREATE VIEW far AS SELECT * FROM dblink('{R}', 'SELECT 1') AS t(a int); GRANT SELECT ON far TO PUBLIC",
    ['SELECT * FROM far'],
  ),
  asPlain(
    'dblink_connect_u',
    plpgsql("BEGIN RETURN dblink_connect_u('c', '{R}'); END", DEFINER) +
      plpgsql("BEGIN RETURN dblink_connect_u('d', '{R}'); END", { name: 'g' }),
    [
      'SELECT f()',
      fetch('SELECT current_user', 'u text'),
      'SELECT g()',
      "SELECT dblink_connect_u('e', '{R}')",
    ],
  ),
  asPlain(
    'the mapping for PUBLIC, by the rights of the owner',
    PUBLIC_MAPPING,
    ["SELECT f('sv')", "SELECT g('sv')"],
    { differs: 'own-error' },
  ),
  asPlain(
    "the mapping for PUBLIC, beside the caller's own",
    `${PUBLIC_MAPPING}; GRANT USAGE ON FOREIGN SERVER sv TO plain_user;
     CREATE USER MAPPING FOR plain_user SERVER sv OPTIONS ("user" 'scram_user', password 'sécret pass')`,
    ["SELECT f('sv')", "SELECT g('sv')"],
  ),
];
