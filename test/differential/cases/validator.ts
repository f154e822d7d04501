import { bound, testCase } from '../compare/notation.js';
import type { Case, Step } from '../play/types.js';

/** dblink_fdw_validator(): the options of foreign servers and user mappings (behaviour reference, section 8). */

const WRAPPER = `DROP FOREIGN DATA WRAPPER IF EXISTS checked CASCADE;
CREATE FOREIGN DATA WRAPPER checked VALIDATOR public.dblink_fdw_validator;
CREATE SERVER s FOREIGN DATA WRAPPER checked OPTIONS (host 'h', dbname 'd');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'u', password 'p');`;

const validating = (name: string, steps: readonly Step[] | Step, more: Partial<Case> = {}): Case =>
  testCase(`validator: ${name}`, [...(Array.isArray(steps) ? steps : [steps]), 'SELECT 1'], {
    bridged: true,
    local: WRAPPER,
    ...more,
  });

const check = (options: string, catalog: string): string =>
  `SELECT dblink_fdw_validator('${options}', '${catalog}'::regclass)`;

/** Every option of every libpq, some that are none, and some that nearly are. */
const NAMES =
  `service user password passfile channel_binding connect_timeout dbname host hostaddr port client_encoding options application_name
fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression
sslcert sslkey sslcertmode sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth min_protocol_version max_protocol_version
ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib gssdelegation replication target_session_attrs load_balance_hosts
scram_client_key scram_server_key oauth_issuer oauth_client_id oauth_client_secret oauth_scope oauth_ca_file sslkeylogfile servicefile
use_scram_passthrough use_scram_passthroug requiressl tty authtype Host HOST hots hos ho h x xx sslkee sslcrlx sslcr sslcrldi keepalive keepalives_
keepalives_xxxx ssl passwor passwords pass usr us u prt prot dbnam databasename application fetch_size updatable extensions`.split(
    /\s+/,
  );

const CATALOGS = [
  'pg_foreign_server',
  'pg_user_mapping',
  'pg_foreign_data_wrapper',
  'pg_foreign_table',
  'pg_class',
] as const;

/** All names in one answer: whether they are valid, else the error and the hint. */
const EVERY_NAME = `CREATE FUNCTION said(text, regclass) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE m text; h text; BEGIN PERFORM dblink_fdw_validator(ARRAY[$1 || '=x'], $2); RETURN 'valid';
EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, h = PG_EXCEPTION_HINT; RETURN concat_ws('; ', SQLSTATE, m, h); END $f$;`;

const DDL: readonly string[] = [
  "CREATE SERVER n FOREIGN DATA WRAPPER checked OPTIONS (host 'x', port '1', dbname 'd')",
  "ALTER SERVER s OPTIONS (SET host 'y', ADD port '2', DROP dbname)",
  "ALTER USER MAPPING FOR PUBLIC SERVER s OPTIONS (SET password 'x', DROP user)",
  "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (user 'x', password 'y', sslpassword 'z')",
  'CREATE FOREIGN DATA WRAPPER other VALIDATOR public.dblink_fdw_validator',
  'CREATE FOREIGN TABLE ft (a int) SERVER s',
];
const REFUSED_DDL: readonly string[] = [
  "CREATE SERVER n FOREIGN DATA WRAPPER checked OPTIONS (hots 'x')",
  "CREATE SERVER n FOREIGN DATA WRAPPER checked OPTIONS (host 'x', user 'y')",
  'CREATE SERVER n FOREIGN DATA WRAPPER checked OPTIONS ("Host" \'x\')',
  'CREATE SERVER n FOREIGN DATA WRAPPER checked OPTIONS ("{text}" \'x\')',
  "ALTER SERVER s OPTIONS (ADD password 'x')",
  "ALTER SERVER s OPTIONS (ADD client_encoding 'x')",
  "ALTER SERVER s OPTIONS (ADD replication 'x')",
  "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (host 'x')",
  "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (usr 'x')",
  "ALTER USER MAPPING FOR PUBLIC SERVER s OPTIONS (ADD port '1')",
  "ALTER FOREIGN DATA WRAPPER checked OPTIONS (ADD host 'x')",
  "CREATE FOREIGN DATA WRAPPER other VALIDATOR public.dblink_fdw_validator OPTIONS (host 'x')",
  "CREATE FOREIGN TABLE ft (a int) SERVER s OPTIONS (host 'x')",
  "CREATE FOREIGN TABLE ft (a int OPTIONS (host 'x')) SERVER s",
];

