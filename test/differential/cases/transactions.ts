import { fetch, onLocal, open, testCase } from '../notation.js';
import type { Case } from '../types.js';

/** The local transaction after errors, and its independence from the remote one. */

const REMOTE = 'CREATE TABLE w (a int PRIMARY KEY); INSERT INTO w VALUES (1)';
const exec = (sql: string, more = ''): string => `SELECT dblink_exec('c', $remote$${sql}$remote$${more})`;

export const transactionCases: readonly Case[] = [
  testCase('remote work survives a local ROLLBACK', ['BEGIN', open('c'), exec('INSERT INTO w VALUES (2)'), 'INSERT INTO l VALUES (2)', 'ROLLBACK', fetch('SELECT a FROM w ORDER BY a', 'a int'), 'SELECT * FROM l'], { remote: REMOTE, local: 'CREATE TABLE l (a int)' }),
  testCase('remote transaction spans client statements', [open('c'), exec('BEGIN'), exec('INSERT INTO w VALUES (2)'), fetch('SELECT count(*) FROM w', 'n int'), exec('ROLLBACK'), fetch('SELECT count(*) FROM w', 'n int')], { remote: REMOTE }),
  testCase('remote transaction open at the end of the session', [open('c'), exec('BEGIN'), exec('INSERT INTO w VALUES (2)')], { remote: REMOTE }),
  testCase('disconnect rolls the remote back', [open('c'), exec('BEGIN; INSERT INTO w VALUES (2)'), "SELECT dblink_disconnect('c')"], { remote: REMOTE }),
  testCase('isolation of the remote', [open('a'), open('b'), "SELECT dblink_exec('a', 'BEGIN; INSERT INTO w VALUES (2)')", fetch('SELECT count(*) FROM w', 'n int', "'b', "), "SELECT dblink_exec('a', 'COMMIT')", fetch('SELECT count(*) FROM w', 'n int', "'b', ")], { remote: REMOTE }),

  testCase('an error aborts the block', ['BEGIN', open('c'), fetch('SELECT 1/0', 'a int'), 'SELECT 1', exec('INSERT INTO w VALUES (2)'), 'SELECT dblink_get_connections()', 'COMMIT', fetch('SELECT count(*) FROM w', 'n int')], { remote: REMOTE }),
  testCase('a local error aborts the block', ['BEGIN', open('c'), 'SELECT 1/0', exec('INSERT INTO w VALUES (2)'), "SELECT dblink_disconnect('c')", open('d'), fetch('SELECT 1', 'a int'), 'ROLLBACK', 'SELECT dblink_get_connections()'], { remote: REMOTE }),
  testCase('in a failed block nothing reaches the remote', ['BEGIN', 'SELECT 1/0', "SELECT dblink_exec('{R}', 'INSERT INTO w VALUES (2)')", 'ROLLBACK'], { remote: REMOTE }),
  testCase('a missing connection aborts the block', ['BEGIN', "SELECT dblink_disconnect('nosuch')", 'SELECT 1', 'ROLLBACK', 'SELECT 2']),
  testCase('a failed connect aborts the block', ['BEGIN', "SELECT dblink_connect('c', 'host=127.0.0.1 port=1')", 'SELECT 1', 'COMMIT']),
  testCase('a conversion error aborts the block', ['BEGIN', open('c'), fetch("SELECT 'x'", 'a int'), 'SELECT 1', 'COMMIT']),
  testCase('rows from exec abort the block', ['BEGIN', open('c'), exec('SELECT 1'), 'SELECT 1', 'COMMIT']),
  testCase('errors off do not abort the block', ['BEGIN', open('c'), exec('SELEC', ', false'), 'SELECT 1', "SELECT * FROM dblink('c', 'SELECT 1/0', false) AS t(a int)", 'SELECT 2', 'COMMIT']),
  testCase('savepoints recover from errors', ['BEGIN', open('c'), 'INSERT INTO l VALUES (1)', 'SAVEPOINT s', 'INSERT INTO l VALUES (2)', fetch('SELECT 1/0', 'a int'), 'SELECT 1', 'ROLLBACK TO s', fetch('SELECT 3', 'a int'), 'INSERT INTO l SELECT a FROM dblink(\'c\', \'SELECT 4\') AS t(a int)', 'COMMIT', 'SELECT * FROM l ORDER BY 1'], { local: 'CREATE TABLE l (a int)' }),
  testCase('nested savepoints', ['BEGIN', 'SAVEPOINT a', open('c'), 'SAVEPOINT b', exec('SELEC'), 'ROLLBACK TO b', 'SAVEPOINT b', exec('SELEC'), 'ROLLBACK TO a', 'SELECT dblink_get_connections()', 'RELEASE a', 'COMMIT']),
  testCase('COMMIT of a failed block', ['BEGIN', open('c'), exec('SELEC'), 'COMMIT', 'SELECT 1']),
  testCase('COMMIT AND CHAIN', ['BEGIN', open('c'), fetch('SELECT 1', 'a int'), 'COMMIT AND CHAIN', fetch('SELECT 2', 'a int'), exec('SELEC'), 'ROLLBACK AND CHAIN', fetch('SELECT 3', 'a int'), 'COMMIT']),
  testCase('read-only transactions', ['BEGIN READ ONLY', open('c'), fetch('SELECT 1', 'a int'), exec('INSERT INTO w VALUES (2)'), "SELECT * FROM dblink('c', 'SELECT a FROM w ORDER BY a') AS t(a int) WHERE a > 0", 'INSERT INTO nothing VALUES (1)', 'COMMIT'], { remote: REMOTE }),
  testCase('read-only by default', ['SET default_transaction_read_only = on', open('c'), fetch('SELECT 1', 'a int'), "SELECT a + 1 FROM dblink('c', 'SELECT 1') AS t(a int)", exec('INSERT INTO w VALUES (2)')], { remote: REMOTE }),
  testCase('serializable', ['BEGIN ISOLATION LEVEL SERIALIZABLE', open('c'), fetch('SELECT 1', 'a int'), 'SELECT count(*) FROM items', "SELECT i.id FROM items i JOIN dblink('c', 'SELECT 2') AS t(a int) ON i.id = t.a", 'COMMIT']),
  testCase('the snapshot of a block is taken by a dblink statement', ['BEGIN ISOLATION LEVEL REPEATABLE READ', open('c'), onLocal('INSERT INTO l VALUES (1)'), 'SELECT count(*) FROM l', 'COMMIT', 'SELECT count(*) FROM l'], { local: 'CREATE TABLE l (a int)' }),
  testCase('the snapshot is not taken by BEGIN', ['BEGIN ISOLATION LEVEL REPEATABLE READ', onLocal('INSERT INTO l VALUES (1)'), open('c'), 'SELECT count(*) FROM l', 'COMMIT'], { local: 'CREATE TABLE l (a int)' }),
  testCase('SET TRANSACTION after a dblink statement', ['BEGIN', open('c'), 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'ROLLBACK']),
  testCase('SET TRANSACTION before a dblink statement', ['BEGIN', 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', open('c'), 'SHOW transaction_isolation', 'COMMIT']),
  testCase('SET LOCAL', ['BEGIN', "SET LOCAL timezone = 'Asia/Tokyo'", open('c'), fetch("SELECT '2024-02-03 00:00+00'", 'a timestamptz'), 'COMMIT', fetch("SELECT '2024-02-03 00:00+00'", 'a timestamptz')]),
  testCase('PREPARE TRANSACTION after dblink', ['BEGIN', open('c'), fetch('SELECT 1', 'a int'), "SELECT a + 1 FROM dblink('c', 'SELECT 1') AS t(a int)", 'INSERT INTO l SELECT a FROM dblink(\'c\', \'SELECT 1\') AS t(a int)', "PREPARE TRANSACTION 'differential'", "ROLLBACK PREPARED 'differential'"], { local: 'CREATE TABLE l (a int)', contexts: ['autocommit'] /* one prepared transaction of that name at a time; a block would be left in a prepared state */ }),
  testCase('temporary tables and dblink', ['BEGIN', open('c'), "CREATE TEMP TABLE tt ON COMMIT DROP AS SELECT * FROM dblink('c', 'SELECT id FROM people') AS t(id int)", 'SELECT count(*) FROM tt', 'COMMIT', 'SELECT count(*) FROM tt']),

  testCase('one Query: connect, query, disconnect', ["SELECT dblink_connect('c', '{R}'); SELECT * FROM dblink('c', 'SELECT 1') AS t(a int); SELECT dblink_disconnect('c')", 'SELECT dblink_get_connections()']),
  testCase('one Query: an error stops the rest', ["SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (1); SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int); INSERT INTO l VALUES (2)", 'SELECT * FROM l', 'SELECT dblink_get_connections()'], { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] }),
  testCase('one Query: with its own transaction', ["BEGIN; SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (1); COMMIT; INSERT INTO l VALUES (2); SELECT dblink_exec('c', 'SELEC')", 'SELECT * FROM l ORDER BY 1'], { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] }),
  testCase('one Query: BEGIN without COMMIT', ["BEGIN; SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (1)", 'SELECT 1', 'ROLLBACK', 'SELECT * FROM l'], { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] }),
  testCase('one Query: savepoints', ["BEGIN; SAVEPOINT s; SELECT dblink_connect('c', '{R}'); SELECT dblink_exec('c', 'SELEC'); ROLLBACK TO s", 'SELECT 1', 'ROLLBACK TO s', 'COMMIT'], { transports: ['simple', 'multi'] }),
  testCase('one Query: ROLLBACK inside', ["INSERT INTO l VALUES (1); ROLLBACK; SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (2)", 'SELECT * FROM l ORDER BY 1'], { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] }),
  testCase('one Query: a syntax error beside dblink', ["SELECT dblink_connect('c', '{R}'); SELEC 1", 'SELECT dblink_get_connections()'], { transports: ['simple', 'multi'] }),
  testCase('one Query: an unknown table after dblink', ["SELECT dblink_connect('c', '{R}'); SELECT * FROM nosuch", 'SELECT dblink_get_connections()'], { transports: ['simple', 'multi'] }),
  testCase('one Query: an unknown table before dblink', ["SELECT * FROM nosuch; SELECT dblink_connect('c', '{R}')", 'SELECT dblink_get_connections()'], { transports: ['simple', 'multi'] }),
  testCase('one Query: a table made for dblink', ["SELECT dblink_connect('c', '{R}'); CREATE TABLE made AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int); SELECT * FROM made m JOIN dblink('c', 'SELECT 1') AS t(a int) USING (a)"], { local: '', transports: ['simple', 'multi'] }),
  testCase('one Query: empty statements', [";;SELECT dblink_connect('c', '{R}');;; ;SELECT dblink_disconnect('c');", ';', ''], { transports: ['simple', 'multi'] }),
  testCase('one Query: comments between', ["-- first\nSELECT dblink_connect('c', '{R}') /* ; */; /* second */ SELECT dblink_disconnect('c') -- end"], { transports: ['simple', 'multi'] }),
  testCase('one Query: VACUUM beside dblink', ["SELECT dblink_connect('c', '{R}'); VACUUM items"], { transports: ['simple', 'multi'] }),
  testCase('one Query: SET LOCAL and a snapshot', ["SET LOCAL timezone = 'Asia/Tokyo'; SELECT dblink_connect('c', '{R}'); SELECT * FROM dblink('c', 'SELECT ''2024-02-03 00:00+00''') AS t(a timestamptz)", 'SHOW timezone'], { transports: ['simple', 'multi'] }),
  testCase('one Query: position of an error in a later statement', ["SELECT dblink_connect('c', '{R}'); SELECT nosuch FROM items", 'SELECT dblink_disconnect(\'c\'); SELECT 1 WHERE nosuch'], { transports: ['simple', 'multi'] }),
  testCase('one Query: notices keep their places', ["SELECT dblink_connect('c', '{R}'); SELECT dblink_exec('c', 'SELEC', false); SELECT 1; SELECT dblink_exec('c', 'AGAIN', false)"], { transports: ['simple', 'multi'] }),
  testCase('one Query: cursors', ["BEGIN; DECLARE k CURSOR FOR SELECT id FROM items ORDER BY id; SELECT dblink_connect('c', '{R}'); FETCH 2 FROM k; COMMIT"], { transports: ['simple', 'multi'] }),
  testCase('LISTEN and NOTIFY around dblink', ['LISTEN ch', open('c'), 'NOTIFY ch, \'payload\'', fetch('SELECT 1', 'a int'), "BEGIN; NOTIFY ch, 'inside'; SELECT * FROM dblink('c', 'SELECT 2') AS t(a int); COMMIT", 'UNLISTEN ch']),
  testCase('session settings seen by dblink statements', ["SET statement_timeout = '10s'", open('c'), fetch('SELECT 1', 'a int'), 'SHOW statement_timeout']),
  testCase('a local deadline', [open('c'), "SET statement_timeout = '300ms'", fetch('SELECT pg_sleep(0.6)', 'a text'), 'SET statement_timeout = 0', fetch('SELECT 1', 'a int')]),
];
