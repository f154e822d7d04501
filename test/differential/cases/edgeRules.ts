import { fetch, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * Rules of the behaviour reference (sections 3.3, 4.2, 9 and 10) that no other case puts to the test. Two messages of
 * sections 4 to 11 cannot be had: `cancel request timed out` takes half a minute, and `timeout expired` the proxy gives
 * where the extension of newer majors waits for ever.
 */

const STYLES = "options='-c datestyle=SQL,DMY -c intervalstyle=iso_8601'";
const SHOWN = "SELECT current_setting('datestyle') AS d, current_setting('intervalstyle') AS i";
const DATES = "SELECT date ''2024-02-03'' + g, interval ''1 day 2 hours'' FROM generate_series(0, 2) g";

const opens = (options: string, more: Omit<Case, 'name' | 'steps'> = {}): Case =>
  testCase(
    `reference 10: a connection with ${options}`,
    [
      `SELECT dblink_connect('c', $conn$\{R} ${options}$conn$)`,
      fetch("SELECT current_setting('client_encoding') <> ''", 'a bool'),
    ],
    more,
  );

export const edgeRuleCases: readonly Case[] = [
  testCase(
    'reference 3.3: a remote that refuses the encoding',
    [
      "SELECT dblink_exec('{R}', 'DROP DATABASE IF EXISTS cyrillic')",
      `SELECT dblink_exec('{R}', 'CREATE DATABASE cyrillic TEMPLATE template0 ENCODING ''WIN1251'' LOCALE ''C''')`,
      "SELECT dblink_connect('c', '{R} dbname=cyrillic')",
      "SELECT dblink_error_message('c')",
      fetch("SELECT current_setting('client_encoding')", 'a text'),
      "SELECT dblink_error_message('c')",
      "SELECT dblink_disconnect('c')",
      "SELECT dblink_exec('{R}', 'DROP DATABASE cyrillic')",
    ],
    { sessions: ['latin1-db'] },
  ),
  testCase(
    'reference 4.2: styles in dblink_fetch',
    [
      `SELECT dblink_connect('c', $conn$\{R} ${STYLES}$conn$)`,
      `SELECT dblink_open('c', 'k', '${DATES}')`,
      "SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a date, b interval)",
      SHOWN,
      "SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a text, b text)",
      "SELECT * FROM dblink_fetch('c', 'k', 1) AS t(a date, b date)",
      SHOWN,
    ],
    { bridged: true },
  ),
  testCase(
    'reference 4.2: styles in dblink_get_result',
    [
      `SELECT dblink_connect('c', $conn$\{R} ${STYLES}$conn$)`,
      `SELECT dblink_send_query('c', '${DATES}; ${DATES}; ${DATES}')`,
      "SELECT a + 1, b FROM dblink_get_result('c') AS t(a date, b interval)",
      SHOWN,
      "SELECT * FROM dblink_get_result('c') AS t(a text, b text)",
      "SELECT * FROM dblink_get_result('c') AS t(a date, b date)",
      SHOWN,
    ],
    { bridged: true },
  ),
  testCase('reference 4.2: no style for no row and for a command', [
    `SELECT dblink_connect('c', $conn$\{R} ${STYLES}$conn$)`,
    fetch("SELECT date '2024-02-03' WHERE false", 'a date'),
    fetch("SET a.b = '03/02/2024'", 'a text'),
    SHOWN,
    fetch("SET datestyle = German; SELECT '03.02.2024'::date", 'a date'),
    fetch("SELECT date '2024-02-03'", 'a date'),
    SHOWN,
  ]),
  testCase('reference 9: a password that is not in the string', [
    'SET ROLE plain_user',
    "SELECT dblink_connect('c', 'host={host} port={port} dbname=remote user=md5_user passfile=/nosuch')",
    "SELECT dblink_connect('c', 'host={host} port={port} dbname=remote user=md5_user service=nosuch')",
    'RESET ROLE',
    open('c'),
  ]),
  ...[
    'requiressl=0',
    'requiressl=1',
    'sslcompression=0',
    'krbsrvname=x',
    'passfile=/nosuch',
    'client_encoding=auto',
    'client_encoding=nonsense',
    'replication=database',
    'replication=maybe',
    'tcp_user_timeout=x',
    'keepalives=x',
    'sslcert=/nosuch sslkey=/nosuch sslrootcert=/nosuch sslcrl=/nosuch',
  ].map((options) => opens(options)),
  // As libpq from 14 on reads them, whatever the primary's version: src/dblink/conninfo/keywords.ts.
  ...['tty=x', 'authtype=x', 'sslsni=0'].map((options) => opens(options, { minMajor: 14 })),
];
