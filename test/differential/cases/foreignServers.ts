import { bound, fetch, onLocal, open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * Foreign servers by name (behaviour reference, sections 2, 8 and 9). Servers are objects of the whole database, so each
 * case makes the wrapper anew, and all servers and mappings with it.
 */

const PLAIN = 'SET ROLE plain_user';
const MD5 = "\"user\" 'md5_user', password 'md5 pass'";
const HERE = "host '{host}', port '{port}', dbname 'remote'";

/** Servers of a wrapper without a validator; `sv` has a mapping for postgres and one for everybody else. */
const made = (...more: readonly string[]): string =>
  [
    'DROP FOREIGN DATA WRAPPER IF EXISTS handmade CASCADE',
    'CREATE FOREIGN DATA WRAPPER handmade',
    `CREATE SERVER sv FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
    'CREATE USER MAPPING FOR postgres SERVER sv OPTIONS ("user" \'postgres\')',
    `CREATE USER MAPPING FOR plain_user SERVER sv OPTIONS (${MD5})`,
    ...more,
  ].join('; ');

const WHO = 'SELECT current_user, current_database()';
const COLUMNS = 'u text, d text';
const fromServer = (name: string): string => fetch(WHO, COLUMNS, `'${name}', `);

const servers = (
  name: string,
  steps: Case['steps'],
  local: string = made(),
  more: Omit<Case, 'name' | 'steps' | 'local'> = {},
): Case => testCase(`servers: ${name}`, steps, { ...more, local });

/** Errors that PostgreSQL itself raises about servers and mappings. */
const OWN = { differs: 'own-error' } as const;

const CALLERS = `
CREATE FUNCTION ask(name text) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN RETURN (SELECT u FROM dblink(name, 'SELECT current_user') AS t(u text)); END $$;
CREATE FUNCTION ask_as_owner(name text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN RETURN (SELECT u FROM dblink(name, 'SELECT current_user') AS t(u text)); END $$;
CREATE FUNCTION ask_caught(name text) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN RETURN ask(name); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM; END $$;
CREATE FUNCTION connect_in(name text, x text) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN PERFORM dblink_connect(name, x); RETURN dblink_exec(name, 'SET a.b = 1'); END $$;
`;

const topLevel: readonly Case[] = [
  servers('dblink_connect', ["SELECT dblink_connect('sv')", fetch(WHO, COLUMNS, '')]),
  servers('dblink_connect with a name', [
    "SELECT dblink_connect('c', 'sv')",
    fetch(WHO, COLUMNS),
    "SELECT dblink_disconnect('c')",
  ]),
  servers('dblink()', [fromServer('sv'), 'SELECT dblink_get_connections()']),
  servers('dblink_exec()', ["SELECT dblink_exec('sv', 'SET a.b = 1')"]),
  servers('errors on a connection made by one', [
    fetch('SELECT 1/0', 'a int', "'sv', "),
    "SELECT dblink_connect('c', 'sv')",
    "SELECT dblink_exec('c', 'selec', false)",
  ]),
  servers('a parameter', [
    bound('SELECT dblink_connect($1, $2)', ['c', 'sv']),
    bound(`SELECT * FROM dblink($1, '${WHO}') AS t(${COLUMNS})`, ['sv']),
  ]),
  servers('an expression', [`SELECT * FROM dblink('s' || 'v', '${WHO}') AS t(${COLUMNS})`]),
  servers('named notation', ["SELECT dblink_connect(connstr => 'sv')"]),
  servers('two of them side by side', [
    `SELECT * FROM dblink('sv', '${WHO}') AS a(${COLUMNS}), dblink('sv', 'SELECT 1') AS b(n int)`,
  ]),
  servers('the name is case-sensitive', ["SELECT dblink_connect('SV')", "SELECT dblink_connect('c', ' sv')"]),
  servers(
    'one in capitals',
    ['SELECT dblink_connect(\'"SV"\')', "SELECT dblink_connect('SV')"],
    made(
      `CREATE SERVER "SV" FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
      'CREATE USER MAPPING FOR PUBLIC SERVER "SV" OPTIONS ("user" \'postgres\')',
    ),
  ),
  servers(
    'a long name is cut',
    [`SELECT dblink_connect('c', repeat('n', 70))`, `SELECT dblink_connect('d', repeat('n', 62))`],
    made(
      `CREATE SERVER ${'n'.repeat(63)} FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
      `CREATE USER MAPPING FOR PUBLIC SERVER ${'n'.repeat(63)} OPTIONS ("user" 'postgres')`,
    ),
  ),
  servers(
    'a name beyond ASCII',
    ["SELECT dblink_connect('c', 'café')", fetch(WHO, COLUMNS)],
    made(
      `CREATE SERVER "café" FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
      'CREATE USER MAPPING FOR PUBLIC SERVER "café" OPTIONS ("user" \'postgres\')',
    ),
    // What the direct connection makes is UTF-8 in SQL_ASCII, which the session writes likewise; EUC_JP has no é.
    { sessions: ['utf8', 'latin1', 'latin1-db', 'styles', 'bare'] },
  ),
  servers(
    'one named like a connection string',
    ["SELECT dblink_connect('host=127.0.0.1')", fetch(WHO, COLUMNS, '')],
    made(
      `CREATE SERVER "host=127.0.0.1" FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
      'CREATE USER MAPPING FOR PUBLIC SERVER "host=127.0.0.1" OPTIONS ("user" \'scram_user\', password \'sécret pass\')',
    ),
    { sessions: ['utf8', 'latin1', 'styles', 'euc_jp'] },
  ),
  servers('a connection of that name comes first', [
    "SELECT dblink_connect('sv', '{R} user=md5_user password=''md5 pass''')",
    fromServer('sv'),
    "SELECT dblink_exec('sv', 'SET a.b = 1')",
    "SELECT dblink_connect('c', 'sv')",
    fetch(WHO, COLUMNS),
    "SELECT dblink_disconnect('sv')",
    fromServer('sv'),
  ]),
  servers('the name of a connection is not looked up as one', [
    "SELECT dblink_connect('sv', 'sv')",
    fromServer('sv'),
  ]),
  servers('a duplicate name', [open('c'), "SELECT dblink_connect('c', 'sv')"]),
  servers('other functions take no server', [
    "SELECT dblink_error_message('sv')",
    "SELECT dblink_disconnect('sv')",
  ]),
  servers(
    'no user mapping',
    ["SELECT dblink_connect('c', 'sv')", open('c')],
    made('DROP USER MAPPING FOR postgres SERVER sv'),
    OWN,
  ),
  servers(
    'no user mapping, dblink()',
    [fromServer('sv')],
    made('DROP USER MAPPING FOR postgres SERVER sv'),
    OWN,
  ),
  servers(
    'no user mapping and no USAGE',
    [PLAIN, fromServer('sv')],
    made('DROP USER MAPPING FOR plain_user SERVER sv'),
    OWN,
  ),
  servers(
    'no USAGE',
    [PLAIN, "SELECT dblink_connect('sv')", "SELECT dblink_exec('sv', 'SET a.b = 1', false)"],
    made(),
    OWN,
  ),
  servers(
    'no USAGE comes before a duplicate name',
    [open('c'), PLAIN, "SELECT dblink_connect('c', 'sv')"],
    made(),
    OWN,
  ),
  servers(
    "a role's own mapping",
    [PLAIN, "SELECT dblink_connect('sv')", fetch(WHO, COLUMNS, ''), fromServer('sv')],
    made('GRANT USAGE ON FOREIGN SERVER sv TO plain_user'),
  ),
  servers(
    'the mapping for PUBLIC',
    [fromServer('sv'), "SELECT dblink_connect('c', 'sv')", fetch(WHO, COLUMNS)],
    made(
      'DROP USER MAPPING FOR postgres SERVER sv',
      `CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (${MD5})`,
    ),
  ),
  servers(
    'the mapping for PUBLIC, which the role cannot read',
    [PLAIN, fromServer('sv'), "SELECT dblink_connect('c', 'sv')", fetch(WHO, COLUMNS)],
    made(
      'DROP USER MAPPING FOR plain_user SERVER sv',
      `CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (${MD5})`,
      'GRANT USAGE ON FOREIGN SERVER sv TO PUBLIC',
    ),
  ),
  servers(
    'mappings for PUBLIC and for the role',
    [fromServer('sv')],
    made(`CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (${MD5})`),
  ),
  servers(
    'an empty mapping of the role hides that for PUBLIC',
    [PLAIN, fromServer('sv')],
    made(
      'DROP USER MAPPING FOR plain_user SERVER sv',
      'CREATE USER MAPPING FOR plain_user SERVER sv',
      `CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (${MD5})`,
      'GRANT USAGE ON FOREIGN SERVER sv TO PUBLIC',
    ),
  ),
  servers(
    'no password for a non-superuser',
    [PLAIN, "SELECT dblink_connect('c', 'sv')", fromServer('sv')],
    made(
      'ALTER USER MAPPING FOR plain_user SERVER sv OPTIONS (DROP password)',
      'GRANT USAGE ON FOREIGN SERVER sv TO plain_user',
    ),
  ),
  servers(
    'an empty password for a non-superuser',
    [PLAIN, fromServer('sv')],
    made(
      "ALTER USER MAPPING FOR plain_user SERVER sv OPTIONS (SET password '')",
      'GRANT USAGE ON FOREIGN SERVER sv TO plain_user',
    ),
  ),
  servers(
    'the remote does not ask for the password',
    [PLAIN, "SELECT dblink_connect('c', 'sv')", fromServer('sv')],
    made(
      'ALTER USER MAPPING FOR plain_user SERVER sv OPTIONS (SET "user" \'postgres\')',
      'GRANT USAGE ON FOREIGN SERVER sv TO plain_user',
    ),
  ),
  servers(
    'a wrong password',
    ["SELECT dblink_connect('c', 'sv')"],
    made("ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (SET \"user\" 'md5_user', ADD password 'no')"),
  ),
  servers(
    'the server is not there',
    ["SELECT dblink_connect('sv')"],
    made("ALTER SERVER sv OPTIONS (SET port '1')"),
  ),
  servers(
    'quotes and backslashes in values',
    ["SELECT dblink_connect('c', 'sv')", fetch("SELECT current_setting('application_name')", 'a text')],
    made("ALTER SERVER sv OPTIONS (ADD application_name 'a''b\\c\"d e=f  g')"),
  ),
  servers(
    'an invalid value',
    ["SELECT dblink_connect('sv')"],
    made("ALTER SERVER sv OPTIONS (SET port 'x''y')"),
  ),
  servers(
    'an invalid choice',
    ["SELECT dblink_connect('sv')"],
    made("ALTER SERVER sv OPTIONS (ADD sslmode 'x')"),
  ),
  servers(
    'options that dblink does not know are passed over',
    [fromServer('sv')],
    made(
      "ALTER SERVER sv OPTIONS (ADD foo 'bar', ADD \"Host\" 'nowhere', ADD fetch_size '10', ADD client_encoding 'LATIN1', ADD replication 'true', ADD requiressl '1')",
    ),
  ),
  servers(
    'options that dblink takes elsewhere are passed over',
    [fromServer('sv')],
    made(
      "ALTER SERVER sv OPTIONS (ADD \"user\" 'nobody', ADD password 'x')",
      "ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (ADD dbname 'nosuch', ADD port '1')",
    ),
  ),
  servers(
    'options of the wrapper are not used',
    [fromServer('sv')],
    made("ALTER FOREIGN DATA WRAPPER handmade OPTIONS (ADD dbname 'nosuch')"),
  ),
  servers(
    'options of newer versions',
    ["SELECT dblink_connect('sv')"],
    made("ALTER SERVER sv OPTIONS (ADD require_auth 'md5')"),
  ),
  servers(
    'a dbname is not expanded',
    ["SELECT dblink_connect('sv')"],
    made("ALTER SERVER sv OPTIONS (SET dbname 'dbname=remote port=1')"),
  ),
  servers(
    'a server without a host',
    ["SELECT dblink_connect('c', 'sv')"],
    made("ALTER SERVER sv OPTIONS (DROP host, SET port '{lport}', SET dbname 'nosuch')"),
    // A message about another host, which the libpq of the extension has in its environment.
    { sessions: ['utf8'] },
  ),
  servers('NULL', ['SELECT dblink_connect(NULL)', fetch('SELECT 1', 'a int', 'NULL, ')]),
  servers('the empty name', ["SELECT dblink_connect('')"]),
  servers(
    'in a failed transaction',
    ['BEGIN', 'SELECT 1/0', fromServer('sv'), 'ROLLBACK', fromServer('sv')],
    made(),
    { contexts: ['autocommit'], transports: ['simple', 'extended', 'binary', 'pipeline-syncs'] },
  ),
];

/** Wrappers with a validator: the extension's, and postgres_fdw with a handler of its own. */
const wrappers: readonly Case[] = [
  servers(
    'made with the validator',
    [
      `CREATE SERVER mine FOREIGN DATA WRAPPER checked OPTIONS (${HERE})`,
      `CREATE USER MAPPING FOR CURRENT_USER SERVER mine OPTIONS (${MD5})`,
      fromServer('mine'),
      "ALTER SERVER mine OPTIONS (ADD application_name 'it''s')",
      fetch("SELECT current_setting('application_name')", 'a text', "'mine', "),
      'ALTER USER MAPPING FOR CURRENT_USER SERVER mine OPTIONS (SET "user" \'postgres\', DROP password)',
      fromServer('mine'),
      'DROP USER MAPPING FOR CURRENT_USER SERVER mine',
      'DROP SERVER mine',
      fromServer('mine'),
    ],
    'DROP FOREIGN DATA WRAPPER IF EXISTS checked CASCADE; CREATE FOREIGN DATA WRAPPER checked VALIDATOR public.dblink_fdw_validator',
    // The validator is one of the bridge's functions.
    { bridged: true },
  ),
  servers(
    'of postgres_fdw',
    [
      fromServer('pg'),
      "SELECT dblink_connect('c', 'pg')",
      fetch(WHO, COLUMNS),
      "ALTER SERVER pg OPTIONS (ADD fetch_size '10', ADD use_remote_estimate 'true')",
      fromServer('pg'),
      PLAIN,
      fromServer('pg'),
    ],
    `DROP EXTENSION IF EXISTS postgres_fdw CASCADE; CREATE EXTENSION postgres_fdw SCHEMA scratch;
     CREATE SERVER pg FOREIGN DATA WRAPPER postgres_fdw OPTIONS (${HERE});
     CREATE USER MAPPING FOR PUBLIC SERVER pg OPTIONS (${MD5}); GRANT USAGE ON FOREIGN SERVER pg TO PUBLIC`,
  ),
  servers(
    'use_scram_passthrough for a client that did not log in with SCRAM',
    [fromServer('sv'), PLAIN, fromServer('sv'), "SELECT dblink_connect('c', 'sv')"],
    made(
      "ALTER SERVER sv OPTIONS (ADD use_scram_passthrough 'true')",
      'ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (SET "user" \'scram_user\')',
      'ALTER USER MAPPING FOR plain_user SERVER sv OPTIONS (SET "user" \'scram_user\', DROP password)',
      'GRANT USAGE ON FOREIGN SERVER sv TO plain_user',
    ),
  ),
];

/** What the session itself does to servers, seen at once and undone with its transaction. */
const changed: readonly Case[] = [
  servers('made in the session', [
    `CREATE SERVER mine FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
    'CREATE USER MAPPING FOR CURRENT_USER SERVER mine OPTIONS ("user" \'postgres\')',
    fromServer('mine'),
    'DROP SERVER mine CASCADE',
    fromServer('mine'),
  ]),
  servers(
    'made in a transaction that is rolled back',
    [
      'BEGIN',
      `CREATE SERVER mine FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
      'CREATE USER MAPPING FOR PUBLIC SERVER mine OPTIONS ("user" \'postgres\')',
      fromServer('mine'),
      'ROLLBACK',
      fromServer('mine'),
    ],
    made(),
    { contexts: ['autocommit'] },
  ),
  servers(
    'rolled back to a savepoint',
    [
      'BEGIN',
      'SAVEPOINT s',
      'DROP SERVER sv CASCADE',
      `CREATE SERVER sv FOREIGN DATA WRAPPER handmade OPTIONS (${HERE})`,
      "CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (\"user\" 'scram_user', password 'wrong')",
      "SELECT dblink_connect('c', 'sv')",
      'ROLLBACK TO s',
      fromServer('sv'),
      'COMMIT',
    ],
    made(),
    { contexts: ['autocommit'], transports: ['simple', 'extended', 'binary', 'pipeline-syncs'] },
  ),
  servers('altered in the session', [
    fromServer('sv'),
    "ALTER SERVER sv OPTIONS (SET dbname 'postgres')",
    fromServer('sv'),
    "ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (SET \"user\" 'md5_user', ADD password 'md5 pass')",
    fromServer('sv'),
    'ALTER SERVER sv RENAME TO renamed',
    fromServer('renamed'),
  ]),
  servers(
    'granted and revoked in the session',
    [
      'GRANT USAGE ON FOREIGN SERVER sv TO plain_user',
      PLAIN,
      fromServer('sv'),
      'RESET ROLE',
      'REVOKE USAGE ON FOREIGN SERVER sv FROM plain_user',
      PLAIN,
      fromServer('sv'),
    ],
    made(),
    OWN,
  ),
  servers(
    'made elsewhere between two calls',
    [
      fromServer('later'),
      onLocal(
        `CREATE SERVER later FOREIGN DATA WRAPPER handmade OPTIONS (${HERE}); CREATE USER MAPPING FOR PUBLIC SERVER later OPTIONS ("user" 'postgres')`,
      ),
      fromServer('later'),
      onLocal('DROP SERVER later CASCADE'),
      fromServer('later'),
    ],
    made(),
    { contexts: ['autocommit'], transports: ['simple', 'extended', 'binary', 'pipeline-syncs'] },
  ),
  servers(
    'SET ROLE, SET SESSION AUTHORIZATION',
    [
      PLAIN,
      fromServer('sv'),
      'RESET ROLE',
      fromServer('sv'),
      'SET SESSION AUTHORIZATION plain_user',
      fromServer('sv'),
      'RESET SESSION AUTHORIZATION',
    ],
    made('GRANT USAGE ON FOREIGN SERVER sv TO plain_user'),
  ),
  servers('a search_path with operators of the user', [
    'CREATE FUNCTION never(name, name) RETURNS bool LANGUAGE sql AS $$ SELECT false $$',
    'CREATE OPERATOR = (LEFTARG = name, RIGHTARG = name, FUNCTION = never)',
    'SET search_path = scratch, pg_catalog, public',
    fromServer('sv'),
  ]),
];

const inFunctions: readonly Case[] = [
  servers('in a function', ["SELECT ask('sv')", 'SELECT dblink_get_connections()'], `${made()}; ${CALLERS}`, {
    bridged: true,
  }),
  servers(
    'connected in a function',
    ["SELECT connect_in('c', 'sv')", fetch(WHO, COLUMNS), "SELECT connect_in('c', 'sv')"],
    `${made()}; ${CALLERS}`,
    { bridged: true },
  ),
  servers(
    'a view',
    ['SELECT * FROM v', 'SELECT count(*) FROM v'],
    `${made()}; CREATE VIEW v AS SELECT * FROM dblink('sv', 'SELECT id FROM people') AS t(id int)`,
    { bridged: true },
  ),
  servers(
    'per row',
    ["SELECT s, ask_caught(s) FROM unnest(ARRAY['sv', 'SV', 'nosuch']) s"],
    `${made()}; ${CALLERS}`,
    {
      bridged: true,
    },
  ),
  servers(
    'a connection of that name, in a function',
    [
      "SELECT dblink_connect('sv', '{R} user=md5_user password=''md5 pass''')",
      "SELECT ask('sv')",
      "SELECT dblink_disconnect('sv')",
      "SELECT ask('sv')",
    ],
    `${made()}; ${CALLERS}`,
    { bridged: true },
  ),
  servers(
    'no user mapping, in a function',
    ["SELECT ask_caught('sv')", "SELECT ask('sv')"],
    `${made('DROP USER MAPPING FOR postgres SERVER sv')}; ${CALLERS}`,
    { ...OWN, bridged: true },
  ),
  servers(
    'no USAGE, in a function',
    [PLAIN, "SELECT ask_caught('sv')", "SELECT ask('sv')"],
    `${made()}; ${CALLERS}`,
    { ...OWN, bridged: true },
  ),
  servers(
    'SECURITY DEFINER',
    [PLAIN, "SELECT ask_as_owner('sv')", "SELECT ask('sv')"],
    `${made('GRANT USAGE ON FOREIGN SERVER sv TO plain_user', "ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (SET \"user\" 'scram_user', ADD password 'sécret pass')")}; ${CALLERS}`,
    { bridged: true, sessions: ['utf8', 'styles'] },
  ),
  servers(
    'SECURITY DEFINER without USAGE of the caller',
    [PLAIN, "SELECT ask_as_owner('sv')"],
    `${made("ALTER USER MAPPING FOR postgres SERVER sv OPTIONS (SET \"user\" 'scram_user', ADD password 'sécret pass')")}; ${CALLERS}`,
    { bridged: true, sessions: ['utf8', 'styles'] },
  ),
  servers(
    'the mapping for PUBLIC, in a function',
    [PLAIN, "SELECT ask('sv')", "SELECT connect_in('c', 'sv')"],
    `${made(
      'DROP USER MAPPING FOR plain_user SERVER sv',
      `CREATE USER MAPPING FOR PUBLIC SERVER sv OPTIONS (${MD5})`,
      'GRANT USAGE ON FOREIGN SERVER sv TO PUBLIC',
    )}; ${CALLERS}`,
    { bridged: true },
  ),
  servers(
    'made in the same function',
    [
      `DO $$ BEGIN
         CREATE SERVER mine FOREIGN DATA WRAPPER handmade OPTIONS (${HERE});
         CREATE USER MAPPING FOR PUBLIC SERVER mine OPTIONS ("user" 'postgres');
         RAISE NOTICE '%', ask('mine');
         DROP SERVER mine CASCADE;
         RAISE NOTICE '%', ask_caught('mine');
       END $$`,
    ],
    `${made()}; ${CALLERS}`,
    { bridged: true },
  ),
  servers(
    'PERFORM and select lists',
    [
      "DO $$ BEGIN PERFORM dblink_exec('sv', 'SET a.b = 1'); END $$",
      "SELECT i.id, dblink_exec('sv', 'SET a.b = ' || i.id) FROM items i ORDER BY 1",
      "SELECT dblink('sv', 'SET a.b = 1') FROM items",
    ],
    made(),
    { bridged: true },
  ),
];

/** dblink_connect_u has the rights of its owner, and its mapping. */
const unchecked: readonly Case[] = [
  servers('dblink_connect_u', ["SELECT dblink_connect_u('c', 'sv')", fetch(WHO, COLUMNS)]),
  servers(
    'dblink_connect_u of another superuser',
    [
      'SET ROLE other_super',
      "SELECT dblink_connect_u('c', 'sv')",
      fetch(WHO, COLUMNS),
      "SELECT dblink_connect('d', 'sv')",
    ],
    `DROP ROLE IF EXISTS other_super; CREATE ROLE other_super SUPERUSER; ${made()}`,
    { ...OWN, bridged: true },
  ),
  servers(
    'dblink_connect_u granted',
    [
      PLAIN,
      "SELECT dblink_connect_u('c', 'sv')",
      fetch(WHO, COLUMNS),
      "SELECT dblink_connect('d', 'sv')",
      'RESET ROLE',
      'REVOKE EXECUTE ON FUNCTION dblink_connect_u(text, text) FROM plain_user',
      PLAIN,
      "SELECT dblink_connect_u('e', 'sv')",
    ],
    `GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO plain_user; ${made()}`,
    { ...OWN, bridged: true },
  ),
];

export const foreignServerCases: readonly Case[] = [
  ...topLevel,
  ...wrappers,
  ...changed,
  ...inFunctions,
  ...unchecked,
];
