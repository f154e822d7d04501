import { CAT, EQ, LT, MATCHES, MATCHES_NOT, NE } from '../../primary/operators.js';
/**
 * What the service account keeps in a database for the bridge: the schema dblink_proxy. The functions with dblink's own
 * names (publicFunctions.ts) are made of these.
 *
 * Those that run under the caller's search_path, since type names are to mean there what they mean to the caller, name the schema
 * of everything else, of operators and the types of variables too: in a SECURITY DEFINER function's call the path can be that of
 * somebody who is to have none of its owner's rights.
 */

import { bridgeComment, MARK, NOT_TAKEN, QUIET, SERVICE_SCHEMA } from '../../primary/marks.js';
import { KIND, NO_RECORD, part } from './answerParts.js';
import { ASK } from './askFunction.js';
import { COMMON } from './commonTypes.js';
import { IS_SERVICE, TAKE_TRIGGERS_PATH, withoutEventTriggers } from './eventTriggers.js';
import { PORTABLE_NAMES } from './portableTypes.js';
import { registering } from './registerSql.js';
import { EVIDENCE, MAKE_PROOF, PROVE } from './roleProof.js';
import { SERVER_FUNCTION } from './serverFunction.js';

/**
 * In PL/pgSQL: raises an answer's error or notice; the comment holds the context lines that stand for the bridge's, as hexadecimal
 * digits and nothing else.
 */
export const TELL_ANSWER = `EXECUTE 'SELECT dblink_proxy.tell($1) /*${MARK} ' ${CAT} pg_catalog.encode(pg_catalog.decode(${part('error', 'context')}, 'hex'), 'hex') ${CAT} '*/' USING answer;`;

const listedSql = (name: string, types: string): string => {
  const args = types.split(',').map((type, i) => `$${i + 1}${type === 'text' ? '' : '::pg_catalog.text'}`);
  const given = `ARRAY[${args.join(', ')}]`;
  return `CREATE OR REPLACE FUNCTION dblink_proxy.${name}(${types}) RETURNS SETOF record LANGUAGE sql STRICT AS
  'SELECT ROW(l.tag) FROM dblink_proxy.listed(''${name}(${types})'', ${given}) AS l(tag)';`;
};

/** What is told where functions and proxy are of different versions. */
export const VERSION_MESSAGE = 'this function of the bridge is not of the version of dblink-proxy that runs';
export const VERSION_HINT =
  'Run "ALTER EXTENSION dblink UPDATE" through the proxy, or "dblink-proxy install".';

/**
 * Raises an error or a notice: kind, context (in the caller's text), SQLSTATE, message, detail, hint. Its caller runs it
 * with a comment that holds the context lines, which the proxy puts in the place of the bridge's frames. An answer of
 * another kind is a question that a function of an older version does not know.
 */
const TELL = `
CREATE OR REPLACE FUNCTION dblink_proxy.tell(answer text[]) RETURNS void LANGUAGE plpgsql AS $bridge$
BEGIN
  IF ${KIND} ${EQ} 'error' THEN
    IF ${part('error', 'detail')} IS NULL AND ${part('error', 'hint')} IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')};
    ELSIF ${part('error', 'hint')} IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')}, DETAIL = ${part('error', 'detail')};
    ELSIF ${part('error', 'detail')} IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')}, HINT = ${part('error', 'hint')};
    ELSE
      RAISE EXCEPTION USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')}, DETAIL = ${part('error', 'detail')}, HINT = ${part('error', 'hint')};
    END IF;
  ELSIF ${KIND} ${NE} 'notice' THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = '${VERSION_MESSAGE}', HINT = '${VERSION_HINT}';
  ELSIF ${part('error', 'detail')} IS NULL AND ${part('error', 'hint')} IS NULL THEN
    RAISE NOTICE USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')};
  ELSIF ${part('error', 'hint')} IS NULL THEN
    RAISE NOTICE USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')}, DETAIL = ${part('error', 'detail')};
  ELSIF ${part('error', 'detail')} IS NULL THEN
    RAISE NOTICE USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')}, HINT = ${part('error', 'hint')};
  ELSE
    RAISE NOTICE USING ERRCODE = ${part('error', 'sqlstate')}, MESSAGE = ${part('error', 'message')}, DETAIL = ${part('error', 'detail')}, HINT = ${part('error', 'hint')};
  END IF;
END $bridge$;`;