export const validatorCases: readonly Case[] = [
  ...CATALOGS.map((catalog) =>
    validating(
      `every name in ${catalog}`,
      [`SELECT n, said(n, '${catalog}') FROM unnest('{${NAMES.join(',')}}'::text[]) AS n`],
      { local: EVERY_NAME },
    ),
  ),
  ...DDL.map((sql) => validating(sql, [sql, 'DROP FOREIGN DATA WRAPPER IF EXISTS other'])),
  ...REFUSED_DDL.map((sql) => validating(sql, sql)),
  ...CATALOGS.map((catalog) => validating(`an error in ${catalog}`, check('{hots=x}', catalog))),
  validating('the first that is invalid', check('{host=a,nosuch=b,other=c}', 'pg_foreign_server')),
  validating('options without values, values with signs', [
    check('{host}', 'pg_foreign_server'),
    check('{host=,port==,"dbname=a=b"}', 'pg_foreign_server'),
    check('{}', 'pg_foreign_server'),
    check('{{host=a},{port=b}}', 'pg_foreign_server'),
    check('[5:5]={host=a}', 'pg_foreign_server'),
  ]),
  validating('no name', check('{=x}', 'pg_foreign_server')),
  validating('an empty option', check('{""}', 'pg_foreign_server')),
  validating('a blank in the name', check('{" host=x"}', 'pg_foreign_server')),
  validating('NULL as an option', check('{host=a,NULL}', 'pg_foreign_server')),
  validating('NULL as an option behind an invalid one', check('{nosuch=a,NULL}', 'pg_foreign_server')),
  validating('a long name', check(`{${'x'.repeat(300)}=1}`, 'pg_foreign_server')),
  validating('a name beyond ASCII', check('{"hos{text}=1"}', 'pg_foreign_server')),
  validating('a name of two bytes a letter', check('{"hösé=1"}', 'pg_foreign_server')),
  validating('NULL', [
    'SELECT dblink_fdw_validator(NULL, 1417) IS NULL',
    "SELECT dblink_fdw_validator('{nosuch=1}', NULL)",
    "SELECT * FROM dblink_fdw_validator('{nosuch=1}', NULL)",
  ]),
  validating('named arguments', [
    "SELECT dblink_fdw_validator(catalog => 1417, options => '{host=x}')",
    "SELECT dblink_fdw_validator(options => '{nosuch=x}', catalog => 1417)",
  ]),
  validating('parameters', [
    bound('SELECT dblink_fdw_validator($1, $2)', ['{host=x}', '1417']),
    bound('SELECT dblink_fdw_validator($1, $2)', ['{hots=x}', '1417']),
  ]),
  validating('no such catalog', check('{host=x}', 'pg_class').replace("'pg_class'::regclass", '0')),
  validating('in a function', [
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN PERFORM dblink_fdw_validator('{hots=1}', 1417); END $f$",
    'SELECT f()',
  ]),
  validating('in a function that makes a server', [
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN CREATE SERVER n FOREIGN DATA WRAPPER checked OPTIONS (hots 'x'); END $f$",
    'SELECT f()',
  ]),
  validating(
    'whatever the search path',
    [
      'SET search_path = hostile, pg_catalog, public',
      check('{host=x,port=1}', 'pg_foreign_server'),
      check('{hots=x}', 'pg_foreign_server'),
    ],
    {
      local: `DROP SCHEMA IF EXISTS hostile CASCADE;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = hostile.no);
GRANT USAGE ON SCHEMA hostile TO PUBLIC;`,
    },
  ),
  validating(
    'use_scram_passthrough',
    [
      check('{use_scram_passthrough=true}', 'pg_foreign_server'),
      check('{use_scram_passthrough=off}', 'pg_user_mapping'),
    ],
    { minMajor: 18 },
  ),
  testCase(
    'without functions: the validator',
    [check('{host=x}', 'pg_foreign_server'), check('{hots=x}', 'pg_foreign_server')],
    {
      sessions: ['bare'],
      contexts: ['autocommit'],
      transports: ['simple', 'extended', 'binary'],
    },
  ),
];
