import { fetch, open } from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { ask, BRIDGED, COUNT_X, entry, exec, KILL, MESSAGE, UNNAMED, VICTIM, X } from './edgeNotation.js';

/**
 * Edge cases of the behaviour reference (section 12) about what a call gives back: rows, errors, asynchronous results,
 * cursors. The other entries: edgeSessions.ts.
 *
 * 35 is played as it stands by "cursors: a deferred constraint fails at the last close"; 34 the proxy answers otherwise on
 * purpose (dblink-cursors.test.ts).
 */

const send = (sql: string): string => `SELECT dblink_send_query('c', $remote$${sql}$remote$)`;
const result = (columns = 'a int', more = ''): string =>
  `SELECT * FROM dblink_get_result('c'${more}) AS t(${columns})`;
const BUSY = "SELECT dblink_is_busy('c')";
/** By then a short query has been answered, or a long one has begun. */
const SETTLE = 'SELECT pg_sleep(0.5)';

const results: readonly Case[] = [
  entry(10, 'rows of the statement before the one that fails', [
    UNNAMED,
    ask('select 1; select 1/0', 'a int', ', false'),
  ]),
  entry(11, 'rows before the one that fails', [
    UNNAMED,
    ask('select 10/(2-g) from generate_series(1,3) g', 'a int', ', false'),
  ]),
  entry(12, 'several statements', [
    UNNAMED,
    ask('select 1; select 2 where false'),
    ask('select 1; select 2'),
    ask('select 1,2; select 3'),
    ask("select 'x'; select 1"),
  ]),
  entry(13, 'a wrong number of columns and no row', [UNNAMED, ask('select 1, 2 where false')]),
  entry(
    14,
    'a command into a column',
    [
      UNNAMED,
      ask('insert into x values (1),(2)', 's text'),
      ask('insert into x values (3)', 's int'),
      ask(COUNT_X, 'n int'),
    ],
    X,
  ),
  entry(
    15,
    'in the select list',
    [
      UNNAMED,
      open('c'),
      "SELECT dblink('create temp table zz(a int)')",
      "SELECT dblink_get_result('c')",
      "SELECT dblink('select 1')",
    ],
    BRIDGED,
  ),
  entry(16, 'empty strings', [
    UNNAMED,
    "SELECT dblink_exec('', false)",
    ask('', 'a int', ', false'),
    ask(''),
    ask(';'),
    ask('-- c'),
  ]),
  entry(
    17,
    'rows of dblink_exec',
    [
      UNNAMED,
      "SELECT dblink_exec('select 1; create temp table e(a int)')",
      "SELECT dblink_exec('insert into x values(1) returning a', false)",
      ask(COUNT_X, 'n int'),
    ],
    X,
  ),
];

const errors: readonly Case[] = [
  entry(18, 'a syntax error', [
    open('c'),
    exec('selec 1', ', false'),
    "SELECT dblink_exec('{R}', 'selec 1', false)",
    exec('selec 1'),
  ]),
  entry(19, 'all fields', [
    open('c'),
    exec(
      "do $$ begin raise exception 'm' using errcode = 'ZZ123', detail = 'd', hint = 'h', table = 't', column = 'k', constraint = 'x'; end $$",
      ', false',
    ),
    fetch(
      "do $$ begin raise exception 'm' using errcode = 'ZZ123', detail = 'd', hint = 'h', table = 't', column = 'k', constraint = 'x'; end $$",
      's text',
    ),
  ]),
  entry(20, 'an empty message', [
    open('c'),
    exec("do $$ begin raise exception using message = ''; end $$", ', false'),
    exec("do $$ begin raise exception using message = ''; end $$"),
  ]),
  entry(21, 'the message of the last error', [
    open('c'),
    exec('selec 1', ', false'),
    MESSAGE,
    MESSAGE,
    fetch('select 1', 'a int'),
    MESSAGE,
  ]),
  entry(21, 'the message after rows of dblink_exec', [
    open('c'),
    exec('selec 1', ', false'),
    exec('select 1'),
    MESSAGE,
  ]),
  entry(21, 'the message after a value that does not fit', [
    open('c'),
    exec('selec 1', ', false'),
    fetch("select 'x'", 'a int'),
    MESSAGE,
  ]),
  entry(22, 'notices of the remote', [
    open('c'),
    exec("do $$ begin raise notice 'n'; raise warning 'w'; end $$"),
  ]),
];