/**
 * Takes back whatever the default privileges of the account give others on a new relation: what only the account may read or
 * write would be theirs as well. Row security without a policy keeps members of pg_read_all_data and pg_write_all_data from a
 * table; its owner is not subject to it.
 */
const SEAL = `
CREATE OR REPLACE FUNCTION dblink_proxy.seal(relation text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
DECLARE
  others text;
BEGIN${TAKE_TRIGGERS_PATH}
  IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'dblink_proxy'::regnamespace AND c.relname = relation AND c.relkind = 'r') THEN
    EXECUTE format('ALTER TABLE dblink_proxy.%I ENABLE ROW LEVEL SECURITY', relation);
  END IF;
  SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ') INTO others
    FROM pg_class c, aclexplode(c.relacl) a
   WHERE c.relnamespace = 'dblink_proxy'::regnamespace AND c.relname = relation AND a.grantee <> c.relowner;
  IF others IS NOT NULL THEN EXECUTE format('REVOKE ALL ON dblink_proxy.%I FROM %s', relation, others); END IF;
END $bridge$;`;

/** The same for a function, which everybody may execute unless that is taken back. */
const SEAL_FUNCTION = `
CREATE OR REPLACE FUNCTION dblink_proxy.seal_function(signature text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
DECLARE
  others text;
BEGIN${TAKE_TRIGGERS_PATH}
  EXECUTE format('REVOKE ALL ON FUNCTION dblink_proxy.%s FROM PUBLIC', signature);
  SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(a.grantee)), ', ') INTO others
    FROM pg_proc p, aclexplode(p.proacl) a
   WHERE p.oid = to_regprocedure('dblink_proxy.' || signature) AND a.grantee NOT IN (0, p.proowner);
  IF others IS NOT NULL THEN EXECUTE format('REVOKE ALL ON FUNCTION dblink_proxy.%s FROM %s', signature, others); END IF;
END $bridge$;`;

/** SQL that seals a new relation of the service schema. */
export const sealed = (relation: string): string => `SELECT dblink_proxy.seal('${relation}')`;

/**
 * Where answers are handed over (handOver.ts); the tables are not for anybody but their owner and ask(). A row's session is
 * the session's first lock, which the proxy knows; the process is what a request has said. Many slots, so that a new
 * answer is not the successor of all earlier ones, which no transaction that is older lets go.
 */
const TABLES = `
DROP TABLE IF EXISTS dblink_proxy.answer;
CREATE UNLOGGED TABLE dblink_proxy.answer (
  session bigint, slot integer, pid integer NOT NULL, request bytea NOT NULL, parts text[] NOT NULL, must_release boolean NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (session, slot)
) WITH (fillfactor = 50);
${sealed('answer')};
CREATE TABLE IF NOT EXISTS dblink_proxy.object (id oid PRIMARY KEY, pid integer NOT NULL);
${sealed('object')};
CREATE TABLE IF NOT EXISTS dblink_proxy.answer_part (n integer, part bytea);
ALTER TABLE dblink_proxy.answer_part ALTER COLUMN part SET STORAGE PLAIN;
${sealed('answer_part')}`;

/**
 * Takes an advisory lock that may be held for a moment by who looks whether it is; true when it was taken. Other sessions
 * wait meanwhile for the connection that it runs on.
 */
const HOLD = `
CREATE OR REPLACE FUNCTION dblink_proxy.hold(key bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
BEGIN
  FOR attempt IN 1 .. 8 LOOP
    IF pg_try_advisory_lock(key) THEN RETURN true; END IF;
    PERFORM pg_sleep(0.001);
  END LOOP;
  RETURN false;
END $bridge$;
SELECT dblink_proxy.seal_function('hold(bigint)');`;

/**
 * Makes the table of an answer that every snapshot is to see, and takes the lock unless that is NULL. Raises where it is not to be
 * had: the statements behind this one are sent together with it. Files are what such a table costs: the answer is in parts, so that it needs no TOAST table, and comes to a page that is not empty any more,
 * so that it needs no visibility map.
 */
