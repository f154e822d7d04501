import { EQ, NE } from '../../primary/operators.js';
import {
  EXTENSION_MARK,
  EXTENSION_VERSION,
  FUNCTIONS_QUERY,
  isTrusted,
  MARKED_FUNCTIONS_QUERY,
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

/** The functions, type and wrapper that go with the functions of `home`: of the same owner, in the same schema. */
const OBJECTS = `SELECT 'FUNCTION' AS kind, 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, f.oid, f.oid::pg_catalog.regprocedure::pg_catalog.text AS name, f.name AS base
     FROM (${FUNCTIONS_QUERY}) f WHERE f.owner ${EQ} home.owner AND f.namespace ${EQ} home.namespace
  UNION ALL SELECT 'TYPE', 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.oid::pg_catalog.regtype::pg_catalog.text, t.name
     FROM (${TYPE_QUERY}) t WHERE t.owner ${EQ} home.owner AND t.namespace ${EQ} home.namespace
  UNION ALL SELECT 'FOREIGN DATA WRAPPER', 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, w.oid, pg_catalog.quote_ident(w.name), w.name
     FROM (${WRAPPER_QUERY}) w WHERE EXISTS (SELECT 1 FROM (${FUNCTIONS_QUERY}) f WHERE f.oid ${EQ} w.validator AND f.owner ${EQ} home.owner AND f.namespace ${EQ} home.namespace)`;

/** Query for the OID of the extension dblink, if the bridge's functions are its members. */
export const REGISTERED_QUERY = `SELECT x.oid FROM pg_catalog.pg_extension x WHERE x.extname ${EQ} 'dblink' AND EXISTS (
  SELECT 1 FROM pg_catalog.pg_depend e JOIN (${MARKED_FUNCTIONS_QUERY}) f ON f.oid ${EQ} e.objid
   WHERE e.refclassid ${EQ} ${EXTENSION_CLASS} AND e.refobjid ${EQ} x.oid AND e.deptype ${EQ} 'e'
     AND e.classid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass)`;

/** OID of the role that initdb makes. Nothing depends on it: it cannot be dropped. */
const BOOTSTRAP_ROLE = 10;

const role = (oid: string): string =>
  `CASE ${oid} WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(${oid})) END`;

/** Names are looked up once more by each command. Whoever owns the schema could have put something else there. */
const IS_STILL_IT = `
      IF object.oid::pg_catalog.regprocedure::pg_catalog.text ${NE} object.name THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the functions of dblink were changed meanwhile';
      END IF;`;

const onFunction = (act: string, to: string, who: string, more = "''"): string =>
  `EXECUTE pg_catalog.concat('${EXTENSION_MARK} ${act} ON FUNCTION ', object.name, ' ${to} ', ${who}, ${more});`;

const grantees = `SELECT a.grantee, pg_catalog.bool_or(a.is_grantable) AS grantable FROM pg_catalog.aclexplode(acl) a
          WHERE a.grantee ${NE} home.owner GROUP BY a.grantee`;

/**
 * What was granted on a function that is registered later is no part of the extension: dumps have to have it. The privileges are as
 * the extension's script leaves them while it is made a member.
 */
const BEFORE_MEMBER = `
      IF object.kind ${EQ} 'FUNCTION' THEN${IS_STILL_IT}
        SELECT p.proacl INTO acl FROM pg_catalog.pg_proc p WHERE p.oid ${EQ} object.oid;
        FOR granted IN ${grantees} LOOP
          ${onFunction('REVOKE ALL', 'FROM', role('granted.grantee'), "' CASCADE'")}
        END LOOP;
        IF acl IS NOT NULL AND object.base ${NE} 'dblink_connect_u' THEN
          ${onFunction('GRANT EXECUTE', 'TO', "'PUBLIC'")}
        END IF;
      END IF;`;
const AFTER_MEMBER = `
      IF object.kind ${EQ} 'FUNCTION' AND acl IS NOT NULL THEN${IS_STILL_IT}
        IF object.base ${NE} 'dblink_connect_u' THEN
          ${onFunction('REVOKE ALL', 'FROM', "'PUBLIC'")}
        END IF;
        FOR granted IN ${grantees} LOOP
          ${onFunction('GRANT EXECUTE', 'TO', role('granted.grantee'), "CASE WHEN granted.grantable THEN ' WITH GRANT OPTION' END")}
        END LOOP;
      END IF;`;

/**
 * PL/pgSQL that registers the objects, or those that are not registered yet. To be run by a superuser, under a search_path in which no
 * schema of theirs is. Objects of others, who have marked them as the bridge's, are not touched: all are the owner's of one dblink(),
 * whose code counts anyway, and in its schema.
 * @param old the functions have been there before, and something may have been granted on them. An older snapshot would bring back
 * what was revoked meanwhile: in the higher isolation levels nothing is done
 */
export const registering = (old: boolean): string => `
  DECLARE
    extension pg_catalog.oid;
    home pg_catalog.record;
    object pg_catalog.record;
    granted pg_catalog.record;
    acl pg_catalog.aclitem[];
  BEGIN
    SELECT x.oid INTO extension FROM pg_catalog.pg_extension x WHERE x.extname ${EQ} 'dblink';
    SELECT f.namespace, f.owner INTO home FROM (${FUNCTIONS_QUERY}) f WHERE f.name ${EQ} 'dblink' AND ${isTrusted('f.owner')}
       AND (extension IS NULL OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.refclassid ${EQ} ${EXTENSION_CLASS} AND e.refobjid ${EQ} extension
         AND e.classid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid ${EQ} f.oid AND e.deptype ${EQ} 'e'))
${old ? `\n       AND pg_catalog.current_setting('transaction_isolation') ${EQ} 'read committed'` : ''}
     ORDER BY f.oid LIMIT 1;
    IF home.owner IS NOT NULL AND extension IS NULL THEN
      extension := pg_catalog.pg_nextoid('pg_catalog.pg_extension', 'oid', 'pg_catalog.pg_extension_oid_index');
      INSERT INTO pg_catalog.pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        VALUES (extension, 'dblink', home.owner, home.namespace, true, '${EXTENSION_VERSION}');
      INSERT INTO pg_catalog.pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
        VALUES (${EXTENSION_CLASS}, extension, 0, 'pg_catalog.pg_namespace'::pg_catalog.regclass, home.namespace, 0, 'n');
      INSERT INTO pg_catalog.pg_shdepend (dbid, classid, objid, objsubid, refclassid, refobjid, deptype)
        SELECT d.oid, ${EXTENSION_CLASS}, extension, 0, 'pg_catalog.pg_authid'::pg_catalog.regclass, home.owner, 'o'
          FROM pg_catalog.pg_database d
         WHERE d.datname ${EQ} pg_catalog.current_database() AND home.owner ${NE} ${BOOTSTRAP_ROLE}::pg_catalog.oid;
      EXECUTE '${EXTENSION_MARK} COMMENT ON EXTENSION dblink IS ''${EXTENSION_COMMENT}''';
    END IF;
    IF home.owner IS NOT NULL THEN
      FOR object IN SELECT o.* FROM (${OBJECTS}) o
        WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.classid ${EQ} o.class AND e.objid ${EQ} o.oid AND e.deptype ${EQ} 'e') ORDER BY o.oid
      LOOP${old ? BEFORE_MEMBER : ''}
        EXECUTE pg_catalog.concat('${EXTENSION_MARK} ALTER EXTENSION dblink ADD ', object.kind, ' ', object.name);
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend e WHERE e.classid ${EQ} object.class AND e.objid ${EQ} object.oid
             AND e.refclassid ${EQ} ${EXTENSION_CLASS} AND e.refobjid ${EQ} extension AND e.deptype ${EQ} 'e') THEN
          RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the functions of dblink were changed meanwhile';
        END IF;${old ? AFTER_MEMBER : ''}
      END LOOP;
    END IF;
  END;`;
