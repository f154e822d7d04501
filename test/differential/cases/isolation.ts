import { onLocal, onRemote, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Bridged calls in every kind of transaction, under time limits and at every level of messages. */

const W = { remote: 'CREATE TABLE w (a int PRIMARY KEY)' };
const PER_ROW = "SELECT id, dblink_exec('c', 'INSERT INTO w VALUES (' || id || ')') FROM items ORDER BY id";
const LATERAL =
  "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id) AS t(a int) ORDER BY 1";
const FAILING = "SELECT n, t.a FROM generate_series(1, 2) n, LATERAL dblink('c', 'SELECT 1/0') AS t(a int)";
const F =
  "CREATE FUNCTION f(q text) RETURNS text LANGUAGE plpgsql AS $body$ BEGIN RETURN dblink_exec('c', q); END $body$;";
const bridged = (name: string, steps: Case['steps'], more: Omit<Case, 'name' | 'steps'> = {}): Case =>
  testCase(`isolation: ${name}`, steps, { ...more, bridged: true });
/** With its own transactions. */
const own = (steps: Case['steps'], name: string, more: Omit<Case, 'name' | 'steps'> = {}): Case =>
  bridged(name, steps, { contexts: ['autocommit'], ...more });

const transaction = (mode: string): Case =>
  own(
    [
      `BEGIN ${mode}`,
      'SELECT count(*) FROM snapshot_probe',
      open('c'),
      PER_ROW,
      LATERAL,
      'SAVEPOINT s',
      FAILING,
      'ROLLBACK TO s',
      "SELECT f('DELETE FROM w WHERE a = 1')",
      'SELECT count(*) FROM v',
      'INSERT INTO l VALUES (1)',
      'COMMIT',
      'SELECT * FROM l',
    ],
    `BEGIN ${mode}`,
    {
      local: `${F} CREATE TABLE l (a int); CREATE VIEW v AS SELECT * FROM dblink('c', 'SELECT a FROM w') AS t(a int)`,
      ...W,
    },
  );

export const isolationCases: readonly Case[] = [
  ...[
    'ISOLATION LEVEL READ COMMITTED',
    'ISOLATION LEVEL REPEATABLE READ',
    'ISOLATION LEVEL SERIALIZABLE',
    'READ ONLY',
    'ISOLATION LEVEL REPEATABLE READ READ ONLY',
    'ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE',
  ].map(transaction),
  own(
    [
      open('c'),
      'SET default_transaction_isolation = serializable',
      PER_ROW,
      LATERAL,
      'SET default_transaction_read_only = on',
      "SELECT f('DELETE FROM w')",
      "DO $$ BEGIN PERFORM dblink_connect('d', '{R}'); END $$",
      'RESET ALL',
      LATERAL,
    ],
    'defaults of the session',
    { local: F, ...W },
  ),
  own(
    [
      open('c'),
      'BEGIN ISOLATION LEVEL REPEATABLE READ',
      'SELECT count(*) FROM l',
      onLocal('INSERT INTO scratch.l VALUES (2)'),
      onRemote('INSERT INTO scratch.w VALUES (2)'),
      "SELECT i.id, t.n FROM items i, LATERAL dblink('c', 'SELECT count(*) FROM w') AS t(n int) WHERE i.id = 1",
      'SELECT count(*) FROM l',
      'COMMIT',
      'BEGIN',
      "SELECT i.id, (SELECT count(*) FROM l), t.n FROM items i, LATERAL dblink('c', 'SELECT count(*) FROM w') AS t(n int) WHERE i.id = 1",
      onLocal('INSERT INTO scratch.l VALUES (3)'),
      "SELECT count(*), f('SET a.b = 1') FROM l",
      'COMMIT',
    ],
    'snapshots',
    {
      local: `${F} CREATE TABLE l (a int); INSERT INTO l VALUES (1)`,
      ...W,
      transports: ['simple', 'extended'],
    },
  ),
  own(
    [
      'BEGIN',
      'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE',
      open('c'),
      LATERAL,
      'COMMIT',
      'BEGIN',
      "SELECT f('SET a.b = 1')",
      'SET TRANSACTION READ ONLY',
      "SELECT f('SET a.b = 2')",
      'SAVEPOINT s',
      'SET TRANSACTION READ WRITE',
      'ROLLBACK TO s',
      'COMMIT AND CHAIN',
      "SELECT f('SET a.b = 3')",
      'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ',
      'ROLLBACK',
    ],
    'SET TRANSACTION before and after a bridged call',
    // Elsewhere the probe between the steps is the first query.
    { local: F, transports: ['multi', 'pipeline'] },
  ),
  bridged(
    'savepoints',
    [
      open('c'),
      'SAVEPOINT a',
      PER_ROW,
      'SAVEPOINT b',
      'INSERT INTO l VALUES (1)',
      PER_ROW,
      'ROLLBACK TO b',
      LATERAL,
      'RELEASE b',
      'ROLLBACK TO a',
      "SELECT dblink_connect('in_savepoint', '{R}') FROM generate_series(1, 1)",
      'ROLLBACK TO a',
      "SELECT f('SET a.b = 1')",
      'RELEASE a',
      'SELECT dblink_get_connections()',
    ],
    { local: `${F} CREATE TABLE l (a int)`, ...W, contexts: ['block', 'repeatable-read', 'savepoint'] },
  ),
  bridged(
    'in a failed transaction',
    [
      open('c'),
      FAILING,
      PER_ROW,
      "SELECT f('INSERT INTO w VALUES (1)')",
      "DO $$ BEGIN PERFORM dblink_disconnect('c'); END $$",
    ],
    { local: F, ...W },
  ),
  own(
    [
      open('c'),
      'BEGIN',
      'INSERT INTO l VALUES (1)',
      PER_ROW,
      "PREPARE TRANSACTION 'bridged'",
      LATERAL,
      "COMMIT PREPARED 'bridged'",
      'SELECT * FROM l',
      'BEGIN ISOLATION LEVEL REPEATABLE READ',
      LATERAL,
      "PREPARE TRANSACTION 'bridged too'",
      "ROLLBACK PREPARED 'bridged too'",
    ],
    'PREPARE TRANSACTION',
    // In one pipeline it leaves a prepared transaction behind.
    {
      local: 'CREATE TABLE l (a int)',
      ...W,
      transports: ['simple', 'multi', 'extended', 'binary', 'pipeline-syncs'],
    },
  ),
  bridged(
    'row_security off, session_replication_role',
    [
      open('c'),
      'SET row_security = off',
      LATERAL,
      "SELECT f('SET a.b = 1')",
      'SET session_replication_role = replica',
      "SELECT f('SET a.b = 2')",
      'RESET session_replication_role',
      'SET ROLE plain_user',
      "SELECT f('SET a.b = 3')",
      'RESET ROLE',
    ],
    { local: F },
  ),
  bridged(
    'settings of the session that could be in the way',
    [
      open('c'),
      "SET lock_timeout = '1ms'",
      "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id || ' FROM pg_sleep(0.02)') AS t(a int) ORDER BY 1",
      "SET deadlock_timeout = '1ms'",
      "SELECT f('SELECT pg_sleep(0.02)')",
      "SET idle_in_transaction_session_timeout = '5s'",
      'SET plan_cache_mode = force_generic_plan',
      LATERAL,
      'SET standard_conforming_strings = off',
      "SELECT f('SET a.b = ''x\\\\y''')",
      'SET enable_material = off',
      'SET check_function_bodies = off',
      'SET force_parallel_mode = on',
      LATERAL,
      'SHOW lock_timeout',
      'SHOW deadlock_timeout',
    ],
    { local: F, maxMajor: 15 },
  ),
  bridged(
    'settings of the session that could be in the way, later majors',
    [
      open('c'),
      "SET lock_timeout = '1ms'",
      "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT ' || i.id || ' FROM pg_sleep(0.02)') AS t(a int) ORDER BY 1",
      "SET deadlock_timeout = '1ms'",
      "SELECT f('DO ''BEGIN PERFORM pg_sleep(0.02); END''')",
      'SET plan_cache_mode = force_generic_plan',
      LATERAL,
      'SET debug_parallel_query = on',
      'SET parallel_setup_cost = 0',
      LATERAL,
      "SELECT f('SET a.b = 1')",
      'SHOW lock_timeout',
      'SHOW deadlock_timeout',
    ],
    { local: F, minMajor: 16 },
  ),

  // Time limits and cancels.
  bridged(
    'a time limit in dblink()',
    [
      open('c'),
      "SET statement_timeout = '100ms'",
      "SELECT n, t.a FROM generate_series(1, 2) n, LATERAL dblink('c', 'SELECT 1 FROM pg_sleep(0.3)') AS t(a int)",
      'SET statement_timeout = 0',
      LATERAL,
      "SELECT dblink_error_message('c')",
    ],
    { differs: 'own-error', contexts: ['autocommit', 'savepoint'] },
  ),
  bridged(
    'a time limit in dblink_exec()',
    [
      open('c'),
      "SET statement_timeout = '100ms'",
      "SELECT f('DO ''BEGIN PERFORM pg_sleep(0.3); END''')",
      'SET statement_timeout = 0',
      // The extension leaves the connection busy, the proxy does not (docs/compatibility.md): neither is looked at.
      "SELECT dblink_disconnect('c')",
      open('c'),
      "SELECT f('SET a.b = 1')",
      LATERAL,
    ],
    {
      local: F,
      differs: 'own-error',
      contexts: ['autocommit', 'savepoint'],
      // Not describe-first, which runs each statement twice: the second time the extension's connection is busy.
      transports: ['simple', 'multi', 'extended', 'binary'],
    },
  ),
  bridged(
    'a time limit with a one-shot connection',
    [
      "SET statement_timeout = '100ms'",
      "DO $$ BEGIN PERFORM dblink_exec('{R}', 'DO ''BEGIN PERFORM pg_sleep(0.3); END'''); END $$",
      'RESET statement_timeout',
      "DO $$ BEGIN PERFORM dblink_exec('{R}', 'SET a.b = 1'); END $$",
    ],
    { differs: 'own-error', contexts: ['autocommit'] },
  ),
  bridged(
    'the function catches the time limit',
    ["SET statement_timeout = '150ms'", 'SELECT g()', 'RESET statement_timeout', 'SELECT g()'],
    {
      local: `CREATE FUNCTION g() RETURNS text LANGUAGE plpgsql AS $body$
        DECLARE v text;
        BEGIN
          BEGIN
            PERFORM dblink_exec('{R}', 'DO ''BEGIN PERFORM pg_sleep(0.4); END''');
            v := 'in time';
          EXCEPTION WHEN query_canceled THEN v := SQLSTATE || SQLERRM;
          END;
          RETURN v || (SELECT a FROM dblink('{R}', 'SELECT 5') AS t(a int));
        END $body$`,
      contexts: ['autocommit', 'block'],
    },
  ),
  bridged(
    'the remote cancels its own statement',
    [
      open('c'),
      "SELECT dblink_exec('c', 'SET statement_timeout = ''50ms''')",
      'SELECT g()',
      "SELECT i.id, t.a FROM items i, LATERAL dblink('c', 'SELECT 1 FROM pg_sleep(0.3)') AS t(a int)",
    ],
    {
      local: `CREATE FUNCTION g() RETURNS text LANGUAGE plpgsql AS $body$
        BEGIN PERFORM * FROM dblink('c', 'SELECT 1 FROM pg_sleep(0.3)') AS t(a int); RETURN 'in time';
        EXCEPTION WHEN query_canceled THEN RETURN SQLSTATE || SQLERRM; END $body$`,
      contexts: ['autocommit', 'savepoint'],
    },
  ),

  // Messages.
  bridged('notices beside those of the user', [
    open('c'),
    "DO $$ BEGIN RAISE NOTICE 'before'; PERFORM dblink_exec('c', 'selec', false); RAISE INFO 'between'; PERFORM * FROM dblink('c', 'SELECT 1/0', false) AS t(a int); RAISE WARNING 'after' USING HINT = 'own'; END $$",
    "SELECT n, dblink_exec('c', 'SELECT fail(''ZZ00' || n || ''', ''m'', ''d'', ''h'')', false) FROM generate_series(1, 2) n",
    "DO $$ BEGIN RAISE LOG 'log'; RAISE DEBUG 'debug'; PERFORM dblink_connect(repeat('n', 70), '{R}'); RAISE INFO 'dblink-proxy:is not a request'; END $$",
    "SELECT dblink_exec('c', 'DO ''BEGIN PERFORM public.noise(1); END''', false) FROM generate_series(1, 2)",
  ]),
  // Below that the server tells what it does itself, and with the bridge does more of.
  ...['log', 'warning', 'error'].map((level) =>
    bridged(
      `client_min_messages = ${level}`,
      [
        open('c'),
        `SET client_min_messages = ${level}`,
        "DO $$ BEGIN RAISE DEBUG 'd'; RAISE LOG 'l'; RAISE NOTICE 'n'; PERFORM dblink_exec('c', 'selec', false); RAISE WARNING 'w'; RAISE INFO 'i'; END $$",
        "SELECT n, t.a FROM generate_series(1, 2) n, LATERAL dblink('c', 'SELECT 1; SELECT 1/0', false) AS t(a int)",
        "SELECT f('SET a.b = 1')",
        'SHOW client_min_messages',
      ],
      { local: F },
    ),
  ),
  bridged('client_min_messages inside a function', [open('c'), 'SELECT g()', LATERAL], {
    local: `CREATE FUNCTION g() RETURNS text LANGUAGE plpgsql SET client_min_messages = error AS $body$
        BEGIN RAISE WARNING 'unheard'; RETURN dblink_exec('c', 'selec', false); END $body$`,
  }),

  // One set of connections, above and below.
  bridged('connections of the top level and of functions are the same', [
    "DO $$ BEGIN PERFORM dblink_connect('inner', '{R}'); PERFORM dblink_connect('{R}'); END $$",
    "SELECT * FROM dblink('inner', 'SELECT 1') AS t(a int)",
    "SELECT * FROM dblink('SELECT 2') AS t(a int)",
    open('outer'),
    "SELECT dblink_exec('outer', 'BEGIN')",
    "DO $$ BEGIN RAISE NOTICE '%', (SELECT array_agg(n ORDER BY n) FROM unnest(dblink_get_connections()) n); PERFORM dblink_exec('outer', 'SET LOCAL a.b = 5'); PERFORM dblink_disconnect('inner'); END $$",
    "SELECT * FROM dblink('outer', 'SHOW a.b') AS t(a text)",
    "SELECT dblink_exec('inner', 'SET a.b = 1')",
    "DO $$ BEGIN PERFORM dblink_disconnect(); PERFORM dblink_exec('outer', 'COMMIT'); END $$",
    "SELECT * FROM dblink('outer', 'SHOW a.b') AS t(a text)",
    'SELECT dblink_disconnect()',
  ]),
  bridged(
    'the remote ends while functions use it',
    [
      open('c'),
      "SELECT f('SET application_name = ''victim''')",
      onRemote(
        "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = 'victim'",
      ),
      LATERAL,
      "SELECT f('SET a.b = 1')",
      'SELECT dblink_disconnect(n) FROM unnest(dblink_get_connections()) n',
      open('c'),
      LATERAL,
    ],
    { local: F, transports: ['simple', 'extended', 'binary', 'row-limit'] },
  ),
  bridged(
    'a remote transaction across bridged calls',
    [
      open('c'),
      "SELECT f('BEGIN')",
      PER_ROW,
      "SELECT f('INSERT INTO w VALUES (1)')",
      LATERAL,
      "SELECT f('ROLLBACK')",
      "SELECT f('BEGIN; INSERT INTO w VALUES (9)')",
      "SELECT dblink_exec('c', 'COMMIT')",
      LATERAL,
    ],
    { local: F, ...W },
  ),
  bridged(
    'DISCARD ALL, RESET ALL between bridged calls',
    [
      open('c'),
      LATERAL,
      'DISCARD ALL',
      LATERAL,
      'RESET ALL',
      "SELECT f('SET a.b = 1')",
      'DISCARD TEMP',
      'DISCARD PLANS',
      "SELECT f('SET a.b = 1')",
      'RESET SESSION AUTHORIZATION',
      'SELECT pg_advisory_unlock_all()',
      "SELECT f('SET a.b = 1')",
      'UNLISTEN *',
      LATERAL,
    ],
    { local: F, contexts: ['autocommit'], transports: ['simple', 'extended', 'binary', 'pipeline-syncs'] },
  ),
];