const MAKE_ANSWER = `
CREATE OR REPLACE FUNCTION dblink_proxy.make_answer(relation text, key bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
BEGIN${TAKE_TRIGGERS_PATH}
  EXECUTE format('CREATE TABLE dblink_proxy.%I (LIKE dblink_proxy.answer_part INCLUDING STORAGE)', relation);
  EXECUTE format('ALTER TABLE dblink_proxy.%I ENABLE ROW LEVEL SECURITY', relation);
  EXECUTE format('INSERT INTO dblink_proxy.%I DEFAULT VALUES', relation);
  -- Only default privileges give it any.
  IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'dblink_proxy'::regnamespace AND c.relname = relation AND c.relacl IS NOT NULL) THEN
    PERFORM dblink_proxy.seal(relation);
  END IF;
  IF key IS NULL OR pg_try_advisory_lock(key) OR dblink_proxy.hold(key) THEN RETURN true; END IF;
  RAISE EXCEPTION USING ERRCODE = '${NOT_TAKEN}';
END $bridge$;
SELECT dblink_proxy.seal_function('make_answer(text, bigint)');`;

/** The complaint about a row type, in the server's language, split at what is known of it (rowTypes.ts). */
const SAMPLE = `
CREATE OR REPLACE FUNCTION dblink_proxy.sample() RETURNS SETOF record LANGUAGE plpgsql AS $bridge$
BEGIN RETURN QUERY SELECT 1, NULL::pg_catalog.circle; END $bridge$;`;

/**
 * The types that a caller's column definition list has, as far as a complaint about a row type tells.
 * @returns the corrected types; none when the number of columns is another; NULL when it was about something else
 */
const CORRECTED = `
CREATE OR REPLACE FUNCTION dblink_proxy.corrected(types text[], message text, detail text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $bridge$
DECLARE
  found pg_catalog.text[];
  sample_message pg_catalog.text;
  sample pg_catalog.text;
  pattern pg_catalog.text;
  swapped boolean;
BEGIN
  found := pg_catalog.regexp_match(detail, E'^Returned type .*? does not match expected type (.*?) in column (?:".*" \\\\(position )?(\\\\d+)\\\\)?\\\\.$');
  IF found IS NULL THEN
    IF detail ${MATCHES} E'^Number of returned columns \\\\(\\\\d+\\\\) does not match expected column count \\\\(\\\\d+\\\\)\\\\.$' THEN
      RETURN '{}';
    END IF;
    -- The server may speak another language: a complaint whose words are known shows how it says it.
    BEGIN
      PERFORM 1 FROM dblink_proxy.sample() AS t(a integer, dblink_proxy pg_catalog.macaddr);
    EXCEPTION WHEN datatype_mismatch THEN
      GET STACKED DIAGNOSTICS sample_message = MESSAGE_TEXT, sample = PG_EXCEPTION_DETAIL;
    END;
    IF message ${NE} sample_message THEN RETURN NULL; END IF;
    swapped := pg_catalog.strpos(sample, '2') ${LT} pg_catalog.strpos(sample, 'macaddr');
    pattern := '^' ${CAT} pg_catalog.regexp_replace(sample, '([^[:alnum:][:space:]])', E'\\\\\\\\\\\\1', 'g') ${CAT} '$';
    pattern := pg_catalog.replace(pattern, 'circle', '.*?');
    pattern := pg_catalog.replace(pattern, E'dblink\\\\_proxy', '.*');
    pattern := pg_catalog.replace(pattern, 'macaddr', '(.*?)');
    pattern := pg_catalog.replace(pattern, '2', E'(\\\\d+)');
    found := pg_catalog.regexp_match(detail, pattern);
    IF found IS NULL THEN RETURN '{}'; END IF;
    IF swapped THEN found := ARRAY[found[2], found[1]]; END IF;
  END IF;
  -- It becomes part of SQL text, so it has to be the name of a type and nothing else.
  IF pg_catalog.to_regtype(found[1]) IS NULL OR pg_catalog.regexp_replace(found[1], E'\\\\([^()"]*\\\\)', '')
      ${NE} ALL (ARRAY[pg_catalog.format_type(pg_catalog.to_regtype(found[1]), NULL), pg_catalog.format_type(pg_catalog.to_regtype(found[1]), -1)])
      AND found[1] ${MATCHES_NOT} E'^interval [a-z ]+(\\\\(\\\\d\\\\))?(\\\\[\\\\])*$' THEN
    RETURN NULL;
  END IF;
  types[found[2]::integer] := found[1];
  RETURN types;
END $bridge$;`;

