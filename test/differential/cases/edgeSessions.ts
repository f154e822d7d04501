import { bound, fetch, open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { ask, BRIDGED, COUNT_X, entry, exec, KILL, MESSAGE, UNNAMED, VICTIM, X } from './edgeNotation.js';
import { ONE_BY_ONE } from './functionNotation.js';

/**
 * Edge cases of the behaviour reference (section 12) about what surrounds a call: connections and how they are found,
 * the local transaction, settings, time limits, overloads. Entries 10 to 37 and 63: edgeCalls.ts.
 *
 * Entries that another case plays as they stand: 3 "the empty name is a name"; 9 "connection names are not connection
 * strings" (two); 39 "a one-shot transaction is lost"; 49 "roles: a misspelt connection name", "an empty password", "the
 * server does not ask for the password"; 50 "servers: dblink_connect_u granted"; 51 "servers: no user mapping", "a
 * connection of that name comes first", "the name is case-sensitive"; 52 "validator: CREATE SERVER n … (hots 'x')", "CREATE
 * USER MAPPING … (host 'x')"; 55 to 57 "build_sql: the examples"; 58 "build_sql: dropped columns", "an attribute beyond the
 * live ones"; 59 "build_sql: no keys", "more than the vector has", "both arrays too short"; 60 "primary keys: in the order
 * of the index", "the relation v", "not the relation nosuch", "… a b", "… ix"; 64 "cursors: tags of transaction commands".
 *
 * Entries that the proxy answers otherwise on purpose, so that they cannot be compared: the second half of 6 and 47
 * (known-differences.test.ts), and of 45 what follows the time limit. The first half of 48 is what only releases newer than
 * those compared with do.
 */

const connections: readonly Case[] = [
  entry(1, 'no connection of that name', [
    "SELECT dblink_connect('nosuch')",
    "SELECT * FROM dblink('nosuch', 'select 1') AS t(a int)",
    "SELECT dblink_open('nosuch', 'cur', 'select 1')",
  ]),
  entry(
    2,
    'no unnamed connection',
    ["SELECT dblink_exec('x')", 'SELECT dblink_disconnect()', 'SELECT * FROM dblink_get_notify()'],
    BRIDGED,
  ),
  entry(4, 'NULL', [
    'SELECT dblink_get_connections()',
    'SELECT dblink_connect(NULL)',
    open('c'),
    "SELECT dblink_exec('c', 'select 1', NULL)",
    "SELECT * FROM dblink('c', NULL) AS t(a int)",
    "SELECT dblink_disconnect('c')",
    'SELECT dblink_get_connections()',
  ]),
  entry(5, 'a name that is too long', [
    "SELECT dblink_connect(repeat('n', 70), '{R}')",
    "SELECT * FROM dblink(repeat('n', 63), 'select 1') AS t(a int)",
    "SELECT * FROM dblink(repeat('n', 99), 'select 1') AS t(a int)",
    "SELECT dblink_exec(repeat('n', 99), 'selec', false)",
    "SELECT dblink_connect(repeat('n', 64), '{R}')",
    "SELECT * FROM dblink(repeat('n', 99), 'select 1/0') AS t(a int)",
  ]),
  entry(6, 'a long connection string that is the name of a connection', [
    "SELECT dblink_connect('{R} application_name=longer_than_a_name', '{R} dbname=postgres')",
    fetch('SELECT current_database()', 'd text', "'{R} application_name=longer_than_a_name', "),
    "SELECT dblink_exec('{R} application_name=longer_than_a_name', 'SET a.b = 1')",
  ]),
  entry(7, 'a duplicate name', [
    open('dup'),
    open('DUP'),
    'SELECT dblink_get_connections()',
    open('dup'),
    "SELECT dblink_connect('dup', 'host=127.0.0.1 port=1')",
  ]),
  // 15.20 says otherwise than 15.18, as the entry does; so may others of its day.
  entry(7, 'a duplicate name with a string that is none', [
    open('dup'),
    "SELECT dblink_connect('dup', 'garbage')",
  ]),
  entry(8, 'what a failure leaves', [
    "SELECT dblink_connect('{R} application_name=previous')",
    "SELECT dblink_connect('host=127.0.0.1 port=1')",
    ask("SELECT current_setting('application_name')", 'a text'),
    "SELECT dblink_connect('c', 'host=127.0.0.1 port=1')",
    open('c'),
  ]),
];

const session: readonly Case[] = [
  entry(
    38,
    'the local transaction is another one',
    [
      open('c'),
      'BEGIN',
      exec('insert into x values (1)'),
      open('in_block'),
      'SAVEPOINT s',
      open('in_savepoint'),
      'ROLLBACK TO s',
      'ROLLBACK',
      fetch(COUNT_X, 'n int'),
      fetch('select 1', 'a int', "'in_block', "),
      fetch('select 1', 'a int', "'in_savepoint', "),
      'DISCARD ALL',
      'SELECT dblink_get_connections()',
      'SET search_path = scratch, public',
      fetch(COUNT_X, 'n int'),
    ],
    // A block of the context's own would end with the case's.
    { ...X, contexts: ['autocommit'] },
  ),
  entry(40, 'a date in the style of the remote', [
    `SELECT dblink_connect('c', $conn$\{R} options='-c datestyle=SQL,DMY'$conn$)`,
    fetch("select date '2024-02-03'", 'a date'),
    fetch("select date '2024-02-03'", 'a text'),
    'SHOW datestyle',
    fetch("select 'x'", 'a date'),
    'SHOW datestyle',
  ]),
  entry(41, 'a style that the same string sets', [
    open('c'),
    fetch("set datestyle=german; select date '2024-02-03'", 'a date'),
    fetch("select date '2024-02-03'", 'a date'),
  ]),
  entry(42, 'a time zone of the remote that reads as another one', [
    "SET timezone = 'America/New_York'",
    `SELECT dblink_connect('c', $conn$\{R} options='-c datestyle=SQL -c timezone=Asia/Kolkata'$conn$)`,
    fetch("select timestamptz '2024-02-03 04:05:06+00'", 'a text'),
    fetch("select timestamptz '2024-02-03 04:05:06+00'", 'a timestamptz'),
  ]),
  entry(
    43,
    'a database in LATIN1',
    [
      "SELECT dblink_connect('c', '{R} client_encoding=UTF8')",
      fetch("select current_setting('client_encoding')", 'a text'),
      `SELECT dblink_connect('d', $conn$\{R} options='-c client_encoding=UTF8'$conn$)`,
      fetch("select current_setting('client_encoding')", 'a text', "'d', "),
      `SELECT * FROM dblink('c', $remote$select U&'\\20AC'$remote$, false) AS t(a text)`,
      fetch("select U&'\\20AC'", 'a text'),
    ],
    { sessions: ['latin1-db'] },
  ),
  entry(
    44,
    'a regclass of the remote',
    [open('c'), fetch("select 'cur_t'::regclass", 'j text'), fetch("select 'cur_t'::regclass", 'j regclass')],
    { remote: 'CREATE TABLE cur_t (a int)' },
  ),
  entry(
    45,
    'a time limit in dblink()',
    [
      open('c'),
      'SET statement_timeout = 500',
      fetch('select pg_sleep(3)', 'a text'),
      'RESET statement_timeout',
      fetch('select 1', 'a int'),
    ],
    // In one message the time limit would hold for all of it.
    { differs: 'own-error', transports: ['simple', 'extended', 'binary'] },
  ),
  entry(
    45,
    'a time limit in dblink_exec()',
    [
      VICTIM('c'),
      'SET statement_timeout = 500',
      exec('select pg_sleep(3)'),
      'RESET statement_timeout',
      // What the extension lets run on would be taken for something left over.
      KILL,
      "SELECT dblink_disconnect('c')",
    ],
    { differs: 'own-error', contexts: ['autocommit'], transports: ['simple', 'extended', 'binary'] },
  ),
  entry(
    46,
    'how often it is carried out',
    [
      open('c'),
      "SELECT * FROM dblink('c', 'insert into x values (1) returning a') AS t(a int) LIMIT 0",
      "SELECT * FROM dblink('c', 'insert into x values (2) returning a') AS t(a int) WHERE false",
      "EXPLAIN SELECT * FROM dblink('c', 'insert into x values (3) returning a') AS t(a int)",
      "SELECT * FROM dblink('c', 'insert into x values (4), (5) returning a') AS t(a int) LIMIT 1",
      "SELECT * FROM generate_series(1, 3) g, dblink('c', 'insert into x values (6) returning a') AS t(a int)",
      "SELECT * FROM generate_series(1, 3) g, LATERAL dblink('c', 'insert into x values (' || 6 + g || ') returning a') AS t(a int)",
      fetch('SELECT a FROM x ORDER BY a', 'a int'),
    ],
    { ...X, ...BRIDGED },
  ),
  entry(
    48,
    'a domain that calls dblink_exec on another connection',
    [
      open('c'),
      open('d'),
      fetch('select g from generate_series(1, 3) g', 'a dom'),
      fetch(COUNT_X, 'n int'),
      'SELECT 5::dom',
      fetch(COUNT_X, 'n int'),
    ],
    {
      ...X,
      ...BRIDGED,
      local: `CREATE FUNCTION noted(int) RETURNS bool LANGUAGE plpgsql AS $$
        BEGIN RETURN dblink_exec('d', 'insert into x values (' || $1 || ')') = 'INSERT 0 1'; END $$;
        CREATE DOMAIN dom AS int CHECK (noted(VALUE))`,
    },
  ),
];

const others: readonly Case[] = [
  entry(53, 'values of connection strings', [
    "SELECT dblink_connect('a', 'application_name= host=h hostaddr=127.0.0.1 port={port} user=postgres dbname=remote')",
    "SELECT dblink_connect('b', $conn$application_name='q1'host=127.0.0.1 port={port} user=postgres dbname=remote$conn$)",
    "SELECT dblink_connect('c', '{R} application_name=first application_name=last')",
    `SELECT dblink_connect('d', $conn$\{R} application_name=a\\ b\\'c\\\\d$conn$)`,
    ...['a', 'b', 'c', 'd'].map((name) =>
      fetch("SELECT current_setting('application_name')", 'a text', `'${name}', `),
    ),
  ]),
  entry(
    54,
    'notifications',
    [
      open('c'),
      exec('listen ch'),
      exec('notify ch'),
      "SELECT notify_name, extra, extra = '' AS empty FROM dblink_get_notify('c')",
      "SELECT * FROM dblink_get_notify('c')",
      exec('begin'),
      exec('notify ch'),
      "SELECT notify_name, extra FROM dblink_get_notify('c')",
      exec('commit'),
      "SELECT notify_name, extra FROM dblink_get_notify('c')",
    ],
    BRIDGED,
  ),
  entry(
    61,
    'which overload',
    [
      "SELECT * FROM dblink('select 1', 'false') AS t(a int)",
      "SELECT dblink_fetch('m', 'x', '1')",
      "SELECT dblink_connect(connstr => '{R}')",
    ],
    BRIDGED,
  ),
  entry(
    62,
    'calls in a failed transaction',
    [
      open('c'),
      UNNAMED,
      'BEGIN',
      'SELECT 1/0',
      ...[
        "dblink_connect('d', '{R}')",
        "dblink_connect_u('d', '{R}')",
        "dblink_exec('c', 'insert into x values (1)')",
        "dblink_exec('insert into x values (2)')",
        "dblink_exec('{R}', 'insert into x values (3)')",
        "dblink('c', 'insert into x values (4)')",
        "dblink_open('c', 'k', 'insert into x values (5) returning a')",
        "dblink_fetch('c', 'k', 1)",
        "dblink_close('c', 'k')",
        "dblink_send_query('c', 'insert into x values (6)')",
        "dblink_is_busy('c')",
        "dblink_get_result('c')",
        "dblink_cancel_query('c')",
        "dblink_error_message('c')",
        "dblink_get_notify('c')",
        'dblink_get_connections()',
        'dblink_current_query()',
        "dblink_get_pkey('items')",
        "dblink_build_sql_delete('items', '1', 1, '{1}')",
        "dblink_disconnect('c')",
        'dblink_disconnect()',
      ].map((call) => `SELECT ${call}`),
      "SELECT * FROM dblink('c', 'insert into x values (7) returning a') AS t(a int)",
      'ROLLBACK',
      'SELECT dblink_get_connections()',
      fetch(COUNT_X, 'n int'),
      exec('set a.b = 1'),
    ],
    { ...X, ...BRIDGED, contexts: ['autocommit'], transports: ONE_BY_ONE },
  ),
  entry(
    62,
    'an error that the primary catches',
    [
      open('c'),
      "DO $$ BEGIN PERFORM dblink_exec('c', 'selec'); EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$",
      MESSAGE,
      fetch('select 1', 'a int'),
      exec('set a.b = 1'),
    ],
    BRIDGED,
  ),
  entry(65, 'connection strings that are none', [
    fetch('select 1', 'a int', "'POSTGRESQL://x', "),
    fetch('select 1', 'a int', "'host=127.0.0.1 port=70000', "),
  ]),
  entry(
    65,
    'an at sign in the query of a URI',
    [fetch('select 1', 'a int', "'postgresql://127.0.0.1?user=a@b:5502/spec_a', ")],
    // Name resolution can take seconds where there is no network: one variant.
    { transports: ['simple'], contexts: ['autocommit'], sessions: ['utf8'] },
  ),
  entry(
    66,
    'WITH and PREPARE',
    [
      open('c'),
      "WITH x AS (SELECT * FROM dblink('c', 'select 42') AS t(a int)) SELECT * FROM x, x y",
      "PREPARE ps(text) AS SELECT * FROM dblink('c', $1) AS t(a text)",
      "EXECUTE ps('select 7')",
      "EXECUTE ps('set a.b = 1')",
      "EXECUTE ps('select 1/0')",
      bound("SELECT * FROM dblink('c', $1) AS t(a text)", ['select 7']),
      bound("SELECT * FROM dblink('c', $1) AS t(a text)", ['set a.b = 1']),
    ],
    BRIDGED,
  ),
];

export const edgeSessionCases: readonly Case[] = [...connections, ...session, ...others];
