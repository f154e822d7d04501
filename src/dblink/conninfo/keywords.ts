/** One connection option as libpq declares it. */
export interface ConninfoKeyword {
  readonly name: string;
  /** Environment variable that supplies it when the string and the service entry do not. */
  readonly env?: string;
  /** libpq's compiled-in default. */
  readonly compiled?: string;
  /** First PostgreSQL release whose libpq knows it; 13 stands for 13 and everything older. */
  readonly since: 13 | 14 | 16 | 17 | 18;
  /** The value is a secret: never logged. */
  readonly secret?: true;
  /** libpq marks it as a debug option, which foreign data wrappers do not offer to users. */
  readonly debug?: true;
  /** dblink of servers older than this refuses it in a user's string (see `findRefusedOption`). */
  readonly refusedBefore?: 18;
  /** Why the option is accepted without effect; absent for options that act. */
  readonly ignored?: string;
}

const NO_GSSAPI =
  'GSSAPI is not supported; as in a libpq built without it, only gssencmode=require is refused';
const NO_OAUTH = 'OAuth is not supported; a remote that asks for it is refused when it asks';
const NO_SOCKET_OPTION = 'validated only: the runtime cannot set this socket option';

/**
 * Every option of libpq 13 to 18, in libpq's order (errors about several options name the first in this order). Pseudo
 * keywords are not listed. `requiressl` is translated by the parsers, `ssl=true` by the URI parser. `authtype` and `tty`
 * have had no effect for decades and are gone since 14; they are refused as 14 and later refuse them.
 */
export const CONNINFO_KEYWORDS: readonly ConninfoKeyword[] = [
  { name: 'service', env: 'PGSERVICE', since: 13 },
  { name: 'user', env: 'PGUSER', since: 13 },
  { name: 'password', env: 'PGPASSWORD', since: 13, secret: true },
  { name: 'passfile', env: 'PGPASSFILE', since: 13 },
  { name: 'channel_binding', env: 'PGCHANNELBINDING', compiled: 'prefer', since: 13 },
  { name: 'connect_timeout', env: 'PGCONNECT_TIMEOUT', since: 13 },
  { name: 'dbname', env: 'PGDATABASE', since: 13 },
  { name: 'host', env: 'PGHOST', since: 13 },
  { name: 'hostaddr', env: 'PGHOSTADDR', since: 13 },
  { name: 'port', env: 'PGPORT', compiled: '5432', since: 13 },
  { name: 'client_encoding', env: 'PGCLIENTENCODING', since: 13 },
  { name: 'options', env: 'PGOPTIONS', compiled: '', since: 13 },
  { name: 'application_name', env: 'PGAPPNAME', since: 13 },
  { name: 'fallback_application_name', since: 13 },
  { name: 'keepalives', since: 13 },
  { name: 'keepalives_idle', since: 13 },
  { name: 'keepalives_interval', since: 13, ignored: NO_SOCKET_OPTION },
  { name: 'keepalives_count', since: 13, ignored: NO_SOCKET_OPTION },
  { name: 'tcp_user_timeout', since: 13, ignored: NO_SOCKET_OPTION },
  { name: 'sslmode', env: 'PGSSLMODE', compiled: 'prefer', since: 13 },
  { name: 'sslnegotiation', env: 'PGSSLNEGOTIATION', compiled: 'postgres', since: 17 },
  {
    name: 'sslcompression',
    env: 'PGSSLCOMPRESSION',
    compiled: '0',
    since: 13,
    ignored: 'TLS compression is never used, nor does libpq since 14 use it',
  },
  { name: 'sslcert', env: 'PGSSLCERT', since: 13 },
  { name: 'sslkey', env: 'PGSSLKEY', since: 13 },
  { name: 'sslcertmode', env: 'PGSSLCERTMODE', since: 16 },
  { name: 'sslpassword', since: 13, secret: true },
  { name: 'sslrootcert', env: 'PGSSLROOTCERT', since: 13 },
  { name: 'sslcrl', env: 'PGSSLCRL', since: 13 },
  { name: 'sslcrldir', env: 'PGSSLCRLDIR', since: 14 },
  { name: 'sslsni', env: 'PGSSLSNI', compiled: '1', since: 14 },
  { name: 'requirepeer', env: 'PGREQUIREPEER', since: 13 },
  { name: 'require_auth', env: 'PGREQUIREAUTH', since: 16 },
  { name: 'min_protocol_version', env: 'PGMINPROTOCOLVERSION', since: 18 },
  { name: 'max_protocol_version', env: 'PGMAXPROTOCOLVERSION', since: 18 },
  { name: 'ssl_min_protocol_version', env: 'PGSSLMINPROTOCOLVERSION', compiled: 'TLSv1.2', since: 13 },
  { name: 'ssl_max_protocol_version', env: 'PGSSLMAXPROTOCOLVERSION', since: 13 },
  { name: 'gssencmode', env: 'PGGSSENCMODE', compiled: 'disable', since: 13, ignored: NO_GSSAPI },
  { name: 'krbsrvname', env: 'PGKRBSRVNAME', compiled: 'postgres', since: 13, ignored: NO_GSSAPI },
  { name: 'gsslib', env: 'PGGSSLIB', since: 13, ignored: NO_GSSAPI },
  { name: 'gssdelegation', env: 'PGGSSDELEGATION', compiled: '0', since: 16, ignored: NO_GSSAPI },
  { name: 'replication', since: 13, debug: true },
  { name: 'target_session_attrs', env: 'PGTARGETSESSIONATTRS', compiled: 'any', since: 13 },
  { name: 'load_balance_hosts', env: 'PGLOADBALANCEHOSTS', compiled: 'disable', since: 16 },
  { name: 'scram_client_key', since: 18, secret: true, debug: true },
  { name: 'scram_server_key', since: 18, secret: true, debug: true },
  { name: 'oauth_issuer', since: 18, refusedBefore: 18, ignored: NO_OAUTH },
  { name: 'oauth_client_id', since: 18, refusedBefore: 18, ignored: NO_OAUTH },
  { name: 'oauth_client_secret', since: 18, secret: true, refusedBefore: 18, ignored: NO_OAUTH },
  { name: 'oauth_scope', since: 18, refusedBefore: 18, ignored: NO_OAUTH },
  {
    name: 'sslkeylogfile',
    since: 18,
    debug: true,
    refusedBefore: 18,
    ignored: 'TLS session keys are never written to a file',
  },
];

const BY_NAME: ReadonlyMap<string, ConninfoKeyword> = new Map(CONNINFO_KEYWORDS.map((k) => [k.name, k]));

/** The option of that name (case-sensitive, as in libpq). */
export function findKeyword(name: string): ConninfoKeyword | undefined {
  return BY_NAME.get(name);
}

/**
 * The first option of a string that dblink's allow-list refuses on a primary of that major version, or undefined. dblink
 * raises 42501 `permission denied to set connection option "%s"` for it, superusers included. It does so after the check
 * that a password is given, and before connecting (behaviour reference 10, releases of November 2026). A server of
 * release 15 accepts even most newer keywords; it refuses oauth_* and sslkeylogfile.
 */
export function findRefusedOption(
  explicit: ReadonlyMap<string, string>,
  serverMajor: number,
): string | undefined {
  return CONNINFO_KEYWORDS.find(
    (k) => k.refusedBefore !== undefined && serverMajor < k.refusedBefore && explicit.has(k.name),
  )?.name;
}
