import { bound, fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Connection strings: what is read from them, and how connecting fails. */

const connect = (conninfo: string): string => `SELECT dblink_connect('c', $conn$${conninfo}$conn$)`;

/** Connects by a string and looks at what arrived. */
function arrives(
  name: string,
  conninfo: string,
  shown = "current_user, current_setting('application_name')",
): Case {
  return testCase(`connection string: ${name}`, [
    connect(conninfo),
    fetch(`SELECT ${shown}`, shown.includes(',') ? 'a text, b text' : 'a text'),
  ]);
}

function fails(name: string, conninfo: string): Case {
  return testCase(`connection string fails: ${name}`, [connect(conninfo), 'SELECT dblink_get_connections()']);
}

export const conninfoCases: readonly Case[] = [
  arrives(
    'quoted values',
    "host='127.0.0.1' port = '{port}' user='postgres' dbname='remote' application_name='two words'",
  ),
  arrives('backslashes', String.raw`{R} application_name='a\'b\\c\d'`),
  arrives('backslashes without quotes', String.raw`{R} application_name=a\ b\'c`),
  arrives('a quote closes and the next keyword follows at once', "{R} application_name='q1'user=postgres"),
  arrives('a value that looks like a keyword', '{R} application_name= x=1'),
  arrives(
    'blanks, tabs and newlines',
    '\n host\t=\n127.0.0.1\tport={port}   user=postgres dbname=remote\n application_name=x \n',
  ),
  arrives(
    'the last of repeated keywords wins',
    '{R} application_name=first user=nosuch user=postgres application_name=last',
  ),
  arrives('empty value', "{R} application_name=''"),
  arrives(
    'hostaddr beats host',
    'host=nosuch.invalid hostaddr=127.0.0.1 port={port} user=postgres dbname=remote',
  ),
  arrives(
    'two hosts, the first refuses',
    'host=127.0.0.1,127.0.0.1 port=1,{port} user=postgres dbname=remote',
  ),
  arrives('one port for two hosts', 'host=127.0.0.1,127.0.0.1 port={port} user=postgres dbname=remote'),
  arrives(
    'options',
    "{R} options='-c work_mem=333kB -c application_name=by_options'",
    "current_setting('work_mem')",
  ),
  arrives(
    'options with an escaped blank',
    "{R} options='-c search_path=a,\\\\ b'",
    "current_setting('search_path')",
  ),
  arrives('fallback_application_name', '{R} fallback_application_name=fallback'),
  arrives(
    'application_name beats the fallback',
    '{R} fallback_application_name=fallback application_name=given',
  ),
  arrives('client_encoding is overridden', '{R} client_encoding=SQL_ASCII', 'pg_client_encoding()'),
  arrives('connect_timeout', '{R} connect_timeout=5'),
  arrives('sslmode=disable', '{R} sslmode=disable'),
  arrives('sslmode=prefer without TLS', '{R} sslmode=prefer'),
  arrives('keepalives', '{R} keepalives=1 keepalives_idle=60 keepalives_interval=10 keepalives_count=3'),
  arrives('target_session_attrs', '{R} target_session_attrs=read-write'),
  { ...arrives('target_session_attrs=primary', '{R} target_session_attrs=primary'), minMajor: 14 },
  arrives('gssencmode', '{R} gssencmode=disable'),
  arrives('URI', 'postgresql://postgres@127.0.0.1:{port}/remote?application_name=by%20uri'),
  arrives('URI, short scheme', 'postgres://postgres@127.0.0.1:{port}/remote'),
  arrives(
    'URI with everything in parameters',
    'postgresql:///?host=127.0.0.1&port={port}&user=postgres&dbname=remote',
  ),
  arrives('URI with an empty password', 'postgresql://postgres:@127.0.0.1:{port}/remote'),
  arrives('URI with two hosts', 'postgresql://postgres@127.0.0.1:1,127.0.0.1:{port}/remote'),
  arrives(
    'parameters of a URI override its parts',
    'postgresql://nosuch@127.0.0.1:{port}/nosuch?user=postgres&dbname=remote',
  ),
  arrives('password by SCRAM', "{R} user=scram_user password='sécret pass'"),
  arrives('password by md5', "{R} user=md5_user password='md5 pass'"),
  arrives('password in clear', "{R} user=clear_user password='clear pass'"),
  arrives('password in a URI', 'postgresql://md5_user:md5%20pass@127.0.0.1:{port}/remote'),
  arrives('a password that nobody asks for', '{R} password=unused'),
  // The newest releases of 15 accept it as well (their list of allowed options has it); the one compared with does not.
  { ...arrives('require_auth none', '{R} require_auth=none'), minMajor: 16 },
  arrives('host= localhost', 'host=localhost port={port} user=postgres dbname=remote'),

  fails('no equals sign', 'nosuch'),
  fails('no equals sign, later', 'host=127.0.0.1 nosuch'),
  fails('unterminated quote', "host='127.0.0.1"),
  fails('unknown option', 'hots=127.0.0.1'),
  fails('keywords are case-sensitive', 'HOST=127.0.0.1'),
  fails('refused', 'host=127.0.0.1 port=1 user=postgres dbname=remote'),
  fails('refused by two hosts', 'host=127.0.0.1,127.0.0.1 port=1,2 user=postgres dbname=remote'),
  fails('port out of range', 'host=127.0.0.1 port=70000'),
  fails('port not a number', 'host=127.0.0.1 port=abc'),
  fails('port zero', 'host=127.0.0.1 port=0'),
  fails('hosts and ports do not match', 'host=127.0.0.1,127.0.0.1 port=1,2,3'),
  fails('hosts and hostaddrs do not match', 'host=a,b hostaddr=127.0.0.1'),
  fails('bad hostaddr', 'hostaddr=300.0.0.1 port=1'),
  fails('unknown database', '{R} dbname=nosuch'),
  fails('unknown database beyond ASCII', '{R} dbname={text}'),
  fails('unknown user', '{R} user=nosuch'),
  fails('wrong password, SCRAM', '{R} user=scram_user password=wrong'),
  fails('wrong password, md5', '{R} user=md5_user password=wrong'),
  fails('wrong password, clear', '{R} user=clear_user password=wrong'),
  fails('no password, SCRAM', '{R} user=scram_user'),
  fails('no password, md5', '{R} user=md5_user'),
  fails('rejected by pg_hba.conf', '{R} user=rejected_user password=x'),
  fails('bad sslmode', '{R} sslmode=sometimes'),
  fails('sslmode=require without TLS', '{R} sslmode=require'),
  fails('bad target_session_attrs', '{R} target_session_attrs=nosuch'),
  { ...fails('target_session_attrs=read-only', '{R} target_session_attrs=read-only'), minMajor: 14 },
  { ...fails('target_session_attrs=standby', '{R} target_session_attrs=standby'), minMajor: 14 },
  // From 16 on the extension ignores connect_timeout; the proxy always honours it, hence always checks it.
  { ...fails('bad connect_timeout', '{R} connect_timeout=soon'), maxMajor: 15 },
  fails('bad channel_binding', '{R} channel_binding=maybe'),
  fails('bad gssencmode', '{R} gssencmode=maybe'),
  fails(
    'channel_binding=require without TLS',
    "{R} user=scram_user password='sécret pass' channel_binding=require",
  ),
  fails('bad keepalives_idle', '{R} keepalives_idle=x'),
  fails('service that does not exist', 'service=nosuch'),
  fails('unknown server setting in options', "{R} options='-c nosuch_setting=1'"),
  fails(
    'a socket directory that does not exist',
    'host=/nosuch/directory port=5432 user=postgres dbname=remote',
  ),
  fails('URI in capitals', 'POSTGRESQL://127.0.0.1'),
  fails('URI with an unknown parameter', 'postgresql://127.0.0.1/remote?nosuch=1'),
  fails('URI without a value', 'postgresql://127.0.0.1/remote?user'),
  fails('URI with two equals signs', 'postgresql://127.0.0.1/remote?user=a=b'),
  fails('URI with a bad percent', 'postgresql://127.0.0.1/remote?user=%zz'),
  fails('URI with a zero byte', 'postgresql://127.0.0.1/remote?user=%00'),
  fails('URI with an unclosed bracket', 'postgresql://[::1/remote'),
  fails('URI with an empty address', 'postgresql://[]/remote'),
  fails('URI with something after the bracket', 'postgresql://[::1]x/remote'),
  fails('URI with ssl=maybe', 'postgresql://127.0.0.1:{port}/remote?ssl=maybe'),
  fails('URI that requires TLS', 'postgresql://postgres@127.0.0.1:{port}/remote?ssl=true'),

  testCase('connection string fails: require_auth another', [connect('{R} require_auth=md5')], {
    minMajor: 16,
  }),
  testCase('connection string fails: bad load_balance_hosts', [connect('{R} load_balance_hosts=maybe')], {
    minMajor: 16,
  }),

  // Name resolution can take seconds where there is no network: these run in one variant only.
  ...[
    fails('unknown host', 'host=nosuch.invalid port=5432'),
    fails('URI with an at sign in the query', 'postgresql://127.0.0.1?user=a@b:{port}/remote'),
  ].map((each): Case => ({ ...each, transports: ['simple'], contexts: ['autocommit'], sessions: ['utf8'] })),
  testCase('the same failures without a connection, dblink()', [
    fetch('SELECT 1', 'a int', "'nosuch', "),
    fetch('SELECT 1', 'a int', "'host=127.0.0.1 port=1', "),
  ]),
  testCase('one-shot exec that cannot connect', [
    "SELECT dblink_exec('host=127.0.0.1 port=1', 'SET a.b = 1')",
  ]),
  testCase('one-shot exec that cannot connect, errors off', [
    "SELECT dblink_exec('host=127.0.0.1 port=1', 'SET a.b = 1', false)",
  ]),
  testCase('one-shot query that cannot connect, errors off', [
    "SELECT * FROM dblink('host=127.0.0.1 port=1', 'SELECT 1', false) AS t(a int)",
  ]),
  testCase('unnamed connect that fails', ["SELECT dblink_connect('host=127.0.0.1 port=1')"]),

  testCase('one-shot connections', [
    fetch('SELECT id, name FROM people WHERE id < 3 ORDER BY id', 'id int, name text', "'{R}', "),
    "SELECT dblink_exec('{R}', 'SET a.b = 1')",
    "SELECT dblink_exec('{URI}', 'SET a.b = 1')",
    'SELECT dblink_get_connections()',
  ]),
  testCase('one-shot connections are closed', [
    open('watch'),
    fetch('SELECT 1', 'a int', "'{R} application_name=oneshot', "),
    "SELECT dblink_exec('{R} application_name=oneshot', 'SET a.b = 1')",
    fetch(
      "SELECT pg_sleep(0.1); SELECT count(*) FROM pg_stat_activity WHERE application_name = 'oneshot'",
      'n text',
      "'watch', ",
    ),
  ]),
  testCase('one-shot connections are closed after an error', [
    open('watch'),
    fetch('SELECT 1/0', 'a int', "'{R} application_name=oneshot', "),
    fetch(
      "SELECT pg_sleep(0.1); SELECT count(*) FROM pg_stat_activity WHERE application_name = 'oneshot'",
      'n text',
      "'watch', ",
    ),
  ]),
  testCase('one-shot error says unnamed', [fetch('SELECT 1/0', 'a int', "'{R}', ")]),
  testCase('a name wins over a connection string', [
    "SELECT dblink_connect('{R}', '{R} application_name=captured')",
    fetch("SELECT current_setting('application_name')", 'a text', "'{R}', "),
  ]),
  testCase(
    'a one-shot transaction is lost',
    ["SELECT dblink_exec('{R}', 'CREATE TABLE os_t (a int); BEGIN; INSERT INTO os_t VALUES (1)')"],
    { remote: '' },
  ),
  testCase('no host means here', [
    "SELECT dblink_connect('here', 'dbname=app user=postgres')",
    "SELECT * FROM dblink('here', 'SELECT current_database(), count(*) FROM items') AS t(d text, n int)",
  ]),
  testCase('the empty connection string means here', [
    "SELECT * FROM dblink('', 'SELECT current_user') AS t(u text)",
  ]),
  testCase(
    'only a dbname means here',
    [
      "SELECT * FROM dblink('dbname=app', 'SELECT current_database(), current_user') AS t(d text, u text)",
      "SELECT dblink_exec('dbname=app', 'CREATE TABLE here_t (a int)')",
      'SELECT * FROM here_t',
    ],
    { local: '', sessions: ['utf8', 'latin1', 'styles'] },
  ),
  testCase('a loopback by address', [
    "SELECT * FROM dblink('host=127.0.0.1 port={lport} user=postgres dbname=app', 'SELECT count(*) FROM items') AS t(n int)",
  ]),
  testCase('connection string through a parameter', [
    bound('SELECT dblink_connect($1)', ["host='127.0.0.1' port={port} user=postgres dbname=remote"]),
    bound('SELECT * FROM dblink($1, $2) AS t(a int)', ['{R}', 'SELECT 5']),
  ]),
];