/** SQL of the row of a command ($1), of whichever type a column definition list gives it: no input function reads it. */
const STATUS = `
CREATE OR REPLACE FUNCTION dblink_proxy.status(tag text) RETURNS record LANGUAGE sql AS 'SELECT ROW(tag)';
CREATE OR REPLACE FUNCTION dblink_proxy.reading_status(types text[]) RETURNS text LANGUAGE plpgsql STABLE AS $bridge$
BEGIN
  RETURN '/*${MARK}*/ SELECT * FROM dblink_proxy.status($1) AS t(c1 ' ${CAT} types[1] ${CAT} ') /*${MARK}*/';
END $bridge$;`;

/**
 * dblink() in a select list, where no column definition list says which types are wanted: a command's tag makes a row of
 * one column, rows have no type (behaviour reference, section 4). A function in PL/pgSQL can return nothing there, one
 * in SQL can; the proxy puts these in the place of the calls that it sees.
 */
const LISTED = `
CREATE OR REPLACE FUNCTION dblink_proxy.listed(function text, args text[]) RETURNS SETOF text LANGUAGE plpgsql ${QUIET} AS $bridge$
DECLARE
  answer pg_catalog.text[];
BEGIN
  answer := dblink_proxy.ask(function, current_user::pg_catalog.text, args);
  LOOP
    IF ${KIND} ${EQ} 'nothing' THEN RETURN;
    ELSIF ${KIND} ${EQ} 'status' THEN
      RETURN NEXT ${part('status', 'tag')};
      RETURN;
    ELSIF ${KIND} ${EQ} 'server' THEN
      answer := dblink_proxy.ask('server', current_user::pg_catalog.text, dblink_proxy.server(args[1]));
    ELSIF ${KIND} ${EQ} 'prove' THEN
      answer := dblink_proxy.prove(${part('prove', 'question')});
    ELSIF ${KIND} ${EQ} 'error' OR ${KIND} ${EQ} 'notice' THEN
      ${TELL_ANSWER}
      answer := dblink_proxy.ask('next', current_user::pg_catalog.text, '{}');
    ELSE
      answer := ${NO_RECORD};
    END IF;
  END LOOP;
END $bridge$;
${['text', 'text,text', 'text,boolean', 'text,text,boolean'].map((types) => listedSql('dblink', types)).join('\n')}
${['text', 'text,boolean'].map((types) => listedSql('dblink_get_result', types)).join('\n')}`;

/** SQL that makes every value of a reading, and returns none. */
const COUNTING = `
CREATE OR REPLACE FUNCTION dblink_proxy.counting(reading text) RETURNS text LANGUAGE plpgsql STABLE AS $bridge$
BEGIN
  RETURN '/*${MARK}*/ SELECT pg_catalog.count(earlier) FROM (' ${CAT} pg_catalog.replace(reading, '/*${MARK}*/', '') ${CAT} ') AS earlier /*${MARK}*/';
END $bridge$;`;

/** The types that a remote's columns have if the caller's are the same: those that every server knows, else text. */
const GUESSED = `
CREATE OR REPLACE FUNCTION dblink_proxy.guessed(oids text) RETURNS text[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $bridge$
DECLARE
  wanted oid;
  types text[] := '{}';
BEGIN
  -- One by one: a join would read all of pg_type.
  FOREACH wanted IN ARRAY oids::oid[] LOOP
    types := array_append(types, coalesce(
      (SELECT format_type(t.oid, -1) FROM pg_type t WHERE t.oid = wanted AND t.oid < 10000 AND t.typtype = 'b'), 'text'));
  END LOOP;
  RETURN types;
END $bridge$;`;

/**
 * SQL that reads JSON rows ($1) as these types, by their input functions. What is json itself is read as text first: a
 * JSON string is not what its input function is to get.
 */
