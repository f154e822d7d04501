import { bind, execute, flow, open, parse, sync, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * Statements that repeat, or differ in literals alone: the proxy remembers what it and the primary know of them. And connection
 * strings that repeat, whose connection the proxy keeps. Nothing of it may show.
 */

const named = (remote: string, columns = 'a int'): string =>
  `SELECT * FROM dblink('c', '${remote}') AS t(${columns})`;
const oneShot = (remote: string, columns = 'a int'): string =>
  `SELECT * FROM dblink('{R}', '${remote}') AS t(${columns})`;

const on = (name: string, ...statements: readonly string[]): Case =>
  testCase(`repeated: ${name}`, [open('c'), ...statements]);

/** A type of the same name in two schemas, and one that can stand before a built-in one. */
const TYPES = 'CREATE DOMAIN d AS int; CREATE DOMAIN int4 AS text';

export const repeatedCases: readonly Case[] = [
  on('texts that differ in the remote text', named('SELECT 1'), named('SELECT 2'), named('SELECT 3')),
  on('an error between', named('SELECT 1'), named('SELECT 1/0'), named('SELECT 2'), named('SELECT x')),
  on('another number of columns', named('SELECT 1'), named('SELECT 1, 2'), named('SELECT 2')),
  on('a command between', named('SELECT 1'), named('SET a.b = 1'), named('SELECT 2')),
  on('another type each time', named('SELECT 1'), named("SELECT ''x''::text"), named('SELECT 2::bigint')),
  on(
    'other styles between',
    named("SELECT DATE ''2001-02-03''", 'a date'),
    "SET DateStyle = 'SQL, DMY'",
    named("SELECT DATE ''2001-02-03''", 'a date'),
    'RESET DateStyle',
    named("SELECT DATE ''2002-03-04''", 'a date'),
  ),
  on(
    'messages in another order of weight',
    named('SELECT 1'),
    'SET client_min_messages = error',
    "SELECT * FROM dblink('c', 'SELECT 1/0', false) AS t(a int)",
    'RESET client_min_messages',
    "SELECT * FROM dblink('c', 'SELECT 2/0', false) AS t(a int)",
  ),
  on('commands that differ', ...[1, 2, 3].map((n) => `SELECT dblink_exec('c', 'SET a.b = ${n}')`)),
  on(
    'commands, and one that fails',
    "SELECT dblink_exec('c', 'SET a.b = 1')",
    "SELECT dblink_exec('c', 'SELECT 1')",
    "SELECT dblink_exec('c', 'nonsense')",
    "SELECT dblink_exec('c', 'SET a.b = 2')",
  ),
  testCase(
    'repeated: the search_path between texts that differ in literals',
    [
      open('c'),
      'CREATE DOMAIN pg_temp.d AS text',
      'SET search_path = scratch, public, pg_temp',
      named('SELECT 1', 'a d'),
      'SET search_path = pg_temp, scratch, public',
      named('SELECT 2', 'a d'),
      named('SELECT 3', 'a int4'),
      'SET search_path = scratch, public, pg_catalog',
      named('SELECT 4', 'a int4'),
      'RESET search_path',
    ],
    { local: TYPES },
  ),
  testCase('repeated: a pipeline that fails between', [
    open('c'),
    named('SELECT 1'),
    flow(
      ...[parse(named('SELECT 2')), bind(), execute()],
      ...[parse(named('SELECT 1/0')), bind(), execute()],
      ...[parse(named('SELECT 3')), bind(), execute()],
      sync,
      ...[parse(named('SELECT 4')), bind(), execute()],
      sync,
    ),
    named('SELECT 5'),
  ]),
  on(
    'a connection string',
    oneShot('SELECT 1'),
    oneShot('SELECT 2'),
    oneShot('SELECT 1/0'),
    oneShot('SELECT 3'),
  ),
  on(
    'a connection string, and what the session of the remote shows',
    oneShot("SELECT current_setting(''work_mem'')", 'a text'),
    "SELECT dblink_exec('{R}', 'SET work_mem = 123')",
    oneShot("SELECT current_setting(''work_mem'')", 'a text'),
    oneShot("SELECT set_config(''work_mem'', ''124kB'', false)", 'a text'),
    oneShot("SELECT current_setting(''work_mem'')", 'a text'),
    oneShot('SELECT count(*) FROM pg_prepared_statements', 'a bigint'),
  ),
  on(
    'a connection string, with other messages in between',
    oneShot('SELECT 1'),
    "SELECT * FROM dblink('{R}', 'SELECT 1/0', false) AS t(a int)",
    oneShot("SELECT DATE ''2001-02-03''", 'a date'),
    oneShot('SELECT 2'),
  ),
];
