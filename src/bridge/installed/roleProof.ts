import { MARK, QUIET } from '../../primary/marks.js';
import { EQ } from '../../primary/operators.js';
import { TAKE_TRIGGERS_PATH } from './eventTriggers.js';

/**
 * How a function of the bridge proves the role that it runs as (docs/decisions/010-evidence.md). PostgreSQL lets nobody execute
 * a function but those to whom that is granted, by the role that is current: so what such a function returns shows who has
 * asked for it, in whatever context. It returns evidence: a digest of the proxy's question, the role and a secret that only the
 * account and superusers can read.
 *
 * Superusers and the account get it from dblink_proxy.evidence(), which is granted to nobody. For any other role a function
 * is made that it alone may execute, for the one question.
 */

/** The digest. A superuser may name any role, and could be any. */
export const EVIDENCE = `
CREATE OR REPLACE FUNCTION dblink_proxy.evidence(nonce text, role text) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp ${QUIET} AS $bridge$
DECLARE
  secret bytea;
BEGIN
  SELECT /*${MARK}*/ s.key INTO secret FROM dblink_proxy.secret AS s /*${MARK}*/;
  RETURN encode(sha256(secret || sha256(secret || convert_to(concat_ws(':', nonce, role), getdatabaseencoding()))), 'hex');
END $bridge$;
SELECT dblink_proxy.seal_function('evidence(text, text)');`;

/** SQL of the function that gets the evidence and asks on with it, or without any. @param question see `questionOf` */
export const PROVE = `
DROP FUNCTION IF EXISTS dblink_proxy.prove(text);
CREATE FUNCTION dblink_proxy.prove(question pg_catalog.text) RETURNS pg_catalog.text[] LANGUAGE plpgsql ${QUIET} AS $bridge$
DECLARE
  nonce CONSTANT pg_catalog.text := pg_catalog.split_part(question, ':', 1);
  maker CONSTANT pg_catalog.text := pg_catalog.split_part(question, ':', 2);
  evidence pg_catalog.text;
BEGIN
  BEGIN
    IF maker ${EQ} '' THEN
      evidence := dblink_proxy.evidence(nonce, current_user::pg_catalog.text);
    ELSE
      EXECUTE pg_catalog.format('/*${MARK}*/ SELECT dblink_proxy.%I($1) /*${MARK}*/', maker) INTO evidence USING nonce;
    END IF;
  EXCEPTION WHEN insufficient_privilege OR undefined_function THEN NULL;
  END;
  RETURN dblink_proxy.ask('proved', current_user::pg_catalog.text, ARRAY[evidence]);
END $bridge$;`;

/** SQL of the function, for the service account, that makes one for a role. */
export const MAKE_PROOF = `
CREATE OR REPLACE FUNCTION dblink_proxy.make_proof(relation text, role text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
BEGIN${TAKE_TRIGGERS_PATH}
  EXECUTE format('CREATE FUNCTION dblink_proxy.%I(nonce text) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS %L', relation, format('BEGIN RETURN dblink_proxy.evidence(nonce, %L); END', role));
  PERFORM dblink_proxy.seal_function(format('%I(text)', relation));
  EXECUTE format('GRANT EXECUTE ON FUNCTION dblink_proxy.%I(text) TO %I', relation, role);
END $bridge$;
SELECT dblink_proxy.seal_function('make_proof(text, text)');`;

/** $1: the function, $2: the role that is to be able to execute it. */
export const MAKE_PROOF_QUERY = 'SELECT dblink_proxy.make_proof($1, $2)';

/** What the function is asked. @param maker of the evidence, for a role that is neither superuser nor the account */
export const questionOf = (nonce: string, maker: string | undefined): string =>
  maker === undefined ? nonce : `${nonce}:${maker}`;

/** Whether $3 is the evidence for the question $1 and the role $2. */
export const IS_EVIDENCE_QUERY = 'SELECT dblink_proxy.evidence($1, $2) = $3';

/**
 * Whether nobody but superusers and the account that asks can put code of theirs in the place of the functions that give evidence. Only
 * then the proxy may call them as whatever role a session has.
 */
export const IS_KEPT_QUERY = `SELECT bool_and(r.rolsuper OR r.rolname = current_user) FROM pg_roles r WHERE r.oid IN (
  SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'dblink_proxy'
  UNION ALL SELECT p.proowner FROM pg_proc p WHERE p.oid = to_regprocedure('dblink_proxy.evidence(text, text)'))`;

/** Names of functions that MAKE_PROOF has made. */
export const isProof = (name: string): boolean => name.startsWith('proof_');

/** SQL that drops one. */
export const dropProof = (name: string): string =>
  `DROP FUNCTION IF EXISTS dblink_proxy.${name}(text) CASCADE`;