const READING = `
CREATE OR REPLACE FUNCTION dblink_proxy.reading(types text[]) RETURNS text LANGUAGE plpgsql STABLE AS $bridge$
DECLARE
  columns pg_catalog.text;
  definitions pg_catalog.text;
BEGIN
  SELECT pg_catalog.string_agg(CASE WHEN j.is_json THEN pg_catalog.format('c%s::%s', t.i, t.type) ELSE pg_catalog.format('c%s', t.i) END, ', ' ORDER BY t.i),
         pg_catalog.string_agg(pg_catalog.format('c%s %s', t.i, CASE WHEN j.is_json THEN 'pg_catalog.text' ELSE t.type END), ', ' ORDER BY t.i)
    INTO columns, definitions
    FROM pg_catalog.unnest(types) WITH ORDINALITY AS t(type, i),
         LATERAL (SELECT dblink_proxy.is_json(pg_catalog.to_regtype(t.type)::pg_catalog.oid)) AS j(is_json);
  IF columns IS NULL THEN RETURN '/*${MARK}*/ SELECT WHERE false /*${MARK}*/'; END IF;
  RETURN '/*${MARK}*/ SELECT ' ${CAT} columns ${CAT} ' FROM pg_catalog.json_to_recordset($1) AS t(' ${CAT} definitions ${CAT} ') /*${MARK}*/';
END $bridge$;
-- json, jsonb or a domain over one of them.
CREATE OR REPLACE FUNCTION dblink_proxy.is_json(type pg_catalog.oid) RETURNS boolean LANGUAGE plpgsql STABLE AS $bridge$
DECLARE
  base pg_catalog.oid := type;
  below pg_catalog.oid;
BEGIN
  LOOP
    IF base ${LT} 10000::pg_catalog.oid THEN RETURN base::pg_catalog.int8 ${EQ} ANY ('{114,3802}'::pg_catalog.int8[]); END IF;
    SELECT t.typbasetype INTO below FROM pg_catalog.pg_type t WHERE t.oid ${EQ} base AND t.typtype ${EQ} 'd';
    IF below IS NULL THEN RETURN false; END IF;
    base := below;
  END LOOP;
END $bridge$;`;

/**
 * For each of these types its name if the service account can convert values of it exactly as the session would, else
 * NULL: types of PostgreSQL's own whose input depends on nothing but DateStyle, IntervalStyle and TimeZone.
 */
const PORTABLE = `
CREATE OR REPLACE FUNCTION dblink_proxy.portable(types text[]) RETURNS text[] LANGUAGE plpgsql STABLE AS $bridge$
BEGIN
  RETURN (SELECT pg_catalog.array_agg((SELECT t.type FROM pg_catalog.pg_type p WHERE p.oid ${EQ} pg_catalog.to_regtype(t.type)::pg_catalog.oid
      AND p.oid ${LT} 10000 AND p.typtype ${EQ} 'b'
      AND (pg_catalog.regexp_replace(t.type, E'\\\\(\\\\d+(,-?\\\\d+)?\\\\)|\\\\[\\\\]$', '', 'g') ${EQ} ANY (ARRAY[${PORTABLE_NAMES.map((name) => `'${name}'`).join(', ')}])
        OR t.type ${MATCHES} '^interval ')) ORDER BY t.i)
    FROM pg_catalog.unnest(types) WITH ORDINALITY AS t(type, i));
END $bridge$;`;

/**
 * SQL that reads the rows of a side table as these types; those that were not converted in it are here, row by row. The
 * rows outlive the table, so that no long value may stay in it: being put into an array, or an array's growing by nothing,
 * fetches it.
 */
