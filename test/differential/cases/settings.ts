import { fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Date styles, time zones and encodings that differ between the two ends. */

const REMOTE_STYLES = "options='-c datestyle=SQL,DMY -c timezone=Asia/Kolkata -c intervalstyle=iso_8601'";
const connect = (extra: string): string => `SELECT dblink_connect('c', $conn$\{R} ${extra}$conn$)`;
const TIMES =
  "SELECT date '2024-02-03', timestamp '2024-02-03 04:05:06', timestamptz '2024-02-03 04:05:06+00', interval '1 year -2 days 3:04:05', time '01:02:03', timetz '01:02:03+02'";
const TYPED = 'd date, ts timestamp, tz timestamptz, i interval, t time, ttz timetz';
const AS_TEXT = 'd text, ts text, tz text, i text, t text, ttz text';
const STYLES =
  "SELECT current_setting('datestyle') AS d, current_setting('intervalstyle') AS i, current_setting('timezone') AS z";

export const settingCases: readonly Case[] = [
  testCase('styles: the same on both ends', [open('c'), fetch(TIMES, TYPED), fetch(TIMES, AS_TEXT), STYLES]),
  testCase('styles: the remote has others', [
    connect(REMOTE_STYLES),
    fetch(TIMES, TYPED),
    fetch(TIMES, AS_TEXT),
    STYLES,
  ]),
  testCase('styles: changed on the remote', [
    open('c'),
    "SELECT dblink_exec('c', 'SET datestyle = German')",
    fetch(TIMES, TYPED),
    "SELECT dblink_exec('c', 'SET intervalstyle = sql_standard')",
    fetch(TIMES, TYPED),
    fetch(TIMES, AS_TEXT),
  ]),
  testCase('styles: changed locally', [
    "SET datestyle = 'Postgres, DMY'",
    "SET intervalstyle = 'postgres_verbose'",
    open('c'),
    fetch(TIMES, TYPED),
    fetch(TIMES, AS_TEXT),
    STYLES,
  ]),
  testCase(
    'styles: for one Query alone',
    [
      open('c'),
      "SET datestyle = 'SQL, DMY'",
      `SET LOCAL datestyle = 'ISO, MDY'; ${fetch("SELECT date '2024-02-03'", 'd date')}`,
      fetch("SELECT date '2024-02-03'", 'd date'),
      `SET LOCAL datestyle = 'ISO, MDY'; ${fetch("SELECT date '2024-02-03'", 'd date')}; SELECT 1/0`,
      fetch("SELECT date '2024-02-03'", 'd date'),
      STYLES,
    ],
    { transports: ['simple', 'multi'] },
  ),
  testCase('styles: restored after a conversion error', [
    connect(REMOTE_STYLES),
    fetch("SELECT 'x'", 'd date'),
    STYLES,
    fetch(TIMES, TYPED),
  ]),
  testCase('styles: restored in the same transaction', [
    'BEGIN',
    connect(REMOTE_STYLES),
    fetch(TIMES, TYPED),
    STYLES,
    'SAVEPOINT s',
    fetch("SELECT 'x'", 'd date'),
    'ROLLBACK TO s',
    STYLES,
    'COMMIT',
  ]),
  testCase('styles: changed in the same string', [
    open('c'),
    fetch("SET datestyle = German; SELECT date '2024-02-03'", 'd date'),
  ]),
  testCase('styles: with outer expressions', [
    connect(REMOTE_STYLES),
    `SELECT d + 1, to_char(ts, 'YYYY-MM-DD'), d = '2024-02-03' FROM dblink('c', $$${TIMES}$$) AS t(${TYPED})`,
  ]),
  testCase('styles: joined with local dates', [
    connect(REMOTE_STYLES),
    "SELECT i.id, t.d FROM dblink('c', $$SELECT date '2024-01-02'$$) AS t(d date) JOIN items i ON i.sold = t.d",
  ]),
  testCase('styles: time zone abbreviations are read here', [
    connect(REMOTE_STYLES),
    fetch("SELECT timestamptz '2024-02-03 04:05:06+00'", 'a timestamptz'),
  ]),
  testCase('styles: local time zone', [
    "SET timezone = 'America/New_York'",
    open('c'),
    fetch(TIMES, TYPED),
    fetch("SELECT timestamp '2024-02-03 12:00'", 'a timestamptz'),
  ]),
  testCase('styles: DMY against MDY', [
    "SET datestyle = 'ISO, DMY'",
    open('c'),
    fetch("SELECT '03/02/2024'", 'd date'),
  ]),
  testCase('styles: text of the remote', [connect(REMOTE_STYLES), fetch("SELECT '03/02/2024'", 'd date')]),
  testCase('settings: extra_float_digits of the remote', [
    connect("options='-c extra_float_digits=0'"),
    fetch('SELECT 0.1::float8 + 0.2::float8, 0.1::float4', 'a float8, b float4'),
    fetch('SELECT 0.1::float8 + 0.2::float8', 'a text'),
  ]),
  testCase('settings: extra_float_digits here', [
    'SET extra_float_digits = -5',
    open('c'),
    fetch('SELECT 0.1::float8 + 0.2::float8, 0.1::float4', 'a float8, b float4'),
  ]),
  testCase('settings: bytea_output of the remote', [
    connect("options='-c bytea_output=escape'"),
    fetch("SELECT '\\x00ff41'::bytea", 'a bytea'),
    fetch("SELECT '\\x00ff41'::bytea", 'a text'),
  ]),
  testCase('settings: bytea_output here', [
    "SET bytea_output = 'escape'",
    open('c'),
    fetch("SELECT '\\x00ff41'::bytea", 'a bytea'),
  ]),
  testCase('settings: standard_conforming_strings of the remote', [
    connect("options='-c standard_conforming_strings=off -c escape_string_warning=off'"),
    fetch("SELECT 'a\\nb'", 'a text'),
  ]),
  testCase('settings: standard_conforming_strings here', [
    'SET standard_conforming_strings = off',
    'SET escape_string_warning = off',
    open('c'),
    "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)",
    "SELECT * FROM dblink('c', 'SELECT ''x\"y''') AS t(a text)",
  ]),
  testCase(
    'settings: backslashes without standard_conforming_strings',
    [
      'SET standard_conforming_strings = off',
      'SET escape_string_warning = off',
      open('c'),
      "SELECT * FROM dblink('c', 'SELECT \\'x\\'') AS t(a text)",
      "SELECT * FROM dblink('c', 'SELECT E\\'x\\\\ty\\'') AS t(a text)",
      "SELECT 'it\\'s', * FROM generate_series(1, 2) AS g, dblink('c', 'SELECT \\'x\\'') AS t(a text)",
      "SELECT dblink_exec('c', 'SET a.b = \\'c\\''), '\\\\'",
      "SELECT dblink_exec('c', 'SET a.b = \\'c'",
      'SELECT 1',
    ],
    // In one Query all of it is lexed before the setting takes effect.
    {
      transports: ['simple', 'extended', 'binary', 'row-limit', 'pipeline-syncs'],
    },
  ),
  testCase(
    'settings: positions behind backslashes without standard_conforming_strings',
    [
      'SET standard_conforming_strings = off',
      'SET escape_string_warning = off',
      open('c'),
      "SELECT * FROM dblink('c', 'SELECT \\'x\\'') AS t(a text), nosuch",
      "SELECT '\\'', dblink_exec('c', '\\\\'), nosuch",
    ],
    // With the extended protocol the position is that in the changed text: docs/compatibility.md.
    { transports: ['simple'] },
  ),
  testCase('settings: search_path of the remote', [
    connect("options='-c search_path=pg_catalog'"),
    fetch('SELECT count(*) FROM people', 'n int'),
  ]),
  testCase('settings: nothing is set on the remote', [
    open('c'),
    fetch(
      "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') AND name <> 'client_encoding' ORDER BY name",
      'a text, b text',
    ),
  ]),
  testCase('settings: client_encoding of the connection', [
    open('c'),
    fetch('SELECT pg_client_encoding()', 'a name'),
    fetch("SELECT setting FROM pg_settings WHERE name = 'client_encoding'", 'a text'),
  ]),
  testCase(
    'encoding: text there and back',
    [
      open('c'),
      "SELECT dblink_exec('c', 'CREATE TABLE enc AS SELECT ''{text}''::text AS t')",
      fetch('SELECT t, length(t), octet_length(t) FROM enc', 't text, n int, o int'),
      fetch("SELECT t = '{text}' FROM enc", 'same bool'),
    ],
    { remote: '' },
  ),
  testCase('encoding: identifiers', [
    open('c'),
    'SELECT "{text}", "{text}" || \'{text}\' AS "x{text}" FROM dblink(\'c\', \'SELECT \'\'{text}\'\'\') AS "t{text}"("{text}" text)',
  ]),
  testCase('encoding: a character the client lacks', [
    open('c'),
    fetch("SELECT U&'\\65E5'", 'a text'),
    fetch("SELECT U&'\\00FF'", 'a text'),
    fetch('SELECT 1', 'a int'),
  ]),
  testCase('encoding: a character the client lacks, not fetched', [
    open('c'),
    "SELECT length(a) FROM dblink('c', $$SELECT U&'\\65E5'$$) AS t(a text)",
  ]),
  testCase(
    'encoding: an error the client cannot show',
    [open('c'), fetch("SELECT fail('ZZ130', U&'x \\65E5')", 'a int'), "SELECT dblink_error_message('c')"],
    { differs: 'own-error' },
  ),
  testCase('encoding: non-ASCII connection string', [
    "SELECT dblink_connect('c', '{R} application_name=''{text}''')",
    fetch("SELECT current_setting('application_name')", 'a text'),
  ]),
  testCase('encoding: changed in the session', [
    open('c'),
    "SET client_encoding = 'LATIN1'",
    fetch("SELECT U&'caf\\00E9'", 'a text'),
    "SET client_encoding = 'UTF8'",
    fetch("SELECT U&'caf\\00E9'", 'a text'),
  ]),
];
