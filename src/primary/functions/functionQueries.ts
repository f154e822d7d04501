import { CATALOGUE } from '../../dblink/catalogue.js';
import { BRIDGE_COMMENT, bridgeComment, SERVICE_SCHEMA } from '../marks.js';
import { EQ, GE, GT, LIKE, LT, MATCHES, MATCHES_NOT, NE } from '../operators.js';

/** SQL of a condition: whether a row of pg_proc has a name that begins with dblink. */
const IS_NAMED = `p.proname ${GE} 'dblink' AND p.proname ${LT} 'dblinl'`;

/** OIDs of the types of dblink's arguments. */
const TYPE_OIDS: Readonly<Record<string, number>> = {
  text: 25,
  boolean: 16,
  integer: 23,
  oid: 26,
  int2vector: 22,
  'text[]': 1009,
};

/** The signatures of dblink's functions as elements of an SQL array, each `"name:oid oid"`. */
const SIGNATURES = CATALOGUE.map(
  ({ name, args }) => `"${name}:${args.map(({ type }) => TYPE_OIDS[type]).join(' ')}"`,
).join();

/** What tells the bridge's functions from others that are marked as the bridge's. */
export interface BridgeFingerprint {
  /** The proxy's own account, if it has one. */
  readonly account: string | undefined;
  /** MD5 of the bodies of this version's public functions. */
  readonly bodies: readonly string[];
}

/**
 * SQL that lists the functions whose names begin with dblink, with the group of SessionFacts that each belongs to, and whether it is one
 * of the bridge's of another version.
 *
 * A function counts as a user's own unless it is implemented by the dblink library or marked as the bridge's. Temporary
 * functions of other sessions are left out. The mark is read from pg_description, because obj_description() looks up its
 * operators in the search_path before PostgreSQL 14.
 *
 * A function that is marked as the bridge's is `bridged` in one of these cases, and else `untrusted`:
 * - It is a temporary function of this session, or its owner is the session's current role.
 * - Its owner has the rights of the database's owner or is the proxy's account, the same holds for the owner of the service
 *   schema (if there is one), and its body is one of this version's. The bodies of other versions are not known: a function of
 *   another version has to be owned by a superuser or the account instead.
 *
 * In a schema where everybody may create functions, somebody else's function with exactly the signature of one of dblink's is
 * `untrusted`, too: it stands where the extension's would be.
 * @param rights see `functionRights`: what more is asked of each function
 */
export const functionsQuery = (
  { account, bodies }: BridgeFingerprint,
  rights?: string,
): string => `SELECT n.nspname, p.proname, p.proargtypes::pg_catalog.text, pg_catalog.pg_function_is_visible(p.oid),
       pg_catalog.has_function_privilege(p.oid, 'EXECUTE'),
       CASE WHEN p.probin ${LIKE} '%dblink' THEN 'native'
            WHEN d.description ${MATCHES} '${BRIDGE_COMMENT}' THEN
              CASE WHEN n.oid ${EQ} pg_catalog.pg_my_temp_schema() OR o.own OR (o.trusted AND b.trusted AND
                CASE WHEN d.description ${EQ} '${bridgeComment()}'
                  THEN pg_catalog.md5(p.prosrc) ${EQ} ANY ('{${bodies.join()}}')
                  ELSE o.superuser OR o.account END)
                THEN 'bridged' ELSE 'untrusted' END
            WHEN NOT o.trusted AND NOT o.own AND pg_catalog.concat(p.proname, ':', p.proargtypes) ${EQ} ANY ('{${SIGNATURES}}')
              AND pg_catalog.has_schema_privilege('public', n.oid, 'CREATE') THEN 'untrusted'
            ELSE 'shadowing' END, d.description ${MATCHES} '${BRIDGE_COMMENT}' AND d.description ${NE} '${bridgeComment()}'${rights === undefined ? '' : `, ${rights}`}
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace
  LEFT JOIN pg_catalog.pg_description d ON d.objoid ${EQ} p.oid
       AND d.classoid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objsubid ${EQ} 0
  JOIN pg_catalog.pg_database g ON g.datname ${EQ} pg_catalog.current_database(),
  LATERAL (SELECT r.rolsuper AS superuser, r.rolname ${EQ} current_user AS own, ${isAccount('r', account)} AS account,
      pg_catalog.pg_has_role(r.oid, g.datdba, 'USAGE') OR ${isAccount('r', account)} AS trusted
    FROM pg_catalog.pg_roles r WHERE r.oid ${EQ} p.proowner) AS o,
  LATERAL (SELECT coalesce((SELECT pg_catalog.pg_has_role(r.oid, g.datdba, 'USAGE') OR ${isAccount('r', account)}
      FROM pg_catalog.pg_namespace s JOIN pg_catalog.pg_roles r ON r.oid ${EQ} s.nspowner
     WHERE s.nspname ${EQ} '${SERVICE_SCHEMA}'), true) AS trusted) AS b
 WHERE ${IS_NAMED}
   AND (n.nspname ${MATCHES_NOT} '^pg_temp_' OR n.oid ${EQ} pg_catalog.pg_my_temp_schema())`;

