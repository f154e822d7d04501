import { testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Several statements in one Query: one implicit transaction, however the proxy takes them apart. */

export const statementListCases: readonly Case[] = [
  testCase('one Query: connect, query, disconnect', [
    "SELECT dblink_connect('c', '{R}'); SELECT * FROM dblink('c', 'SELECT 1') AS t(a int); SELECT dblink_disconnect('c')",
    'SELECT dblink_get_connections()',
  ]),
  testCase(
    'one Query: an error stops the rest',
    [
      "SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (1); SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int); INSERT INTO l VALUES (2)",
      'SELECT * FROM l',
      'SELECT dblink_get_connections()',
    ],
    { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: with its own transaction',
    [
      "BEGIN; SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (1); COMMIT; INSERT INTO l VALUES (2); SELECT dblink_exec('c', 'SELEC')",
      'SELECT * FROM l ORDER BY 1',
    ],
    { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: BEGIN without COMMIT',
    [
      "BEGIN; SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (1)",
      'SELECT 1',
      'ROLLBACK',
      'SELECT * FROM l',
    ],
    { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: savepoints',
    [
      "BEGIN; SAVEPOINT s; SELECT dblink_connect('c', '{R}'); SELECT dblink_exec('c', 'SELEC'); ROLLBACK TO s",
      'SELECT 1',
      'ROLLBACK TO s',
      'COMMIT',
    ],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: ROLLBACK inside',
    [
      "INSERT INTO l VALUES (1); ROLLBACK; SELECT dblink_connect('c', '{R}'); INSERT INTO l VALUES (2)",
      'SELECT * FROM l ORDER BY 1',
    ],
    { local: 'CREATE TABLE l (a int)', transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: a syntax error beside dblink',
    ["SELECT dblink_connect('c', '{R}'); SELEC 1", 'SELECT dblink_get_connections()'],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: an unknown table after dblink',
    ["SELECT dblink_connect('c', '{R}'); SELECT * FROM nosuch", 'SELECT dblink_get_connections()'],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: an unknown table before dblink',
    ["SELECT * FROM nosuch; SELECT dblink_connect('c', '{R}')", 'SELECT dblink_get_connections()'],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: a table made for dblink',
    [
      "SELECT dblink_connect('c', '{R}'); CREATE TABLE made AS SELECT * FROM dblink('c', 'SELECT 1') AS t(a int); SELECT * FROM made m JOIN dblink('c', 'SELECT 1') AS t(a int) USING (a)",
    ],
    { local: '', transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: empty statements',
    [";;SELECT dblink_connect('c', '{R}');;; ;SELECT dblink_disconnect('c');", ';', ''],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: comments between',
    [
      "-- first\nSELECT dblink_connect('c', '{R}') /* ; */; /* second */ SELECT dblink_disconnect('c') -- end",
    ],
    { transports: ['simple', 'multi'] },
  ),
  testCase('one Query: VACUUM beside dblink', ["SELECT dblink_connect('c', '{R}'); VACUUM items"], {
    transports: ['simple', 'multi'],
  }),
  testCase(
    'one Query: SET LOCAL and a snapshot',
    [
      "SET LOCAL timezone = 'Asia/Tokyo'; SELECT dblink_connect('c', '{R}'); SELECT * FROM dblink('c', 'SELECT ''2024-02-03 00:00+00''') AS t(a timestamptz)",
      'SHOW timezone',
    ],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: position of an error in a later statement',
    [
      "SELECT dblink_connect('c', '{R}'); SELECT nosuch FROM items",
      "SELECT dblink_disconnect('c'); SELECT 1 WHERE nosuch",
    ],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: notices keep their places',
    [
      "SELECT dblink_connect('c', '{R}'); SELECT dblink_exec('c', 'SELEC', false); SELECT 1; SELECT dblink_exec('c', 'AGAIN', false)",
    ],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'one Query: cursors',
    [
      "BEGIN; DECLARE k CURSOR FOR SELECT id FROM items ORDER BY id; SELECT dblink_connect('c', '{R}'); FETCH 2 FROM k; COMMIT",
    ],
    { transports: ['simple', 'multi'] },
  ),
  ...[
    ['MERGE', 'MERGE INTO made USING items i ON i.id = a WHEN MATCHED THEN DELETE'],
    ['MERGE … RETURNING', 'MERGE INTO made USING items i ON i.id = a WHEN MATCHED THEN DELETE RETURNING a'],
    ['a JSON constructor', "SELECT JSON_OBJECT('a': a) FROM made"],
    ['JSON_TABLE', "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$'))"],
    ['RETURNING WITH', 'UPDATE made SET a = 2 RETURNING WITH (OLD AS o, NEW AS n) o.a, n.a'],
    ['a command', 'ALTER TABLE made ALTER a SET EXPRESSION AS (1)'],
    ['a hexadecimal number', 'SELECT 0x1F'],
    ['a digit separator', 'SELECT 1_000, a FROM made'],
  ].map(([what, sql]) =>
    testCase(
      `one Query: syntax of a newer version: ${what}`,
      [
        `SELECT dblink_connect('c', '{R}'); CREATE TABLE made AS SELECT 1 AS a, '{text}' AS b; ${sql}`,
        'SELECT dblink_get_connections()',
        'SELECT a FROM made',
        // An error that every version sees stands in front of it, or behind.
        `SELECT dblink_disconnect('c'); SELECT nosuch FROM items; ${sql}; SELEC`,
        `SELECT dblink_disconnect('c'); SELECT nosuch FROM items; ${sql}`,
        'SELECT dblink_get_connections()',
      ],
      { local: '', transports: ['simple', 'multi'] },
    ),
  ),
];
