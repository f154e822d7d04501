import { fetch, onLocal, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Rules for those who are not superusers: passwords, dblink_connect_u, roles changed in the session. */

const PLAIN = 'SET ROLE plain_user';
const SCRAM = "user=scram_user password=''sécret pass''";
const MD5 = "user=md5_user password=''md5 pass''";

export const roleCases: readonly Case[] = [
  testCase('roles: no password in the string', [PLAIN, open('c'), 'SELECT dblink_get_connections()']),
  testCase('roles: no password in a one-shot string', [PLAIN, fetch('SELECT 1', 'a int', "'{R}', ")]),
  testCase('roles: no password in a one-shot exec, errors off', [
    PLAIN,
    "SELECT dblink_exec('{R}', 'SET a.b = 1', false)",
  ]),
  testCase('roles: no password in a URI', [PLAIN, "SELECT dblink_connect('{URI}')"]),
  testCase('roles: an empty password', [PLAIN, "SELECT dblink_connect('c', '{R} password=''''')"]),
  testCase('roles: a misspelt connection name', [PLAIN, fetch('SELECT 1', 'a int', "'nosuch', ")]),
  testCase('roles: a malformed string', [PLAIN, "SELECT dblink_connect('c', 'host=''x')"]),
  testCase('roles: the server does not ask for the password', [
    PLAIN,
    "SELECT dblink_connect('c', '{R} password=unused')",
    'SELECT dblink_get_connections()',
  ]),
  testCase('roles: one-shot, the server does not ask', [
    PLAIN,
    fetch('SELECT 1', 'a int', "'{R} password=unused', "),
  ]),
  testCase('roles: SCRAM', [
    PLAIN,
    `SELECT dblink_connect('c', '{R} ${SCRAM}')`,
    fetch('SELECT current_user', 'u text'),
    "SELECT dblink_disconnect('c')",
  ]),
  testCase('roles: md5', [
    PLAIN,
    `SELECT dblink_connect('c', '{R} ${MD5}')`,
    fetch('SELECT current_user', 'u text'),
  ]),
  testCase('roles: password in clear', [
    PLAIN,
    "SELECT dblink_connect('c', '{R} user=clear_user password=''clear pass''')",
    fetch('SELECT current_user', 'u text'),
  ]),
  testCase('roles: password in a URI', [
    PLAIN,
    "SELECT dblink_connect('c', 'postgresql://md5_user:md5%20pass@{host}:{port}/remote')",
    fetch('SELECT current_user', 'u text'),
  ]),
  testCase('roles: one-shot with a password', [
    PLAIN,
    fetch('SELECT current_user', 'u text', `'{R} ${MD5}', `),
    `SELECT dblink_exec('{R} ${MD5}', 'SET a.b = 1')`,
  ]),
  testCase('roles: wrong password', [
    PLAIN,
    "SELECT dblink_connect('c', '{R} user=md5_user password=wrong')",
  ]),
  testCase('roles: the remote refuses writes', [
    `SELECT dblink_connect('c', '{R} ${MD5}')`,
    "SELECT dblink_exec('c', 'UPDATE people SET name = NULL')",
    fetch('SELECT count(*) FROM people', 'n int'),
  ]),
  testCase('roles: a duplicate name', [
    `SELECT dblink_connect('c', '{R} ${MD5}')`,
    PLAIN,
    `SELECT dblink_connect('c', '{R} ${MD5}')`,
    open('c'),
  ]),
  testCase('roles: a connection of the superuser is used by another role', [
    open('c'),
    PLAIN,
    fetch('SELECT current_user', 'u text'),
    "SELECT dblink_exec('c', 'SET a.b = 1')",
    "SELECT dblink_disconnect('c')",
  ]),
  testCase('roles: SET ROLE back', [PLAIN, open('c'), 'RESET ROLE', open('c')]),
  testCase('roles: SET LOCAL ROLE', [
    'BEGIN',
    'SET LOCAL ROLE plain_user',
    'SAVEPOINT s',
    open('c'),
    'ROLLBACK TO s',
    'COMMIT',
    open('c'),
  ]),
  testCase('roles: SET SESSION AUTHORIZATION', [
    'SET SESSION AUTHORIZATION plain_user',
    open('c'),
    fetch('SELECT 1', 'a int', `'{R} ${MD5}', `),
    'RESET SESSION AUTHORIZATION',
    open('c'),
  ]),
  testCase(
    'roles: SET ROLE and connect in one Query',
    ["SET ROLE plain_user; SELECT dblink_connect('c', '{R}')", 'SELECT dblink_get_connections()'],
    { transports: ['simple', 'multi'] },
  ),
  testCase(
    'roles: dblink_connect_u is not for everybody',
    [PLAIN, "SELECT dblink_connect_u('c', '{R}')", "SELECT dblink_connect_u('{R}')"],
    { differs: 'own-error' },
  ),
  testCase(
    'roles: dblink_connect_u among other functions',
    [PLAIN, "SELECT 1, dblink_connect_u('c', '{R}')"],
    { differs: 'own-error' },
  ),
  testCase(
    'roles: dblink_connect_u by whom it was granted to',
    [
      'GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO plain_user',
      PLAIN,
      "SELECT dblink_connect_u('c', '{R}')",
      fetch('SELECT current_user', 'u text'),
      "SELECT dblink_connect_u('{R}')",
      'RESET ROLE',
      'REVOKE EXECUTE ON FUNCTION dblink_connect_u(text, text) FROM plain_user',
      PLAIN,
      "SELECT dblink_connect_u('d', '{R}')",
    ],
    // It is looked up on another connection, which sees what was committed.
    { bridged: true, transports: ['simple', 'extended', 'binary', 'row-limit'], contexts: ['autocommit'] },
  ),
  testCase(
    'roles: EXECUTE on dblink taken from a role',
    [
      'REVOKE EXECUTE ON FUNCTION dblink(text, text) FROM PUBLIC',
      PLAIN,
      fetch('SELECT 1', 'a int', `'{R} ${MD5}', `),
      "SELECT dblink_exec('{R}', 'SELECT 1')",
      'RESET ROLE',
      'GRANT EXECUTE ON FUNCTION dblink(text, text) TO PUBLIC',
    ],
    { bridged: true, contexts: ['autocommit'], transports: ['simple', 'extended', 'row-limit'] },
  ),
  testCase('roles: dblink_connect_u by a superuser without a password', [
    "SELECT dblink_connect_u('c', '{R}')",
    PLAIN,
    fetch('SELECT current_user', 'u text'),
  ]),
  testCase('roles: user of the string is not the role', [
    PLAIN,
    `SELECT dblink_connect('c', '{R} ${SCRAM}')`,
    'RESET ROLE',
    fetch('SELECT current_user, session_user', 'a text, b text'),
  ]),
  testCase(
    'roles: local privileges in a spliced statement',
    [
      open('c'),
      PLAIN,
      "INSERT INTO l SELECT a FROM dblink('c', 'SELECT 1') AS t(a int)",
      "SELECT * FROM l, dblink('c', 'SELECT 1') AS t(b int)",
    ],
    { local: 'CREATE TABLE l (a int)' },
  ),
  testCase(
    'roles: row security',
    [
      open('c'),
      PLAIN,
      "SELECT l.a FROM l JOIN dblink('c', 'SELECT g FROM generate_series(1, 4) g') AS t(a int) USING (a) ORDER BY 1",
    ],
    {
      local:
        'CREATE TABLE l (a int); INSERT INTO l SELECT generate_series(1, 4); ALTER TABLE l ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON l USING (a % 2 = 0); GRANT SELECT ON l TO PUBLIC',
    },
  ),
  testCase(
    'roles: superuser taken away in the session',
    [
      'SET ROLE temporary',
      open('c'),
      onLocal('ALTER ROLE temporary NOSUPERUSER'),
      open('d'),
      'RESET ROLE',
      open('e'),
    ],
    {
      local: 'DROP ROLE IF EXISTS temporary; CREATE ROLE temporary SUPERUSER',
      // Inside a transaction a session may or may not have heard of the change yet.
      contexts: ['autocommit'],
      transports: ['simple', 'extended', 'binary', 'pipeline-syncs'],
    },
  ),
];
