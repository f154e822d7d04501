import { bridgeComment } from '../../primary/marks.js';
import { CAT, EQ } from '../../primary/operators.js';
import type { ExtensionCommand } from '../../sql/index.js';
import { eventTriggersOff, withoutEventTriggers } from '../installed/eventTriggers.js';
import {
  EXTENSION_MARK,
  FUNCTIONS_QUERY,
  TYPE,
  TYPE_QUERY,
  WRAPPER,
  WRAPPER_QUERY,
} from '../installed/objectQueries.js';
import { pkeyResultsSql, publicFunctionsSql } from '../installed/publicFunctions.js';
import { REGISTERED_QUERY, registering } from '../installed/registerSql.js';

/**
 * SQL for what stands for the extension: the functions with dblink's own names, the type dblink_pkey_results and the
 * foreign-data wrapper dblink_fdw. Each change of them is one statement, a DO block. So it happens as a whole, in the
 * transaction that it is run in, and with the rights of whoever runs it.
 */

/** What is asked about for a command that names no schema. */
export const EXTENSION_COMMAND: ExtensionCommand = { kind: 'create', ifNotExists: true };

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Text as a string constant that means the same whatever standard_conforming_strings says. */
function dollarQuoted(text: string): string {
  let tag = '$q$';
  for (let i = 0; text.includes(tag.slice(0, -1)); i++) tag = `$q${i}$`;
  return `${tag}${text}${tag}`;
}

const SUPERUSER = `(SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname ${EQ} current_user)`;

const execute = (statement: string): string => `EXECUTE ${dollarQuoted(`${EXTENSION_MARK} ${statement}`)};`;

const typeComment = (schema: string): string => `
  ${execute(`COMMENT ON TYPE ${identifier(schema)}.${TYPE} IS '${bridgeComment()}'`)}`;

/** SQL that makes the wrapper. Only a superuser may do that. */
const wrapperSql = (schema: string): string => `
  ${execute(`CREATE FOREIGN DATA WRAPPER ${WRAPPER} VALIDATOR ${identifier(schema)}.dblink_fdw_validator`)}`;

const WRAPPER_COMMENT = `
  ${execute(`COMMENT ON FOREIGN DATA WRAPPER ${WRAPPER} IS '${bridgeComment()}'`)}`;

/**
 * Registers the objects as an extension, where the role may do that, or the proxy's account may and lets it (serviceSchema.ts). Else
 * they are functions like any others.
 */
const register = (old: boolean): string => `
  IF ${SUPERUSER} THEN ${registering(old)}
  ELSIF pg_catalog.to_regprocedure('dblink_proxy.register()') IS NOT NULL THEN PERFORM dblink_proxy.register();
  END IF;`;

/**
 * SQL that makes the objects in a schema.
 * @param schema its name; if it is a byte string, the SQL is one, too
 * @throws (when run) 42723, 42710 if there are objects of these names, 42501
 */
export function installSql(schema: string): string {
  // There is no function of the bridge to be replaced. A function of the same name is somebody else's.
  const functions = publicFunctionsSql(schema).map((sql) => sql.replace(/^CREATE OR REPLACE /, 'CREATE '));
  const isComment = (sql: string): boolean => sql.startsWith('COMMENT ');
  const revokes = functions.filter((sql) => sql.startsWith('REVOKE '));
  const script = functions.filter((sql) => sql.startsWith('CREATE '));
  // Event triggers see them in the order of the extension's script.
  script.splice(script.findLastIndex((sql) => sql.includes('.dblink_connect_u(')) + 1, 0, ...revokes);
  // The first one that needs the type.
  const ofType = script.findIndex((sql) => sql.includes('dblink_get_pkey'));
  script.splice(ofType, 0, pkeyResultsSql(schema));
  // Event triggers see, under the path that it has natively, what the extension's script does, and nothing else.
  return doBlock(
    '',
    `${inPath(
      `${identifier(schema)}, pg_temp`,
      `
  ${script.map(execute).join('\n  ')}
  IF ${SUPERUSER} THEN ${wrapperSql(schema)}
  END IF;`,
    )}${withoutEventTriggers(
      inOwnPath(`
  ${functions.filter(isComment).map(execute).join('\n  ')}${typeComment(schema)}
  IF ${SUPERUSER} THEN ${WRAPPER_COMMENT}
  END IF;${register(false)}`),
    )}${SHOW_COMMAND}`,
  );
}