/** SQL of a condition: whether a row of pg_roles is the proxy's account. @param account its name, in UTF-8 */
const isAccount = (row: string, account: string | undefined): string =>
  account === undefined
    ? 'false'
    : `${row}.rolname ${EQ} pg_catalog.convert_from(pg_catalog.decode('${Buffer.from(account).toString('hex')}', 'hex'), 'UTF8')::pg_catalog.name`;

/** The OID of pg_proc in pg_description. */
const PG_PROC = '1255::pg_catalog.oid';

/** SQL of what tells the rows of a catalog and their versions from others. The OID has all the bits of the hash's argument, xmin is its seed. */
const versions = (row: string): string =>
  `pg_catalog.sum(pg_catalog.hashint8extended(${row}.oid::pg_catalog.int8, ${row}.xmin::pg_catalog.text::pg_catalog.int8))`;

/**
 * SQL of a value that changes whenever the functions may have changed. NULL when there are none. Only the search_path at its end can be
 * any text.
 */
const FINGERPRINT = `CASE WHEN pg_catalog.count(*) ${GT} 0 THEN pg_catalog.concat_ws(' ', ${versions('p')},
    (SELECT ${versions('n')} FROM pg_catalog.pg_namespace n), pg_catalog.quote_ident(current_user)::pg_catalog.regrole::pg_catalog.oid,
    pg_catalog.pg_my_temp_schema(), pg_catalog.current_setting('search_path')) END`;

/**
 * SQL of a condition: whether a role has the rights of the database's owner.
 * @param role its OID @param major the primary's version. The owner is a member of a role of that name where there is one
 */
const ownsDatabase = (role: string, major: number): string => {
  const owner =
    major >= 14
      ? `'pg_database_owner'::pg_catalog.name`
      : `(SELECT g.datdba FROM pg_catalog.pg_database g WHERE g.datname ${EQ} pg_catalog.current_database())`;
  return `pg_catalog.pg_has_role(${role}, ${owner}, 'USAGE')`;
};

/**
 * SQL of what decides about the group and the privileges of a function beside the row that it is: what roles may do, who they are, and its
 * comment. Who is a superuser it does not show. By that the bridge's functions of other versions are judged.
 */
export const functionRights = (
  major: number,
): string => `pg_catalog.concat_ws(' ', p.oid, pg_catalog.pg_function_is_visible(p.oid),
      pg_catalog.has_function_privilege(p.oid, 'EXECUTE'), ${ownsDatabase('p.proowner', major)},
      pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(p.proowner)), (SELECT c.xmin FROM pg_catalog.pg_description c
        WHERE c.objoid ${EQ} p.oid AND c.classoid ${EQ} ${PG_PROC} AND c.objsubid ${EQ} 0))`;

/** SQL of what else decides: the rights of the service schema's owner. */
const serviceRights = (major: number): string =>
  `(SELECT pg_catalog.concat_ws(' ', ${ownsDatabase('s.nspowner', major)}, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(s.nspowner)))
      FROM pg_catalog.pg_namespace s WHERE s.nspname ${EQ} '${SERVICE_SCHEMA}')`;

/**
 * SQL of a question of one row. The last column is the fingerprint of the functions, in which every change of them shows, but not what
 * roles may do. It has to be quick to plan.
 * @param columns what else is asked
 */
export const probeQuery = (columns: string): string =>
  `SELECT ${columns}, ${FINGERPRINT} FROM pg_catalog.pg_proc p WHERE ${IS_NAMED}`;

/**
 * The same question with more columns behind the fingerprint: the `functionRights` of all functions as lines, and the rest of what decides
 * about the answer to `functionsQuery`, the server itself included.
 */
export const probeWithRightsQuery = (columns: string, major: number): string =>
  `SELECT ${columns}, ${FINGERPRINT}, pg_catalog.string_agg(${functionRights(major)}, E'\\n'),
  ${serviceRights(major)}, pg_catalog.current_database(), pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())
  FROM pg_catalog.pg_proc p WHERE ${IS_NAMED}`;
