import { BRIDGE_COMMENT } from '../../primary/marks.js';
import { EQ, GE, LT, MATCHES, NE } from '../../primary/operators.js';

/** SQL that finds what stands for the extension: the functions with dblink's own names, a type and a foreign-data wrapper. */

/** The version of the extension that the functions behave like. */
export const EXTENSION_VERSION = '1.2';

/** Begins each statement inside a DO block. In the CONTEXT of errors it shows where the lines of the proxy's SQL begin. */
export const EXTENSION_MARK = '/*dblink-proxy extension*/';

export const TYPE = 'dblink_pkey_results';
export const WRAPPER = 'dblink_fdw';

/** Condition that a row of pg_description (alias d) marks an object of the bridge's. */
const MARKED = `d.objsubid ${EQ} 0
   AND d.description ${MATCHES} '${BRIDGE_COMMENT}'`;

/** Query for OID, owner, schema's OID and name, name and version of the functions. Temporary ones do not count. */
export const FUNCTIONS_QUERY = `SELECT p.oid, p.proowner AS owner, n.oid AS namespace, n.nspname AS schema, p.proname AS name,
  pg_catalog.substring(d.description, '${BRIDGE_COMMENT}')::pg_catalog.int4 AS version
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace
  JOIN pg_catalog.pg_description d ON d.objoid ${EQ} p.oid
   AND d.classoid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass AND ${MARKED}
 WHERE p.proname ${GE} 'dblink' AND p.proname ${LT} 'dblinl'
   AND pg_catalog.left(n.nspname::pg_catalog.text, 8) ${NE} 'pg_temp_'`;

/** Query for OID, schema and name of the composite type. */
export const TYPE_QUERY = `SELECT t.oid, n.nspname AS schema, t.typname AS name FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} t.typnamespace
  JOIN pg_catalog.pg_description d ON d.objoid ${EQ} t.oid
   AND d.classoid ${EQ} 'pg_catalog.pg_type'::pg_catalog.regclass AND ${MARKED}
 WHERE t.typname ${EQ} '${TYPE}'`;

/** Query for OID and name of the foreign-data wrapper. */
export const WRAPPER_QUERY = `SELECT w.oid, w.fdwname AS name FROM pg_catalog.pg_foreign_data_wrapper w
  JOIN pg_catalog.pg_description d ON d.objoid ${EQ} w.oid
   AND d.classoid ${EQ} 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass AND ${MARKED}
 WHERE w.fdwname ${EQ} '${WRAPPER}'`;