const asynchronous: readonly Case[] = [
  entry(23, 'sent twice', [open('c'), send('select 1'), send('select 1')]),
  entry(24, 'a result that nobody has taken', [
    open('c'),
    send('select 1'),
    exec('set a.b = 1', ', false'),
    result(),
    result(),
    send('select 1'),
    exec('set a.b = 1', ', false'),
    "SELECT * FROM dblink('c', 'select 2', false) AS t(a int)",
    result(),
    fetch('select 2', 'a int'),
  ]),
  entry(25, 'dblink() while a query runs', [
    open('c'),
    send('select pg_sleep(1), 5'),
    BUSY,
    fetch('select 2', 'a int'),
    BUSY,
    result(),
  ]),
  entry(26, 'a string that fails half way', [
    open('c'),
    send('select 1; select 1/0; select 3'),
    result(),
    result(),
    result(),
  ]),
  entry(27, 'a result with other columns', [
    open('c'),
    send('select 1,2'),
    result(),
    result(),
    result('x text, y date'),
  ]),
  entry(28, 'an empty string is sent', [open('c'), result(), send(''), result(), result()]),
  entry(28, 'an empty string is sent, errors off', [
    open('c'),
    send(''),
    result('a int', ', false'),
    result('a int', ', false'),
  ]),
  entry(28, 'an empty string, and one that is refused meanwhile', [
    open('c'),
    send(''),
    send('select 1'),
    exec('set a.b = 1', ', false'),
    result('a int', ', false'),
    MESSAGE,
    result(),
    exec('set a.b = 1'),
    MESSAGE,
  ]),
  entry(29, 'cancelling', [
    open('c'),
    send('select pg_sleep(20)'),
    SETTLE,
    "SELECT dblink_cancel_query('c')",
    result('a text', ', false'),
    result('a text', ', false'),
    "SELECT dblink_cancel_query('c')",
    fetch('select 1', 'a int'),
  ]),
  entry(30, 'a remote that was killed', [
    VICTIM('k'),
    KILL,
    "SELECT * FROM dblink('k', 'select 1', false) AS t(a int)",
    "SELECT * FROM dblink('k', 'select 1', false) AS t(a int)",
    "SELECT dblink_exec('k', 'x', false)",
    "SELECT dblink_send_query('k', 'select 1')",
    "SELECT * FROM dblink_get_result('k') AS t(a int)",
    'SELECT dblink_get_connections()',
  ]),
];

const cursors: readonly Case[] = [
  entry(31, 'open that fails', [
    UNNAMED,
    "SELECT dblink_open('cur', 'select * from nosuch', false)",
    "SELECT dblink_open('cur', 'select 1', false)",
    "SELECT dblink_exec('rollback')",
    "SELECT dblink_open('cur', 'select 1')",
  ]),
  entry(32, 'names of cursors', [
    UNNAMED,
    "SELECT dblink_open('Cur2', 'select g from generate_series(1, 3) g')",
    ask('select name from pg_cursors', 'n text'),
    "SELECT * FROM dblink_fetch('CUR2', 1) AS t(a int)",
    "SELECT * FROM dblink_fetch('cur2', 0) AS t(a int)",
    "SELECT * FROM dblink_fetch('Mixed Case', 1, false) AS t(a int)",
  ]),
  entry(33, 'two opens, two closes', [
    open('c'),
    "SELECT dblink_open('c', 'k1', 'select 1')",
    "SELECT dblink_open('c', 'k2', 'select 1')",
    "SELECT dblink_close('c', 'k1')",
    exec('declare k3 cursor for select 1'),
    "SELECT dblink_close('c', 'k2')",
    exec('declare k4 cursor for select 1', ', false'),
    exec('begin'),
    "SELECT dblink_open('c', 'k5', 'select 1')",
    "SELECT dblink_close('c', 'k5')",
    exec('declare k6 cursor for select 1'),
  ]),
  entry(36, 'two statements to open', [
    open('c'),
    "SELECT dblink_open('c', 'x', 'select 1; select 2', false)",
    "SELECT dblink_close('c', 'all')",
  ]),
  entry(37, 'a fetch into other columns advances the cursor', [
    open('c'),
    "SELECT dblink_open('c', 'cur', 'select g from generate_series(1, 5) g')",
    "SELECT * FROM dblink_fetch('c', 'cur', 2) AS t(a int, b int)",
    "SELECT * FROM dblink_fetch('c', 'cur', 2) AS t(a int)",
  ]),
  entry(63, 'a very long name of a cursor', [
    open('c'),
    exec('begin'),
    "SELECT dblink_close('c', repeat('k', 600), false)",
    exec('rollback'),
    "SELECT dblink_close('c', repeat('k', 600))",
  ]),
];

export const edgeCallCases: readonly Case[] = [...results, ...errors, ...asynchronous, ...cursors];