/**
 * Has event triggers see the command itself, where the primary knows the extension by now: then it carries out its own CREATE EXTENSION,
 * which does nothing more, for whoever it is. isSkipping() knows its notice.
 */
const SHOW_COMMAND = `
  IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger) AND EXISTS (${REGISTERED_QUERY}) THEN
    ${execute('CREATE EXTENSION IF NOT EXISTS dblink')}
  END IF;`;

/** Condition that the validator in a schema is a superuser's: it runs with the rights of whoever makes a server of the wrapper. */
const hasTrustyValidator = (
  schema: string,
): string => `EXISTS (SELECT 1 FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid ${EQ} p.proowner
    WHERE p.oid ${EQ} pg_catalog.to_regprocedure(${dollarQuoted(`${identifier(schema)}.dblink_fdw_validator(text[],oid)`)}) AND r.rolsuper)`;

/** SQL that brings the objects in a schema up to this version, and registers them; what was granted on them stays granted. */
export function upgradeSql(schema: string): string {
  return doBlock(
    '',
    withoutEventTriggers(
      inOwnPath(`
  IF NOT EXISTS (${TYPE_QUERY}) THEN ${execute(pkeyResultsSql(schema))}
  END IF;${typeComment(schema)}
  ${publicFunctionsSql(schema).map(execute).join('\n  ')}
  IF EXISTS (${WRAPPER_QUERY}) THEN
    IF ${SUPERUSER} THEN ${WRAPPER_COMMENT} END IF;
  ELSIF ${SUPERUSER} AND ${hasTrustyValidator(schema)} AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_foreign_data_wrapper w WHERE w.fdwname ${EQ} '${WRAPPER}') THEN ${wrapperSql(schema)}${WRAPPER_COMMENT}
  END IF;${register(true)}`),
    ),
  );
}

/** SQL that registers objects of this version, which were made by a role that could not do that. */
export const registerSql = (): string => doBlock('', withoutEventTriggers(inOwnPath(register(true))));

/** SQL that moves the objects to another schema. */
export function moveSql(schema: string): string {
  const target = dollarQuoted(identifier(schema));
  return doBlock(
    'statement pg_catalog.text;',
    withoutEventTriggers(`
  FOR statement IN
    SELECT pg_catalog.concat('ALTER FUNCTION ', m.oid::pg_catalog.regprocedure, ' SET SCHEMA ', ${target}) FROM (${FUNCTIONS_QUERY}) m
    UNION ALL
    SELECT pg_catalog.concat('ALTER TYPE ', m.oid::pg_catalog.regtype, ' SET SCHEMA ', ${target}) FROM (${TYPE_QUERY}) m
  LOOP
    EXECUTE pg_catalog.concat('${EXTENSION_MARK} ', statement);
  END LOOP;`),
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
  IF wrapper IS NOT NULL THEN${withoutEventTriggers(`
    EXECUTE pg_catalog.concat('${EXTENSION_MARK} ALTER FOREIGN DATA WRAPPER ', wrapper, ' NO VALIDATOR');`)}
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
      -- Out of the way of the others, to be undone by the error.${eventTriggersOff(true)}
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

/** PL/pgSQL that runs statements under a search_path. */
const inPath = (path: string, body: string): string => `
  DECLARE path CONSTANT pg_catalog.text := pg_catalog.current_setting('search_path');
  BEGIN
  PERFORM pg_catalog.set_config('search_path', ${dollarQuoted(path)}, true);${body}
  PERFORM pg_catalog.set_config('search_path', path, true);
  END;`;

/** PL/pgSQL that runs statements so that names in them are found in PostgreSQL's own schema, whatever the session's path. */
const inOwnPath = (body: string): string => inPath('pg_catalog, pg_temp', body);
