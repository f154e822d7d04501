/** The signatures of the dblink functions (behaviour reference, section 1) and how PostgreSQL chooses among them. */

export type DblinkFunction =
  | 'dblink'
  | 'dblink_connect'
  | 'dblink_connect_u'
  | 'dblink_disconnect'
  | 'dblink_exec'
  | 'dblink_get_connections'
  | 'dblink_error_message';

/** What an argument is for. */
export type Role = 'connection' | 'conninfo' | 'sql' | 'failOnError';

type ArgumentType = 'text' | 'boolean';

const TYPE_OF: Readonly<Record<Role, ArgumentType>> = {
  connection: 'text',
  conninfo: 'text',
  sql: 'text',
  failOnError: 'boolean',
};

const EXECUTING: readonly (readonly Role[])[] = [
  ['sql'],
  ['sql', 'failOnError'],
  ['connection', 'sql'],
  ['connection', 'sql', 'failOnError'],
];
const CONNECTING: readonly (readonly Role[])[] = [['conninfo'], ['connection', 'conninfo']];

export const DBLINK_FUNCTIONS: Readonly<Record<DblinkFunction, readonly (readonly Role[])[]>> = {
  dblink: EXECUTING,
  dblink_connect: CONNECTING,
  dblink_connect_u: CONNECTING,
  dblink_disconnect: [[], ['connection']],
  dblink_exec: EXECUTING,
  dblink_get_connections: [[]],
  dblink_error_message: [['connection']],
};

/**
 * The type of an argument as overload resolution sees it: `unknown` for string literals, NULL and parameters without a
 * declared type; `other` for a type that converts to none of the argument types by itself.
 */
export type ArgumentKind = 'unknown' | 'text' | 'boolean' | 'other';

/**
 * The signature that PostgreSQL chooses: candidates that every argument fits; unknown ones prefer text, because it is
 * the string category's preferred type (PostgreSQL documentation, "Function Type Resolution").
 * @returns undefined when no signature fits (42883)
 */
export function chooseSignature(
  name: DblinkFunction,
  kinds: readonly ArgumentKind[],
): readonly Role[] | undefined {
  const fits = DBLINK_FUNCTIONS[name].filter(
    (roles) =>
      roles.length === kinds.length &&
      roles.every((role, i) => kinds[i] === 'unknown' || kinds[i] === TYPE_OF[role]),
  );
  return fits.length < 2
    ? fits[0]
    : (fits.find((roles) => roles.every((role, i) => kinds[i] !== 'unknown' || TYPE_OF[role] === 'text')) ??
        fits[0]);
}

/** Type OIDs that convert to text by an implicit cast: text, varchar, bpchar, name, "char". */
const TEXT_OIDS: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 18]);
const BOOL_OID = 16;
const UNKNOWN_OID = 705;

/** How a type takes part in overload resolution. */
export function kindOfType(oid: number): ArgumentKind {
  if (oid === 0 || oid === UNKNOWN_OID) return 'unknown';
  if (oid === BOOL_OID) return 'boolean';
  return TEXT_OIDS.has(oid) ? 'text' : 'other';
}
