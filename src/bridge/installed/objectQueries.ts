import { BRIDGE_COMMENT, SERVICE_SCHEMA } from '../../primary/marks.js';
import { EQ, GE, LT, MATCHES, NE } from '../../primary/operators.js';

/** SQL that finds what stands for the extension: the functions with dblink's own names, a type and a foreign-data wrapper. */

/** The version of the extension that the functions behave like. */
export const EXTENSION_VERSION = '1.2';

/** Begins each statement inside a DO block. In the CONTEXT of errors it shows where the lines of the proxy's SQL begin. */
export const EXTENSION_MARK = '/*dblink-proxy extension*/';

export const TYPE = 'dblink_pkey_results';
export const WRAPPER = 'dblink_fdw';

/** Condition that a row of pg_description (alias) marks an object of the bridge's. */
const marked = (alias: string, catalog: string, oid: string): string => `${alias}.objoid ${EQ} ${oid}
   AND ${alias}.classoid ${EQ} 'pg_catalog.${catalog}'::pg_catalog.regclass AND ${alias}.objsubid ${EQ} 0
   AND ${alias}.description ${MATCHES} '${BRIDGE_COMMENT}'`;

/**
 * Condition that a role may make what everybody's calls run (docs/decisions/012-owners.md): a superuser or one with the rights of the
 * database's owner. Anybody can give an object of their own the bridge's mark; without this it would count.
 */
export const isTrusted = (owner: string): string => `EXISTS (SELECT 1 FROM pg_catalog.pg_roles own_r
    JOIN pg_catalog.pg_database own_d ON own_d.datname ${EQ} pg_catalog.current_database()
   WHERE own_r.oid ${EQ} ${owner} AND (own_r.rolsuper OR pg_catalog.pg_has_role(own_r.oid, own_d.datdba, 'USAGE')))`;

/** The same, or the proxy's account, to whom the service schema belongs. Who uses what is found looks at that schema first. */
const counts = (owner: string): string => `(${isTrusted(owner)}
    OR ${owner} ${EQ} (SELECT own_s.nspowner FROM pg_catalog.pg_namespace own_s WHERE own_s.nspname ${EQ} '${SERVICE_SCHEMA}'))`;

// Inside of a block of the user's, variables could take the place of short aliases.
/** Query for the functions that are marked, whoever owns them, with the columns of FUNCTIONS_QUERY. Temporary ones do not count. */
export const MARKED_FUNCTIONS_QUERY = `SELECT own_p.oid, own_p.proowner AS owner, own_n.oid AS namespace, own_n.nspname AS schema, own_p.proname AS name,
  pg_catalog.substring(own_c.description, '${BRIDGE_COMMENT}')::pg_catalog.int4 AS version
  FROM pg_catalog.pg_proc own_p
  JOIN pg_catalog.pg_namespace own_n ON own_n.oid ${EQ} own_p.pronamespace
  JOIN pg_catalog.pg_description own_c ON ${marked('own_c', 'pg_proc', 'own_p.oid')}
 WHERE own_p.proname ${GE} 'dblink' AND own_p.proname ${LT} 'dblinl'
   AND pg_catalog.left(own_n.nspname::pg_catalog.text, 8) ${NE} 'pg_temp_'`;

/** Query for OID, owner, schema's OID and name, name and version of the functions. */
export const FUNCTIONS_QUERY = `${MARKED_FUNCTIONS_QUERY} AND ${counts('own_p.proowner')}`;

/** Query for OID, owner, schema's OID and name, and name of the composite type. */
export const TYPE_QUERY = `SELECT own_t.oid, own_t.typowner AS owner, own_n.oid AS namespace, own_n.nspname AS schema, own_t.typname AS name
  FROM pg_catalog.pg_type own_t
  JOIN pg_catalog.pg_namespace own_n ON own_n.oid ${EQ} own_t.typnamespace
  JOIN pg_catalog.pg_description own_c ON ${marked('own_c', 'pg_type', 'own_t.oid')}
 WHERE own_t.typname ${EQ} '${TYPE}' AND own_t.typtype ${EQ} 'c'
   AND pg_catalog.left(own_n.nspname::pg_catalog.text, 8) ${NE} 'pg_temp_' AND ${counts('own_t.typowner')}`;

/** Query for OID, name and validator of the foreign-data wrapper. Only superusers own wrappers. */
export const WRAPPER_QUERY = `SELECT own_w.oid, own_w.fdwname AS name, own_w.fdwvalidator AS validator FROM pg_catalog.pg_foreign_data_wrapper own_w
  JOIN pg_catalog.pg_description own_c ON ${marked('own_c', 'pg_foreign_data_wrapper', 'own_w.oid')}
 WHERE own_w.fdwname ${EQ} '${WRAPPER}'`;
