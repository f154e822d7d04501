import { EQ, NE } from '../../primary/operators.js';
import {
  EXTENSION_MARK,
  EXTENSION_VERSION,
  FUNCTIONS_QUERY,
  TYPE_QUERY,
  WRAPPER_QUERY,
} from './objectQueries.js';

/**
 * SQL that makes what is installed known to the primary as the extension dblink: a row in pg_extension, with the bridge's objects as
 * its members. Whoever looks there then finds what CREATE EXTENSION leaves natively, also past the proxy: functions, DO blocks,
 * extensions that require dblink, DROP EXTENSION, pg_dump. Only a superuser can write there (docs/decisions/016-a-row-in-pg_extension.md).
 */

const EXTENSION_CLASS = "'pg_catalog.pg_extension'::pg_catalog.regclass";

/** As the extension's control file has it. */
export const EXTENSION_COMMENT = 'connect to other PostgreSQL databases from within a database';

/** Query for the kind of an object, as ALTER EXTENSION calls it, its catalog, OID and name. */
const OBJECTS = `SELECT 'FUNCTION' AS kind, 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, f.oid, f.oid::pg_catalog.regprocedure::pg_catalog.text AS name FROM (${FUNCTIONS_QUERY}) f
  UNION ALL SELECT 'TYPE', 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.oid::pg_catalog.regtype::pg_catalog.text FROM (${TYPE_QUERY}) t
  UNION ALL SELECT 'FOREIGN DATA WRAPPER', 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, w.oid, pg_catalog.quote_ident(w.name) FROM (${WRAPPER_QUERY}) w`;

/** Query for the OID of the extension dblink, if the bridge's functions are its members. */
export const REGISTERED_QUERY = `SELECT x.oid FROM pg_catalog.pg_extension x WHERE x.extname ${EQ} 'dblink' AND EXISTS (
  SELECT 1 FROM pg_catalog.pg_depend e JOIN (${FUNCTIONS_QUERY}) f ON f.oid ${EQ} e.objid
   WHERE e.refclassid ${EQ} ${EXTENSION_CLASS} AND e.refobjid ${EQ} x.oid AND e.deptype ${EQ} 'e'
     AND e.classid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass)`;

/** OID of the role that initdb makes. Nothing depends on it: it cannot be dropped. */
const BOOTSTRAP_ROLE = 10;

/**
 * PL/pgSQL that registers the objects, or those that are not registered yet. To be run by a superuser, under a search_path in which no
 * schema of theirs is. The functions are in one schema, and are their owner's.
 */
export const REGISTER = `
  DECLARE
    extension pg_catalog.oid;
    found pg_catalog.record;
    object pg_catalog.record;
  BEGIN
    SELECT x.oid INTO extension FROM pg_catalog.pg_extension x WHERE x.extname ${EQ} 'dblink';
    IF extension IS NULL THEN
      SELECT f.namespace, f.owner INTO STRICT found FROM (${FUNCTIONS_QUERY}) f ORDER BY f.oid LIMIT 1;
      extension := pg_catalog.pg_nextoid('pg_catalog.pg_extension', 'oid', 'pg_catalog.pg_extension_oid_index');
      INSERT INTO pg_catalog.pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        VALUES (extension, 'dblink', found.owner, found.namespace, true, '${EXTENSION_VERSION}');
      INSERT INTO pg_catalog.pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
        VALUES (${EXTENSION_CLASS}, extension, 0, 'pg_catalog.pg_namespace'::pg_catalog.regclass, found.namespace, 0, 'n');
      INSERT INTO pg_catalog.pg_shdepend (dbid, classid, objid, objsubid, refclassid, refobjid, deptype)
        SELECT d.oid, ${EXTENSION_CLASS}, extension, 0, 'pg_catalog.pg_authid'::pg_catalog.regclass, found.owner, 'o'
          FROM pg_catalog.pg_database d
         WHERE d.datname ${EQ} pg_catalog.current_database() AND found.owner ${NE} ${BOOTSTRAP_ROLE}::pg_catalog.oid;
      EXECUTE '${EXTENSION_MARK} COMMENT ON EXTENSION dblink IS ''${EXTENSION_COMMENT}''';
    END IF;
    FOR object IN SELECT o.kind, o.name FROM (${OBJECTS}) o
      WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.classid ${EQ} o.class AND e.objid ${EQ} o.oid AND e.deptype ${EQ} 'e') ORDER BY o.oid
    LOOP
      EXECUTE pg_catalog.concat('${EXTENSION_MARK} ALTER EXTENSION dblink ADD ', object.kind, ' ', object.name);
    END LOOP;
  END;`;
