import { BRIDGE_COMMENT, bridgeComment } from '../../primary/marks.js';
import { CAT, EQ, GE, LT, MATCHES, NE } from '../../primary/operators.js';
import { pkeyResultsSql, publicFunctionsSql } from '../installed/publicFunctions.js';

/**
 * SQL for what stands for the extension: the functions with dblink's own names, the type dblink_pkey_results and the
 * foreign-data wrapper dblink_fdw. Each change of them is one statement, a DO block. So it happens as a whole, in the
 * transaction that it is run in, and with the rights of whoever runs it.
 */

/** The version of the extension that the functions behave like. */
export const EXTENSION_VERSION = '1.2';

/** Begins each statement inside a DO block. In the CONTEXT of errors it shows where the lines of the proxy's SQL begin. */
export const EXTENSION_MARK = '/*dblink-proxy extension*/';

const TYPE = 'dblink_pkey_results';
const WRAPPER = 'dblink_fdw';

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

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Text as a string constant that means the same whatever standard_conforming_strings says. */
function dollarQuoted(text: string): string {
  let tag = '$q$';
  for (let i = 0; text.includes(tag.slice(0, -1)); i++) tag = `$q${i}$`;
  return `${tag}${text}${tag}`;
}

const SUPERUSER = `(SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname ${EQ} current_user)`;

const execute = (statement: string): string => `EXECUTE ${dollarQuoted(`${EXTENSION_MARK} ${statement}`)};`;

function typeSql(schema: string): string {
  const name = `${identifier(schema)}.${TYPE}`;
  return `
  ${execute(pkeyResultsSql(schema))}
  ${execute(`COMMENT ON TYPE ${name} IS '${bridgeComment()}'`)}`;
}

/** SQL that makes the wrapper. Only a superuser may do that. */
const wrapperSql = (schema: string): string => `
  ${execute(`CREATE FOREIGN DATA WRAPPER ${WRAPPER} VALIDATOR ${identifier(schema)}.dblink_fdw_validator`)}
  ${execute(`COMMENT ON FOREIGN DATA WRAPPER ${WRAPPER} IS '${bridgeComment()}'`)}`;

/**
 * SQL that makes the objects in a schema.
 * @param schema its name; if it is a byte string, the SQL is one, too
 * @throws (when run) 42723, 42710 if there are objects of these names, 42501
 */
export function installSql(schema: string): string {
  // There is no function of the bridge to be replaced. A function of the same name is somebody else's.
  const functions = publicFunctionsSql(schema).map((sql) => sql.replace(/^CREATE OR REPLACE /, 'CREATE '));
  return doBlock(
    '',
    inOwnPath(`${typeSql(schema)}
  ${functions.map(execute).join('\n  ')}
  IF ${SUPERUSER} THEN ${wrapperSql(schema)}
  END IF;`),
  );
}

/** SQL that brings the objects in a schema up to this version; what was granted on them stays granted. */
export function upgradeSql(schema: string): string {
  return doBlock(
    '',
    inOwnPath(`
  IF NOT EXISTS (${TYPE_QUERY}) THEN ${typeSql(schema)}
  ELSE ${execute(`COMMENT ON TYPE ${identifier(schema)}.${TYPE} IS '${bridgeComment()}'`)}
  END IF;
  ${publicFunctionsSql(schema).map(execute).join('\n  ')}
  IF EXISTS (${WRAPPER_QUERY}) THEN
    IF ${SUPERUSER} THEN ${execute(`COMMENT ON FOREIGN DATA WRAPPER ${WRAPPER} IS '${bridgeComment()}'`)} END IF;
  ELSIF ${SUPERUSER} AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_foreign_data_wrapper w WHERE w.fdwname ${EQ} '${WRAPPER}') THEN ${wrapperSql(schema)}
  END IF;`),
  );
}

/** SQL that moves the objects to another schema. */
export function moveSql(schema: string): string {
  const target = dollarQuoted(identifier(schema));
  return doBlock(
    'statement pg_catalog.text;',
    `
  FOR statement IN
    SELECT pg_catalog.concat('ALTER FUNCTION ', m.oid::pg_catalog.regprocedure, ' SET SCHEMA ', ${target}) FROM (${FUNCTIONS_QUERY}) m
    UNION ALL
    SELECT pg_catalog.concat('ALTER TYPE ', m.oid::pg_catalog.regtype, ' SET SCHEMA ', ${target}) FROM (${TYPE_QUERY}) m
  LOOP
    EXECUTE pg_catalog.concat('${EXTENSION_MARK} ', statement);
  END LOOP;`,
  );
}

/**
 * SQL that drops the objects. Without `cascade` everything that depends on them is collected into one error, as for an
 * extension's members. With `cascade` there is one NOTICE for the functions, one for the type and one for the wrapper.
 * @throws (when run) 2BP01, 42501
 */
export function dropSql(cascade: boolean): string {
  // The wrapper depends on one of the functions. That is ended first, so that no error or notice tells of it.
  return doBlock(
    `
  functions CONSTANT pg_catalog.text := (SELECT pg_catalog.string_agg(m.oid::pg_catalog.regprocedure::pg_catalog.text, ', ' ORDER BY m.oid DESC) FROM (${FUNCTIONS_QUERY}) m);
  type CONSTANT pg_catalog.text := (SELECT m.oid::pg_catalog.regtype::pg_catalog.text FROM (${TYPE_QUERY}) m);
  wrapper CONSTANT pg_catalog.text := (SELECT pg_catalog.quote_ident(m.name) FROM (${WRAPPER_QUERY}) m);
  statement pg_catalog.text;
  complaint pg_catalog.text;
  complaints pg_catalog.text;
  advice pg_catalog.text;`,
    `
  IF wrapper IS NOT NULL THEN
    EXECUTE pg_catalog.concat('${EXTENSION_MARK} ALTER FOREIGN DATA WRAPPER ', wrapper, ' NO VALIDATOR');
  END IF;
  FOREACH statement IN ARRAY ARRAY['FUNCTION ' ${CAT} functions, 'TYPE ' ${CAT} type,
    'FOREIGN DATA WRAPPER ' ${CAT} wrapper]
  LOOP
    CONTINUE WHEN statement IS NULL;
    statement := pg_catalog.concat('${EXTENSION_MARK} DROP ', statement);${
      cascade
        ? `
    EXECUTE pg_catalog.concat(statement, ' CASCADE');`
        : `
    BEGIN
      EXECUTE statement;
    EXCEPTION WHEN dependent_objects_still_exist THEN
      GET STACKED DIAGNOSTICS complaint = PG_EXCEPTION_DETAIL, advice = PG_EXCEPTION_HINT;
      complaints := pg_catalog.concat_ws(pg_catalog.chr(10), complaints, complaint);
      -- Out of the way of the others, to be undone by the error.
      EXECUTE pg_catalog.concat(statement, ' CASCADE');
    END;`
    }
  END LOOP;${
    cascade
      ? ''
      : `
  IF complaints IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
      MESSAGE = 'cannot drop extension dblink because other objects depend on it', DETAIL = complaints, HINT = advice;
  END IF;`
  }`,
  );
}

const doBlock = (declarations: string, body: string): string =>
  `DO ${dollarQuoted(`DECLARE ${declarations}
BEGIN${body}
END`)}`;

/** PL/pgSQL that runs statements so that names in them are found in PostgreSQL's own schema, whatever the session's path. */
const inOwnPath = (body: string): string => `
  DECLARE path CONSTANT pg_catalog.text := pg_catalog.current_setting('search_path');
  BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);${body}
  PERFORM pg_catalog.set_config('search_path', path, true);
  END;`;