const READING_TABLE = `
CREATE OR REPLACE FUNCTION dblink_proxy.reading_table(types text[], portable text[], relation text) RETURNS text
LANGUAGE plpgsql STABLE AS $bridge$
DECLARE
  columns pg_catalog.text;
  objects pg_catalog.text;
  definitions pg_catalog.text;
  fetched boolean;
BEGIN
  -- Nothing has gone into the TOAST table, if it is there. (An older snapshot does not see that, and reads with care.)
  SELECT c.reltoastrelid ${EQ} 0 OR pg_catalog.pg_relation_size(c.reltoastrelid) ${EQ} 0 INTO fetched
    FROM pg_catalog.pg_class c WHERE c.relname ${EQ} pg_catalog."left"(relation, -2)::pg_catalog.name
     AND c.relnamespace ${EQ} 'dblink_proxy'::pg_catalog.regnamespace;
  SELECT pg_catalog.string_agg(CASE WHEN fetched AND p.type IS NOT NULL THEN 'r.c' ${CAT} t.i WHEN b.typlen ${EQ} -1 AND b.typelem ${NE} 0 THEN pg_catalog.format('pg_catalog.array_cat(r.c%s, NULL)::%s', t.i, t.type)
           WHEN b.typlen ${EQ} -1 THEN pg_catalog.format('(ARRAY[r.c%s])[1]', t.i)
           WHEN p.type IS NOT NULL THEN 'r.c' ${CAT} t.i WHEN j.is_json THEN pg_catalog.format('r.c%s::%s', t.i, t.type) ELSE 'j.c' ${CAT} t.i END, ', ' ORDER BY t.i),
         pg_catalog.string_agg(pg_catalog.format('''c%s'', r.c%s', t.i, t.i), ', ' ORDER BY t.i) FILTER (WHERE p.type IS NULL AND NOT j.is_json),
         pg_catalog.string_agg(pg_catalog.format('c%s %s', t.i, t.type), ', ' ORDER BY t.i) FILTER (WHERE p.type IS NULL AND NOT j.is_json)
    INTO columns, objects, definitions
    FROM pg_catalog.unnest(types) WITH ORDINALITY AS t(type, i)
    JOIN pg_catalog.unnest(portable) WITH ORDINALITY AS p(type, i) ON p.i ${EQ} t.i
    LEFT JOIN pg_catalog.pg_type AS b ON b.oid ${EQ} pg_catalog.to_regtype(p.type)::pg_catalog.oid,
         LATERAL (SELECT dblink_proxy.is_json(pg_catalog.to_regtype(t.type)::pg_catalog.oid)) AS j(is_json);
  RETURN '/*${MARK}*/ SELECT ' ${CAT} columns ${CAT} ' FROM dblink_proxy.' ${CAT} pg_catalog.quote_ident(relation) ${CAT} ' AS r'
    ${CAT} coalesce(', LATERAL pg_catalog.json_to_record(pg_catalog.json_build_object(' ${CAT} objects ${CAT} ')) AS j(' ${CAT} definitions ${CAT} ')', '')
    ${CAT} ' /*${MARK}*/';
END $bridge$;`;

/**
 * SQL, run in front of COPY data, that makes the table of the secret by which roles are proven (roleProof.ts): frozen, so that it is
 * there for transactions that are older.
 */
export const SECRET_SQL = `DROP TABLE IF EXISTS dblink_proxy.secret;
CREATE TABLE dblink_proxy.secret (key bytea NOT NULL);
${sealed('secret')};
COPY dblink_proxy.secret FROM STDIN WITH (FREEZE)`;

/**
 * Registers the functions for a role that is no superuser, where the account is one. It does something only in sessions of users that
 * may make what everybody runs, while there is no extension of the name. Event triggers would run with the account's rights under
 * whatever the session has put in their way: where some cannot be switched off, nothing is done.
 */
const REGISTER_FOR_OTHERS = `
CREATE OR REPLACE FUNCTION dblink_proxy.register() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $bridge$
BEGIN
  IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) OR EXISTS (SELECT FROM pg_extension WHERE extname = 'dblink')
    OR NOT (SELECT pg_has_role(session_user, d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database())
    OR (current_setting('event_triggers', true) IS NULL AND EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled IN ('A', 'R'))) THEN
    RETURN;
  END IF;${withoutEventTriggers(registering(true))}
END $bridge$;`;

/** SQL that makes the schema or brings it up to this version; to be run by the service account, in one transaction. */
export const SERVICE_SCHEMA_SQL: string = [
  // Two proxies may find it missing at once.
  `SELECT pg_catalog.pg_advisory_xact_lock(7308325577834590050)`,
  `CREATE SCHEMA IF NOT EXISTS ${SERVICE_SCHEMA}`,
  `GRANT USAGE ON SCHEMA ${SERVICE_SCHEMA} TO PUBLIC`,
  SEAL,
  SEAL_FUNCTION,
  TABLES,
  HOLD,
  MAKE_ANSWER,
  IS_SERVICE,
  ASK,
  TELL,
  SAMPLE,
  STATUS,
  COUNTING,
  SERVER_FUNCTION,
  EVIDENCE,
  PROVE,
  MAKE_PROOF,
  LISTED,
  CORRECTED,
  COMMON,
  GUESSED,
  READING,
  PORTABLE,
  READING_TABLE,
  REGISTER_FOR_OTHERS,
  `COMMENT ON SCHEMA ${SERVICE_SCHEMA} IS '${bridgeComment()}'`,
]
  .map((sql) => sql.trim().replace(/;$/, ''))
  .join(';\n');
